"""A real photo all the way: the astronaut's clip, report and files; and the photos of HACK_TEST_DATA."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fitting.detector import DetectionError, FaceDetector
from fitting.evaluate import evaluate, photos_below, summary
from fitting.expectation import expected_expression
from fitting.images import load_photo, photo_from_array
from fitting.photo import FILES, PhotoFitter, fit_photo, fit_to_folder
from hack_model.asset import ModelAsset
from hack_model.clip import Clip
from hack_model.errors import HackError, ParameterError
from hack_model.names import CERVICAL_JOINTS
from hack_model.resources import default_model_path


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return pytest.importorskip("skimage.data").astronaut()


@pytest.fixture(scope="module")
def fitter():
    with FaceDetector() as detector:
        yield PhotoFitter(ModelAsset.load(default_model_path()), detector)


@pytest.fixture(scope="module")
def fit(fitter, astronaut):
    return fitter.fit(photo_from_array(astronaut, name="astronaut"))


def test_astronaut_is_met(fit):
    assert fit.report["landmark_error"]["percent"] < 1.2
    assert fit.report["action_units"]["AU12"]["left"] > 0.4
    assert fit.report["action_units"]["AU12"]["right"] > 0.4
    pose = fit.report["head_pose_deg"]
    assert abs(pose["yaw"]) < 10
    assert abs(pose["roll"]) < 10
    assert 0.3 < fit.report["camera"]["distance_m"] < 3


def test_scores_tell_the_solver_what_to_expect(fitter, fit):
    scores = {**fit.face.scores, "mouthSmileLeft": 0.8}
    observation = fitter.observation(replace(fit.face, scores=scores), fit.camera)
    mean, spread = expected_expression(scores, fitter.asset.expression_names)
    assert np.array_equal(observation.expression, mean)
    assert np.array_equal(observation.expression_spread, spread)


def test_folder_without_pictures_is_named(tmp_path):
    with pytest.raises(HackError, match=f"{tmp_path.name}: no pictures"):
        photos_below(tmp_path)


def test_clip_gives_back_vertices_and_landmarks(fitter, fit):
    vertices = np.asarray(fitter.model(**fit.clip.parameters(0)).vertices)
    assert np.allclose(vertices, fit.vertices, atol=1e-6)
    asset = fitter.asset
    points = np.einsum("lc,lcx->lx", asset.landmarks478_weights, vertices[asset.landmarks478_vertices])
    assert np.abs(fit.camera.project(points) - fit.model_landmarks).max() < 0.05
    assert dict(fit.clip.camera or {})["focal"] == fit.camera.focal


def test_parameters_are_plausible(fit):
    assert np.sqrt((fit.clip.shape**2).mean()) < 1
    assert np.abs(fit.clip.shape).max() < 4
    assert (fit.clip.expression >= 0).all()
    assert (fit.clip.expression <= 1).all()


def test_report_is_complete_and_plain(fit, fitter):
    report = json.loads(json.dumps(fit.report))
    assert report == fit.report
    assert set(report["neck_deg"]) == set(CERVICAL_JOINTS)
    assert {"larynx_size", "focal length", "back of the head"} <= set(report["unconstrained"])
    assert set(report["assumptions"]) == set(report["unconstrained"])
    assert report["larynx"] == {"size": 0.0, "shift_mm": 0.0, "forward_mm": 0.0}
    assert {"px", "percent", "percent_by_group"} == set(report["landmark_error"])
    assert {"detect", "solve", "mesh"} <= set(report["seconds"])
    assert set(report["expression"]) == set(fitter.asset.expression_names)
    assert report["versions"]["model"].startswith(fitter.asset.name)
    assert set(report["camera"]) >= {"focal_px", "centre_px", "width", "height", "focal_known", "distance_m"}


def test_given_focal_length_goes_first(fitter, fit, astronaut):
    far = fitter.fit(photo_from_array(astronaut), focal=2 * fit.camera.focal)
    assert far.report["camera"]["focal_known"] == "given"
    assert "focal length" not in far.report["unconstrained"]
    ratio = far.report["camera"]["distance_m"] / fit.report["camera"]["distance_m"]
    assert ratio == pytest.approx(2, rel=0.1)


def test_size_of_the_picture_does_not_matter(fitter, fit, astronaut):
    double = np.asarray(Image.fromarray(astronaut).resize((1024, 1024), Image.Resampling.BICUBIC))
    large = fitter.fit(photo_from_array(double))
    assert large.camera.focal == pytest.approx(2 * fit.camera.focal, rel=0.02)
    assert np.abs(large.vertices - fit.vertices).max() < 0.03
    assert large.report["landmark_error"]["percent"] == pytest.approx(fit.report["landmark_error"]["percent"], abs=0.2)


def test_mirrored_photo_gives_the_mirrored_head(fitter, fit, astronaut):
    mirrored = fitter.fit(photo_from_array(np.ascontiguousarray(astronaut[:, ::-1])))
    for name, sign in (("yaw", -1), ("pitch", 1), ("roll", -1)):
        assert mirrored.report["head_pose_deg"][name] == pytest.approx(sign * fit.report["head_pose_deg"][name], abs=3)


def test_fit_is_deterministic(fitter, fit, astronaut):
    again = fitter.fit(photo_from_array(astronaut, name="astronaut"))
    assert np.array_equal(again.clip.shape, fit.clip.shape)
    assert np.array_equal(again.vertices, fit.vertices)


def test_closed_eyes_leave_the_gaze_open(fitter, fit):
    closed = {**fit.face.scores, "eyeBlinkLeft": 0.9, "eyeBlinkRight": 0.1}
    observation = fitter.observation(replace(fit.face, scores=closed), fit.camera)
    assert (observation.confidence[473:478] == 0).all()
    assert (observation.confidence[468:473] == 1).all()


def test_no_face_and_wrong_options(fitter):
    grey = photo_from_array(np.full((200, 200, 3), 90, np.uint8), name="wall.png")
    with pytest.raises(DetectionError, match=r"wall\.png: no face found"):
        fitter.fit(grey)
    with pytest.raises(ParameterError, match="none of fast, quality"):
        fit_photo(fitter.asset, grey, preset="best")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ParameterError, match="is a file, wanted a folder"):
        fit_to_folder("none.png", __file__, fitter.model)


def test_second_face_is_fitted_when_asked_for(fitter, fit, astronaut):
    pair = photo_from_array(np.concatenate([astronaut, astronaut[:, ::-1]], axis=1))
    left, right = fitter.fit(pair, 1), fitter.fit(pair, 2)
    assert left.landmarks[:, 0].max() < 512 < right.landmarks[:, 0].min()
    with pytest.raises(DetectionError, match="no face 3"):
        fitter.fit(pair, 3)


@pytest.mark.slow
def test_files_of_a_fit(fitter, astronaut, tmp_path):
    Image.fromarray(astronaut).save(tmp_path / "a.png")
    report = fit_to_folder(tmp_path / "a.png", tmp_path / "out", fitter.model, detector=fitter.detector)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == set(FILES) == {
        "clip.npz", "report.json", "overlay.png", "views.png", "texture.png", "head.glb"
    }  # fmt: skip
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    assert Clip.load(tmp_path / "out" / "clip.npz").model_name == fitter.asset.name
    assert {"read", "detect", "solve", "texture", "overlay", "write"} <= set(report["seconds"])


@pytest.mark.slow
def test_real_photos_meet_the_targets(fitter, test_data):
    figures = summary(evaluate(fitter, photos_below(test_data / "images")))
    assert figures["photos"] >= 30
    assert figures["percent_median"] <= 0.8
    assert figures["percent_worst"] <= 1.5
    assert figures["iterations_median"] <= 15
    people = figures["people"]
    assert people["count"] == 12
    smiles = {
        kind: np.mean([p[kind] for p in people["mouth_smile"].values()], axis=1) for kind in ("neutral", "smiling")
    }
    assert (smiles["neutral"] <= 0.1).sum() >= 11
    assert (smiles["smiling"] >= 0.3).sum() >= 8
    assert people["smiling_shape_nearest_to_own_neutral"] >= 10
    assert people["neutral_shape_nearest_to_own_smiling"] >= 10


def test_every_real_photo_of_the_set_can_be_read(test_data):
    for path in photos_below(test_data / "images"):
        assert load_photo(path).pixels.shape[2] == 3
