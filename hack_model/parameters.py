"""The parameters of the model as data: their sizes, and the checks every caller's values go through."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hack_model.errors import MissingDependencyError, ParameterError


@dataclass(frozen=True)
class Parameter:
    """One parameter: ``dims`` are its trailing dimensions, letters as in :mod:`hack_model.schema`."""

    name: str
    dims: tuple[str | int, ...]
    neutral: float
    meaning: str


PARAMETERS: Final = {
    parameter.name: parameter
    for parameter in (
        Parameter("shape", ("S",), 0.0, "identity coefficients in standard deviations; fewer than S are padded"),
        Parameter("expression", ("E",), 0.0, "activation of each expression, usually in [0, 1]"),
        Parameter("pose", (8, 3), 0.0, "axis-angle in radians of each cervical joint in its local rest frame"),
        Parameter("eye_pose", (2, 3), 0.0, "axis-angle in radians of the left and the right eye, local rest frames"),
        Parameter("larynx_size", (), 0.0, "size of the larynx bump; 1 is the identity's own, 0 none"),
        Parameter("larynx_shift", (), 0.0, "slide of the larynx in metres, up positive"),
        Parameter("larynx_forward", (), 0.0, "glide of the larynx in metres, forwards positive, whatever its size"),
        Parameter("global_rotation", (3,), 0.0, "axis-angle in radians about the origin of model space"),
        Parameter("translation", (3,), 0.0, "metres, after rotation"),
        Parameter("scale", (), 1.0, "factor on the model's own size, before rotation"),
    )
}
"""Every parameter of :class:`hack_model.HACK`, in the order of its arguments."""


_HALF = ("float16", "bfloat16")


@dataclass(frozen=True)
class Backend:
    """An array library with the type and place its arrays have; makes checked arrays of callers' values.

    ``basis_dtype`` is the type of the bases alone, half precision where ``dtype`` was asked for as such: everything
    else is in single precision then.
    """

    name: str
    xp: Any
    dtype: Any
    device: Any
    check_finite: bool = True
    basis_dtype: Any = None

    @classmethod
    def create(cls, name: str, device: Any = None, dtype: str = "float32", *, check_finite: bool = True) -> Backend:
        """Raises :class:`ParameterError` on an unknown library, type or a device the library does not have."""
        if dtype not in ("float32", "float64", *_HALF):
            raise ParameterError(f"dtype {dtype!r} is not supported; use 'float32', 'float64', 'float16' or 'bfloat16'")
        single = "float32" if dtype in _HALF else dtype
        if name == "numpy":
            if dtype in _HALF:
                raise ParameterError(f"numpy has no fast products in {dtype}; use backend='torch' or dtype='float32'")
            import array_api_compat.numpy as xp

            if device not in (None, "cpu"):
                raise ParameterError(f"numpy has no device {device!r}; use backend='torch'")
            return cls(name, xp, getattr(xp, dtype), "cpu", check_finite, getattr(xp, dtype))
        if name == "torch":
            try:
                import array_api_compat.torch as xp
                import torch
            except ImportError as fault:
                raise MissingDependencyError(
                    f"backend 'torch' needs torch ({fault}); install it with: pip install 'hack-model[torch]'"
                ) from fault

            try:
                place = torch.empty(0, device=device or "cpu").device
            except (RuntimeError, AssertionError) as fault:  # torch asserts when it was compiled without CUDA
                raise ParameterError(f"torch cannot use device {device!r}: {fault}") from fault
            return cls(name, xp, getattr(xp, single), place, check_finite, getattr(torch, dtype))
        raise ParameterError(f"backend {name!r} is not supported; use 'numpy' or 'torch'")

    @property
    def dtype_name(self) -> str:
        """``"float32"``, ``"float64"`` or the bases' half precision."""
        return str(np.dtype(self.basis_dtype) if self.name == "numpy" else self.basis_dtype).removeprefix("torch.")

    def __getstate__(self) -> dict[str, Any]:
        """What can be pickled: a module cannot, it is imported again by name."""
        return {name: value for name, value in self.__dict__.items() if name != "xp"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, xp=importlib.import_module(f"array_api_compat.{state['name']}"))

    def constant(self, array: np.ndarray) -> Any:
        """An array of the model in this library, read-only in numpy; floats in its dtype, copied only where needed."""
        kind = self.dtype if array.dtype.kind == "f" else self.xp.int64
        if self.name == "numpy":
            constant = np.asarray(array, kind, order="C")
            constant.flags.writeable = False
            return constant
        return self.xp.tensor(array, dtype=kind, device=self.device)

    def basis(self, array: np.ndarray) -> Any:
        """A basis of the model in this library, in the bases' own type."""
        if self.basis_dtype == self.dtype:
            return self.constant(array)
        return self.xp.tensor(array, dtype=self.basis_dtype, device=self.device)

    def product(self, coefficients: Any, basis: Any) -> Any:
        """``coefficients @ basis``, computed in the basis' type and returned in the model's."""
        if basis.dtype == self.dtype:
            return coefficients @ basis
        return (coefficients.to(basis.dtype) @ basis).to(self.dtype)

    def added(self, array: Any, places: Any, values: Any) -> Any:
        """A copy of ``array`` with ``values`` added at flat ``places``, which must differ from each other."""
        if self.name == "numpy":
            result = array.copy()
            result.reshape(-1)[places] += values
            return result
        return array.reshape(-1).index_add(0, places, values.to(array.dtype)).reshape(array.shape)

    def parameter(self, name: str, value: Any, dims: tuple[int, ...], *, padded: bool = False) -> Any:
        """A caller's value as an array ``(*batch, *dims)``, finite; ``padded`` fills up a short last dimension.

        Raises :class:`ParameterError` saying what was wanted and what came.
        """
        if self.name == "torch" and self.xp.is_tensor(value):
            array = value if value.dtype == self.dtype and value.device == self.device else self._moved(value)
        else:
            array = self._converted(name, value)
        shape = tuple(array.shape)
        fits = shape[len(shape) - len(dims) :] == dims if len(shape) >= len(dims) else False
        if not fits and padded and shape and shape[-1] < dims[-1]:
            zeros = self.xp.zeros((*shape[:-1], dims[-1] - shape[-1]), dtype=self.dtype, device=self.device)
            array, fits = self.xp.concat([array, zeros], axis=-1), True
        if not fits:
            wanted = ", ".join(["*batch", *map(str, dims)])
            raise ParameterError(f"{name}: wanted shape ({wanted}), got {shape}")
        if self.check_finite and not bool(self.xp.all(self.xp.isfinite(array))):
            raise ParameterError(f"{name}: holds values that are not finite")
        return array

    def _moved(self, tensor: Any) -> Any:
        return tensor.to(device=self.device, dtype=self.dtype)

    def _converted(self, name: str, value: Any) -> Any:
        try:
            array = np.asarray(value)
            if array.dtype.kind not in "fiub":
                raise TypeError(f"of type {array.dtype}")
            with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite and is refused as such
                array = array.astype(np.float64 if self.name == "torch" else self.dtype, copy=False)
        except (TypeError, ValueError, RuntimeError) as fault:  # RuntimeError: a torch tensor that needs its gradient
            raise ParameterError(f"{name}: wanted an array of numbers, got {type(value).__name__} ({fault})") from fault
        return array if self.name == "numpy" else self.xp.tensor(array, dtype=self.dtype, device=self.device)


def batch_shape(arrays: dict[str, Any]) -> tuple[int, ...]:
    """The common batch shape of checked parameters. Raises :class:`ParameterError` when they do not broadcast."""
    return common_shape({name: tuple(a.shape[: a.ndim - len(PARAMETERS[name].dims)]) for name, a in arrays.items()})


def common_shape(batches: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that named batch shapes broadcast to. Raises :class:`ParameterError` when there is none."""
    try:
        return np.broadcast_shapes(*batches.values())
    except ValueError as fault:
        listed = ", ".join(f"{name} {batch}" for name, batch in batches.items() if batch)
        raise ParameterError(f"batch dimensions do not broadcast: {listed}") from fault
