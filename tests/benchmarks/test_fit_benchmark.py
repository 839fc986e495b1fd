"""Time of the landmark fit on the default model: `pytest tests/benchmarks --benchmark-enable`."""

from __future__ import annotations

import numpy as np
import pytest

from fitting.detector import FaceDetector
from fitting.images import photo_from_array
from fitting.landmark_fit import fit_landmarks
from fitting.photo import PhotoFitter
from hack_model.asset import ModelAsset
from hack_model.resources import default_model_path


@pytest.fixture(scope="module")
def astronaut():
    return photo_from_array(pytest.importorskip("skimage.data").astronaut())


@pytest.fixture(scope="module")
def fitter():
    with FaceDetector() as detector:
        yield PhotoFitter(ModelAsset.load(default_model_path()), detector)


def test_detection(benchmark, fitter, astronaut):
    assert len(benchmark(fitter.detector.detect, astronaut.pixels)) == 1


def test_solve(benchmark, fitter, astronaut):
    fit = fitter.fit(astronaut)
    observation = fitter.observation(fit.face, fit.camera)
    solution = benchmark(fit_landmarks, fitter.landmark_model, observation)
    assert np.isfinite(solution.vector).all()


def test_derivatives(benchmark, fitter):
    points, _ = benchmark(fitter.landmark_model.points_and_jacobian, np.zeros(fitter.landmark_model.layout.size))
    assert points.shape == (478, 3)
