"""What makes colours from different places agree: the photo's light, and fields of tone over the mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fitting.shading import harmonics

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

_SMOOTH = 0.008  # metres below which detail of the known values is averaged away
_REACH = 0.06  # metres after which the known values give way to the level
_USUAL_OFFSET = 0.7  # of a value from the level; those much farther off (strands of hair) do not spread

_MAX_SHADE = 0.7
_LIGHT_RIDGE = 0.002  # keeps the light's shape tame in directions no visible skin faces


def tone_field(
    template: Float[Array, "V 3"],
    triangles: Int[Array, "N 3"],
    values: Float[Array, "V C"],
    weights: Float[Array, " V"],
    level: Float[Array, "V C"],
) -> Float[Array, "V C"]:
    """``level`` + the smooth field x that minimises Σ w (level + x − value)² + λ Σ_edges (xᵢ − xⱼ)² + ε Σ x².

    ``weights`` in [0, 1] tell how well each value is known (0: not at all); values far off the level count for
    less. The result is the level far from all known values. λ and ε follow from lengths in metres, so the field does
    not depend on the mesh's density.
    """
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.linalg import splu

    edges = _edges(triangles, len(template))
    length = np.linalg.norm(template[edges[:, 0]] - template[edges[:, 1]], axis=1)
    used = np.unique(edges)
    place = np.full(len(template), -1)
    place[used] = np.arange(len(used))
    first, second = place[edges].T
    stiffness = np.full(len(edges), (_SMOOTH / np.median(length)) ** 2)
    matrix = coo_matrix((stiffness, (first, second)), shape=(len(used), len(used)))
    matrix = (matrix + matrix.T).tocsc()
    pull = (_SMOOTH / _REACH) ** 2
    offset = (values - level)[used]
    known = weights[used] * np.exp(-np.square(offset / _USUAL_OFFSET).mean(axis=1))
    system = diags(np.asarray(matrix.sum(axis=0)).ravel() + known + pull) - matrix
    field = np.array(level, np.float64)
    factor = splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    field[used] += factor.solve(known[:, None] * offset)
    return field


def _edges(triangles: Int[Array, "N 3"], count: int) -> Int[Array, "E 2"]:
    """Each edge of the triangles once, lower vertex first."""
    ends = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1).astype(np.int64)
    return np.stack(divmod(np.unique(ends[:, 0] * count + ends[:, 1]), count), axis=1)


@dataclass(frozen=True)
class Light:
    """Logarithmic brightness of the skin by the direction it faces: nine spherical-harmonic coefficients."""

    coefficients: Float[Array, "9"]
    usual: float

    def shade(self, normals: Float[Array, "n 3"]) -> Float[Array, " n"]:
        """How much brighter, as a logarithm, surfaces of these normals are than usual; limited to half and double."""
        return np.clip(_functions(normals) @ self.coefficients - self.usual, -_MAX_SHADE, _MAX_SHADE)


def fit_light(normals: Float[Array, "n 3"], brightness: Float[Array, " n"], weights: Float[Array, " n"]) -> Light:
    """The light under which skin of one colour shows these logarithmic brightnesses; robust to what is not skin."""
    thin = np.flatnonzero(weights > 0.5)[::16]
    if len(thin) < 200:
        return Light(np.zeros(9, np.float32), 0.0)
    functions, wanted, weight = _functions(normals[thin]), brightness[thin], weights[thin].astype(np.float64)
    usual = np.median(wanted)
    ridge = _LIGHT_RIDGE * len(thin) * np.diag(np.repeat([0.0, 1.0, 3.0], (1, 3, 5)))
    coefficients = np.zeros(9)
    for round_ in range(5):
        residual = wanted - (functions @ coefficients if round_ else usual)
        robust = weight / (1 + np.square(residual / 0.25))
        normal_matrix = functions.T @ (robust[:, None] * functions) + ridge
        coefficients = np.linalg.solve(normal_matrix, functions.T @ (robust * wanted))
    return Light(coefficients.astype(np.float32), float(np.median(functions @ coefficients)))


def _functions(normals: Float[Array, "n 3"]) -> Float[Array, "n 9"]:
    length = np.sqrt(np.einsum("nc,nc->n", normals, normals))
    return harmonics(normals / np.maximum(length, np.float32(1e-9))[:, None])
