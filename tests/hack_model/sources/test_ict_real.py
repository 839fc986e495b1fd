"""The real ICT-FaceKit, where there is a copy: places published for the very mesh, photos, the command."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hack_model import HACK
from hack_model.asset import ModelAsset
from hack_model.cli import app
from hack_model.names import HACK_EXPRESSIONS
from hack_model.posing import neck_pose

DATA = Path(os.environ.get("HACK_TEST_DATA", ""))
COPY = DATA / "meshes/ict/ict_facekit_light.npz"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("HACK_TEST_DATA") or not COPY.is_file(), reason="needs a copy of ICT-FaceKit"
    ),
]
PUBLISHED_JOINTS = [
    (-12.26, -1.52), (-10.54, -0.97), (-8.94, -0.54), (-7.36, -0.17), (-5.69, 0.02), (-4.10, -0.23), (-2.66, -0.03),
    (-1.25, -0.27),
]  # fmt: skip
"""Height and depth in centimetres of the cervical joints that HACK's authors published for this mesh."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ict") / "ict.npz"
    done = CliRunner().invoke(app, ["build", "--source", "ict", "--from", str(COPY), "-o", str(path)])
    assert done.exit_code == 0, done.output
    return path


@pytest.fixture(scope="module")
def model(file: Path) -> ModelAsset:
    return ModelAsset.load(file)


def test_topology_is_the_papers(model: ModelAsset) -> None:
    skin = model.part("skin")
    assert skin == slice(0, 14062)
    assert (model.faces[:, :3] < 14062).all(axis=1).sum() == 14034
    assert len(model.shape_basis) == 100
    assert model.expression_names[:55] == HACK_EXPRESSIONS
    assert "MIT" in model.licence
    assert (model.mirror_vertices[model.mirror_vertices] == np.arange(model.vertex_count)).all()


def test_joints_lie_near_the_published_ones(model: ModelAsset) -> None:
    joints = np.asarray(HACK.from_asset(model, dtype="float64").joint_template)[:8, 1:] * 100
    assert np.linalg.norm(joints - PUBLISHED_JOINTS, axis=1).max() < 1.5
    assert np.linalg.norm(joints - PUBLISHED_JOINTS, axis=1).mean() < 0.9


def test_weights_and_poses_at_the_limits(model: ModelAsset) -> None:
    assert ((model.weights > 0).sum(axis=1) <= 4).all()
    head = HACK.from_asset(model)
    edges = np.unique(np.sort(model.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    edges = edges[(edges < 11248).all(axis=1)]
    length = np.linalg.norm(model.template[edges[:, 0]] - model.template[edges[:, 1]], axis=1)
    for turn in ({"flexion": 0.87}, {"flexion": -1.2}, {"axial": 1.2}, {"lateral": 0.7}):
        posed = np.asarray(head(pose=neck_pose(model, **turn)).vertices)
        stretch = np.linalg.norm(posed[edges[:, 0]] - posed[edges[:, 1]], axis=1) / length
        assert np.percentile(stretch, 99.9) < 3
        assert np.percentile(stretch, 0.1) > 0.2


def test_photos_fit(model: ModelAsset) -> None:
    from fitting.images import load_photo
    from fitting.photo import PhotoFitter

    photos = sorted((DATA / "images/london_smiling").glob("*.jpg"))[:4]
    fitter = PhotoFitter(model)
    errors, smiles = [], []
    for photo in photos:
        fit = fitter.fit(load_photo(photo))
        errors.append(fit.report["landmark_error"]["percent"])
        smiles.append(fit.clip.expression[0, model.expression_names.index("mouthSmile_L")])
    assert np.median(errors) < 0.75
    assert np.median(smiles) > 0.3
