"""Landmarks as barycentric points on the skin: Multi-PIE's 68, and MediaPipe's 478 once they have been measured."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.asset import split_quads
from hack_model.build.assemble import Geometry
from hack_model.build.head import Head
from hack_model.build.source import read_text
from hack_model.errors import FormatError
from hack_model.tables import read_table

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

MULTIPIE = "landmarks68.csv"
MEDIAPIPE = "landmarks478.csv"


def landmark_fields(head: Head, geometry: Geometry, folder: Path) -> dict[str, Any]:
    """The asset's landmark fields from the tables in ``folder``; the 478 are left out while their table is missing.

    Raises :class:`FormatError` for a table that does not say what it should, or belongs to another mesh.
    """
    vertices, weights = multipie(head, folder / MULTIPIE)
    fields = {"landmarks68_vertices": vertices, "landmarks68_weights": weights}
    if (folder / MEDIAPIPE).is_file():
        _check_mesh(folder / MEDIAPIPE, geometry)
        vertices, weights = read_points(folder / MEDIAPIPE)
        fields |= {"landmarks478_vertices": vertices, "landmarks478_weights": weights}
    return fields


def multipie(head: Head, path: Path) -> tuple[Int[Array, "68 3"], Float[Array, "68 3"]]:
    """The 68 landmarks from places near the template's skin; those of the right side mirror the left's exactly."""
    rows = _read_table(path, ("landmark", "mirror", "x", "y", "z"))
    hidden = np.any(list(head.inner.values()), axis=0)
    triangles = split_quads(head.skin.faces)
    triangles = triangles[~hidden[triangles].any(axis=1)]
    found_vertices, found_weights = nearest_points(head.skin.vertices, triangles, rows[:, 2:] / 1000)
    vertices, weights = np.zeros((68, 3), np.int32), np.full((68, 3), np.nan)
    for (left, right), points, values in zip(rows[:, :2].astype(int), found_vertices, found_weights, strict=True):
        vertices[right], weights[right] = head.skin_mirror[points], values
        vertices[left], weights[left] = points, values
    if np.isnan(weights).any():
        raise FormatError(f"{path}: lacks landmarks {np.flatnonzero(np.isnan(weights[:, 0])).tolist()}")
    return vertices, weights


def nearest_points(
    vertices: Float[Array, "V 3"], triangles: Int[Array, "N 3"], points: Float[Array, "P 3"]
) -> tuple[Int[Array, "P 3"], Float[Array, "P 3"]]:
    """The triangle and barycentric weights of the surface's nearest point to each of ``points``."""
    import trimesh

    corners = vertices[triangles]
    chosen = np.empty(len(points), int)
    nearest = np.empty((len(points), 3))
    for number, point in enumerate(points):
        candidates = trimesh.triangles.closest_point(corners, np.broadcast_to(point, (len(corners), 3)))
        chosen[number] = np.argmin(((candidates - point) ** 2).sum(axis=1))
        nearest[number] = candidates[chosen[number]]
    weights = np.clip(trimesh.triangles.points_to_barycentric(corners[chosen], nearest), 0, 1)
    return triangles[chosen], weights / weights.sum(axis=1, keepdims=True)


def read_points(path: Path) -> tuple[Int[Array, "P 3"], Float[Array, "P 3"]]:
    """Barycentric points of a table with columns landmark, vertex_1 … vertex_3, weight_1 … weight_3, in order."""
    names = tuple(f"{kind}_{corner}" for kind in ("vertex", "weight") for corner in (1, 2, 3))
    rows = _read_table(path, ("landmark", *names))
    if not np.array_equal(rows[:, 0], np.arange(len(rows))):
        raise FormatError(f"{path}: landmarks are not numbered 0, 1, 2, … in order")
    return rows[:, 1:4].astype(np.int32), rows[:, 4:]


def mesh_digest(faces: Int[Array, "F 4"], part_names: Sequence[str], part_vertices: Int[Array, "P 2"]) -> str:
    """Identifies the mesh that face landmarks lie on, skin and eyes, wherever its vertices are.

    The first 16 digits of the SHA-256 of its faces; teeth and lashes may change without a new measurement.
    """
    last = max(int(part_vertices[list(part_names).index(name), 1]) for name in ("skin", "eye_left", "eye_right"))
    seen = np.ascontiguousarray(faces[(faces < last).all(axis=1)], "<i4")
    return hashlib.sha256(seen.tobytes()).hexdigest()[:16]


def belongs_to(
    path: Path, faces: Int[Array, "F 4"], part_names: Sequence[str], part_vertices: Int[Array, "P 2"]
) -> bool:
    """Whether there is a table whose line ``# Mesh: DIGEST`` names this mesh."""
    if not path.is_file():
        return False
    found = re.search(r"^# Mesh: ([0-9a-f]{16})", read_text(path), re.MULTILINE)
    return found is not None and found[1] == mesh_digest(faces, part_names, part_vertices)


def _check_mesh(path: Path, geometry: Geometry) -> None:
    """Refuses a table whose line ``# Mesh: DIGEST`` names another mesh than the one being built."""
    found = re.search(r"^# Mesh: ([0-9a-f]{16})", read_text(path), re.MULTILINE)
    wanted = mesh_digest(geometry.faces, geometry.part_names, geometry.part_vertices)
    if found is None or found[1] != wanted:
        raise FormatError(
            f"{path}: measured on another mesh ({found[1] if found else 'no line # Mesh'}, now {wanted}); remove it, "
            "build, measure the landmarks anew and build again"
        )


def _read_table(path: Path, columns: tuple[str, ...]) -> np.ndarray:
    table = read_table(path, FormatError, *columns)
    try:
        return np.array([[float(row[column]) for column in columns] for _, row in table]).reshape(-1, len(columns))
    except ValueError as fault:
        raise FormatError(f"{path}: wanted columns of numbers {', '.join(columns)} ({fault})") from fault
