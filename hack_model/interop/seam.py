"""Cutting two meshes along rings that face each other and joining them by a strip of triangles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hack_model.borders import border_edges, border_loops
from hack_model.errors import FormatError
from hack_model.sources.surface import connected_pieces

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    Array = np.ndarray


def cut(triangles: Int[Array, "T 3"], kept: Bool[Array, " V"]) -> Int[Array, "N 3"]:
    """The largest piece of the triangles whose corners are all kept, without corners where its border meets itself."""
    chosen = triangles[kept[triangles].all(axis=1)]
    while len(chosen):
        piece = connected_pieces(chosen, len(kept))[chosen[:, 0]]
        chosen = chosen[piece == np.bincount(piece).argmax()]
        edges = border_edges(chosen)
        starts = np.bincount(edges[:, 0], minlength=len(kept))
        pinched = np.flatnonzero(starts > 1)
        if not len(pinched):
            break
        chosen = chosen[~np.isin(chosen, pinched).any(axis=1)]
    if not len(chosen):
        raise FormatError("nothing of the mesh is left after the cut")
    return chosen


def border_loop(triangles: Int[Array, "T 3"], vertices: Float[Array, "V 3"]) -> Int[Array, " n"]:
    """The longest closed border, its vertices in the direction of the triangles' edges."""
    loops = [loop for loop in border_loops(triangles) if len(loop) >= 3]
    if not loops:
        raise FormatError("the cut mesh has no border to join at")
    around = [vertices[np.append(loop, loop[0])] for loop in loops]
    return loops[int(np.argmax([np.linalg.norm(np.diff(points, axis=0), axis=1).sum() for points in around]))]


def strip(first: Int[Array, " n"], second: Int[Array, " m"], vertices: Float[Array, "V 3"]) -> Int[Array, "N 3"]:
    """Triangles between two borders, each given in its own mesh's direction; n + m of them, with short diagonals."""
    other = second[::-1]  # meshes that face each other run round the gap in opposite directions
    distance = np.linalg.norm(vertices[first][:, None] - vertices[other][None], axis=2)
    start, opposite = np.unravel_index(np.argmin(distance), distance.shape)
    one, two = np.roll(first, -int(start)), np.roll(other, -int(opposite))
    one, two = np.append(one, one[0]), np.append(two, two[0])
    faces: list[tuple[int, int, int]] = []
    i = j = 0
    while i < len(one) - 1 or j < len(two) - 1:
        forward = np.linalg.norm(vertices[one[min(i + 1, len(one) - 1)]] - vertices[two[j]])
        across = np.linalg.norm(vertices[one[i]] - vertices[two[min(j + 1, len(two) - 1)]])
        if j == len(two) - 1 or (i < len(one) - 1 and forward <= across):
            faces.append((one[i + 1], one[i], two[j]))
            i += 1
        else:
            faces.append((two[j], two[j + 1], one[i]))
            j += 1
    return np.array(faces, np.int32)
