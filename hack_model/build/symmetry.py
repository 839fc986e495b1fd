"""Which vertex is which one's mirror image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.spatial import KDTree

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from hack_model.build.parts import Part

    Array = np.ndarray

_OTHER = {"left": "right", "right": "left"}


def mirror_of(
    vertices: Float[Array, "n 3"], twin: Float[Array, "n 3"] | None = None, tolerance: float = 1e-6
) -> Int[Array, " n"]:
    """Index in ``twin`` (by default ``vertices`` itself) of each vertex's mirror image about x = 0.

    Vertices that share a place are paired in their order, so the pairing is one to one, and its own inverse within one
    mesh. Raises ValueError when a vertex has no image within ``tolerance`` metres.
    """
    own = twin is None
    twin = vertices if twin is None else twin
    tree = KDTree(twin)
    pairs = tree.query_pairs(tolerance, output_type="ndarray")
    graph = sp.coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (len(twin), len(twin)))
    place = sp.csgraph.connected_components(graph, directed=False)[1]
    distance, nearest = tree.query(vertices * [-1, 1, 1])
    image = place[nearest]
    order = np.lexsort((np.arange(len(place)), place))
    wanted = np.lexsort((np.arange(len(image)), image))
    if distance.max() > tolerance or not np.array_equal(place[order], image[wanted]):
        raise ValueError(f"vertices are not symmetric about x = 0: {distance.max():.2g} m")
    mirror = np.empty(len(image), int)
    mirror[wanted] = order
    if own and not np.array_equal(mirror[mirror], np.arange(len(mirror))):
        raise ValueError("vertices that share a place cannot be paired with their mirror images")
    return mirror


def mirror_of_parts(parts: Sequence[Part]) -> Int[Array, " V"]:
    """Each vertex's mirror image among the parts' joined vertices; parts named …_left and …_right are twins."""
    names = [part.name for part in parts]
    starts = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
    found = []
    for part in parts:
        stem, _, side = part.name.rpartition("_")
        if side in _OTHER:
            twin = names.index(f"{stem}_{_OTHER[side]}")
            found.append(starts[twin] + mirror_of(part.vertices, parts[twin].vertices))
        else:
            found.append(starts[names.index(part.name)] + mirror_of(part.vertices))
    return np.concatenate(found).astype(np.int32)
