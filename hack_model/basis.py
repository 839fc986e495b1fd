"""Linear bases of vertex displacements, held in the smallest of three forms.

An expression moves a few vertices (sparse), an identity all of them (dense), and a refined mesh (Catmull-Clark) is a
linear function of its control mesh, so a basis of the control mesh says the same in a quarter of the numbers (refined).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.errors import AssetError

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

_SPARSE_BELOW = 0.6
"""Share of moving vertices below which the sparse form is smaller: 16 bytes a pair against 12 a vertex."""
_BLOCK = 256


@dataclass(frozen=True, eq=False)
class Refinement:
    """Vertices of the model as weighted sums of control vertices.

    ``vertices`` and ``weights`` (V, N) give each model vertex's control vertices (unused entries have weight 0);
    ``control_count`` is the control mesh's C. Construction raises :class:`AssetError` on arrays that do not fit.
    """

    vertices: Int[Array, "V N"]
    weights: Float[Array, "V N"]
    control_count: int

    def __post_init__(self) -> None:
        vertices, weights = np.asarray(self.vertices), np.asarray(self.weights)
        fit = vertices.ndim == 2 and vertices.shape == weights.shape
        if not fit or vertices.dtype.kind not in "iu" or weights.dtype.kind != "f":
            raise AssetError(
                f"refinement is damaged: vertices {vertices.dtype} {vertices.shape}, weights {weights.dtype} "
                f"{weights.shape}"
            )
        if vertices.size and (vertices.min() < 0 or vertices.max() >= self.control_count):
            raise AssetError(f"refinement_vertices holds indices outside 0…{self.control_count - 1}")
        if not np.isfinite(weights).all() or np.abs(weights).max(initial=0) > 1e6:
            raise AssetError("refinement_weights holds values that are not finite or far too large")
        object.__setattr__(self, "vertices", _frozen(vertices, np.int32))
        object.__setattr__(self, "weights", _frozen(weights, np.float32))

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.vertices.nbytes + self.weights.nbytes

    def of(self, vertices: Int[Array, " n"]) -> tuple[Refinement, Int[Array, " c"]]:
        """The refinement of some of the model's vertices, and the control vertices it alone needs."""
        weights = self.weights[vertices]
        used, places = np.unique(np.where(weights != 0, self.vertices[vertices], -1), return_inverse=True)
        if used.size and used[0] < 0:
            used, places = used[1:], np.maximum(places - 1, 0)
        return Refinement(places.reshape(weights.shape), weights, len(used)), used

    def apply(self, control: Float[Array, "*batch C 3"]) -> Float[Array, "*batch V 3"]:
        """Control-mesh values carried to the model's vertices."""
        # All values of a control vertex lie together, and a block of vertices stays in the cache: seven times as fast.
        rows, width = math.prod(control.shape[:-2]), control.shape[-1]
        values = np.moveaxis(control.reshape(rows, *control.shape[-2:]), 1, 0)
        values = np.ascontiguousarray(values, np.float32).reshape(len(values), rows * width)
        result = np.zeros((len(self.vertices), values.shape[1]), np.float32)
        for start in range(0, len(result), _BLOCK):
            block = slice(start, start + _BLOCK)
            weights, vertices = self.weights[block], self.vertices[block]
            for column in np.flatnonzero(weights.any(axis=0)):
                result[block] += weights[:, column, None] * values[vertices[:, column]]
        spread = np.moveaxis(result.reshape(len(result), rows, width), 0, 1)
        return np.ascontiguousarray(spread).reshape(*control.shape[:-2], *spread.shape[1:])


@dataclass(frozen=True, eq=False, repr=False)
class Basis:
    """``len(basis)`` displacement fields of a mesh's vertices, metres per unit coefficient; read-only.

    Make one with :meth:`of` from a dense array, or :meth:`on_control` from one on the control mesh; read it with
    :meth:`at`, :meth:`dense` or ``np.asarray``. ``values`` is (rows, C, 3) in the dense form; in the sparse one (N, 3),
    with ``vertices`` (N,) ascending inside each row and ``starts`` (rows + 1,) where each row begins. C is ``count``:
    the model's vertices, or its control vertices where there is a ``refinement``.
    """

    values: Float[Array, "..."]
    count: int
    starts: Int[Array, " R1"] | None = None
    vertices: Int[Array, " N"] | None = None
    refinement: Refinement | None = None

    def __post_init__(self) -> None:
        values = _frozen(_finite(self.values), np.float32)
        object.__setattr__(self, "values", values)
        if self.starts is None or self.vertices is None:
            if values.ndim != 3 or values.shape[1:] != (self.count, 3):
                raise AssetError(f"has shape {values.shape}, wanted (rows, {self.count}, 3)")
        else:
            starts, vertices = np.asarray(self.starts), np.asarray(self.vertices)
            _check_sparse(starts, vertices, values, self.count)
            object.__setattr__(self, "starts", _frozen(starts, np.int32))
            object.__setattr__(self, "vertices", _frozen(vertices, np.int32))
        if self.refinement is not None and self.refinement.control_count != self.count:
            raise AssetError(
                f"lies on {self.count} control vertices, the refinement on {self.refinement.control_count}"
            )

    @classmethod
    def of(cls, array: Any) -> Basis:
        """The basis of an array (rows, V, 3), dense or sparse. Raises :class:`AssetError`."""
        return cls._smallest(array, None)

    @classmethod
    def on_control(cls, array: Any, refinement: Refinement) -> Basis:
        """The basis of an array (rows, C, 3) on the control mesh of a refinement. Raises :class:`AssetError`."""
        return cls._smallest(array, refinement)

    @classmethod
    def from_pairs(
        cls,
        rows: int,
        count: int,
        pairs: Int[Array, "N 2"],
        values: Float[Array, "N 3"],
        refinement: Refinement | None = None,
    ) -> Basis:
        """The sparse basis of (row, vertex) pairs in any order, each at most once. Raises :class:`AssetError`."""
        pairs = np.asarray(pairs)
        if pairs.ndim != 2 or pairs.shape[1] != 2 or len(values) != len(pairs):
            raise AssetError(f"has pairs of shape {pairs.shape} and values of shape {np.shape(values)}")
        if pairs.size and (pairs[:, 0].min() < 0 or pairs[:, 0].max() >= rows):
            raise AssetError(f"has rows outside 0…{rows - 1}")
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        starts = np.concatenate([[0], np.cumsum(np.bincount(pairs[:, 0], minlength=rows))])
        return cls(np.asarray(values)[order], count, starts, pairs[order, 1], refinement)

    @classmethod
    def _smallest(cls, array: Any, refinement: Refinement | None) -> Basis:
        values = _finite(array)
        if values.ndim != 3 or values.shape[2] != 3:
            raise AssetError(f"has shape {values.shape}, wanted (rows, vertices, 3)")
        moving = (values != 0).any(axis=2)
        if not values.size or moving.mean() > _SPARSE_BELOW:
            return cls(values, values.shape[1], refinement=refinement)
        starts = np.concatenate([[0], np.cumsum(moving.sum(axis=1))])
        return cls(values[moving], values.shape[1], starts, np.nonzero(moving)[1], refinement)

    def __len__(self) -> int:
        return len(self.values) if self.starts is None else len(self.starts) - 1

    def __repr__(self) -> str:
        form = "dense" if self.starts is None else "sparse"
        place = "" if self.refinement is None else " on the control mesh"
        return f"Basis({' x '.join(map(str, self.shape))}, {form}{place})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        del copy
        return self.dense().astype(dtype or np.float32, copy=False)

    __iter__ = None  # rows come by slices; without this, Python would try integers and silently find none

    def __getitem__(self, rows: slice | Int[Array, " n"] | list[int]) -> Basis:
        """Some of the rows, in the given order, as a basis of the same form."""
        chosen = np.arange(len(self))[rows]
        if chosen.ndim != 1:
            raise IndexError("a basis is indexed by rows: a slice or a list of indices; see Basis.at for vertices")
        if self.starts is None or self.vertices is None:
            return Basis(self.values[chosen], self.count, refinement=self.refinement)
        parts = [np.arange(self.starts[row], self.starts[row + 1]) for row in chosen]
        kept = np.concatenate([np.zeros(0, np.int64), *parts])
        starts = np.concatenate([[0], np.cumsum([len(part) for part in parts], dtype=np.int64)])
        return Basis(self.values[kept], self.count, starts, self.vertices[kept], self.refinement)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(rows, V, 3), the size of the dense form on the model's vertices."""
        return len(self), self.count if self.refinement is None else len(self.refinement.vertices), 3

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, without the refinement, which bases share."""
        return sum(array.nbytes for array in (self.values, self.starts, self.vertices) if array is not None)

    @cached_property
    def support(self) -> Int[Array, " n"]:
        """The model's vertices that any row moves, ascending."""
        moved = np.zeros(self.count, bool)
        if self.vertices is None:
            moved = (self.values != 0).any(axis=(0, 2))
        else:
            moved[self.vertices] = True
        if self.refinement is not None:
            moved = (moved[self.refinement.vertices] & (self.refinement.weights != 0)).any(axis=1)
        return np.flatnonzero(moved)

    def at(self, vertices: Int[Array, "*n"]) -> Float[Array, "rows *n 3"]:
        """Dense displacements of some of the model's vertices, whose indices may come in any shape."""
        vertices = np.asarray(vertices)
        flat = vertices.reshape(-1)
        if self.refinement is None:
            found = self._control(flat)
        else:
            refinement, used = self.refinement.of(flat)
            found = refinement.apply(self._control(used))
        return found.reshape(len(self), *vertices.shape, 3)

    def dense(self) -> Float[Array, "rows V 3"]:
        """All displacements as a new array."""
        control = self._control(np.arange(self.count))
        return control if self.refinement is None else self.refinement.apply(control)

    def control(self) -> Float[Array, "rows C 3"]:
        """All displacements of the control mesh as a new array; :meth:`dense` without a refinement."""
        return self._control(np.arange(self.count))

    @property
    def pairs(self) -> Int[Array, "N 2"]:
        """(row, vertex) of each entry of the sparse form; every pair in the dense one."""
        if self.starts is None or self.vertices is None:
            return np.indices((len(self), self.count)).reshape(2, -1).T
        return np.stack([np.repeat(np.arange(len(self)), np.diff(self.starts)), self.vertices], axis=1)

    def _control(self, vertices: Int[Array, " n"]) -> Float[Array, "rows n 3"]:
        if vertices.size and (vertices.min() < 0 or vertices.max() >= self.count):
            raise IndexError(f"vertices outside 0…{self.count - 1}")
        if self.starts is None or self.vertices is None:
            return self.values[:, vertices]
        used, places = np.unique(vertices, return_inverse=True)
        table = np.full(self.count, -1)
        table[used] = np.arange(len(used))
        column = table[self.vertices]
        kept = np.flatnonzero(column >= 0)
        row = np.repeat(np.arange(len(self)), np.diff(self.starts))
        result = np.zeros((len(self), len(used), 3), np.float32)
        result[row[kept], column[kept]] = self.values[kept]
        return result if len(used) == len(vertices) and (used == vertices).all() else result[:, places.reshape(-1)]


def _finite(value: Any) -> Array:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise AssetError(f"holds {array.dtype}, wanted float")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise AssetError("holds values that are not finite")
    limits = np.finfo(np.float32)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise AssetError(f"holds values outside {limits.min}…{limits.max}")
    return array


def _frozen(array: Array, dtype: Any) -> Array:
    """A read-only array of the type, not shared with a caller who could write to it."""
    own = np.ascontiguousarray(array, dtype)
    if own.flags.writeable and np.may_share_memory(own, array):
        own = own.copy()
    own.flags.writeable = False
    return own


def _check_sparse(starts: Array, vertices: Array, values: Array, count: int) -> None:
    if starts.dtype.kind not in "iu" or vertices.dtype.kind not in "iu":
        raise AssetError(f"has indices of type {starts.dtype} and {vertices.dtype}, wanted int")
    if starts.ndim != 1 or vertices.ndim != 1 or values.shape != (len(vertices), 3):
        raise AssetError(f"is damaged: starts {starts.shape}, vertices {vertices.shape}, values {values.shape}")
    starts = starts.astype(np.int64)
    if not len(starts) or starts[0] != 0 or starts[-1] != len(vertices) or (np.diff(starts) < 0).any():
        raise AssetError(f"has rows that do not cover its {len(vertices)} entries in order")
    if vertices.size and (vertices.min() < 0 or vertices.max() >= count):
        raise AssetError(f"holds vertices outside 0…{count - 1}")
    ascending = np.diff(vertices.astype(np.int64)) > 0
    inner = starts[(starts > 0) & (starts < len(vertices))]
    ascending[inner - 1] = True
    if not ascending.all():
        raise AssetError("holds vertices that do not ascend inside their row")
