"""Lining, teeth and tongue keep their place behind the lips in displacements that identities are made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hack_model.build.mouth_seat import mouth_seats
from tests.hack_model.build.test_contact import Built, built

__all__ = ["built"]  # a fixture
CONTENTS = ("teeth_upper", "teeth_lower", "tongue")


def seated(built: Built, field: np.ndarray) -> np.ndarray:
    for seat in mouth_seats(built.head, built.control, built.parts):
        field = seat(field)
    return field


def span(built: Built, name: str) -> slice:
    names = [part.name for part in built.parts]
    start = sum(len(part.vertices) for part in built.parts[: names.index(name)])
    return slice(start, start + len(built.parts[names.index(name)].vertices))


@pytest.fixture(scope="module")
def lining(built: Built) -> np.ndarray:
    return np.flatnonzero(built.head.inner["mouth_interior"][: len(built.head.skin_control)])


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 9999), shift=st.tuples(*[st.floats(-0.01, 0.01)] * 3))
def test_the_bite_is_kept_and_what_is_seen_stays(built: Built, lining: np.ndarray, seed: int, shift: tuple):
    """What the mouth holds moves by one affine map; the outer skin and the eyes are not touched."""
    field = built.field(seed)
    result = seated(built, field)
    moved = built.carried(result)
    points = np.concatenate(
        [built.parts[[part.name for part in built.parts].index(name)].vertices for name in CONTENTS]
    )
    displaced = np.concatenate([moved[span(built, name)] for name in CONTENTS])
    frame = np.column_stack([np.ones(len(points)), points])
    affine = np.linalg.lstsq(frame, displaced, rcond=None)[0]
    np.testing.assert_allclose(frame @ affine, displaced, atol=1e-6)
    outer = np.setdiff1d(np.arange(len(built.head.skin_control)), lining)
    np.testing.assert_array_equal(result[outer], field[outer])
    eye = span(built, "eye_left")
    np.testing.assert_array_equal(moved[eye], built.carried(field)[eye])
    np.testing.assert_allclose(seated(built, field + np.array(shift)), result + np.array(shift), atol=1e-9)
    np.testing.assert_allclose(seated(built, -2 * field), -2 * result, atol=1e-12)


def test_receding_lips_take_the_teeth_along(built: Built):
    """Skin about the lips 4 mm further back, the rest in its place."""
    points = np.asarray(built.control.rows @ built.head.base)
    skin = np.arange(len(points)) < len(built.head.skin_control)
    mouth = np.array([0.0, -0.032, 0.115])
    away = np.linalg.norm((points - mouth) / [1.5, 1.0, 1.0], axis=1)
    field = np.zeros((len(points), 3))
    field[:, 2] = np.where(skin, -0.004 * np.exp(-((away / 0.025) ** 4)), 0.0)
    for name in CONTENTS[:2]:
        part = span(built, name)
        vertices = built.parts[[part.name for part in built.parts].index(name)].vertices
        front = vertices[:, 2] > vertices[:, 2].max() - 0.004
        assert np.abs(built.carried(field)[part][front, 2]).max() < 0.0035
        assert built.carried(seated(built, field))[part][front, 2].mean() < -0.003


def test_the_lining_follows_the_skin_below_the_nose(built: Built, lining: np.ndarray):
    """Outer skin 5 mm further back, the lining in its place: the pocket above the upper lip would come through."""
    points = built.head.base[built.head.skin_control]
    field = np.zeros((len(np.asarray(built.control.rows @ built.head.base)), 3))
    field[: len(points), 2] = -0.005
    field[lining] = 0
    nose = np.array([0.016, -0.012, 0.108])
    pocket = lining[np.linalg.norm(points[lining] - nose, axis=1) < 0.009]
    assert pocket.size >= 2
    assert seated(built, field)[pocket, 2].max() < -0.003
