"""The file of the default model's learned pose correctives, common and personal, and putting them into a model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model import packing
from hack_model.arrayfile import read_arrays, write_arrays
from hack_model.asset import ModelAsset
from hack_model.basis import Basis
from hack_model.errors import AssetError
from hack_model.simulation.personal import PersonalCorrectives

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

_LEVELS = 32767
_PERSONAL = tuple(f"personal_pose_{part}" for part in ("basis", "pairs", "map"))
_CHANGED = 0.05
"""Marks of shapes that differ by more than this share of the largest are of other shapes than those learned from."""


@dataclass(frozen=True)
class Correctives:
    """Pose correctives on the control mesh: ``basis`` (K, k, 3), metres per unit of each feature, at ``vertices``.

    ``personal`` is what shape changes of them, pairs of a row and a control vertex; ``shape_marks`` (S,) tell which
    shapes those are (:func:`shape_marks`). Both are empty where nothing personal was learned.
    """

    features: Int[Array, " K"]
    vertices: Int[Array, " k"]
    control_count: int
    basis: Float[Array, "K k 3"]
    faces: str
    provenance: str
    personal: PersonalCorrectives | None = None
    shape_marks: Float[Array, " S"] = field(default_factory=lambda: np.zeros(0))

    def dense(self) -> Float[Array, "K C 3"]:
        """The basis over all control vertices."""
        result = np.zeros((len(self.features), self.control_count, 3), np.float32)
        result[:, self.vertices] = self.basis
        return result

    def fields(self, shape_basis: Basis) -> dict[str, Any]:
        """The asset's fields, for a model with these shapes.

        Raises :class:`AssetError` when it has another control mesh, or shapes other than ``personal`` was learned from.
        """
        refinement = shape_basis.refinement
        if refinement is None or refinement.control_count != self.control_count:
            found = "none" if refinement is None else refinement.control_count
            raise AssetError(f"correctives lie on {self.control_count} control vertices, the model has {found}")
        shared = {"pose_features": self.features, "pose_basis": Basis.on_control(self.dense(), refinement)}
        if self.personal is None:
            return shared
        own, known = shape_marks(shape_basis, self.vertices), self.shape_marks
        if len(own) != len(known) or np.abs(own - known).max() > _CHANGED * np.abs(known).max():
            raise AssetError(
                "correctives were learned for other shapes; remove their file, build, run "
                "python -m hack_model.simulation -o FILE, build again"
            )
        values = (self.personal.basis, self.personal.pairs, self.personal.map)
        return {**shared, **dict(zip(_PERSONAL, values, strict=True))}

    def save(self, path: Path) -> None:
        """Writes the file, 16 bits a number; replaces it only when complete."""
        scale = np.maximum(np.abs(self.basis).max(axis=(1, 2)), 1e-12) / _LEVELS
        values = np.rint(self.basis / scale[:, None, None]).astype(np.int16)
        arrays = {
            "features": self.features.astype(np.int32),
            "vertices": self.vertices.astype(np.int32),
            "control_count": np.array(self.control_count),
            "values": values,
            "scale": scale.astype(np.float32),
            "faces": np.array(self.faces),
            "provenance": np.array(self.provenance),
        }
        if self.personal is not None:
            own = (self.personal.basis, self.personal.pairs, self.personal.map.astype(np.float32))
            arrays |= packing.pack(dict(zip(_PERSONAL, own, strict=True))) | {"shape_marks": self.shape_marks}
        write_arrays(path, arrays)

    @classmethod
    def load(cls, path: Path, faces: Int[Array, "F 4"]) -> Correctives:
        """Reads the file. Raises :class:`AssetError` when it is damaged or was made for other ``faces``."""
        arrays = packing.unpack(read_arrays(path, AssetError))
        wanted = {"features", "vertices", "control_count", "values", "scale", "faces", "provenance"}
        own = {*_PERSONAL, "shape_marks"}
        if set(arrays) - own != wanted or (set(arrays) & own) not in (set(), own):
            raise AssetError(f"{path}: holds {', '.join(sorted(arrays))}; correctives have {', '.join(sorted(wanted))}")
        if str(arrays["faces"]) != faces_digest(faces):
            raise AssetError(
                f"{path}: was learned for other faces; remove it, build, run python -m hack_model.simulation "
                f"-o {path}, build again"
            )
        values, scale = arrays["values"], arrays["scale"]
        shape = (len(arrays["features"]), len(arrays["vertices"]), 3)
        if values.shape != shape or values.dtype != np.int16 or scale.shape != shape[:1]:
            raise AssetError(f"{path}: field values is {values.dtype} {values.shape}, wanted int16 {shape}")
        personal = (
            PersonalCorrectives(arrays[_PERSONAL[0]], arrays[_PERSONAL[1]], arrays[_PERSONAL[2]])
            if "shape_marks" in arrays
            else None
        )
        return cls(
            arrays["features"],
            arrays["vertices"],
            int(arrays["control_count"]),
            values * scale[:, None, None].astype(np.float32),
            str(arrays["faces"]),
            str(arrays["provenance"]),
            personal,
            arrays.get("shape_marks", np.zeros(0)),
        )


def shape_marks(shape_basis: Basis, vertices: Int[Array, " k"]) -> Float[Array, " S"]:
    """A mark of each shape: the inner product of what it does to control ``vertices`` with a random field, which tells
    apart what differs in size, sign or order."""
    moved = np.asarray(shape_basis.values, float)[:, vertices]
    return np.tensordot(moved, np.random.default_rng(0).standard_normal(moved.shape[1:]), axes=2)


def corrective_fields(path: Path, faces: Int[Array, "F 4"], shape_basis: Basis) -> dict[str, Any]:
    """The asset's fields from a file; none when there is no file: correctives are simulated on a model built before.

    Raises :class:`AssetError` when the file is damaged or was made for other ``faces`` or shapes.
    """
    return Correctives.load(path, faces).fields(shape_basis) if path.is_file() else {}


def faces_digest(faces: Int[Array, "F 4"]) -> str:
    """SHA-256 of a model's faces: correctives belong to one topology."""
    return hashlib.sha256(np.ascontiguousarray(faces, np.int32).tobytes()).hexdigest()


def with_correctives(asset: ModelAsset, correctives: Correctives) -> ModelAsset:
    """The asset with these correctives in place of its own. Raises :class:`AssetError`."""
    if asset.shape_basis.refinement is None:
        raise AssetError(f"{asset.name}: has no control mesh")
    return replace(asset, **correctives.fields(asset.shape_basis))


def described(correctives: Correctives, facts: dict[str, Any]) -> Correctives:
    """The same correctives with what is to be known of them."""
    return replace(correctives, provenance=json.dumps(facts))
