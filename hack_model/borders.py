"""The borders of a surface: edges with a face on one side only, and the loops they make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Int

    Array = np.ndarray


def border_edges(faces: Int[Array, "F n"]) -> Int[Array, "E 2"]:
    """Directed edges that no other face runs the other way, in the order of faces and their corners.

    ``faces`` are triangles or quads of consistent sense; -1 as last corner makes a quad a triangle.
    """
    after = np.roll(faces, -1, axis=1)
    after = np.where(after < 0, faces[:, :1], after)
    edges = np.stack([faces, after], axis=-1).reshape(-1, 2).astype(np.int64)
    edges = edges[edges[:, 0] >= 0]
    size = int(edges.max(initial=0)) + 1
    forth, back = edges[:, 0] * size + edges[:, 1], edges[:, 1] * size + edges[:, 0]
    return edges[~np.isin(forth, back)]


def border_loops(faces: Int[Array, "F n"]) -> list[Int[Array, " k"]]:
    """The borders as closed loops of vertices (the first not repeated) in the faces' sense, most vertices first.

    ``faces`` as for :func:`border_edges`. A border that meets itself in a vertex falls apart there.
    """
    following: dict[int, int] = dict(border_edges(faces).tolist())
    loops: list[np.ndarray] = []
    while following:
        start, here = following.popitem()
        loop = [start]
        while here != start and here in following:
            loop.append(here)
            here = following.pop(here)
        loops.append(np.array(loop))
    return sorted(loops, key=len, reverse=True)
