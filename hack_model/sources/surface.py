"""Points on triangle meshes: the nearest ones to given points, and values carried from mesh to mesh through them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from hack_model.asset import split_quads
from hack_model.formats.surface import vertex_normals

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    Array = np.ndarray

_CANDIDATES = 24
"""Triangles with the nearest centroids among which the nearest point is sought."""
_BLOCK = 4096
_NORMAL_SCALE, _MIRROR_REACH = 0.0003, 0.0006
"""Metres: what a normal of length one counts beside a place, and how far a mirror image may be from its vertex."""


@dataclass(frozen=True)
class SurfacePoints:
    """Points of a mesh: three vertices each and their barycentric weights; ``distance`` (n,) metres from the points
    asked for, infinite where the mesh has none that will do."""

    vertices: Int[Array, "n 3"]
    weights: Float[Array, "n 3"]
    distance: Float[Array, " n"]

    @property
    def found(self) -> Bool[Array, " n"]:
        """Which points there are."""
        return np.isfinite(self.distance)

    def carry(self, values: Float[Array, "*batch V C"]) -> Float[Array, "*batch n C"]:
        """Values of the mesh's vertices at the points; zero where there is no point."""
        matrix = self.matrix(values.shape[-2])
        flat = np.moveaxis(values, -2, 0)
        carried = matrix @ flat.reshape(len(flat), -1)
        return np.moveaxis(carried.reshape(-1, *flat.shape[1:]), 0, -2)

    def matrix(self, vertex_count: int) -> csr_array:
        """The sparse matrix (n, V) of :meth:`carry`."""
        used = np.repeat(self.found, 3)
        rows = np.concatenate([[0], np.cumsum(np.where(self.found, 3, 0))])
        data = self.weights.reshape(-1)[used]
        return csr_array((data, self.vertices.reshape(-1)[used], rows), (len(self.vertices), vertex_count))


@dataclass(frozen=True)
class Surface:
    """A triangle mesh to look for nearest points on; vertices without triangles do no harm."""

    vertices: Float[Array, "V 3"]
    triangles: Int[Array, "T 3"]

    @cached_property
    def normals(self) -> Float[Array, "V 3"]:
        """Unit vertex normals."""
        return vertex_normals(self.vertices, self.triangles)

    @cached_property
    def _centroids(self) -> KDTree:
        return KDTree(self.vertices[self.triangles].mean(axis=1))

    @cached_property
    def boundary(self) -> Bool[Array, " V"]:
        """Vertices at the mesh's open border."""
        edges = np.sort(self.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        unique, counts = np.unique(edges, axis=0, return_counts=True)
        border = np.zeros(len(self.vertices), bool)
        border[unique[counts == 1].reshape(-1)] = True
        return border

    def closest(
        self, points: Float[Array, "n 3"], normals: Float[Array, "n 3"] | None = None, agreement: float = 0.3
    ) -> SurfacePoints:
        """The nearest point of the mesh to each of ``points``.

        With ``normals`` only where the surface's own normal agrees with the point's: their cosine is at least
        ``agreement``. So the two sides of lips and lids stay apart.
        """
        import trimesh

        count = min(_CANDIDATES, len(self.triangles))
        vertices, weights = np.zeros((len(points), 3), np.int32), np.zeros((len(points), 3))
        distance = np.full(len(points), np.inf)
        for start in range(0, len(points), _BLOCK):
            block = slice(start, start + _BLOCK)
            here = points[block]
            chosen = self._centroids.query(here, count)[1].reshape(len(here), count)
            corners = self.vertices[self.triangles[chosen]].reshape(-1, 3, 3)
            nearest = trimesh.triangles.closest_point(corners, np.repeat(here, count, axis=0))
            gap = np.linalg.norm(nearest.reshape(len(here), count, 3) - here[:, None], axis=2)
            if normals is not None:
                facing = self.normals[self.triangles[chosen]].mean(axis=2)
                facing /= np.maximum(np.linalg.norm(facing, axis=2, keepdims=True), 1e-12)
                gap[np.einsum("nkc,nc->nk", facing, normals[block]) < agreement] = np.inf
            best = np.argmin(gap, axis=1)
            row = np.arange(len(here))
            flat = row * count + best
            inside = trimesh.triangles.points_to_barycentric(corners[flat], nearest[flat])
            inside = np.clip(np.nan_to_num(inside, nan=1 / 3), 0, 1)
            vertices[block] = self.triangles[chosen[row, best]]
            weights[block] = inside / inside.sum(axis=1, keepdims=True)
            distance[block] = gap[row, best]
        return SurfacePoints(vertices, weights, distance)


def mirror_vertices(vertices: Float[Array, "V 3"], faces: Int[Array, "F 4"]) -> Int[Array, " V"]:
    """Each vertex's mirror image about x = 0, one to one and its own inverse, on a mesh that is nearly symmetric.

    Places that coincide (closed lips, the layers of an eye) are told apart by their normals. A vertex without a free
    partner near it is its own.
    """
    normals = vertex_normals(vertices, split_quads(faces)).astype(np.float64)
    features = np.concatenate([vertices, _NORMAL_SCALE * normals], axis=1)
    images = features * [-1, 1, 1, -1, 1, 1]
    count = min(8, len(vertices))
    distance, near = KDTree(features).query(images, count, distance_upper_bound=_MIRROR_REACH)
    first = np.repeat(np.arange(len(vertices)), count)
    distance, near = distance.reshape(-1), near.reshape(-1)
    order = np.argsort(distance, kind="stable")
    mirror = np.full(len(vertices), -1, np.int32)
    for index in order[np.isfinite(distance[order])].tolist():
        one, other = first[index], near[index]
        if mirror[one] < 0 and mirror[other] < 0:
            mirror[one], mirror[other] = other, one
    return np.where(mirror < 0, np.arange(len(vertices)), mirror).astype(np.int32)


def connected_pieces(faces: Int[Array, "F n"], count: int) -> Int[Array, " V"]:
    """The number of the connected piece each of ``count`` vertices belongs to."""
    edges = np.concatenate([faces[:, [side, (side + 1) % faces.shape[1]]] for side in range(faces.shape[1])])
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (count, count))
    return connected_components(graph, directed=False)[1]
