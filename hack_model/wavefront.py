"""Reading Wavefront OBJ meshes with every index as the file has it: no merging, no triangulation, no reordering."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hack_model.arrayfile import require_file
from hack_model.errors import FormatError

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray


@dataclass(frozen=True)
class ObjMesh:
    """Vertices in the file's unit, faces of three or four corners (-1 pads a triangle), texture coordinates."""

    vertices: Float[Array, "V 3"]
    faces: Int[Array, "F 4"]
    uv: Float[Array, "T 2"]
    face_uv: Int[Array, "F 4"]


def read_obj(path: str | Path) -> ObjMesh:
    """Reads an OBJ file whose faces all carry texture coordinates; normals, groups and materials are passed over.

    Raises :class:`FormatError` naming file and line.
    """
    path = Path(path)
    require_file(path, FormatError)
    rows: dict[str, list[list[float]]] = {"v": [], "vt": []}
    corners: list[list[list[int]]] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise FormatError(f"{path}: cannot be read ({fault})") from fault
    for number, line in enumerate(lines, 1):
        key, *items = line.split() or [""]
        try:
            if key in rows:
                count = 3 if key == "v" else 2
                rows[key].append([float(items[axis]) for axis in range(count)])
            elif key == "f":
                corners.append(_corners(items))
        except (ValueError, IndexError) as fault:
            raise FormatError(f"{path}:{number}: unreadable line {line!r}") from fault
    both = np.array(corners, np.int64).reshape(-1, 4, 2)
    vertices, uv = (np.array(rows[key], np.float64).reshape(-1, width) for key, width in (("v", 3), ("vt", 2)))
    if not len(both) or both[..., 0].max() >= len(vertices) or both[..., 1].max() >= len(uv):
        raise FormatError(f"{path}: has no faces, or faces refer to vertices or texture coordinates that are not there")
    if not (np.isfinite(vertices).all() and np.isfinite(uv).all()):
        raise FormatError(f"{path}: holds values that are not finite")
    return ObjMesh(vertices, both[..., 0].astype(np.int32), uv, both[..., 1].astype(np.int32))


def read_obj_vertices(path: str | Path) -> Float[Array, "V 3"]:
    """The vertices of an OBJ file alone, for files that repeat a known mesh in another shape.

    Raises :class:`FormatError` naming the file.
    """
    path = Path(path)
    require_file(path, FormatError)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [line.split()[1:4] for line in lines if line.startswith("v ")]
        vertices = np.array(rows, np.float64).reshape(-1, 3)
    except (OSError, ValueError) as fault:
        raise FormatError(f"{path}: cannot be read ({fault})") from fault
    if not np.isfinite(vertices).all():
        raise FormatError(f"{path}: holds values that are not finite")
    return vertices


def _corners(items: list[str]) -> list[list[int]]:
    """Zero-based vertex and texture indices of a face's four corners; raises ValueError for what is no such face."""
    corners = [[int(index) - 1 for index in item.split("/")[:2]] for item in items]
    known = np.iinfo(np.int32).max
    if not 3 <= len(corners) <= 4 or any(
        len(corner) != 2 or min(corner) < 0 or max(corner) > known for corner in corners
    ):
        raise ValueError("wanted three or four corners v/vt with positive indices")
    return corners + [[-1, -1]] * (4 - len(corners))
