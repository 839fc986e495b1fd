from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import hack_model
from hack_model.cli import app
from hack_model.clip import Clip
from hack_model.formats.export import PLACEMENT
from tests.formats.gltf_reader import GltfFile


def run(*words: str | Path):
    return CliRunner().invoke(app, [str(word) for word in words], prog_name="hack-model")


def test_fit_reports_what_is_no_photo(tmp_path: Path) -> None:
    note = tmp_path / "note.png"
    note.write_text("no picture")
    result = run("fit", note, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "note.png" in result.stderr
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.slow
def test_a_photo_becomes_a_rigged_head(tmp_path: Path) -> None:
    from skimage import data

    photo = tmp_path / "astronaut.png"
    Image.fromarray(data.astronaut()).save(photo)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").touch()
    result = run("fit", photo, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    names = {file.name for file in (tmp_path / "out").iterdir()} - {"notes.txt"}
    assert "notes.txt" not in result.output
    assert names >= {"clip.npz", "report.json", "overlay.png", "head.glb", "texture.png"}
    assert all(name in result.output for name in names)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert f"{report['landmark_error']['percent']:.2f} %" in result.output
    clip, model = Clip.load(tmp_path / "out" / "clip.npz"), hack_model.load()
    kept = {name: value for name, value in clip.parameters(0).items() if name not in PLACEMENT}
    shown = GltfFile(tmp_path / "out" / "head.glb").vertices()
    np.testing.assert_allclose(shown, model(**kept).vertices, atol=1e-5)
