"""FLAME (Max Planck Institute for Intelligent Systems; registration needed): reading a user's own file.

The formula the arrays stand for, after T. Li, T. Bolkart, M. J. Black, H. Li, J. Romero, "Learning a model of facial
shape and expression from 4D scans", SIGGRAPH Asia 2017: linear blend skinning of ``template + shape + expression +
pose correctives`` over five joints: root, neck, jaw, left eye, right eye. Metres, +X left, +Y up, +Z forward.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hack_model.arrayfile import read_arrays
from hack_model.errors import AssetError, FormatError
from hack_model.numpy_pickle import read_pickled_model

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

JOINTS: Final = ("root", "neck", "jaw", "eye_left", "eye_right")
PARENTS: Final = (-1, 0, 1, 1, 1)
EMBEDDING: Final = "flame_static_embedding.pkl"
LICENCE: Final = "FLAME's model licence, https://flame.is.tue.mpg.de: made from a user's own copy, not for distribution"
SHAPES, EXPRESSIONS = 300, 100
"""Components of a whole model file; a file with fewer keeps ten of the first and the rest of the second."""
_SMALL_SHAPES: Final = 10
_NAMES: Final = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights")


@dataclass(frozen=True)
class FlameModel:
    """FLAME's arrays: V vertices, metres.

    ``shape_basis`` and ``expression_basis`` per standard deviation; ``pose_basis`` per entry of R - I of the joints
    after the root, nine a joint; ``landmarks51`` are Multi-PIE's landmarks 17…67 (face, barycentric weights) where the
    file :data:`EMBEDDING` lies beside the model, else None. ``arrays`` holds the file's own, as it named them.
    """

    template: Float[Array, "V 3"]
    faces: Int[Array, "F 3"]
    shape_basis: Float[Array, "S V 3"]
    expression_basis: Float[Array, "E V 3"]
    pose_basis: Float[Array, "36 V 3"]
    joint_regressor: Float[Array, "5 V"]
    weights: Float[Array, "V 5"]
    landmarks51: tuple[Int[Array, "51"], Float[Array, "51 3"]] | None
    arrays: dict[str, Array]
    sha256: str

    @property
    def joints(self) -> Float[Array, "5 3"]:
        """The template's joints, metres."""
        return self.joint_regressor @ self.template


def read_model_arrays(path: Path) -> dict[str, np.ndarray]:
    """The plain arrays of a ``.pkl`` or ``.npz`` file of the SMPL family; what else it holds is left out unread.

    Raises :class:`AssetError` for a damaged or hostile file.
    """
    if path.suffix.lower() == ".npz":
        return read_arrays(path, AssetError, skip_objects=True)
    return read_pickled_model(path)


def require_arrays(path: Path, arrays: dict[str, np.ndarray], names: tuple[str, ...], joints: int, kind: str) -> None:
    """Raises :class:`FormatError` when the arrays are not those of a model of that kind, naming the one at fault."""
    missing = [name for name in names if name not in arrays]
    if missing:
        raise FormatError(f"{path}: lacks the arrays {', '.join(missing)}; wanted {kind}'s model file")
    count = len(np.atleast_1d(arrays["v_template"]))
    wanted: dict[str, tuple[int | None, ...]] = {
        "v_template": (count, 3), "f": (None, 3), "shapedirs": (count, 3, None),
        "posedirs": (count, 3, 9 * (joints - 1)), "J_regressor": (joints, count), "kintree_table": (2, joints),
        "weights": (count, joints),
    }  # fmt: skip
    for name, shape in wanted.items():
        value = arrays[name]
        fits = value.ndim == len(shape) and all(w in (None, s) for w, s in zip(shape, value.shape, strict=True))
        if not fits or value.dtype.kind not in "fiu" or not np.isfinite(value).all():
            raise FormatError(f"{path}: {name} is {value.dtype} {value.shape}, wanted finite numbers of {kind}'s shape")
    faces = arrays["f"].astype(np.int64)
    if not faces.size or faces.min() < 0 or faces.max() >= count:
        raise FormatError(f"{path}: f holds vertices outside 0…{count - 1}")
    totals = arrays["weights"].sum(axis=1)
    if (arrays["weights"] < -1e-6).any() or np.abs(totals - 1).max() > 1e-2:
        raise FormatError(f"{path}: weights are negative or do not sum to 1")


def read_flame(path: str | Path) -> FlameModel:
    """A user's FLAME model, of 2017 to 2023, ``.pkl`` or ``.npz``.

    Raises :class:`hack_model.HackError` for what is no such file; nothing in a pickle is ever run.
    """
    path = Path(path)
    arrays = read_model_arrays(path)
    require_arrays(path, arrays, _NAMES, len(JOINTS), "FLAME")
    parents = arrays["kintree_table"][0].astype(np.int64)
    if tuple(parents[1:]) != PARENTS[1:]:
        raise FormatError(f"{path}: joints hang on {parents[1:].tolist()}, FLAME's on {list(PARENTS[1:])}")
    components = np.moveaxis(arrays["shapedirs"], 2, 0)
    shapes = SHAPES if len(components) >= SHAPES + EXPRESSIONS else _SMALL_SHAPES
    if len(components) <= shapes:
        raise FormatError(f"{path}: shapedirs has {len(components)} components, wanted shapes and expressions")
    return FlameModel(
        template=arrays["v_template"].astype(np.float64),
        faces=arrays["f"].astype(np.int32),
        shape_basis=components[:shapes].astype(np.float32),
        expression_basis=components[shapes : shapes + EXPRESSIONS].astype(np.float32),
        pose_basis=np.moveaxis(arrays["posedirs"], 2, 0).astype(np.float32),
        joint_regressor=arrays["J_regressor"].astype(np.float64),
        weights=arrays["weights"].astype(np.float64),
        landmarks51=_read_embedding(path.parent / EMBEDDING, len(arrays["f"])),
        arrays=arrays,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def _read_embedding(path: Path, faces: int) -> tuple[np.ndarray, np.ndarray] | None:
    """FLAME's 51 landmarks from the file that its authors give beside the model; None when it is not there."""
    if not path.is_file():
        return None
    arrays = read_pickled_model(path)
    try:
        index = arrays["lmk_face_idx"].reshape(-1).astype(np.int64)
        weights = arrays["lmk_b_coords"].astype(np.float64).reshape(-1, 3)
    except (KeyError, ValueError) as fault:
        raise FormatError(f"{path}: wanted FLAME's lmk_face_idx and lmk_b_coords ({fault})") from fault
    if len(index) != 51 or len(weights) != 51 or index.min() < 0 or index.max() >= faces:
        raise FormatError(f"{path}: wanted 51 landmarks on the model's {faces} faces, got {len(index)}")
    if not np.isfinite(weights).all():
        raise FormatError(f"{path}: lmk_b_coords holds values that are not finite")
    return index, weights
