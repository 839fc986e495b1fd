"""The neck as a solid: its skin on the control mesh, closed inside the head and the chest, filled with tetrahedra."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve
from scipy.spatial import Delaunay, KDTree

from hack_model.asset import ModelAsset
from hack_model.borders import border_loops
from hack_model.build.refine import Edges
from hack_model.build.skinning import head_line_height
from hack_model.errors import HackError, MissingDependencyError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    Array = np.ndarray

_ABOVE_HEAD_LINE = 0.020
"""Skin is simulated up to this height above the line where the weights become rigid, metres."""
_CAP_STEP, _CAP_RISE, _CAP_SHARE, _CAP_ROUNDS = 0.013, 0.012, 0.86, 6
_LARGEST_TETRAHEDRON = 6e-7  # cubic metres: edges of some 17 mm inside, finer towards the skin
_RADIUS_EDGE, _DIHEDRAL = 1.4, 14.0


class SimulationError(HackError):
    """The neck cannot be meshed or simulated."""


@dataclass(frozen=True)
class NeckVolume:
    """Tetrahedra of the template's neck. Its first nodes are skin.

    ``skin`` (k,) names the model's vertex of each skin node, ``quads`` its control faces (indices of nodes);
    ``top`` and ``bottom`` tell nodes of the closing surfaces in head and chest, with the border of the skin;
    ``surface`` is the whole closed surface in triangles, outward.
    """

    nodes: Float[Array, "n 3"]
    tetrahedra: Int[Array, "t 4"]
    skin: Int[Array, " k"]
    quads: Int[Array, "q 4"]
    top: Bool[Array, " n"]
    bottom: Bool[Array, " n"]
    surface: Int[Array, "f 3"]

    @property
    def skin_triangles(self) -> Int[Array, "f 3"]:
        """The skin's quads in triangles."""
        return np.concatenate([self.quads[:, [0, 1, 2]], self.quads[:, [0, 2, 3]]])

    @classmethod
    def of(cls, asset: ModelAsset) -> NeckVolume:
        """Meshes the neck of an asset's template. Raises :class:`SimulationError` when it is no simple solid."""
        skin, quads = neck_patch(asset)
        points = asset.template[skin].astype(float)
        triangles = [np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])]
        # Each from its first node on, so that the mesh does not depend on the order of the faces.
        borders = [np.roll(loop, -int(np.argmin(loop))) for loop in border_loops(quads)]
        if len(borders) != 2:
            raise SimulationError(f"{asset.name}: the neck's skin has {len(borders)} borders, wanted head and chest")
        ends: dict[bool, np.ndarray] = {}
        for border in sorted(borders, key=lambda ids: -points[ids, 1].mean()):
            upper = not ends
            first = len(points)
            points, closing = _closed(points, border, upper)
            triangles.append(closing)
            ends[upper] = np.concatenate([border, np.arange(first, len(points))])
        surface = np.concatenate(triangles)
        nodes, tetrahedra = _tetrahedra(points, surface)
        top, bottom = np.zeros((2, len(nodes)), bool)
        top[ends[True]], bottom[ends[False]] = True, True
        return cls(nodes, tetrahedra, skin, quads, top, bottom, surface)


def control_faces(asset: ModelAsset) -> tuple[Int[Array, "G 4"], int]:
    """The skin's control quads by the model's vertices that stem from control vertices, and how many those are."""
    first, last = asset.part_vertices[0]
    faces = asset.faces[((asset.faces >= first) & (asset.faces < last)).all(axis=1)]
    # Catmull-Clark puts four quads in the place of one, each with its own corner first.
    corners = faces[:, 0].reshape(-1, 4)
    return corners, int(corners.max()) + 1


def neck_patch(asset: ModelAsset) -> tuple[Int[Array, " k"], Int[Array, "q 4"]]:
    """The control vertices of the skin from a little above the jaw and the nape down to the model's border."""
    corners, _ = control_faces(asset)
    region = dict(zip(asset.region_names, asset.region_weights, strict=True))
    left_out = region["mouth_interior"] + region["eye_sockets"] + region["ears"] > 0.5
    low = (head_line_height(asset.template) < _ABOVE_HEAD_LINE) & ~left_out
    quads = corners[low[corners].all(axis=1)]
    edges = Edges.of(quads).vertices
    graph = sp.coo_matrix((np.ones(len(edges)), edges.T), (asset.vertex_count,) * 2)
    label = sp.csgraph.connected_components(graph, directed=False)[1][quads[:, 0]]
    quads = quads[label == np.bincount(label).argmax()]
    skin, local = np.unique(quads, return_inverse=True)
    return skin, local.reshape(-1, 4)


def _closed(points: np.ndarray, border: np.ndarray, upper: bool) -> tuple[np.ndarray, np.ndarray]:
    """Points with those of a closing surface, and its triangles: a collar to a smooth ring, then a membrane."""
    ring = points[border]
    for _ in range(_CAP_ROUNDS):
        ring = 0.5 * ring + 0.25 * (np.roll(ring, 1, axis=0) + np.roll(ring, -1, axis=0))
    middle = ring.mean(axis=0)
    ring = middle + (ring - middle) * [_CAP_SHARE, 1, _CAP_SHARE] + [0, _CAP_RISE if upper else -_CAP_RISE, 0]
    first = len(points)
    numbers = first + np.arange(len(ring))
    after, ring_after = np.roll(border, -1), np.roll(numbers, -1)
    collar = [np.stack([border, numbers, after], axis=1), np.stack([after, numbers, ring_after], axis=1)]
    inside, membrane = _membrane(ring, upper)
    points = np.concatenate([points, ring, inside])
    return points, np.concatenate([*collar, first + membrane])


def _membrane(ring: np.ndarray, upper: bool) -> tuple[np.ndarray, np.ndarray]:
    """Points inside a ring and triangles between all (ring first): a harmonic height over the horizontal plane."""
    from matplotlib.path import Path as Polygon

    plane = ring[:, [0, 2]]
    polygon = Polygon(np.concatenate([plane, plane[:1]]), closed=True)
    half = int(np.ceil(plane[:, 0].max() / _CAP_STEP))
    grid = np.stack(
        np.meshgrid(np.arange(-half, half + 1) * _CAP_STEP, np.arange(*_span(plane[:, 1]), _CAP_STEP)), axis=-1
    ).reshape(-1, 2)
    grid = grid[polygon.contains_points(grid) & (KDTree(plane).query(grid)[0] > 0.7 * _CAP_STEP)]
    flat = np.concatenate([plane, grid])
    triangles = Delaunay(flat).simplices
    triangles = triangles[polygon.contains_points(flat[triangles].mean(axis=1))]
    edges = np.unique(np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0)
    graph = sp.coo_matrix((np.ones(len(edges)), edges.T), (len(flat),) * 2)
    graph = sp.csr_matrix(graph + graph.T)
    laplacian = sp.csr_matrix(sp.diags(np.asarray(graph.sum(axis=1)).ravel()) - graph)
    count = len(ring)
    height = np.asarray(spsolve(laplacian[count:, count:].tocsc(), -laplacian[count:, :count] @ ring[:, 1]))
    area = np.cross(flat[triangles[:, 1]] - flat[triangles[:, 0]], flat[triangles[:, 2]] - flat[triangles[:, 0]])
    faces_up = area < 0  # x to the left and z forward turn the other way round, seen from above
    triangles = np.where((faces_up == upper)[:, None], triangles, triangles[:, ::-1])
    return np.column_stack([grid[:, 0], height, grid[:, 1]]), triangles


def _span(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _tetrahedra(points: np.ndarray, surface: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    try:
        import tetgen
    except ImportError as fault:
        raise MissingDependencyError(
            f"simulating necks needs tetgen ({fault}); install it with: pip install 'hack-model[simulate]'"
        ) from fault
    mesh = tetgen.TetGen(points, surface.astype(np.int32))
    try:
        found = mesh.tetrahedralize(
            order=1,
            nobisect=True,
            minratio=_RADIUS_EDGE,
            mindihedral=_DIHEDRAL,
            fixedvolume=True,
            maxvolume=_LARGEST_TETRAHEDRON,
        )
    except RuntimeError as fault:
        raise SimulationError(f"the neck cannot be filled with tetrahedra: {fault}") from fault
    nodes, tetrahedra = found[0], found[1]
    return np.asarray(nodes, float), np.asarray(tetrahedra, np.int64)


def signed_volumes(nodes: Float[Array, "n 3"], tetrahedra: Int[Array, "t 4"]) -> Float[Array, " t"]:
    """Volumes of tetrahedra, negative when turned inside out."""
    corners = nodes[tetrahedra]
    return np.linalg.det(corners[:, 1:] - corners[:, :1]) / 6
