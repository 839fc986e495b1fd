"""Cutting head, neck and upper shoulders out of the MakeHuman body along its own edge loops."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from hack_model.build.refine import Edges
from hack_model.build.source import BaseMesh
from hack_model.errors import FormatError

if TYPE_CHECKING:
    from jaxtyping import Int

    Array = np.ndarray

BUST_LOOPS = ((1528, 1527), (1539, 1538))
"""First edges, on hm08's midline, of the edge loops that meet in front of the shoulders: one runs across the chest 3 cm
below the suprasternal notch, one over the shoulders and below the seventh cervical vertebra."""
CROWN = 881


def head_faces(base: BaseMesh, starts: tuple[tuple[int, int], ...] = BUST_LOOPS, seed: int = CROWN) -> Int[Array, " f"]:
    """Indices of the body faces on ``seed``'s side of the closed curve of edge loops and their mirror images.

    ``starts`` holds each loop's first edge. Raises :class:`FormatError` when the curve does not close, so that
    the flood reaches the whole body.
    """
    body = base.group_faces("body")
    loops = [edge_loop(base.faces[body], *start) for start in starts]
    faces = base.faces[body]
    edges = Edges.of(faces)
    curve = np.concatenate([np.stack([loop[:-1], loop[1:]], axis=1) for loop in map(np.asarray, loops)])
    curve = np.sort(np.concatenate([curve, base.mirror[curve]]), axis=1)
    count = len(base.vertices)
    on_curve = np.isin(edges.vertices @ [count, 1], curve @ [count, 1])
    owner = np.repeat(np.arange(len(faces)), 4)
    passable = ~on_curve[edges.of_face.reshape(-1)]
    incidence = sp.csr_matrix(
        (np.ones(passable.sum()), (owner[passable], edges.of_face.reshape(-1)[passable])),
        (len(faces), len(edges.vertices)),
    )
    _, label = sp.csgraph.connected_components(incidence @ incidence.T, directed=False)
    inside = label == label[np.flatnonzero((faces == seed).any(axis=1))[0]]
    if inside.all():
        raise FormatError("the cut below the clavicles does not close on this base mesh; wanted MakeHuman's hm08 mesh")
    return body[inside]


def edge_loop(faces: Int[Array, "F 4"], first: int, second: int) -> list[int]:
    """Vertices of the edge loop that runs from ``first`` over ``second``, straight through every vertex of four edges.

    It ends at the first vertex of another valence, or where it would meet itself; a closed loop repeats ``first``.
    """
    faces_of: dict[int, set[int]] = defaultdict(set)
    neighbours: dict[int, set[int]] = defaultdict(set)
    for index, face in enumerate(faces.tolist()):
        for corner, vertex in enumerate(face):
            faces_of[vertex].add(index)
            neighbours[vertex] |= {face[corner - 1], face[corner - 3]}
    if second not in neighbours[first]:
        raise FormatError(f"vertices {first} and {second} share no edge; wanted MakeHuman's hm08 mesh")
    loop = [first, second]
    while True:
        before, here = loop[-2], loop[-1]
        beside = {vertex for face in faces_of[here] & faces_of[before] for vertex in faces[face].tolist()}
        ahead = neighbours[here] - beside
        if len(neighbours[here]) != 4 or len(faces_of[here]) != 4 or len(ahead) != 1:
            return loop
        loop.append(ahead.pop())
        if loop[-1] in loop[:-1]:
            return loop
