"""The model cut to landmarks equals the whole model, and its derivatives equal finite differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fitting.landmark_model import LandmarkModel
from hack_model.errors import AssetError
from hack_model.model import HACK
from hack_model.posing import neck_pose, to_anatomical
from tests.support.synthetic import synthetic_asset


@pytest.fixture(scope="module")
def model() -> HACK:
    return HACK.from_asset(synthetic_asset(all_correctives=True), dtype="float64")


def random_surface(model: HACK, count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Points anywhere on the mesh, neck and eyeballs included."""
    random = np.random.default_rng(1)
    return random.integers(0, model.vertex_count, (count, 3)), random.dirichlet(np.ones(3), count)


def random_vector(landmarks: LandmarkModel, seed: int = 2) -> np.ndarray:
    random, layout = np.random.default_rng(seed), landmarks.layout
    x = np.zeros(layout.size)
    x[layout.shape] = random.normal(size=layout.shape_count)
    x[layout.expression] = random.uniform(0, 1, layout.expression_count)
    x[layout.neck] = random.uniform(-0.6, 0.6, 3)
    x[layout.gaze] = random.uniform(-0.4, 0.4, 4)
    x[layout.rotation] = random.uniform(-0.5, 0.5, 3)
    x[layout.translation] = [0.1, -0.05, -0.9]
    return x


def test_layout_covers_the_vector_once(model):
    layout = LandmarkModel.of(model).layout
    parts = [layout.shape, layout.expression, layout.neck, layout.gaze, layout.rotation, layout.translation]
    covered = np.concatenate([np.arange(layout.size)[part] for part in parts])
    assert np.array_equal(covered, np.arange(layout.size))


@pytest.mark.parametrize("seed", range(3))
def test_points_equal_the_whole_model(model, seed):
    vertices, weights = random_surface(model)
    landmarks = LandmarkModel.at(model, vertices, weights)
    x, layout = random_vector(landmarks, seed), landmarks.layout
    whole = model(
        shape=x[layout.shape],
        expression=x[layout.expression],
        pose=landmarks.pose(x[layout.neck]),
        eye_pose=landmarks.eye_pose(x[layout.gaze]),
        global_rotation=x[layout.rotation],
        translation=x[layout.translation],
    ).vertices
    wanted = np.einsum("lc,lcx->lx", weights, np.asarray(whole)[vertices])
    assert np.abs(landmarks.points(x) - wanted).max() < 1e-7


@pytest.mark.parametrize("where", ["landmarks", "anywhere"])
def test_derivatives_equal_finite_differences(model, where):
    landmarks = LandmarkModel.of(model) if where == "landmarks" else LandmarkModel.at(model, *random_surface(model, 60))
    x = random_vector(landmarks)
    points, jacobian = landmarks.points_and_jacobian(x)
    assert np.allclose(points, landmarks.points(x), atol=1e-12)
    step = 1e-6
    for index in range(landmarks.layout.size):
        change = np.zeros_like(x)
        change[index] = step
        numeric = (landmarks.points(x + change) - landmarks.points(x - change)) / (2 * step)
        assert np.abs(jacobian[:, :, index] - numeric).max() < 2e-7, index


def test_neck_angles_are_shared_as_posing_shares_them(model):
    landmarks = LandmarkModel.of(model)
    angles = np.array([0.3, -0.4, 0.2])
    assert np.allclose(landmarks.pose(angles), neck_pose(model.asset, *angles), atol=1e-6)


def test_no_joint_leaves_its_limits_within_the_neck_limits(model):
    landmarks = LandmarkModel.of(model)
    limits = model.asset.joint_limits[:8]
    for corner in np.stack(np.meshgrid(*landmarks.neck_limits, indexing="ij"), axis=-1).reshape(-1, 3):
        angles = to_anatomical(model.asset, landmarks.pose(corner))
        assert (angles >= limits[..., 0] - 1e-6).all()
        assert (angles <= limits[..., 1] + 1e-6).all()
    assert (landmarks.neck_limits[:, 0] < 0).all()
    assert (landmarks.neck_limits[:, 1] > 0).all()


def test_model_without_landmarks_is_refused(model):
    bare = replace(model.asset, landmarks478_vertices=np.zeros((0, 3), int), landmarks478_weights=np.zeros((0, 3)))
    with pytest.raises(AssetError, match=r"python -m fitting\.embedding"):
        LandmarkModel.of(HACK.from_asset(bare))
