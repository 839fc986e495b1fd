"""`Clip`: one identity and its motion over time, the currency between fits, recordings, exports and Blender."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hack_model.arrayfile import read_arrays, write_arrays
from hack_model.asset import ModelAsset
from hack_model.errors import FormatError, HackError, ParameterError
from hack_model.kinematics import slerp
from hack_model.larynx import SWALLOW_DURATION, SWALLOW_FORWARD, SWALLOW_RISE, swallow
from hack_model.parameters import PARAMETERS

if TYPE_CHECKING:
    from jaxtyping import Float

    from hack_model.model import HACK

    Array = np.ndarray

CLIP_VERSION: Final = 2
"""2 added ``larynx_forward``; files of version 1 are read as clips without it."""

_MOTION = {
    name: tuple(dim if isinstance(dim, int) else None for dim in parameter.dims)
    for name, parameter in PARAMETERS.items()
    if name not in ("shape", "scale")
}
"""Per-frame fields and their dimensions after the frame's; None stands for the number of expressions."""

_NEW_FIELDS = {"larynx_forward"}
"""What version 2 of the file holds and version 1 does not."""

_ROTATIONS = ("pose", "eye_pose", "global_rotation")


@dataclass(frozen=True, eq=False)
class Clip:
    """Identity, and per frame expression, pose, gaze, larynx and placement; units as in ``hack_model.parameters``.

    ``model_name`` and ``model_version`` say whose coefficients these are. ``camera`` optionally holds the camera of the
    pictures the clip was fitted to, as plain numbers and lists. Arrays are float32 and read-only; per-frame fields left
    out are neutral. Raises :class:`ParameterError` naming the field and frame at fault.
    """

    model_name: str
    model_version: str
    expression_names: tuple[str, ...]
    expression: Float[Array, "F E"]
    shape: Float[Array, " S"] = field(default_factory=lambda: np.zeros(0, np.float32))
    pose: Float[Array, "F 8 3"] = None  # pyright: ignore[reportAssignmentType]
    eye_pose: Float[Array, "F 2 3"] = None  # pyright: ignore[reportAssignmentType]
    larynx_size: Float[Array, " F"] = None  # pyright: ignore[reportAssignmentType]
    larynx_shift: Float[Array, " F"] = None  # pyright: ignore[reportAssignmentType]
    larynx_forward: Float[Array, " F"] = None  # pyright: ignore[reportAssignmentType]
    global_rotation: Float[Array, "F 3"] = None  # pyright: ignore[reportAssignmentType]
    translation: Float[Array, "F 3"] = None  # pyright: ignore[reportAssignmentType]
    scale: float = 1.0
    fps: float = 30.0
    camera: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "expression_names", tuple(str(name) for name in self.expression_names))
        if len(set(self.expression_names)) != len(self.expression_names):
            raise ParameterError("expression_names: a name is repeated")
        frames = len(np.atleast_1d(self.expression))
        for name, dims in _MOTION.items():
            wanted = (frames, *(len(self.expression_names) if dim is None else dim for dim in dims))
            value = getattr(self, name)
            put(self, name, _checked(name, np.zeros(wanted) if value is None else value, wanted))
        if not frames:
            raise ParameterError("expression: a clip needs at least one frame")
        put(self, "shape", _checked("shape", self.shape, (np.size(self.shape),)))
        put(self, "scale", float(_checked("scale", self.scale, ())))
        put(self, "fps", float(_checked("fps", self.fps, ())))
        if self.fps <= 0 or self.scale <= 0:
            raise ParameterError(f"fps and scale: wanted more than zero, got {self.fps} and {self.scale}")

    def __repr__(self) -> str:
        return f"Clip({self.model_name} {self.model_version}: {len(self)} frames at {self.fps:g} per second)"

    @classmethod
    def neutral(cls, model: ModelAsset | HACK, frames: int = 1, fps: float = 30.0) -> Clip:
        """A still clip of a model's mean head, to be filled with :func:`dataclasses.replace`."""
        asset = _asset(model)
        expression = np.zeros((frames, len(asset.expression_names)))
        shape = np.zeros(len(asset.shape_basis))
        return cls(asset.name, asset.version, asset.expression_names, expression, shape, fps=fps)

    @classmethod
    def load(cls, path: str | Path) -> Clip:
        """Reads a clip. Raises :class:`FormatError` naming the file, the field and the frame at fault."""
        path = Path(path)
        arrays = read_arrays(path, FormatError)
        try:
            return cls(**_decoded(arrays))
        except HackError as error:
            raise FormatError(f"{path}: {error}") from error

    def save(self, path: str | Path) -> Path:
        """Writes the clip atomically as ``.npz`` without pickles."""
        arrays = {entry.name: np.asarray(getattr(self, entry.name)) for entry in fields(self) if entry.name != "camera"}
        arrays["expression_names"] = np.asarray(self.expression_names, dtype=np.str_)
        arrays["camera"] = np.asarray(json.dumps(self.camera))
        arrays["clip_version"] = np.asarray(CLIP_VERSION)
        return write_arrays(Path(path), arrays)

    def __len__(self) -> int:
        return len(self.expression)

    def __getitem__(self, frames: int | slice) -> Clip:
        """Some of the frames as a clip; an integer gives a clip of one frame."""
        if not isinstance(frames, slice):
            if not -len(self) <= frames < len(self):
                raise IndexError(f"frame {frames} of a clip of {len(self)} frames")
            frames = slice(frames % len(self), frames % len(self) + 1)
        return replace(self, **{name: getattr(self, name)[frames] for name in _MOTION})

    def motion(self, frames: int | slice = slice(None)) -> dict[str, Array]:
        """Parameters of one frame or several for a :class:`hack_model.Rig`."""
        return {name: getattr(self, name)[frames] for name in _MOTION}

    def parameters(self, frames: int | slice = slice(None)) -> dict[str, Any]:
        """Parameters of one frame or several for a :class:`hack_model.HACK`: identity and motion."""
        return {"shape": self.shape, "scale": self.scale, **self.motion(frames)}

    def for_model(self, model: ModelAsset | HACK, *, identity: bool = True) -> Clip:
        """The clip with the expressions of ``model``, matched by name, and as many shape coefficients as it has.

        Expressions the model has and the clip lacks become zero. Raises :class:`ParameterError` when the clip uses an
        expression, a shape component or a glide of the larynx the model lacks, or holds the identity of another model
        or version (its coefficients mean nothing here); with ``identity=False`` the identity is replaced by the
        model's mean.
        """
        asset = _asset(model)
        known = {name: column for column, name in enumerate(asset.expression_names)}
        expression = np.zeros((len(self), len(known)), np.float32)
        for column, name in enumerate(self.expression_names):
            if name in known:
                expression[:, known[name]] = self.expression[:, column]
            elif self.expression[:, column].any():
                frame = int(np.flatnonzero(self.expression[:, column])[0])
                raise ParameterError(f"model {asset.name} has no expression {name!r}, which frame {frame} uses")
        if self.larynx_forward.any() and not asset.larynx_forward_map.size:
            frame = int(np.flatnonzero(self.larynx_forward)[0])
            raise ParameterError(f"model {asset.name} has no forward glide of the larynx, which frame {frame} uses")
        shape = np.zeros(len(asset.shape_basis), np.float32)
        if identity:
            self._check_identity(asset)
            count = min(len(shape), len(self.shape))
            shape[:count] = self.shape[:count]
        return replace(
            self,
            model_name=asset.name,
            model_version=asset.version,
            expression_names=asset.expression_names,
            expression=expression,
            shape=shape,
        )

    def _check_identity(self, asset: ModelAsset) -> None:
        if (self.model_name, self.model_version) != (asset.name, asset.version) and self.shape.any():
            raise ParameterError(
                f"the clip's identity belongs to model {self.model_name} {self.model_version}, not {asset.name} "
                f"{asset.version}; give that model, or carry over the motion alone (for_model with identity=False)"
            )
        if self.shape[len(asset.shape_basis) :].any():
            raise ParameterError(
                f"shape: the clip uses {len(self.shape)} components, model {asset.name} has {len(asset.shape_basis)}"
            )

    def with_swallow(
        self,
        start: float = 0.0,
        *,
        duration: float = SWALLOW_DURATION,
        rise: float = SWALLOW_RISE,
        forward: float = SWALLOW_FORWARD,
    ) -> Clip:
        """The clip with one swallow (AU80) added ``start`` seconds after its first frame.

        Seconds and metres as in :func:`hack_model.larynx.swallow`; a swallow that outlasts the clip is cut off. The
        larynx keeps its size: a clip without a prominence shows the forward glide alone.
        """
        moved = swallow(np.arange(len(self)) / self.fps - start, duration=duration, rise=rise, forward=forward)
        return replace(
            self, larynx_shift=self.larynx_shift + moved.shift, larynx_forward=self.larynx_forward + moved.forward
        )

    def resampled(self, fps: float) -> Clip:
        """The same motion at another frame rate, from the first frame to the last the new rate reaches.

        Rotations follow the shorter arc (slerp), all else is linear in time.
        """
        if not fps > 0:
            raise ParameterError(f"fps: wanted more than zero, got {fps}")
        count = int((len(self) - 1) * fps / self.fps + 1e-6) + 1
        place = np.minimum(np.arange(count) * (self.fps / fps), len(self) - 1)
        before = np.minimum(place.astype(int), max(len(self) - 2, 0))
        after = np.minimum(before + 1, len(self) - 1)
        share = place - before
        resampled: dict[str, Any] = {"fps": fps}
        for name in _MOTION:
            first, second = getattr(self, name)[before].astype(float), getattr(self, name)[after].astype(float)
            if name in _ROTATIONS:
                resampled[name] = slerp(first, second, share.reshape(-1, *[1] * (first.ndim - 2)))
            else:
                resampled[name] = first + share.reshape(-1, *[1] * (first.ndim - 1)) * (second - first)
        return replace(self, **resampled)

    @staticmethod
    def concatenate(clips: Sequence[Clip]) -> Clip:
        """One clip after another. Raises :class:`ParameterError` when they differ in model, identity or frame rate."""
        if not clips:
            raise ParameterError("clips: wanted at least one, got none")
        first = clips[0]
        for number, clip in enumerate(clips):
            for name in ("model_name", "model_version", "expression_names", "shape", "scale", "fps"):
                if not np.array_equal(getattr(clip, name), getattr(first, name)):
                    raise ParameterError(f"clip {number} differs from the first in {name}")
        return replace(first, **{name: np.concatenate([getattr(clip, name) for clip in clips]) for name in _MOTION})


def _asset(model: ModelAsset | HACK) -> ModelAsset:
    return model if isinstance(model, ModelAsset) else model.asset


def _checked(name: str, value: Any, wanted: tuple[int, ...]) -> Array:
    """The value as a read-only float32 array of the wanted shape, finite."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise ParameterError(f"{name}: wanted numbers, got {array.dtype}")
    if array.shape != wanted:
        raise ParameterError(f"{name}: wanted shape {wanted}, got {array.shape}")
    with np.errstate(over="ignore"):
        array = np.array(array, np.float64 if not wanted else np.float32)
    if not np.isfinite(array).all():
        frame = int(np.argwhere(~np.isfinite(np.atleast_1d(array)))[0, 0])
        place = f", frame {frame}" if name in _MOTION else ""
        raise ParameterError(f"{name}{place}: holds values that are not finite")
    array.flags.writeable = False
    return array


def _decoded(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Constructor arguments from the arrays of a file; raises :class:`FormatError` on missing or unknown fields."""
    names = {entry.name for entry in fields(Clip)}
    if "clip_version" in arrays:
        version = arrays["clip_version"]
        if version.shape != () or version.dtype.kind not in "iu" or not 1 <= int(version) <= CLIP_VERSION:
            raise FormatError(f"clip version {version!s}, this program reads 1 to {CLIP_VERSION}; update hack-model")
        names -= _NEW_FIELDS if int(version) == 1 else set()
    missing, extra = sorted(names - set(arrays)), sorted(set(arrays) - names - {"clip_version"})
    if missing or extra or "clip_version" not in arrays:
        parts = [f"missing fields: {', '.join(missing)}"] * bool(missing)
        parts += [f"unknown fields: {', '.join(extra)}"] * bool(extra)
        raise FormatError(f"not a clip: {'; '.join(parts) or 'it has no clip_version'}")
    decoded: dict[str, Any] = {name: arrays[name] for name in names}
    for name in ("model_name", "model_version", "camera", "expression_names"):
        rank = 1 if name == "expression_names" else 0
        if arrays[name].dtype.kind != "U" or arrays[name].ndim != rank:
            raise FormatError(f"field {name} holds {arrays[name].dtype} {arrays[name].shape}, wanted text")
        decoded[name] = str(arrays[name]) if rank == 0 else tuple(arrays[name].tolist())
    try:
        decoded["camera"] = json.loads(decoded["camera"])
    except (ValueError, RecursionError) as fault:
        raise FormatError(f"field camera is not JSON ({fault})") from fault
    if not isinstance(decoded["camera"], dict | None):
        raise FormatError("field camera is no JSON object")
    return decoded
