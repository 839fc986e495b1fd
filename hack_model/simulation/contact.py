"""Contact of the neck's skin with itself: chin and jaw against throat and chest, by a penalty on nearness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.spatial import KDTree

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    Array = np.ndarray

_GAP = 0.0015
"""Skin within this distance of other skin is pushed away, metres."""
_REACH, _DEEPEST = 0.018, 0.012
_APART = 0.030
"""Skin nearer than this along the surface at rest does not touch itself."""
_STIFFNESS = 2500.0  # newton per metre and node: half a newton at a fifth of a millimetre


@dataclass(frozen=True)
class Contact:
    """Which skin may touch which: ``nodes`` of triangles and points; built once per identity."""

    triangles: Int[Array, "f 3"]
    apart: Bool[Array, "k k"]

    @classmethod
    def of(cls, rest: Float[Array, "k 3"], triangles: Int[Array, "f 3"]) -> Contact:
        """Skin at rest; what lies far apart along it may touch."""
        edges = np.unique(np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0)
        length = np.linalg.norm(rest[edges[:, 0]] - rest[edges[:, 1]], axis=1)
        graph = sp.csr_matrix((length, edges.T), (len(rest),) * 2)
        near = sp.csgraph.dijkstra(graph, directed=False, limit=_APART)
        return cls(triangles, ~np.isfinite(near))

    def pairs(self, skin: Float[Array, "k 3"]) -> Pairs:
        """Skin nodes that are nearer than the gap to a triangle, or behind it."""
        corners = skin[self.triangles]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        tree = KDTree(corners.mean(axis=1))
        found = tree.query_ball_point(skin, _REACH)
        point = np.repeat(np.arange(len(skin)), [len(item) for item in found])
        triangle = np.concatenate([np.asarray(item, int) for item in found])
        allowed = self.apart[point[:, None], self.triangles[triangle]].all(axis=1)
        point, triangle = point[allowed], triangle[allowed]
        height = ((skin[point] - corners[triangle, 0]) * normal[triangle]).sum(axis=1)
        near = (height < _GAP) & (height > -_DEEPEST)
        point, triangle, height = point[near], triangle[near], height[near]
        weights = _barycentric(skin[point] - height[:, None] * normal[triangle], corners[triangle])
        inside = (weights > -0.05).all(axis=1)
        return Pairs(point[inside], self.triangles[triangle[inside]], weights[inside], normal[triangle[inside]])


@dataclass(frozen=True)
class Pairs:
    """Points before or behind triangles: weights and normals are those of the moment."""

    point: Int[Array, " c"]
    corners: Int[Array, "c 3"]
    weights: Float[Array, "c 3"]
    normal: Float[Array, "c 3"]

    @property
    def nodes(self) -> Int[Array, "c 4"]:
        """Point and corners."""
        return np.column_stack([self.point, self.corners])

    def heights(self, skin: Float[Array, "k 3"]) -> Float[Array, " c"]:
        """Signed distances from the triangles' planes."""
        foot = (skin[self.corners] * self.weights[..., None]).sum(axis=1)
        return ((skin[self.point] - foot) * self.normal).sum(axis=1)

    def energy(self, skin: Float[Array, "k 3"]) -> float:
        """Joule."""
        return 0.5 * _STIFFNESS * float((np.maximum(_GAP - self.heights(skin), 0) ** 2).sum())

    def derivatives(self, skin: Float[Array, "k 3"]) -> tuple[Float[Array, "k 3"], Float[Array, "c 12 12"]]:
        """Gradient and blocks of the Hessian over :attr:`nodes`."""
        missing = np.maximum(_GAP - self.heights(skin), 0)
        share = np.column_stack([np.ones(len(self.point)), -self.weights])
        row = share[:, :, None] * self.normal[:, None]
        gradient = np.zeros_like(skin)
        np.add.at(gradient, self.nodes, -_STIFFNESS * missing[:, None, None] * row)
        row = row.reshape(len(row), 12)
        return gradient, _STIFFNESS * (missing > 0)[:, None, None] * row[:, :, None] * row[:, None]


def _barycentric(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    offset = points - corners[:, 0]
    a, b, c = ((x * y).sum(axis=1) for x, y in ((first, first), (first, second), (second, second)))
    d, e = (offset * first).sum(axis=1), (offset * second).sum(axis=1)
    scale = np.maximum(a * c - b * b, 1e-20)
    u, v = (c * d - b * e) / scale, (a * e - b * d) / scale
    return np.column_stack([1 - u - v, u, v])
