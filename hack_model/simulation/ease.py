"""Correctives that press skin through skin at full flexion, eased there until they do not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

from hack_model.asset import ModelAsset
from hack_model.kinematics import rotation_matrix
from hack_model.model import HACK
from hack_model.posing import neck_pose
from hack_model.simulation.correctives import Correctives, with_correctives
from hack_model.simulation.measure import crossings
from hack_model.simulation.registration import ControlNeck
from hack_model.spine import WHOLE_NECK

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

_STEP, _ROUNDS, _REACH = 0.1, 30, 0.020
"""Share of the correction taken back in a round, rounds at most, and metres around a crossing that are eased."""
_SHARES = (0.9, 1.0)
"""Shares of full flexion that are looked at."""
_PRIOR = 1e-3
"""Of a mesh's worth of every feature: keeps the change finite in features no mesh shows."""


def eased(
    asset: ModelAsset,
    correctives: Correctives,
    neck: ControlNeck,
    features: Float[Array, "n K"],
    people: list[Float[Array, " S"]],
) -> Correctives:
    """The correctives with their part at full flexion taken back towards skinning where skin passes through skin.

    Under the chin the throat folds upon itself, which the simulation's contact leaves alone; skinning does not make the
    fold so deep. The change is the one that alters the meshes with ``features`` least, in the squared mean.
    """
    triangles = skin_triangles(asset, neck, correctives.vertices)
    places = asset.template[neck.skin[np.searchsorted(neck.control, correctives.vertices)]].astype(float)
    inverse = np.linalg.inv(features.T @ features + _PRIOR * np.eye(features.shape[1]))
    for shape in people:
        for share in _SHARES:
            pose = neck_pose(asset, np.radians(share * WHOLE_NECK["flexion"]))
            active = _features(asset, pose, correctives)
            direction = inverse @ active / (active @ inverse @ active)
            for _ in range(_ROUNDS):
                vertices = np.asarray(HACK.from_asset(with_correctives(asset, correctives))(shape, pose=pose).vertices)
                found = crossings(vertices, triangles)
                if not len(found):
                    break
                near = KDTree(asset.template[triangles[found]].mean(axis=(1, 2))).query(places)[0]
                back = -_STEP * np.exp(-((near / _REACH) ** 2))[:, None] * np.tensordot(active, correctives.basis, 1)
                correctives = replace(correctives, basis=correctives.basis + direction[:, None, None] * back)
    return correctives


def skin_triangles(asset: ModelAsset, neck: ControlNeck, moving: Int[Array, " k"]) -> Int[Array, "f 3"]:
    """Triangles of the model whose corners the ``moving`` control vertices alone make up."""
    chosen = np.isin(neck.control, moving)
    inside = np.asarray(neck.matrix[:, chosen].sum(axis=1)).ravel() > 0.999
    return asset.triangles[inside[asset.triangles].all(axis=1)]


def _features(asset: ModelAsset, pose: Float[Array, "8 3"], correctives: Correctives) -> Float[Array, " K"]:
    rotations = rotation_matrix(np.concatenate([np.asarray(pose, float), np.zeros((2, 3))]))
    return np.asarray(rotations[: len(pose)] - np.eye(3)).reshape(-1)[correctives.features]
