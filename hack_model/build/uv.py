"""Texture coordinates of the skin: one island for all that is seen, cut at the back, and three for the rest.

Head, neck and shoulders are flattened together, the face at twice the scale of the scalp; the lining of the mouth and
of the eye sockets keeps MakeHuman's own islands, in a strip above. Nothing overlaps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from hack_model.borders import border_loops
from hack_model.build.refine import Edges, catmull_clark
from hack_model.build.unwrap import flatten, tutte

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    Array = np.ndarray

PART_STRIP = 0.14
"""Height of the strip at the bottom of the unit square that belongs to eyes, teeth, tongue and lashes."""
_OUTER = ((0.01, 0.15), (0.99, 0.90))
_INNER = {
    "mouth": ((0.42, 0.905), (0.58, 0.995)),
    "left": ((0.62, 0.905), (0.72, 0.995)),
    "right": ((0.28, 0.905), (0.38, 0.995)),
}
_SEAM_END = 0.05
"""The seam runs from the border below the nape over the crown to the hairline, this far forward in metres."""


def skin_coordinates(
    points: Float[Array, "C 3"],
    faces: Int[Array, "G 4"],
    mirror: Int[Array, " C"],
    inner_islands: dict[str, tuple[Bool[Array, " G"], Float[Array, "T 2"], Int[Array, "G 4"]]],
) -> tuple[Float[Array, "T 2"], Int[Array, "F 4"]]:
    """Refined texture coordinates of the control mesh (``points``, ``faces``), symmetric about u = 0.5.

    ``inner_islands`` gives for ``mouth``, ``left`` and ``right`` its faces and the source's coordinates for them. The
    refined faces come in the order of :func:`catmull_clark`.
    """
    outer = ~np.any([chosen for chosen, _, _ in inner_islands.values()], axis=0)
    coordinates, face_uv = [], np.zeros(faces.shape, int)
    flat, corners = outer_island(points, faces[outer], mirror)
    coordinates.append(_fitted(flat, *_OUTER))
    face_uv[outer] = corners
    for name, (chosen, source_uv, source_faces) in inner_islands.items():
        used, corners = np.unique(source_faces[chosen], return_inverse=True)
        face_uv[chosen] = corners.reshape(-1, 4) + sum(map(len, coordinates))
        coordinates.append(_fitted(source_uv[used], *_INNER[name]))
    joined = np.concatenate(coordinates)
    matrix, refined = catmull_clark(face_uv, len(joined))
    return matrix @ joined, refined.astype(np.int32)


def outer_island(
    points: Float[Array, "C 3"], faces: Int[Array, "G 4"], mirror: Int[Array, " C"]
) -> tuple[Float[Array, "T 2"], Int[Array, "G 4"]]:
    """Flat coordinates of the outer skin and its faces in them, opened along the midline at the back."""
    seam = back_seam(points, faces, mirror)
    used, local = np.unique(faces, return_inverse=True)
    local = local.reshape(-1, 4)
    seam_local = np.searchsorted(used, seam)
    # The seam's vertices are doubled for the right side, all but the last, where the cut ends.
    copies = len(used) + np.arange(len(seam) - 1)
    twin = np.arange(len(used) + len(copies))
    twin[seam_local[:-1]], twin[copies] = copies, seam_local[:-1]
    right = points[faces].mean(axis=1)[:, 0] < 0
    local[right] = np.where(np.isin(local[right], seam_local[:-1]), twin[local[right]], local[right])
    vertices = np.concatenate([points[used], points[seam[:-1]]])
    triangles, vertices_filled, border = _filled(local, vertices)
    size = _wanted_size(vertices_filled[triangles].mean(axis=1))
    flat = flatten(tutte(triangles, border, vertices_filled), triangles, vertices_filled, size)[: len(vertices)]
    pair = np.concatenate([np.searchsorted(used, mirror[used]), seam_local[:-1]])
    pair[seam_local[:-1]] = copies
    return _upright(flat, vertices, pair), local


def back_seam(points: Float[Array, "C 3"], faces: Int[Array, "G 4"], mirror: Int[Array, " C"]) -> Int[Array, " s"]:
    """Vertices along the midline from the border below the nape up over the crown to the hairline."""
    middle = mirror == np.arange(len(points))
    edges = Edges.of(faces)
    along = edges.vertices[middle[edges.vertices].all(axis=1)]
    border = np.unique(edges.border)
    path = [int(v) for v in border if middle[v] and points[v, 2] < 0]
    while points[path[-1], 2] < _SEAM_END or points[path[-1], 1] < 0:
        here = along[(along == path[-1]).any(axis=1)].reshape(-1)
        path.append(next(int(vertex) for vertex in here if vertex not in path))
    return np.array(path)


def inner_islands(
    uv: Float[Array, "T 2"], face_uv: Int[Array, "G 4"], centres: Float[Array, "G 3"]
) -> dict[str, tuple[Bool[Array, " G"], Float[Array, "T 2"], Int[Array, "G 4"]]]:
    """Islands of the source's texture layout that line the mouth and the left and right eye socket.

    They are those that hold neither the highest nor the lowest face.
    """
    used, faces = np.unique(face_uv, return_inverse=True)
    faces = faces.reshape(-1, 4)
    edges = np.concatenate([faces[:, [corner, (corner + 1) % 4]] for corner in range(4)])
    graph = sp.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (len(used), len(used)))
    label = sp.csgraph.connected_components(graph, directed=False)[1][faces[:, 0]]
    seen = {int(label[np.argmax(centres[:, 1])]), int(label[np.argmin(centres[:, 1])])}
    islands = {}
    for island in sorted(set(label.tolist()) - seen):
        aside = float(centres[label == island, 0].mean())
        name = "mouth" if abs(aside) < 0.01 else "left" if aside > 0 else "right"
        islands[name] = (label == island, uv, face_uv)
    return islands


def _filled(faces: np.ndarray, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangles with every inner hole (eyes, mouth) closed by a fan, so that no hole can turn inside out."""
    outer, *holes = border_loops(faces)
    triangles = [faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]]
    for hole in holes:
        triangles.append(np.stack([np.roll(hole, -1), hole, np.full(len(hole), len(vertices))], axis=1))
        vertices = np.concatenate([vertices, vertices[hole].mean(axis=0, keepdims=True)])
    return np.concatenate(triangles), vertices, outer


def _wanted_size(centre: np.ndarray) -> np.ndarray:
    """Relative scale of a place on the template: eyes and mouth 1.7, face 1.3, scalp 0.6, shoulders 0.4."""
    x, y, z = centre.T

    def rise(value: np.ndarray, low: float, high: float) -> np.ndarray:
        return np.clip((value - low) / (high - low), 0, 1)

    face = rise(z, 0.02, 0.08) * rise(y, -0.1, -0.07) * rise(-y, -0.12, -0.06)
    eyes = np.exp(-((np.abs(x) - 0.032) ** 2 + (y - 0.038) ** 2) / 0.02**2) * (z > 0.05)
    mouth = np.exp(-(x**2 + (y + 0.033) ** 2) / 0.025**2) * (z > 0.05)
    shoulders = rise(-y, 0.11, 0.13)
    return (0.6 + 0.7 * face + 0.4 * (eyes + mouth)) * (1 - 0.35 * shoulders)


def _upright(flat: np.ndarray, vertices: np.ndarray, pair: np.ndarray) -> np.ndarray:
    """Turned so that the face stands upright, and made exactly symmetric."""
    front = (pair == np.arange(len(pair))) & (vertices[:, 2] > 0.08)
    up = flat[front].T @ (vertices[front, 1] - vertices[front, 1].mean())
    up /= np.linalg.norm(up)
    turned = flat @ np.array([[up[1], up[0]], [-up[0], up[1]]])
    turned -= [turned[front, 0].mean(), 0]
    return 0.5 * (turned + turned[pair] * [-1, 1])


def _fitted(flat: np.ndarray, low: tuple[float, float], high: tuple[float, float]) -> np.ndarray:
    """Moved and evenly scaled to the middle of a box."""
    below, above = flat.min(axis=0), flat.max(axis=0)
    room = np.array(high) - low
    scale = (room / (above - below)).min()
    return (flat - 0.5 * (below + above)) * scale + 0.5 * (np.array(low) + high)
