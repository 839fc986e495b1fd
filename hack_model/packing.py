"""An asset's bases as named arrays of a file, plain or packed small.

Plain, a basis is ``NAME`` (rows, V, 3), or sparse ``NAME_starts``, ``NAME_vertices``, ``NAME_values``; on the control
mesh of the refinement NAME ends in ``_control``. Packed, the numbers are whole multiples of a step (at least half a
micrometre), as differences between neighbouring vertices in zigzag code, high bytes before low ones: alike bytes lie
together, and deflate makes a quarter of them. Index tables are packed the same way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from hack_model.basis import Basis, Refinement
from hack_model.errors import AssetError

if TYPE_CHECKING:
    Array = np.ndarray

BASES = ("shape_basis", "expression_basis", "combination_basis", "pose_basis")
_COMPONENTS = ("personal_expression_basis", "personal_pose_basis")
"""Dense arrays (rows, n, 3) packed as the bases are."""
_INDICES = (
    "faces", "face_uv", "mirror_vertices", "refinement_vertices", "personal_expression_pairs", "personal_pose_pairs",
)  # fmt: skip
_LEVELS = 32767
_SMALLEST_STEP = 5e-7
"""Metres; rounding to it errs by 0.15 µm rms per unit coefficient."""


def plain(bases: Mapping[str, Basis]) -> dict[str, Array]:
    """The arrays of bases by name, and of the refinement they share; the inverse of :func:`collect`."""
    arrays: dict[str, Array] = {}
    for name, basis in bases.items():
        if basis.refinement is not None:
            name = f"{name}_control"
            arrays["refinement_vertices"] = basis.refinement.vertices
            arrays["refinement_weights"] = basis.refinement.weights
        if basis.starts is None or basis.vertices is None:
            arrays[name] = basis.values
        else:
            arrays |= {
                f"{name}_starts": basis.starts,
                f"{name}_vertices": basis.vertices,
                f"{name}_values": basis.values,
            }
    return arrays


def names(arrays: Mapping[str, Array]) -> set[str]:
    """The fields these arrays belong to, bases under their own names and without the refinement's."""
    own = {f"{name}{suffix}": name for name in BASES for suffix in ("", "_control")}
    own |= {f"{stem}_{part}": name for stem, name in own.items() for part in ("starts", "vertices", "values")}
    return {own.get(name, name) for name in arrays} - {"refinement_vertices", "refinement_weights"}


def collect(arrays: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Basis | Array], Refinement | None]:
    """The other arrays, the bases by name, and the refinement. Raises :class:`AssetError` on what does not fit."""
    rest = dict(arrays)
    if rest["template"].ndim != 2 or rest["template"].shape[1] != 3:
        raise AssetError(f"field template has shape {rest['template'].shape}, wanted (V, 3)")
    tables = rest.pop("refinement_vertices", None), rest.pop("refinement_weights", None)
    refinement = None
    bases: dict[str, Basis | Array] = {}
    for name in BASES:
        control = f"{name}_control"
        on_control = any(key in rest for key in (control, f"{control}_starts"))
        stem = control if on_control else name
        parts = [rest.pop(f"{stem}_{part}", None) for part in ("starts", "vertices", "values")]
        dense = rest.pop(stem, None)
        if dense is None and all(part is None for part in parts):
            continue
        if (dense is not None) == any(part is not None for part in parts) or (on_control and name in rest):
            raise AssetError(f"field {name} is there twice, or in part; wanted it dense or as starts, vertices, values")
        if on_control and refinement is None:
            refinement = _refinement(tables, _control_count(arrays))
        try:
            bases[name] = _basis(dense, parts, refinement if on_control else None, arrays)
        except AssetError as error:
            raise AssetError(f"field {name} {error}") from error
    if refinement is None and any(table is not None for table in tables):
        refinement = _refinement(tables, None)
    return rest, bases, refinement


def _basis(
    dense: Array | None, parts: list[Array | None], refinement: Refinement | None, arrays: Mapping[str, Array]
) -> Basis | Array:
    if dense is not None:
        return dense if refinement is None else Basis(dense, refinement.control_count, refinement=refinement)
    starts, vertices, values = parts
    if starts is None or vertices is None or values is None:
        raise AssetError("lacks one of its arrays starts, vertices, values")
    count = len(arrays["template"]) if refinement is None else refinement.control_count
    return Basis(values, count, starts, vertices, refinement)


def _control_count(arrays: Mapping[str, Array]) -> int | None:
    """C where a dense basis tells it."""
    dense = (arrays.get(f"{name}_control") for name in BASES)
    return next((array.shape[1] for array in dense if array is not None and array.ndim == 3), None)


def _refinement(tables: tuple[Array | None, Array | None], count: int | None) -> Refinement:
    vertices, weights = tables
    if vertices is None or weights is None:
        raise AssetError("has bases on a control mesh but no refinement_vertices and refinement_weights")
    highest = int(vertices.max()) + 1 if vertices.size and vertices.dtype.kind in "iu" else 0
    return Refinement(vertices, weights, highest if count is None else count)


def pack(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Plain arrays made small; the others pass through. Steps are at least half a micrometre."""
    packed: dict[str, Array] = {}
    sparse = {f"{name}{suffix}" for name in BASES for suffix in ("", "_control") if f"{name}{suffix}_starts" in arrays}
    for name, value in arrays.items():
        stem, _, part = name.rpartition("_")
        if stem in sparse:
            if part == "values":
                starts, vertices = arrays[f"{stem}_starts"], arrays[f"{stem}_vertices"]
                packed |= _packed_sparse(stem, starts, vertices, value)
        elif name.removesuffix("_control") in BASES + _COMPONENTS:
            scale = _steps(np.abs(value).max(axis=(1, 2), initial=0))
            steps = np.rint(value / scale[:, None, None]).astype(np.int16)
            packed |= {f"{name}_steps": _planes(np.moveaxis(steps, -1, 1)), f"{name}_scale": scale}
        elif name in _INDICES:
            packed[f"{name}_deltas"] = _index_planes(np.asarray(value))
        else:
            packed[name] = value
    return packed


def unpack(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The inverse of :func:`pack`; arrays that are not packed pass through. Raises :class:`AssetError`."""
    plain_arrays: dict[str, Array] = {}
    rest = _from_version_1(arrays)
    for name in _INDICES:
        deltas = rest.pop(f"{name}_deltas", None)
        if deltas is not None:
            plain_arrays[name] = _from_index_planes(name, deltas)
    for name in [f"{name}{suffix}" for name in BASES for suffix in ("", "_control")] + list(_COMPONENTS):
        steps, scale, mask = (rest.pop(f"{name}_{part}", None) for part in ("steps", "scale", "mask"))
        if steps is None and scale is None and mask is None:
            continue
        if steps is None or scale is None or scale.ndim != 1 or scale.dtype.kind != "f":
            raise AssetError(f"packed field {name} is damaged: steps or their scale are missing")
        if mask is None:
            if steps.ndim != 4 or steps.shape[1:3] != (len(scale), 3):
                raise AssetError(f"packed field {name} is damaged: {steps.shape} with scale {scale.shape}")
            values = _from_planes(name, steps) * scale.astype(np.float32)[:, None, None]
            plain_arrays[name] = np.ascontiguousarray(np.moveaxis(values, 1, -1))
        else:
            plain_arrays |= _from_sparse(name, steps, scale, mask)
    return plain_arrays | rest


def _steps(peak: Array) -> Array:
    return np.maximum(peak / _LEVELS, _SMALLEST_STEP).astype(np.float32)


def _packed_sparse(name: str, starts: Array, vertices: Array, values: Array) -> dict[str, Array]:
    """``mask`` (rows, bytes) marks the vertices of each row, so their numbers need no place of their own."""
    row = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    mask = np.zeros((len(starts) - 1, int(vertices.max(initial=-1)) + 1), bool)
    mask[row, vertices] = True
    peak = np.zeros(len(mask))
    np.maximum.at(peak, row, np.abs(values).max(axis=1, initial=0))
    scale = _steps(peak)
    steps = np.rint(values / scale[row, None]).astype(np.int16)
    return {f"{name}_steps": _planes(steps.T), f"{name}_scale": scale, f"{name}_mask": np.packbits(mask, axis=1)}


def _from_sparse(name: str, steps: Array, scale: Array, mask: Array) -> dict[str, Array]:
    if mask.dtype != np.uint8 or mask.ndim != 2 or len(mask) != len(scale) or steps.ndim != 3 or steps.shape[1] != 3:
        raise AssetError(f"packed field {name} is damaged: {steps.shape} with mask {mask.shape}")
    row, vertices = np.nonzero(np.unpackbits(mask, axis=1))
    if steps.shape[2] != len(row):
        raise AssetError(f"packed field {name} is damaged: {steps.shape[2]} entries, but {len(row)} marked vertices")
    starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(mask)))])
    values = _from_planes(name, steps).T * scale.astype(np.float32)[row, None]
    return {f"{name}_starts": starts, f"{name}_vertices": vertices, f"{name}_values": values}


def _planes(values: Array) -> Array:
    """(..., n) int16 as (2, ..., n) bytes of zigzag differences along n, modulo 2^16."""
    change = np.diff(values.astype(np.int64), prepend=0).astype(np.int16)
    zigzag = ((change << 1) ^ (change >> 15)).view(np.uint16)
    return np.stack([zigzag >> 8, zigzag & 255]).astype(np.uint8)


def _from_planes(name: str, planes: Array) -> Array:
    if planes.dtype != np.uint8 or not planes.ndim or len(planes) != 2:
        raise AssetError(f"packed field {name} is damaged: {planes.dtype} {planes.shape}, wanted two planes of bytes")
    zigzag = (planes[0].astype(np.uint16) << 8) | planes[1]
    change = (zigzag >> 1) ^ (0 - (zigzag & 1))
    return np.cumsum(change, axis=-1, dtype=np.uint16).view(np.int16)


def _index_planes(indices: Array) -> Array:
    """(n, k) indices, or (n,), as (4, k, n) bytes of zigzag differences along n."""
    columns = indices.reshape(len(indices), math.prod(indices.shape[1:])).T.astype(np.int64)
    change = np.diff(columns, axis=1, prepend=0)
    zigzag = (change << 1) ^ (change >> 63)
    return np.stack([zigzag >> shift & 255 for shift in (24, 16, 8, 0)]).astype(np.uint8)


def _from_index_planes(name: str, planes: Array) -> Array:
    if planes.dtype != np.uint8 or planes.ndim != 3 or len(planes) != 4:
        raise AssetError(f"packed field {name} is damaged: {planes.dtype} {planes.shape}, wanted four planes of bytes")
    zigzag = sum(plane.astype(np.int64) << shift for plane, shift in zip(planes, (24, 16, 8, 0), strict=True))
    indices = np.cumsum((zigzag >> 1) ^ -(zigzag & 1), axis=1)
    if np.abs(indices).max(initial=0) > np.iinfo(np.int32).max:
        raise AssetError(f"packed field {name} is damaged: holds indices beyond 32 bits")
    indices = indices.T.astype(np.int32)
    return indices[:, 0] if name == "mirror_vertices" and indices.shape[1] == 1 else indices


def _from_version_1(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays with bases of schema 1, which were 16-bit numbers without differences, made plain."""
    rest = dict(arrays)
    for name in ("shape_basis", "expression_basis", "pose_basis"):
        quantised = rest.pop(f"{name}_quantised", None)
        if quantised is None:
            continue
        scale = rest.pop(f"{name}_scale", np.zeros(0))
        planes = quantised.ndim == 4 and quantised.shape[0] == 2 and quantised.dtype == np.uint8
        if not planes or scale.shape != quantised.shape[1:2]:
            raise AssetError(
                f"packed field {name} is damaged: {quantised.dtype} {quantised.shape} with scale {scale.shape}"
            )
        steps = (quantised[0].astype(np.int8).astype(np.int16) << 8) | quantised[1]
        values = np.moveaxis(steps, 1, -1) * scale[:, None, None].astype(np.float32)
        refined = name == "shape_basis" and "refinement_vertices" in rest
        rest[f"{name}_control" if refined else name] = np.ascontiguousarray(values)
    return rest
