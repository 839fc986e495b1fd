"""Rigid motions and similarities are found again, also with weights, and never by a reflection."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hack_model.alignment import rigid_motion, similarity

seeds = st.integers(0, 2**32 - 1)


def scene(seed: int, count: int = 12) -> tuple[np.random.Generator, np.ndarray, np.ndarray, np.ndarray]:
    """A source of randomness, points, a rotation and a translation."""
    random = np.random.default_rng(seed)
    return random, random.normal(size=(count, 3)), Rotation.random(rng=random).as_matrix(), random.normal(size=3)


@settings(max_examples=30, deadline=None)
@given(seeds, st.floats(0.01, 100))
def test_what_was_done_to_points_is_found_again(seed: int, size: float) -> None:
    _, points, turn, shift = scene(seed)
    rotation, translation = rigid_motion(points, points @ turn.T + shift)
    np.testing.assert_allclose(rotation, turn, atol=1e-8)
    np.testing.assert_allclose(translation, shift, atol=1e-8)
    scale, rotation, translation = similarity(points, size * points @ turn.T + shift)
    assert scale == pytest.approx(size)
    np.testing.assert_allclose(rotation, turn, atol=1e-8)
    np.testing.assert_allclose(translation, shift, atol=1e-8 * max(size, 1))


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_points_of_no_weight_count_for_nothing(seed: int) -> None:
    random, points, turn, shift = scene(seed)
    targets = 2 * points @ turn.T + shift
    targets[:4] += random.normal(size=(4, 3))
    weights = np.where(np.arange(12) < 4, 0.0, random.uniform(0.5, 5, 12))
    scale, rotation, translation = similarity(points, targets, weights)
    assert scale == pytest.approx(2)
    np.testing.assert_allclose(rotation, turn, atol=1e-8)
    np.testing.assert_allclose(translation, shift, atol=1e-8)
    np.testing.assert_allclose(rigid_motion(points, 0.5 * targets, weights)[0], turn, atol=1e-8)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_no_small_change_makes_the_distance_smaller(seed: int) -> None:
    random, points, turn, shift = scene(seed)
    targets = points @ turn.T + shift + random.normal(scale=0.2, size=points.shape)
    weights = random.uniform(0.1, 3, len(points))

    def distance(rotation: np.ndarray, translation: np.ndarray, scale: float = 1.0) -> float:
        return float(weights @ ((scale * points @ rotation.T + translation - targets) ** 2).sum(axis=1))

    rotation, translation = rigid_motion(points, targets, weights)
    scale, turned, moved = similarity(points, targets, weights)
    for _ in range(10):
        little = Rotation.from_rotvec(random.normal(scale=1e-3, size=3)).as_matrix()
        nudge = random.normal(scale=1e-3, size=3)
        assert distance(little @ rotation, translation + nudge) > distance(rotation, translation)
        assert distance(little @ turned, moved + nudge, scale * 1.001) > distance(turned, moved, scale)


def test_mirror_images_are_not_reached_by_a_reflection() -> None:
    _, points, _, _ = scene(0)
    for rotation in (rigid_motion(points, points * [-1, 1, 1])[0], similarity(points, points * [-1, 1, 1])[1]):
        assert np.linalg.det(rotation) == pytest.approx(1)
