"""Texture coordinates of the skin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from hack_model.build.refine import catmull_clark
from hack_model.build.source import BaseMesh

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

PART_STRIP = 0.14
"""Height of the strip at the bottom of the unit square that belongs to eyes, teeth, tongue and lashes."""


def skin_coordinates(mesh: BaseMesh, chosen: Int[Array, " f"]) -> tuple[Float[Array, "T 2"], Int[Array, "F 4"]]:
    """Refined texture coordinates of the chosen control faces, packed above :data:`PART_STRIP`."""
    used, faces = np.unique(mesh.face_uv[chosen], return_inverse=True)
    faces = faces.reshape(-1, 4)
    coordinates = mesh.uv[used].copy()
    edges = np.concatenate([faces[:, [corner, (corner + 1) % 4]] for corner in range(4)])
    graph = sp.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (len(used), len(used)))
    _, label = sp.csgraph.connected_components(graph, directed=False)
    sizes = np.bincount(label)
    # Largest island first: face, mouth, neck, eye sockets.
    slots = [(0.0, 0.15, 0.62, 0.995), (0.65, 0.15, 0.99, 0.35), (0.65, 0.4, 0.99, 0.7), (0.65, 0.72, 0.8, 0.9), (0.82, 0.72, 0.97, 0.9)]
    for island, (left, bottom, right, top) in zip(np.argsort(-sizes, kind="stable"), slots, strict=True):
        own = label == island
        low, high = coordinates[own].min(axis=0), coordinates[own].max(axis=0)
        scale = min((right - left) / (high[0] - low[0]), (top - bottom) / (high[1] - low[1]))
        coordinates[own] = (coordinates[own] - low) * scale + [left, bottom]
    matrix, refined = catmull_clark(faces, len(used))
    return matrix @ coordinates, refined.astype(np.int32)
