"""Small files for large bases: 16-bit quantisation, and bases kept on the control mesh of a linear refinement.

A refined mesh (Catmull-Clark) is a linear function of its control mesh, so a basis of the control mesh and the sparse
refinement matrix hold the same information as the refined basis in a quarter of the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hack_model.errors import AssetError

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

_BASES = ("shape_basis", "expression_basis", "pose_basis")
_LEVELS = 32767
_BLOCK = 256


@dataclass(frozen=True)
class Refinement:
    """Vertices of the model as weighted sums of control vertices.

    ``control_basis`` is the shape basis on the control mesh, (S, C, 3) metres; ``vertices`` and ``weights`` (V, N) give
    each model vertex's control vertices (unused entries have weight 0).
    """

    vertices: Int[Array, "V N"]
    weights: Float[Array, "V N"]
    control_basis: Float[Array, "S C 3"]

    def apply(self, control: Float[Array, "*batch C 3"]) -> Float[Array, "*batch V 3"]:
        """Control-mesh values carried to the model's vertices."""
        # All values of a control vertex lie together, and a block of vertices stays in the cache: seven times as fast.
        values = np.moveaxis(control.reshape(-1, *control.shape[-2:]), 1, 0)
        values = np.ascontiguousarray(values, np.float32).reshape(len(values), -1)
        result = np.zeros((len(self.vertices), values.shape[1]), np.float32)
        for start in range(0, len(result), _BLOCK):
            block = slice(start, start + _BLOCK)
            weights, vertices = self.weights[block], self.vertices[block]
            for column in np.flatnonzero(weights.any(axis=0)):
                result[block] += weights[:, column, None] * values[vertices[:, column]]
        spread = np.moveaxis(result.reshape(len(result), -1, control.shape[-1]), 0, 1)
        return np.ascontiguousarray(spread).reshape(*control.shape[:-2], *spread.shape[1:])


def pack(arrays: Mapping[str, np.ndarray], refinement: Refinement | None) -> dict[str, np.ndarray]:
    """The arrays with quantised bases, and the shape basis on the control mesh where there is a refinement."""
    packed = {name: value for name, value in arrays.items() if name not in _BASES}
    for name in _BASES:
        value = np.asarray(arrays[name])
        if name == "shape_basis" and refinement is not None:
            value = refinement.control_basis
            packed["refinement_vertices"] = np.asarray(refinement.vertices, np.int32)
            packed["refinement_weights"] = np.asarray(refinement.weights, np.float32)
        peak = np.abs(value).max(axis=(1, 2)) if value.size else np.zeros(len(value))
        scale = (np.maximum(peak, 1e-12) / _LEVELS).astype(np.float32)
        packed[f"{name}_quantised"] = _byte_planes(np.rint(value / scale[:, None, None]).astype(np.int16))
        packed[f"{name}_scale"] = scale
    return packed


def unpack(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], Refinement | None]:
    """The inverse of :func:`pack`; arrays that are not packed pass through. Raises :class:`AssetError`."""
    plain = dict(arrays)
    vertices, weights = plain.pop("refinement_vertices", None), plain.pop("refinement_weights", None)
    refinement = None
    for name in _BASES:
        quantised, scale = plain.pop(f"{name}_quantised", None), plain.pop(f"{name}_scale", None)
        if quantised is None or scale is None:
            continue
        planes = quantised.ndim == 4 and quantised.shape[0] == 2 and quantised.dtype == np.uint8
        if not planes or scale.shape != quantised.shape[1:2]:
            raise AssetError(
                f"packed field {name} is damaged: {quantised.dtype} {quantised.shape} with scale {scale.shape}"
            )
        value = _from_byte_planes(quantised) * scale[:, None, None].astype(np.float32)
        if name == "shape_basis" and vertices is not None and weights is not None:
            _check_refinement(vertices, weights, value.shape[1])
            refinement = Refinement(vertices, weights, value)
            value = refinement.apply(value)
        plain[name] = value
    return plain, refinement


def _byte_planes(values: np.ndarray) -> np.ndarray:
    """(K, n, 3) int16 as (2, K, 3, n) bytes, high ones first: neighbours are alike and compress by a fifth more."""
    axes_first = np.ascontiguousarray(np.moveaxis(values, -1, 1))
    return np.stack([axes_first >> 8, axes_first & 255]).astype(np.uint8)


def _from_byte_planes(planes: np.ndarray) -> np.ndarray:
    values = (planes[0].astype(np.int8).astype(np.int16) << 8) | planes[1]
    return np.ascontiguousarray(np.moveaxis(values, 1, -1))


def _check_refinement(vertices: np.ndarray, weights: np.ndarray, control_count: int) -> None:
    if vertices.ndim != 2 or vertices.shape != weights.shape or vertices.dtype.kind not in "iu":
        raise AssetError(f"refinement is damaged: vertices {vertices.shape}, weights {weights.shape}")
    if vertices.size and (vertices.min() < 0 or vertices.max() >= control_count):
        raise AssetError(f"refinement_vertices holds indices outside 0…{control_count - 1}")
