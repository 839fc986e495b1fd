"""The command that makes the default model's correctives: what it says when it cannot."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hack_model.errors import MissingDependencyError
from hack_model.model import HACK
from hack_model.posing import neck_pose
from hack_model.simulation import poses, run
from hack_model.simulation.__main__ import app
from hack_model.simulation.volume import NeckVolume
from hack_model.training.dataset import Dataset


def test_a_missing_model_is_one_message(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["-o", str(tmp_path / "out.npz"), "--model", str(tmp_path / "none.npz")])
    assert result.exit_code == 1
    assert result.stderr == f"error: {tmp_path / 'none.npz'}: no such file\n"
    assert list(tmp_path.iterdir()) == []


def test_without_tetgen_the_extra_is_named(bare: HACK, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tetgen", None)
    with pytest.raises(MissingDependencyError, match=r"hack-model\[simulate\]"):
        NeckVolume.of(bare.asset)


@pytest.mark.slow
def test_datasets_hold_what_was_simulated(bare: HACK, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two poses of the mean and a pair; the second one of a person fails."""
    turns = np.stack([neck_pose(bare.asset, 0.0, np.radians(angle)) for angle in (8, 16)])
    monkeypatch.setattr(poses, "single_joints", lambda _: [])
    monkeypatch.setattr(poses, "whole_neck", lambda *_: [poses.Path("turn", turns)])
    adapt = run.NeckSimulation.adapt
    monkeypatch.setattr(
        run.NeckSimulation, "adapt", lambda self, *told: adapt(self, *told) if self.rest[0, 0] > first else None
    )
    first = bare.asset.template[run.neck_body(bare).volume.skin[0], 0]
    run.simulate(bare, tmp_path, run.Amount(pairs=1, combined=0, taken=0, held_out=0))
    dataset = Dataset.open(tmp_path / "training")
    found = [dataset.subject_names[subject] for subject in dataset.subject[~dataset.rest]]
    figures = json.loads((tmp_path / "training" / run.FIGURES).read_text())
    (failed,) = figures["failed"]
    (other,) = {"sampled 1", "opposite 1"} - {failed["subject"]}
    assert found == ["mean"] * 4 + [other] * 2  # each with its mirror image; others do not take the smallest movement
    assert np.asarray(failed["pose"]) == pytest.approx(turns[1])
    assert figures["people"] == ["mean", "sampled 1", "opposite 1"]
    assert figures["equilibria"] == 3
    meshes = next(iter(dataset.batches(~dataset.rest)))[1]
    mirrored = np.asarray(meshes[0])[bare.asset.mirror_vertices] * [-1, 1, 1]
    assert np.asarray(meshes[1]) == pytest.approx(mirrored, abs=1e-6)
    assert np.abs(meshes[0] - np.asarray(bare(pose=turns[0]).vertices)).max() > 1e-3
    assert len(Dataset.open(tmp_path / "held_out").subject_names) == 7
    before = (tmp_path / "training" / run.FIGURES).stat().st_mtime_ns
    run.simulate(bare, tmp_path)
    assert (tmp_path / "training" / run.FIGURES).stat().st_mtime_ns == before


def test_memory_is_left_out_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 50 < run.peak_memory()["peak_memory_mb"] < 100_000
    monkeypatch.setitem(sys.modules, "resource", None)
    assert run.peak_memory() == {}
