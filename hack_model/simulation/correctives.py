"""The file that keeps the default model's learned pose correctives, and putting them into a model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.arrayfile import read_arrays, write_arrays
from hack_model.asset import ModelAsset
from hack_model.basis import Basis, Refinement
from hack_model.errors import AssetError

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

_LEVELS = 32767


@dataclass(frozen=True)
class Correctives:
    """Pose correctives on the control mesh: ``basis`` (K, k, 3), metres per unit of each feature, at ``vertices``."""

    features: Int[Array, " K"]
    vertices: Int[Array, " k"]
    control_count: int
    basis: Float[Array, "K k 3"]
    faces: str
    provenance: str

    def dense(self) -> Float[Array, "K C 3"]:
        """The basis over all control vertices."""
        result = np.zeros((len(self.features), self.control_count, 3), np.float32)
        result[:, self.vertices] = self.basis
        return result

    def fields(self, refinement: Refinement) -> dict[str, Any]:
        """The asset's fields, for a model with this control mesh. Raises :class:`AssetError` when it has another."""
        if refinement.control_count != self.control_count:
            raise AssetError(
                f"correctives lie on {self.control_count} control vertices, the model has {refinement.control_count}"
            )
        return {"pose_features": self.features, "pose_basis": Basis.on_control(self.dense(), refinement)}

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
        write_arrays(path, arrays)

    @classmethod
    def load(cls, path: Path, faces: Int[Array, "F 4"]) -> Correctives:
        """Reads the file. Raises :class:`AssetError` when it is damaged or was made for other ``faces``."""
        arrays = read_arrays(path, AssetError)
        wanted = {"features", "vertices", "control_count", "values", "scale", "faces", "provenance"}
        if set(arrays) != wanted:
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
        return cls(
            arrays["features"],
            arrays["vertices"],
            int(arrays["control_count"]),
            values * scale[:, None, None].astype(np.float32),
            str(arrays["faces"]),
            str(arrays["provenance"]),
        )


def corrective_fields(path: Path, faces: Int[Array, "F 4"], refinement: Refinement) -> dict[str, Any]:
    """The asset's fields from a file; none when there is no file: correctives are simulated on a model built before.

    Raises :class:`AssetError` when the file is damaged or was made for other ``faces``.
    """
    return Correctives.load(path, faces).fields(refinement) if path.is_file() else {}


def faces_digest(faces: Int[Array, "F 4"]) -> str:
    """SHA-256 of a model's faces: correctives belong to one topology."""
    return hashlib.sha256(np.ascontiguousarray(faces, np.int32).tobytes()).hexdigest()


def with_correctives(asset: ModelAsset, correctives: Correctives) -> ModelAsset:
    """The asset with these correctives in place of its own. Raises :class:`AssetError`."""
    refinement = asset.shape_basis.refinement
    if refinement is None:
        raise AssetError(f"{asset.name}: has no control mesh")
    return replace(asset, **correctives.fields(refinement))


def described(correctives: Correctives, facts: dict[str, Any]) -> Correctives:
    """The same correctives with what is to be known of them."""
    return replace(correctives, provenance=json.dumps(facts))
