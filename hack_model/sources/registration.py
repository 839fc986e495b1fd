"""Laying one head's surface upon another's, so that what belongs to the one can be read off on the other.

Non-rigid iterative closest points: the moved mesh's displacement is as smooth as a thin plate and is drawn to the
nearest points of the target whose normals agree, first by its landmarks alone, then by all of the surface with less
and less stiffness (after B. Amberg, S. Romdhani, T. Vetter, "Optimal step nonrigid ICP algorithms for surface
registration", CVPR 2007, with displacements of vertices in place of their affine maps).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from hack_model.formats.surface import vertex_normals
from hack_model.sources.surface import Surface, SurfacePoints

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    Array = np.ndarray

_STIFFNESS: Final = (30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03)
"""Weight of the plate's bending against that of closeness, stage by stage."""
_ROUNDS: Final = 2
_LANDMARK_WEIGHT: Final = 30.0
_OUTLINE: Final = 17
_TENSION: Final = 0.03
"""Share of the skin's stretching in the energy: far from all landmarks a displacement dies out instead of growing."""
_REACH: Final = 0.03
"""Metres: farther points pull less and less (Geman and McClure's weight)."""


@dataclass(frozen=True)
class Landmarks:
    """Points of the moved mesh (three vertices and weights each) and where they belong on the target, metres.

    ``trust`` (L,) weighs them: landmarks of the jaw's outline mean different places in different sources.
    """

    points: SurfacePoints
    targets: Float[Array, "L 3"]
    trust: Float[Array, " L"]

    @classmethod
    def multipie(cls, points: SurfacePoints, targets: Float[Array, "68 3"]) -> Landmarks:
        """Multi-PIE's 68, the first 17 of which are the jaw's outline."""
        return cls(points, targets, np.where(np.arange(len(targets)) < _OUTLINE, 0.0, 1.0))


def register(
    vertices: Float[Array, "V 3"],
    triangles: Int[Array, "T 3"],
    target: Surface,
    landmarks: Landmarks,
    drawn: Bool[Array, " V"] | None = None,
) -> Float[Array, "V 3"]:
    """The vertices moved onto the target's surface, metres.

    ``drawn`` marks the vertices that seek the surface (all by default); the others follow their neighbours.
    Vertices whose nearest point lies on the target's open border are left to their neighbours too.
    """
    count = len(vertices)
    bending = _bending(vertices, triangles)
    marks = landmarks.points.matrix(count)
    held = marks.T.multiply(_LANDMARK_WEIGHT * landmarks.trust).tocsr()
    pull = held @ marks
    drawn = np.ones(count, bool) if drawn is None else drawn
    start = splu(sp.csc_matrix(_STIFFNESS[0] * bending + pull + 1e-6 * sp.identity(count)))
    goal = landmarks.targets - marks @ vertices
    moved = vertices + start.solve(held @ goal)
    for stiffness in _STIFFNESS:
        for _ in range(_ROUNDS):
            nearest = target.closest(moved, vertex_normals(moved, triangles))
            weight = _weights(nearest, target, drawn)
            aim = np.where(weight[:, None] > 0, nearest.carry(target.vertices), moved)
            system = sp.csc_matrix(stiffness * bending + pull + sp.diags(weight) + 1e-6 * sp.identity(count))
            right = weight[:, None] * (aim - vertices) + held @ goal
            moved = vertices + splu(system).solve(right)
    return moved


def _weights(nearest: SurfacePoints, target: Surface, drawn: np.ndarray) -> Float[Array, " V"]:
    """How strongly each vertex is drawn to its nearest point."""
    distance = np.where(nearest.found, nearest.distance, 0)
    robust = 1 / (1 + (distance / _REACH) ** 2) ** 2
    at_border = (target.boundary[nearest.vertices] & (nearest.weights > 1e-6)).sum(axis=1) == (
        nearest.weights > 1e-6
    ).sum(axis=1)
    return np.where(nearest.found & drawn & ~at_border, robust, 0)


def _bending(vertices: Float[Array, "V 3"], triangles: Int[Array, "T 3"]) -> sp.csr_matrix:
    """The thin plate's energy of a displacement, per axis: its squared Laplacian, edges by the inverse of length."""
    count = len(vertices)
    edges = np.unique(np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    strength = length.mean() / np.maximum(length, 1e-3 * length.mean())
    both = np.concatenate([edges, edges[:, ::-1]])
    graph = sp.csr_matrix((np.tile(strength, 2), (both[:, 0], both[:, 1])), (count, count))
    laplacian = sp.diags(np.asarray(graph.sum(axis=1)).ravel()) - graph
    return sp.csr_matrix(laplacian.T @ laplacian + _TENSION * laplacian)
