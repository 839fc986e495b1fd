"""Datasets of registered meshes made with a known model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hack_model import HACK
from hack_model.asset import ModelAsset
from hack_model.training.dataset import Dataset, DatasetWriter
from hack_model.training.spaces import NOT_PERSONAL
from tests.support.synthetic import synthetic_asset

SHOWN = ("jawOpen", "mouthSmile_L", "mouthSmile_R", "cheekPuff_L")


@dataclass(frozen=True)
class Plan:
    """How many of what. Everyone has a neutral mesh at three heights of the larynx."""

    subjects: int = 24
    posed_subjects: int = 8
    poses: int = 40
    noise: float = 2e-4
    seed: int = 0


def truth() -> ModelAsset:
    """The model to be found again: correctives on all 63 features, expressions that come from a few meshes."""
    asset = synthetic_asset(0, all_correctives=True, rings=16, segments=12, personal=False)
    return replace(
        asset,
        pose_basis=asset.pose_basis[9:],
        pose_features=asset.pose_features[9:],
        larynx_identity=np.zeros(0),  # annotated sizes are those of the bump itself
    )


def personal_truth() -> ModelAsset:
    """The model of :func:`truth` with expressions and flexion correctives that differ between identities."""
    asset = truth()
    random = np.random.default_rng(11)
    personal: dict[str, np.ndarray] = {}
    bases = {"expression": asset.expression_basis.dense(), "pose": asset.pose_basis.dense()}
    shown = {"expression": [asset.expression_names.index(name) for name in SHOWN], "pose": np.arange(5, 63, 9)}
    for kind, basis in bases.items():
        moving = np.linalg.norm(basis, axis=2)
        moving = moving / moving.max(axis=1, keepdims=True) > 0.3
        moving[np.setdiff1d(np.arange(len(basis)), shown[kind])] = False
        pairs = np.argwhere(moving)
        wave = random.normal(scale=20, size=(2, 3, 3))
        phase = np.einsum("vc,uxc->uvx", asset.template, wave) + random.uniform(0, 6, (2, 1, 3))
        fields = np.sin(phase)[:, pairs[:, 1]] * np.linalg.norm(basis, axis=2)[pairs[:, 0], pairs[:, 1], None]
        personal |= {
            f"personal_{kind}_basis": fields * 0.25,
            f"personal_{kind}_pairs": pairs,
            f"personal_{kind}_map": np.linalg.qr(random.normal(size=(6, 2)))[0].T,
        }
    return replace(asset, **personal)


def first_guess(asset: ModelAsset) -> ModelAsset:
    """A template wrong in everything that training learns: no correctives, joints 4 mm off, blurred weights."""
    weights = asset.weights.copy()
    skin = slice(0, int(asset.part_vertices[0, 1]))
    weights[skin, :9] = 0.7 * weights[skin, :9] + 0.3 * np.roll(weights[skin, :9], 1, axis=1)
    offsets = asset.joint_offsets.copy()
    offsets[:8] += np.random.default_rng(1).normal(scale=0.004 / np.sqrt(3), size=(8, 3))
    blurred = np.roll(asset.larynx_map, 2, axis=0) * 0.7
    return replace(
        asset,
        name="guess",
        template=asset.template * 1.01,
        shape_basis=asset.shape_basis[:1].dense() * 0,
        directions=np.ones((1, 1)),
        **NOT_PERSONAL,
        direction_names=("sex",),
        expression_basis=asset.expression_basis.dense() * 0.6,
        pose_basis=asset.pose_basis[:0],
        pose_features=asset.pose_features[:0],
        weights=weights,
        joint_offsets=offsets,
        larynx_map=blurred,
        larynx_direction=np.array([0.0, 0.0, 1.0]),
        larynx_identity=np.ones(1),
    )


def make_dataset(folder: Path, asset: ModelAsset, plan: Plan, *, shard_size: int = 64) -> Dataset:
    """Meshes of random people, with noise on every coordinate."""
    random = np.random.default_rng(plan.seed)
    model = HACK.from_asset(asset)
    with DatasetWriter(folder, licence="CC0-1.0", shard_size=shard_size) as out:

        def add(
            subject: int,
            shape: np.ndarray,
            size: float,
            expression: dict[str, float] | None = None,
            pose: np.ndarray | None = None,
        ) -> None:
            shift = random.uniform(-0.012, 0.012)
            mesh = model(shape, expression or {}, pose, larynx_size=size, larynx_shift=shift).vertices
            out.add(
                mesh + random.normal(scale=plan.noise, size=mesh.shape),
                subject=f"s{subject}",
                expression=expression or "neutral",
                pose=pose,
                larynx_size=size,
                larynx_shift=shift,
            )

        for subject in range(plan.subjects):
            shape, size = random.normal(size=len(asset.shape_basis)), float(random.uniform(0.6, 1.4))
            for _ in range(3):
                add(subject, shape, size)
            for name in SHOWN:
                add(subject, shape, size, {name: 1.0})
            for _ in range(plan.poses if subject < plan.posed_subjects else 0):
                pose = random.normal(scale=0.15, size=(8, 3))
                add(subject, shape, size, {"jawOpen": float(random.uniform())}, pose)
    return Dataset.open(folder)
