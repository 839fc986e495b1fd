"""ICT-FaceKit (USC Institute for Creative Technologies, MIT): reading a user's copy.

Two forms are read: the repository's own folder ``FaceXModel`` of OBJ files, and one ``.npz`` with the same content.
Units are centimetres, +X the subject's left, +Y up, +Z forward.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hack_model.arrayfile import read_arrays
from hack_model.errors import FormatError
from hack_model.resources import data_folder
from hack_model.tables import read_table
from hack_model.wavefront import read_obj, read_obj_vertices

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float, Int

    Array = np.ndarray

NEUTRAL: Final = "generic_neutral_mesh"
CONFIGURATION: Final = "vertex_indices.json"
FOLDER: Final = "FaceXModel"
_IDENTITY: Final = re.compile(r"identity(\d{3})")
_NPZ_FIELDS: Final = (
    "neutral", "faces", "uv", "faces_uv", "identities", "expressions", "expression_names", "landmarks68",
)  # fmt: skip


@dataclass(frozen=True)
class Span:
    """Vertices and faces of a piece of the mesh: first and one past last of each."""

    vertices: slice
    faces: slice


@dataclass(frozen=True)
class IctModel:
    """The content of ICT-FaceKit, centimetres: N vertices of all parts.

    ``identities`` are displacements per standard deviation, ``expressions`` at activation 1; ``faces`` are quads
    (-1 pads a triangle); ``landmarks68`` are vertices.
    """

    neutral: Float[Array, "N 3"]
    faces: Int[Array, "F 4"]
    uv: Float[Array, "T 2"]
    face_uv: Int[Array, "F 4"]
    identities: Float[Array, "S N 3"]
    expression_names: tuple[str, ...]
    expressions: Float[Array, "E N 3"]
    landmarks68: Int[Array, "68"]

    def __post_init__(self) -> None:
        count = len(self.neutral)
        wanted = {
            "neutral": (count, 3), "faces": (len(self.faces), 4), "uv": (len(self.uv), 2), "landmarks68": (68,),
            "face_uv": (len(self.faces), 4), "identities": (len(self.identities), count, 3),
            "expressions": (len(self.expression_names), count, 3),
        }  # fmt: skip
        for name, shape in wanted.items():
            found = getattr(self, name).shape
            if found != shape or not all(found):
                raise FormatError(f"ICT-FaceKit: {name} has shape {found}, wanted {shape} without a 0")
        for name, size in (("faces", count), ("face_uv", len(self.uv)), ("landmarks68", count)):
            value = getattr(self, name)
            if value.max() >= size or value.min() < (0 if name == "landmarks68" else -1):
                raise FormatError(f"ICT-FaceKit: {name} hold indices outside 0…{size - 1}")
        for name in ("neutral", "uv", "identities", "expressions"):
            if not np.isfinite(getattr(self, name)).all():
                raise FormatError(f"ICT-FaceKit: {name} hold values that are not finite")


def read_spans() -> dict[str, Span]:
    """The pieces of ICT-FaceKit's mesh, from the table ``data/ict/parts.csv``."""
    rows = read_table(
        data_folder() / "ict" / "parts.csv",
        FormatError,
        "part",
        "vertex_first",
        "vertex_last",
        "face_first",
        "face_last",
    )
    return {
        row["part"]: Span(
            slice(int(row["vertex_first"]), int(row["vertex_last"]) + 1),
            slice(int(row["face_first"]), int(row["face_last"]) + 1),
        )
        for _, row in rows
    }


def read_ict(path: str | Path, progress: Callable[[str, int, int], None] = lambda *_: None) -> IctModel:
    """ICT-FaceKit from its repository's folder, the folder ``FaceXModel`` in it, or an ``.npz`` of its arrays.

    Raises :class:`FormatError` naming the file at fault.
    """
    path = Path(path)
    if path.is_dir():
        folder = path / FOLDER if (path / FOLDER).is_dir() else path
        return _read_folder(folder, progress)
    return _read_npz(path)


def _read_npz(path: Path) -> IctModel:
    arrays = read_arrays(path, FormatError)
    missing = [name for name in _NPZ_FIELDS if name not in arrays]
    if missing:
        raise FormatError(f"{path}: lacks the arrays {', '.join(missing)} of ICT-FaceKit")
    kinds = dict.fromkeys(_NPZ_FIELDS, "f") | dict.fromkeys(("faces", "faces_uv", "landmarks68"), "iu")
    for name, kind in (kinds | {"expression_names": "US"}).items():
        if arrays[name].dtype.kind not in kind or not arrays[name].ndim:
            raise FormatError(f"{path}: {name} is {arrays[name].dtype} of shape {arrays[name].shape}")
    try:
        return IctModel(
            neutral=arrays["neutral"].astype(np.float64),
            faces=arrays["faces"].astype(np.int64),
            uv=arrays["uv"].astype(np.float64),
            face_uv=arrays["faces_uv"].astype(np.int64),
            identities=arrays["identities"].astype(np.float32),
            expression_names=tuple(str(name) for name in arrays["expression_names"].reshape(-1)),
            expressions=arrays["expressions"].astype(np.float32),
            landmarks68=arrays["landmarks68"].astype(np.int64).reshape(-1),
        )
    except FormatError as fault:
        raise FormatError(f"{path}: {fault}") from fault


def _read_folder(folder: Path, progress: Callable[[str, int, int], None]) -> IctModel:
    neutral_file = folder / f"{NEUTRAL}.obj"
    if not neutral_file.is_file():
        raise FormatError(
            f"{folder}: no {NEUTRAL}.obj; wanted ICT-FaceKit's folder {FOLDER} "
            "(`hack-model build --source ict --download` fetches it)"
        )
    neutral = read_obj(neutral_file)
    configuration = _configuration(folder / CONFIGURATION)
    shapes = sorted(file for file in folder.glob("*.obj") if file.stem != NEUTRAL)
    identities = [file for file in shapes if _IDENTITY.fullmatch(file.stem)]
    numbers = [int(file.stem[-3:]) for file in identities]
    if not numbers or numbers != list(range(len(numbers))):
        raise FormatError(f"{folder}: wanted identity000.obj, identity001.obj, … without a gap, got {len(numbers)}")
    expressions = [file for file in shapes if not _IDENTITY.fullmatch(file.stem)]
    absent = set(configuration.get("expressions", ())) - {file.stem for file in expressions}
    if absent:
        raise FormatError(f"{folder}: lacks the expressions {', '.join(sorted(absent))} that {CONFIGURATION} names")
    displacements: list[np.ndarray] = []
    for number, file in enumerate([*identities, *expressions], 1):
        vertices = read_obj_vertices(file)
        if vertices.shape != neutral.vertices.shape:
            raise FormatError(f"{file}: {len(vertices)} vertices, the neutral mesh has {len(neutral.vertices)}")
        displacements.append((vertices - neutral.vertices).astype(np.float32))
        progress("read ICT-FaceKit", number, len(shapes))
    return IctModel(
        neutral=neutral.vertices,
        faces=neutral.faces,
        uv=neutral.uv,
        face_uv=neutral.face_uv,
        identities=np.stack(displacements[: len(identities)]),
        expression_names=tuple(file.stem for file in expressions),
        expressions=np.stack(displacements[len(identities) :]),
        landmarks68=np.array(configuration["idx_to_landmark_verts"], np.int64),
    )


def _configuration(path: Path) -> dict[str, Any]:
    """The repository's JSON file of vertex indices. Raises :class:`FormatError`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(index, int) and 0 <= index < 2**31 for index in content["idx_to_landmark_verts"]):
            raise ValueError("idx_to_landmark_verts holds what is no index")
        if not all(isinstance(name, str) for name in content.get("expressions", ())):
            raise ValueError("expressions holds what is no name")
    except (OSError, RecursionError, KeyError, TypeError, ValueError, AttributeError) as fault:
        raise FormatError(f"{path}: wanted ICT-FaceKit's indices with idx_to_landmark_verts ({fault})") from fault
    return content
