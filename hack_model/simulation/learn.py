"""Learns the default model's pose correctives from simulated necks, by the training that learns any model's."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hack_model.asset import ModelAsset
from hack_model.build.skinning import head_line_height
from hack_model.model import HACK
from hack_model.simulation.correctives import Correctives, faces_digest
from hack_model.simulation.registration import ControlNeck, smoothed
from hack_model.simulation.volume import NeckVolume
from hack_model.training.dataset import Dataset
from hack_model.training.dynamic import FEATURES, PosedMeshes, iterate, prepared
from hack_model.training.spaces import uncorrected
from hack_model.training.static import Neutrals, Progress

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

NOISE, ROUNDS = 0.00015, 3
"""Standard deviation in metres that simulated meshes are trusted to, and rounds of descent."""
SMOOTHING, SMOOTHING_AT_JAW, JAW_REACH = 0.4, 2.0, 0.035
"""Smoothing on the control mesh far below jaw and nape and at the head line, and the metres between: takes away the
tetrahedra's unevenness, which shows most where skin passes from bound to free."""
_NEGLIGIBLE = 2e-5
"""Control vertices that no feature moves by this much, metres per unit, are left out."""


def learn(
    asset: ModelAsset, dataset: Dataset, volume: NeckVolume, progress: Progress, noise: float = NOISE
) -> Correctives:
    """Correctives of an asset without any, from a dataset of necks simulated in ``volume``."""
    bare = uncorrected(asset)
    with tempfile.TemporaryDirectory() as folder:
        neutrals = Neutrals.create(Path(folder) / "neutral.npy", dataset, HACK.from_asset(bare), progress)
        meshes = PosedMeshes.of(dataset, neutrals, bare.expression_names)
        learned = prepared(bare)
        for number in range(1, ROUNDS + 1):
            learned = iterate(learned, bare, meshes, noise, progress, number, keep_joints=True, keep_weights=True)
    neck = ControlNeck.of(asset, volume.skin)
    basis = smoothed(neck.fitted(learned.pose_basis.dense()), volume.quads, _smoothing(asset, volume))
    moving = np.abs(basis).max(axis=(0, 2)) > _NEGLIGIBLE
    return Correctives(
        FEATURES, neck.control[moving], neck.control_count, basis[:, moving], faces_digest(asset.faces), "{}"
    )


def _smoothing(asset: ModelAsset, volume: NeckVolume) -> Float[Array, " k"]:
    near = np.clip(1 + head_line_height(asset.template[volume.skin].astype(float)) / JAW_REACH, 0, 1)
    return SMOOTHING + (SMOOTHING_AT_JAW - SMOOTHING) * near
