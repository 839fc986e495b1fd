"""Pickled numpy arrays from files that may come from anywhere, without running what a pickle can ask for.

The official HACK release stores dictionaries of arrays as pickles inside ``.npy`` files, FLAME and SMPL-X in ``.pkl``
files that also hold chumpy's and scipy's arrays. Here a pickle may name the few classes and functions these need and
nothing else, and even these are stand-ins that only record what they are given; plain float and integer arrays are
then made of the recorded bytes, with sizes checked. Neither chumpy nor scipy is imported.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Final

import numpy as np

from hack_model.arrayfile import require_file
from hack_model.errors import AssetError

_PLAIN_TYPES: Final = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1", "O", "O8"})
_MAX_DENSE_BYTES: Final = 2 << 30


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


def read_pickled_model(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a model that was pickled as a dictionary (FLAME's and SMPL-X's ``.pkl``, of Python 2 or 3).

    chumpy's arrays become plain ones, scipy's sparse matrices dense; text and single numbers are left out. Raises
    :class:`AssetError` for a damaged file, and for a pickle of anything else, without executing it.
    """
    require_file(path, AssetError)
    try:
        with path.open("rb") as stream:
            content = _ModelReader(stream, encoding="latin1").load()
        if not isinstance(content, dict):
            raise _RefusedError("holds no dictionary")
        arrays = {str(name): value for name, value in content.items() if isinstance(value, _STANDS_FOR_ARRAY)}
        return {name: _array_of(name, value) for name, value in arrays.items()}
    except _RefusedError as refused:
        raise AssetError(f"{path}: {refused}") from refused
    except Exception as fault:  # as above
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
        # Python 2's strings arrive as text of the same codes.
        content = self.content.encode("latin1") if isinstance(self.content, str) else self.content
        if not isinstance(self.type, _Type) or not isinstance(content, bytes | bytearray):
            raise _RefusedError("holds an array without plain data")
        flat = np.frombuffer(content, self.type.dtype())
        return flat.reshape(tuple(int(size) for size in self.shape), order="F" if self.fortran else "C")


class _State:
    """Stands in for a class whose instances are pickled as the dictionary of their attributes."""

    def __init__(self, *_: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise _RefusedError("holds an object of another kind than wanted")
        self.state = state

    def part(self, *names: str) -> np.ndarray:
        """The array among the attributes, under the first of the names that is there."""
        for name in names:
            value = self.state.get(name)
            if isinstance(value, _STANDS_FOR_ARRAY):
                return value.array()
        raise _RefusedError(f"holds an object without its array {names[0]}")


class _Chumpy(_State):
    """Stands in for ``chumpy.Ch``, an array in the attribute ``x``."""

    def array(self) -> np.ndarray:
        return self.part("x")


class _Selected(_State):
    """Stands in for ``chumpy.reordering.Select``: entries ``idxs`` of the flat array ``a``."""

    def array(self) -> np.ndarray:
        values, index = self.part("a").reshape(-1), self.part("idxs").reshape(-1)
        if index.size and (index.dtype.kind not in "iu" or index.min() < 0 or index.max() >= len(values)):
            raise _RefusedError("holds a selection outside its array")
        shape = self.state.get("preferred_shape")
        return values[index].reshape(_sizes(shape) if shape is not None else (-1,))


class _Compressed(_State):
    """Stands in for scipy's compressed sparse matrices; ``rows`` says which way they are compressed."""

    rows = False

    def array(self) -> np.ndarray:
        shape = _sizes(self.state.get("_shape", self.state.get("shape")))
        starts, index, data = self.part("indptr"), self.part("indices"), self.part("data")
        if len(shape) != 2 or any(part.ndim != 1 or part.dtype.kind not in "iu" for part in (starts, index)):
            raise _RefusedError("holds a damaged sparse matrix")
        lines, across = shape if self.rows else shape[::-1]
        starts = starts.astype(np.int64)
        fits = len(starts) == lines + 1 and starts[0] == 0 and starts[-1] == len(index) == len(data)
        inside = not index.size or (index.min() >= 0 and index.max() < across)
        if not fits or not inside or (np.diff(starts) < 0).any() or lines * across * 8 > _MAX_DENSE_BYTES:
            raise _RefusedError("holds a damaged sparse matrix")
        dense = np.zeros((lines, across), data.dtype)
        np.add.at(dense, (np.repeat(np.arange(lines), np.diff(starts)), index), data)
        return dense if self.rows else np.ascontiguousarray(dense.T)


class _CompressedRows(_Compressed):
    rows = True


_STANDS_FOR_ARRAY: Final = (_Array, _Chumpy, _Selected, _Compressed)


def _sizes(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, tuple | list) or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise _RefusedError(f"holds an array of shape {shape!r}")
    return tuple(shape)


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _instance(kind: Any, *_: Any) -> _State:
    """Stands in for Python 2's way of making an object before its state is set."""
    if not (isinstance(kind, type) and issubclass(kind, _State)):
        raise _RefusedError("holds an object of another kind than wanted")
    return kind()


def _encoded(text: Any, encoding: Any) -> bytes:
    """Stands in for ``codecs.encode``, by which Python 3 writes bytes for Python 2."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _RefusedError("holds bytes in an unknown form")
    return text.encode("latin1")


def _no_bytes(*content: Any) -> bytes:
    """Stands in for ``bytes()``, by which Python 3 writes an empty array for Python 2."""
    if content:
        raise _RefusedError("holds bytes in an unknown form")
    return b""


def _names(*_: Any) -> None:
    """Stands in for a set, which chumpy keeps names in."""


class _Object:
    """Stands in for ``object``, which Python 2 names as every class's base."""


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
} | {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encoded,
}

_MODEL_STAND_INS: Final[dict[tuple[str, str], Any]] = (
    _STAND_INS
    | {("chumpy.ch", "Ch"): _Chumpy, ("chumpy.reordering", "Select"): _Selected}
    | {
        (f"scipy.sparse.{module}", f"{kind}_matrix"): stand_in
        for kind, stand_in in (("csc", _Compressed), ("csr", _CompressedRows))
        for module in (kind, f"_{kind}")
    }
    | {
        (module, name): stand_in
        for modules, name, stand_in in (
            (("copy_reg", "copyreg"), "_reconstructor", _instance),
            (("__builtin__", "builtins"), "object", _Object),
            (("__builtin__", "builtins"), "set", _names),
            (("__builtin__", "builtins"), "bytes", _no_bytes),
        )
        for module in modules
    }
)


class _Reader(pickle.Unpickler):
    stand_ins = _STAND_INS

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) not in self.stand_ins:
            raise _RefusedError(f"its pickle asks for {module}.{name}; only arrays are loaded")
        return self.stand_ins[module, name]


class _ModelReader(_Reader):
    stand_ins = _MODEL_STAND_INS


def _array_of(name: Any, value: Any) -> np.ndarray:
    if not isinstance(value, _STANDS_FOR_ARRAY):
        raise _RefusedError(f"entry {name!r} is no array")
    return value.array()
