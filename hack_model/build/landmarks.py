"""Landmarks as barycentric points on the skin: the 68 of Multi-PIE, and MediaPipe's 478 when they have been measured."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.asset import split_quads
from hack_model.build.head import Head
from hack_model.build.source import read_text
from hack_model.errors import FormatError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    Array = np.ndarray

MULTIPIE = "landmarks68.csv"
MEDIAPIPE = "landmarks478.csv"


def landmark_fields(head: Head, folder: Path) -> dict[str, Any]:
    """The asset's landmark fields from the tables in ``folder``; the 478 are left out while their table is missing.

    Raises :class:`FormatError` for a table that does not say what it should.
    """
    vertices, weights = multipie(head, folder / MULTIPIE)
    fields = {"landmarks68_vertices": vertices, "landmarks68_weights": weights}
    if (folder / MEDIAPIPE).is_file():
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


def _read_table(path: Path, columns: tuple[str, ...]) -> np.ndarray:
    table = csv.DictReader(line for line in read_text(path).splitlines() if not line.startswith("#"))
    try:
        return np.array([[float(row[column]) for column in columns] for row in table]).reshape(-1, len(columns))
    except (KeyError, TypeError, ValueError) as fault:
        raise FormatError(f"{path}: wanted columns of numbers {', '.join(columns)} ({fault})") from fault
