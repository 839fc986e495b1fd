"""The command that makes the default model's correctives: what it says when it cannot."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hack_model.errors import MissingDependencyError
from hack_model.model import HACK
from hack_model.simulation.__main__ import app
from hack_model.simulation.volume import NeckVolume


def test_a_missing_model_is_one_message(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["-o", str(tmp_path / "out.npz"), "--model", str(tmp_path / "none.npz")])
    assert result.exit_code == 1
    assert result.stderr == f"error: {tmp_path / 'none.npz'}: no such file\n"
    assert list(tmp_path.iterdir()) == []


def test_without_tetgen_the_extra_is_named(bare: HACK, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tetgen", None)
    with pytest.raises(MissingDependencyError, match=r"hack-model\[simulate\]"):
        NeckVolume.of(bare.asset)
