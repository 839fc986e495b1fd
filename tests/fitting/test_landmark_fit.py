"""The solver finds known parameters again, stays in its bounds, and shrugs off bad points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from fitting.camera import Camera
from fitting.landmark_fit import FitSettings, Observation, _Problem, fit_landmarks, initial_placement, split_rotation
from fitting.landmark_model import LandmarkModel
from fitting.points import NOSE_BASE, NOSE_TIP
from hack_model.kinematics import rotation_matrix
from hack_model.model import HACK
from tests.support.synthetic import synthetic_asset

CAMERA = Camera.centred(1500, 800, 900)
SURE = FitSettings(landmark=1e-4, opening=1e-4, robust=1e3, relief=0.1, nose=1e3, shape=3.0, iterations=30,
                   tolerance=1e-9)  # fmt: skip


@pytest.fixture(scope="module")
def model() -> LandmarkModel:
    return LandmarkModel.of(HACK.from_asset(synthetic_asset(), dtype="float64"))


def truth(model: LandmarkModel, seed: int = 0) -> np.ndarray:
    """A random head before the camera, its torso upright as the solver assumes."""
    random, layout = np.random.default_rng(seed), model.layout
    x = np.zeros(layout.size)
    x[layout.shape] = random.normal(size=layout.shape_count)
    x[layout.expression] = random.uniform(0, 1, layout.expression_count) * (
        random.uniform(size=layout.expression_count) < 0.2
    )
    x[layout.neck] = 0.5 * random.uniform(*model.neck_limits.T)
    x[layout.translation] = [random.uniform(-0.05, 0.05), random.uniform(-0.05, 0.05), -random.uniform(0.7, 1.3)]
    return x


def seen(model: LandmarkModel, x: np.ndarray, expected: np.ndarray | None = None, spread: float = 0.12) -> Observation:
    """What a perfect detector would say."""
    placed = model.points(x)
    depth = -placed[:, 2]
    expression = x[model.layout.expression] if expected is None else expected
    return Observation(
        CAMERA.project(placed), (depth - depth.mean()) * CAMERA.focal / depth.mean(), expression,
        np.full(model.layout.expression_count, spread), CAMERA, np.ones(len(model)),
    )  # fmt: skip


def percent(observation: Observation, fit) -> float:
    return 100 * np.linalg.norm(fit.projected - observation.points, axis=1).mean() / observation.unit


def head_turn(model: LandmarkModel, x: np.ndarray) -> Rotation:
    layout = model.layout
    return Rotation.from_matrix(rotation_matrix(x[layout.rotation]) @ model.head_rotation(x[layout.neck]))


@pytest.mark.parametrize("seed", range(5))
def test_known_parameters_are_found(model, seed):
    x = truth(model, seed)
    observation = seen(model, x, spread=1.0)
    fit = fit_landmarks(model, observation, SURE)
    layout = model.layout
    assert percent(observation, fit) < 0.05
    assert np.degrees((head_turn(model, fit.vector).inv() * head_turn(model, x)).magnitude()) < 0.5
    assert np.abs(fit.vector[layout.shape] - x[layout.shape]).max() < 0.1
    assert np.abs(fit.vector[layout.expression] - x[layout.expression]).max() < 0.1
    assert np.abs(fit.vector[layout.translation] - x[layout.translation]).max() < 0.01
    assert fit.converged


def test_everyday_settings_come_near_and_are_quick(model):
    x = truth(model, 3)
    observation = seen(model, x)
    fit = fit_landmarks(model, observation)
    assert percent(observation, fit) < 1.0
    assert fit.iterations <= 15
    assert fit.converged


def test_same_input_same_output(model):
    observation = seen(model, truth(model, 1))
    assert np.array_equal(fit_landmarks(model, observation).vector, fit_landmarks(model, observation).vector)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_bounds_hold_whatever_is_seen(seed):
    model = LandmarkModel.of(HACK.from_asset(synthetic_asset(), dtype="float64"))
    random = np.random.default_rng(seed)
    observation = seen(model, truth(model, seed))
    shaken = replace(observation, points=observation.points + random.normal(size=(478, 2)) * random.uniform(0, 60))
    fit = fit_landmarks(model, shaken, FitSettings(iterations=8))
    layout = model.layout
    assert np.isfinite(fit.vector).all()
    assert (fit.vector[layout.expression] >= 0).all()
    assert (fit.vector[layout.expression] <= 1).all()
    for part, limits in ((layout.neck, model.neck_limits), (layout.gaze, model.gaze_limits)):
        assert (fit.vector[part] >= limits[:, 0]).all()
        assert (fit.vector[part] <= limits[:, 1]).all()


def test_bad_points_do_not_pull(model):
    x = truth(model, 2)
    clean = seen(model, x, spread=1.0)
    points = clean.points.copy()
    points[np.arange(0, 478, 25)] += 40
    spoiled = fit_landmarks(model, replace(clean, points=points), replace(SURE, landmark=0.003, robust=1.5))
    good = np.arange(478) % 25 != 0
    miss = np.linalg.norm(spoiled.projected - clean.points, axis=1)[good].mean()
    assert 100 * miss / clean.unit < 0.1


def test_points_without_confidence_are_ignored(model):
    x = truth(model, 2)
    clean = seen(model, x, spread=1.0)
    points, confidence = clean.points.copy(), np.ones(478)
    points[100:200] += 300
    confidence[100:200] = 0
    fit = fit_landmarks(model, replace(clean, points=points, confidence=confidence), SURE)
    rest = np.r_[0:100, 200:478]
    assert 100 * np.linalg.norm(fit.projected - clean.points, axis=1)[rest].mean() / clean.unit < 0.05


def test_expectations_decide_where_landmarks_are_silent(model):
    """With soft landmarks the expression follows the detector's scores."""
    layout = model.layout
    x = truth(model, 4)
    wanted = np.full(layout.expression_count, 0.3)
    fit = fit_landmarks(model, seen(model, x, wanted), FitSettings(landmark=10.0, opening=10.0, relief=10.0))
    assert np.abs(fit.vector[layout.expression] - 0.3).max() < 0.02


def test_expressions_without_spread_stay_at_rest(model):
    """What landmarks cannot show is held, although it would lower the error; the rest is found without it."""
    x = truth(model, 4)
    moved = np.flatnonzero(x[model.layout.expression])
    observation = seen(model, x, np.zeros(model.layout.expression_count), spread=1.0)
    observation.expression_spread[moved[0]] = 0
    found = fit_landmarks(model, observation, SURE).vector[model.layout.expression]
    assert found[moved[0]] == 0
    assert found[moved[1:]].min() > 0


@pytest.mark.parametrize("seed", range(4))
def test_gradient_equals_finite_differences_of_the_cost(model, seed):
    x = truth(model, seed)
    x[model.layout.expression] += 0.01  # combinations have kinks at 0
    x[model.layout.gaze] = [0.1, -0.05, 0.15, 0.05]
    x[model.layout.rotation] = [0.1, 0.2, -0.1]
    observation = seen(model, truth(model, seed + 1))
    problem = _Problem(model, observation, FitSettings())
    gradient, matrix = problem.normal_equations(x)
    for index in np.random.default_rng(seed).permutation(model.layout.size)[:25]:
        step = np.zeros_like(x)
        step[index] = 1e-6
        numeric = (problem.cost(x + step) - problem.cost(x - step)) / 2e-6
        assert gradient[index] == pytest.approx(numeric, rel=1e-4, abs=1e-3 * np.abs(gradient).max())
    assert np.allclose(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix).min() > 0


def test_a_nose_that_nothing_shows_stays_that_of_the_mean_head(model):
    """Where landmarks are weak, its protrusion is drawn to the mean; where they are sure, it is found."""
    basis = model.rest_shape_basis()
    protrusion = basis[NOSE_TIP, 2] - basis[NOSE_BASE, 2]
    x = truth(model, 1)
    x[model.layout.shape] = 1.5 * protrusion / np.linalg.norm(protrusion)
    weak = FitSettings(relief=10.0, landmark=0.03, opening=0.1)
    free, drawn, sure = (
        float(protrusion @ fit_landmarks(model, seen(model, x), settings).vector[model.layout.shape])
        for settings in (replace(weak, nose=1e3), replace(weak, nose=1e-4), replace(SURE, nose=0.001))
    )
    true = float(protrusion @ x[model.layout.shape])
    assert abs(drawn) < 0.5 * abs(free)
    assert sure == pytest.approx(true, rel=0.02)


def test_gradient_and_matrix_of_the_nose_are_those_of_its_cost(model):
    """The term is quadratic: its cost after a step is exact with both."""
    x, observation = truth(model, 1), seen(model, truth(model, 2))
    step = np.zeros_like(x)
    step[model.layout.shape] = np.random.default_rng(0).normal(size=model.layout.shape_count)
    drawn, free = (_Problem(model, observation, FitSettings(nose=nose)) for nose in (1e-5, 1e9))
    gradient, matrix = (a - b for a, b in zip(drawn.normal_equations(x), free.normal_equations(x), strict=True))
    before, after = (drawn.cost(y) - free.cost(y) for y in (x, x + step))
    assert before > 1
    assert after - before == pytest.approx(gradient @ step + step @ matrix @ step / 2, rel=1e-4)


def test_start_lies_over_the_landmarks(model):
    x = truth(model, 5)
    x[: model.layout.expression.stop] = 0
    rotation, translation = initial_placement(model, seen(model, x))
    assert np.degrees((Rotation.from_matrix(rotation).inv() * head_turn(model, x)).magnitude()) < 3
    assert translation[2] < 0


def test_turn_beyond_the_neck_goes_to_the_torso(model):
    layout = model.layout
    x = np.zeros(layout.size)
    x[layout.neck] = [0, model.neck_limits[1, 1], 0]
    x[layout.rotation] = [0, 0.35, 0]
    x[layout.translation] = [0, 0, -1]
    fit = fit_landmarks(model, seen(model, x))
    assert fit.vector[layout.neck][1] == pytest.approx(model.neck_limits[1, 1])
    assert fit.vector[layout.rotation][1] == pytest.approx(0.35, abs=0.08)


def test_eyes_look_nearly_the_same_way(model):
    """The eyes' directions are coupled: what one is told, the other half follows."""
    layout = model.layout
    problem = _Problem(model, seen(model, truth(model)), FitSettings())
    x = truth(model)
    x[layout.gaze] = [0.1, 0.2, 0.1, 0.2]
    together = problem.cost(x)
    x[layout.gaze] = [0.1, 0.2, -0.1, -0.2]
    assert problem.cost(x) > together + 10


@pytest.mark.parametrize("degrees", [0, 20, 75])
def test_neck_carries_the_turn_and_torso_the_rest(model, degrees):
    wanted = Rotation.from_euler("y", degrees, degrees=True)
    neck, torso = split_rotation(model, wanted.as_matrix())
    together = Rotation.from_matrix(torso @ model.head_rotation(neck))
    assert np.degrees((together.inv() * wanted).magnitude()) < 0.01
    left = np.degrees(Rotation.from_matrix(torso).magnitude())
    if degrees <= np.degrees(model.neck_limits[1, 1]):
        assert left < 0.1
    assert neck[1] == pytest.approx(min(np.radians(degrees), model.neck_limits[1, 1]), abs=0.15)
