from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hack_model.asset import ModelAsset
from hack_model.errors import FormatError, ParameterError
from hack_model.training.dataset import Dataset, DatasetWriter
from hack_model.training.train import Options, train
from tests.hack_model.training.conftest import OPTIONS
from tests.support.registrations import Plan, first_guess, make_dataset, truth

QUIET = {"progress": lambda *_: None}

KILLED = """
import os, signal, sys
from hack_model.training.dataset import Dataset
from hack_model.training.train import train
from tests.hack_model.training.conftest import OPTIONS
from tests.support.registrations import first_guess, truth

def progress(stage, done, total):
    if stage == "neck, round 3":
        os.kill(os.getpid(), signal.SIGKILL)

train(Dataset.open(sys.argv[1]), sys.argv[2], first_guess(truth()), OPTIONS, progress=progress)
"""


def test_a_killed_run_goes_on_and_ends_the_same(
    registrations: Dataset, learned: tuple[ModelAsset, Path], tmp_path: Path
) -> None:
    output = tmp_path / "model.npz"
    words = [sys.executable, "-c", KILLED, str(registrations.path), str(output)]
    root = Path(__file__).parents[3]
    killed = subprocess.run(words, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not output.exists()
    stages: list[str] = []
    train(registrations, output, first_guess(truth()), OPTIONS, progress=lambda stage, *_: stages.append(stage))
    rounds = [f"neck, round {number}" for number in (3, 4, 5, 6)]
    assert list(dict.fromkeys(stages)) == [*rounds[:3], "personal correctives", rounds[3]]
    assert output.read_bytes() == learned[1].read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.npz"]


def test_other_options_take_up_nothing(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "set", truth(), Plan(subjects=3, posed_subjects=1, poses=2))

    def stop(stage: str, done: int, total: int) -> None:
        if stage.startswith("neck"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "model.npz", first_guess(truth()), Options(seed=1), progress=stop)
    stages: list[str] = []
    train(
        dataset, tmp_path / "model.npz", first_guess(truth()), Options(iterations=1),
        progress=lambda stage, *_: stages.append(stage),
    )  # fmt: skip
    assert "neutral heads" in stages
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.npz", "set"]


def test_without_posed_meshes_the_neck_stays_the_templates(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "set", truth(), Plan(subjects=4, posed_subjects=0))
    guess = first_guess(truth())
    learned = train(dataset, tmp_path / "model.npz", guess, Options(), **QUIET)
    for field in ("weights", "joint_offsets", "pose_basis"):
        np.testing.assert_array_equal(getattr(learned, field), getattr(guess, field))
    assert len(learned.shape_basis) == 3


def test_names_only_the_dataset_has_are_added(tmp_path: Path) -> None:
    known = truth()
    with DatasetWriter(tmp_path, licence="CC0-1.0") as out:
        for subject in range(3):
            head = known.template + 0.001 * subject
            out.add(head, subject=str(subject))
            out.add(head + np.float32([0, 0.01, 0]), subject=str(subject), expression="earWiggle")
    learned = train(Dataset.open(tmp_path), tmp_path / "model.npz", known, Options(), **QUIET)
    assert learned.expression_names == (*known.expression_names, "earWiggle")
    np.testing.assert_allclose(learned.expression_basis.dense()[-1, :, 1], 0.01, rtol=1e-3)
    assert learned.licence == "CC0-1.0"


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    known = truth()
    with DatasetWriter(tmp_path / "small", licence="x") as out:
        out.add(np.zeros((5, 3)), subject="a")
    with pytest.raises(FormatError, match="meshes of 5 vertices, but template synthetic has 293; pass the template"):
        train(Dataset.open(tmp_path / "small"), tmp_path / "m.npz", known, **QUIET)
    with DatasetWriter(tmp_path / "one", licence="x") as out:
        out.add(known.template, subject="a")
    with pytest.raises(FormatError, match="has one subject; a shape space needs at least two"):
        train(Dataset.open(tmp_path / "one"), tmp_path / "m.npz", known, **QUIET)
    with DatasetWriter(tmp_path / "twins", licence="x") as out:
        for subject in "ab":
            out.add(known.template, subject=subject)
    with pytest.raises(FormatError, match="all subjects have the same neutral head"):
        train(Dataset.open(tmp_path / "twins"), tmp_path / "m.npz", known, **QUIET)


@pytest.mark.parametrize("wrong", [{"noise": 0.0}, {"noise": 5.0}, {"iterations": -1}, {"shape_components": 0}])
def test_options_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ParameterError):
        replace(Options(), **wrong)  # pyright: ignore[reportArgumentType]
