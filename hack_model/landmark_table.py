"""The table of a model's landmarks: three vertices and their weights for each of MediaPipe's 478 points.

``python -m fitting.embedding`` writes it, the builder of the model reads it.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hack_model.arrayfile import atomic_file
from hack_model.asset import ModelAsset
from hack_model.errors import AssetError

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

_COLUMNS = ("point", "vertex_0", "vertex_1", "vertex_2", "weight_0", "weight_1", "weight_2")


def topology_digest(asset: ModelAsset) -> str:
    """Identifies the mesh a table belongs to: its faces, wherever the vertices are."""
    return hashlib.sha256(np.ascontiguousarray(asset.faces, "<i4").tobytes()).hexdigest()[:16]


def write_landmark_table(
    path: str | Path, asset: ModelAsset, vertices: Int[Array, "L 3"], weights: Float[Array, "L 3"]
) -> Path:
    """Writes the points of a model; ``weights`` are barycentric."""
    lines = [
        "# MediaPipe's face points on the model: three vertices and their weights, made by fitting.embedding.",
        f"# faces: {topology_digest(asset)}",
        ",".join(_COLUMNS),
    ]
    for point, (corners, shares) in enumerate(zip(vertices, weights, strict=True)):
        lines.append(",".join([str(point), *map(str, corners), *(f"{share:.5f}" for share in shares)]))
    path = Path(path)
    with atomic_file(path) as stream:
        stream.write(("\n".join(lines) + "\n").encode())
    return path


def read_landmark_table(path: str | Path, asset: ModelAsset) -> ModelAsset:
    """The asset with the points of a table as its ``landmarks478``.

    Raises :class:`AssetError` for a missing or damaged table and for one that belongs to another mesh.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise AssetError(f"{path}: the table of landmarks cannot be read ({fault})") from fault
    if f"# faces: {topology_digest(asset)}" not in text:
        raise AssetError(f"{path}: belongs to another mesh than model {asset.name}; run `python -m fitting.embedding`")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    try:
        vertices = np.array([[int(row[name]) for name in _COLUMNS[1:4]] for row in rows], np.int32)
        weights = np.array([[float(row[name]) for name in _COLUMNS[4:]] for row in rows])
    except (KeyError, TypeError, ValueError) as fault:
        raise AssetError(f"{path}: damaged table of landmarks ({fault})") from fault
    if not len(rows) or [row["point"] for row in rows] != [str(point) for point in range(len(rows))]:
        raise AssetError(f"{path}: the points of the table are not numbered 0, 1, 2, …")
    total = weights.sum(axis=1, keepdims=True)
    if not ((weights >= 0).all() and (np.abs(total - 1) < 1e-3).all()):
        raise AssetError(f"{path}: weights must not be negative and must sum to 1 in each row")
    return replace(asset, landmarks478_vertices=vertices, landmarks478_weights=weights / total)
