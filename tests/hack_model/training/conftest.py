from __future__ import annotations

from pathlib import Path

import pytest

from hack_model.asset import ModelAsset
from hack_model.training.dataset import Dataset
from hack_model.training.train import Options, train
from tests.support.registrations import Plan, first_guess, make_dataset, truth

OPTIONS = Options(shape_components=6, iterations=6, noise=2e-4)


@pytest.fixture(scope="session")
def registrations(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("registrations"), truth(), Plan())


@pytest.fixture(scope="session")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Other people in other poses, without noise."""
    plan = Plan(subjects=6, posed_subjects=6, poses=10, noise=0.0, seed=9)
    return make_dataset(tmp_path_factory.mktemp("held-out"), truth(), plan)


@pytest.fixture(scope="session")
def learned(registrations: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelAsset, Path]:
    path = tmp_path_factory.mktemp("trained") / "model.npz"
    return train(registrations, path, first_guess(truth()), OPTIONS, progress=lambda *_: None), path
