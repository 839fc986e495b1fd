"""Learns the default model's pose correctives from simulated necks, the common ones as any model's are learned."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hack_model.asset import ModelAsset
from hack_model.build.skinning import head_line_height
from hack_model.model import HACK
from hack_model.simulation.correctives import Correctives, faces_digest, shape_marks, with_correctives
from hack_model.simulation.ease import eased
from hack_model.simulation.people import extreme_people
from hack_model.simulation.personal import Meshes, PersonalCorrectives, learn_personal
from hack_model.simulation.registration import ControlNeck, smoothed
from hack_model.simulation.volume import NeckVolume
from hack_model.training.dataset import Dataset
from hack_model.training.dynamic import FEATURES, PosedMeshes, iterate, pose_residuals, prepared
from hack_model.training.personal import subject_shapes
from hack_model.training.spaces import uncorrected
from hack_model.training.static import Neutrals, Progress

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

NOISE, ROUNDS = 0.00015, 3
"""Standard deviation in metres that simulated meshes are trusted to, and rounds of descent."""
SMOOTHING, SMOOTHING_AT_JAW, JAW_REACH = 0.3, 1.0, 0.035
"""Smoothing on the control mesh far below jaw and nape and at the head line, and the metres between: takes away the
tetrahedra's unevenness, which shows most where skin passes from bound to free."""
_OWN = np.tile(np.tri(3).ravel(), len(FEATURES) // 9)
"""Features that people differ in: what R - I holds above its diagonal is nearly the negative of what it holds below, so
half of the pairs tell people left out as much."""
_NEGLIGIBLE = 2e-5
"""Control vertices that no feature moves by this much, metres per unit, are left out."""


def learn(
    asset: ModelAsset, dataset: Dataset, volume: NeckVolume, progress: Progress, noise: float = NOISE
) -> Correctives:
    """Correctives of an asset without any, from a dataset of necks simulated in ``volume``."""
    bare = uncorrected(asset)
    neck = ControlNeck.of(asset, volume.skin)
    with tempfile.TemporaryDirectory() as folder:
        neutrals = Neutrals.create(Path(folder) / "neutral.npy", dataset, HACK.from_asset(bare), progress)
        meshes = PosedMeshes.of(dataset, neutrals, bare.expression_names)
        learned = prepared(bare)
        for number in range(1, ROUNDS + 1):
            learned = iterate(learned, bare, meshes, noise, progress, number, keep_joints=True, keep_weights=True)
        basis = smoothed(neck.fitted(learned.pose_basis.dense()), volume.quads, _smoothing(asset, volume))
        moving = np.abs(basis).max(axis=(0, 2)) > _NEGLIGIBLE
        common = Correctives(
            FEATURES, neck.control[moving], neck.control_count, basis[:, moving], faces_digest(asset.faces), "{}"
        )
        left = _left(with_correctives(bare, common), meshes, neutrals, neck, volume, progress)
    found = common
    personal = learn_personal(replace(left, features=left.features * _OWN), shape_weights(asset, neck))
    if personal is not None:
        found = _with_personal(common, personal, asset, neck)
    return eased(bare, found, neck, left.features, extreme_people(HACK.from_asset(bare)))


def _with_personal(
    common: Correctives, personal: PersonalCorrectives, asset: ModelAsset, neck: ControlNeck
) -> Correctives:
    pairs = np.stack([personal.pairs[:, 0], neck.control[personal.pairs[:, 1]]], axis=1).astype(np.int32)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return replace(
        common,
        personal=replace(personal, basis=personal.basis[:, order], pairs=pairs[order]),
        shape_marks=shape_marks(asset.shape_basis, common.vertices),
    )


def shape_weights(asset: ModelAsset, neck: ControlNeck) -> Float[Array, " S"]:
    """How far each shape moves the neck's skin, as shares of the sum."""
    moved = np.sqrt((asset.shape_basis.values[:, neck.control].astype(float) ** 2).sum(axis=(1, 2)))
    return moved / moved.sum()


def _left(
    asset: ModelAsset,
    meshes: PosedMeshes,
    neutrals: Neutrals,
    neck: ControlNeck,
    volume: NeckVolume,
    progress: Progress,
) -> Meshes:
    """What a model leaves of the meshes, as displacements of the neck's control vertices at rest."""
    features: list[np.ndarray] = []
    residual: list[np.ndarray] = []
    numbers: list[np.ndarray] = []
    total = int(meshes.chosen.sum())

    def count(found: np.ndarray) -> None:
        numbers.append(found)
        progress("what is left", sum(map(len, numbers)), total)

    for _, active, missing in pose_residuals(asset, meshes, count):
        features.append(active)
        residual.append(neck.controls(missing[:, neck.skin].astype(float)))
    person = meshes.dataset.subject[np.concatenate(numbers)]
    return Meshes(
        np.concatenate(features).astype(float),
        subject_shapes(asset, neutrals)[person],
        person,
        smoothed(np.concatenate(residual), volume.quads, _smoothing(asset, volume)),
    )


def _smoothing(asset: ModelAsset, volume: NeckVolume) -> Float[Array, " k"]:
    near = np.clip(1 + head_line_height(asset.template[volume.skin].astype(float)) / JAW_REACH, 0, 1)
    return SMOOTHING + (SMOOTHING_AT_JAW - SMOOTHING) * near
