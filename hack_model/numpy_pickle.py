"""Pickled numpy arrays from files that may come from anywhere, without running what a pickle can ask for.

The official HACK release stores dictionaries of arrays as pickles inside ``.npy`` files. Here a pickle may name the
few functions numpy's own arrays need and nothing else, and even these are stand-ins that only record what they are
given; plain float and integer arrays are then made of the recorded bytes, with sizes checked.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Final

import numpy as np

from hack_model.arrayfile import require_file
from hack_model.errors import AssetError

_PLAIN_TYPES: Final = frozenset({"f2", "f4", "f8", "i4", "i8", "O", "O8"})


def read_pickled_arrays(path: Path) -> dict[str, np.ndarray]:
    """The dictionary of float and integer arrays a pickled ``.npy`` file holds.

    Raises :class:`AssetError` for a damaged file, and for a pickle of anything else, without executing it.
    """
    require_file(path, AssetError)
    try:
        with path.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = header(stream)
            if shape != () or dtype != np.dtype(object):
                raise _RefusedError(f"holds an array of {dtype} {shape}, wanted a pickled dictionary")
            content = _Reader(stream).load()
        if isinstance(content, _Array):
            content = content.objects
            content = content[0] if content is not None and len(content) == 1 else None
        if not isinstance(content, dict):
            raise _RefusedError("holds no dictionary")
        return {str(name): _array_of(name, value) for name, value in content.items()}
    except _RefusedError as refused:
        raise AssetError(f"{path}: {refused}") from refused
    except Exception as fault:  # a damaged pickle can raise anything: IndexError, TypeError, UnicodeDecodeError, ...
        raise AssetError(f"{path}: not a readable pickle of arrays ({type(fault).__name__}: {fault})") from fault


class _RefusedError(Exception):
    pass


class _Type:
    """Stands in for ``numpy.dtype``: keeps the name and the byte order."""

    def __init__(self, name: Any = "", *_: Any) -> None:
        self.name = name
        self.order = "<"

    def __setstate__(self, state: Any) -> None:
        self.order = ">" if state[1] == ">" else "<"

    def dtype(self) -> np.dtype[Any]:
        if self.name not in _PLAIN_TYPES or str(self.name).startswith("O"):
            raise _RefusedError(f"holds an array of type {self.name!r}, wanted floats or integers")
        return np.dtype(self.order + self.name)


class _Array:
    """Stands in for ``numpy.ndarray``: keeps shape, type and content."""

    shape: tuple[int, ...] = ()
    fortran = False
    type: Any = None
    content: Any = None

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.type, self.fortran, self.content = state

    @property
    def objects(self) -> list[Any] | None:
        return self.content if isinstance(self.content, list) else None

    def array(self) -> np.ndarray:
        if not isinstance(self.type, _Type) or not isinstance(self.content, bytes | bytearray):
            raise _RefusedError("holds an array without plain data")
        flat = np.frombuffer(self.content, self.type.dtype())
        return flat.reshape(tuple(int(size) for size in self.shape), order="F" if self.fortran else "C")


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, kind, order == "F", content))
    return array


_STAND_INS: Final[dict[tuple[str, str], Any]] = {
    (f"numpy.{core}.{module}", name): stand_in
    for core in ("core", "_core")
    for module, name, stand_in in (
        ("multiarray", "_reconstruct", _reconstruct),
        ("numeric", "_frombuffer", _from_buffer),
    )
} | {("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Type}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) not in _STAND_INS:
            raise _RefusedError(f"its pickle asks for {module}.{name}; only arrays are loaded")
        return _STAND_INS[module, name]


def _array_of(name: Any, value: Any) -> np.ndarray:
    if not isinstance(value, _Array):
        raise _RefusedError(f"entry {name!r} is no array")
    return value.array()
