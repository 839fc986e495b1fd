"""How the face's parts are made: following, rigid motion, dental arches, lids on the eyeball."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hack_model.build import dentition, eyes, lids, lips
from hack_model.build.crowns import read_crowns
from hack_model.build.dental_arch import Arch
from hack_model.build.expressions import NAMES, left_half, read_recipes
from hack_model.build.following import affine_rows, flip, spread_anchors

seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_followers_repeat_every_affine_motion(seed):
    random = np.random.default_rng(seed)
    base, points = random.normal(size=(40, 3)), random.normal(size=(9, 3))
    rows = affine_rows(points, base, np.arange(8, 20))
    matrix, shift = random.normal(size=(3, 3)), random.normal(size=3)
    np.testing.assert_allclose(rows @ (base @ matrix + shift), points @ matrix + shift, atol=1e-8)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-9)


def test_anchors_are_far_apart_and_mirrored():
    random = np.random.default_rng(1)
    half = random.uniform(0.1, 1, (30, 3))
    points = np.concatenate([half, half * [-1, 1, 1]])
    chosen = points[spread_anchors(points, np.arange(60), 10, centre_line=True)]
    assert {tuple(point) for point in chosen} == {tuple(point) for point in chosen * [-1, 1, 1]}


def test_flip_keeps_the_triangle_mark():
    faces = np.array([[0, 1, 2, 3], [4, 5, 6, -1]])
    np.testing.assert_array_equal(flip(faces), [[0, 3, 2, 1], [4, 6, 5, -1]])


def test_left_and_right_halves_make_the_whole():
    x = np.linspace(-0.05, 0.05, 101)
    np.testing.assert_allclose(left_half(x, 0.012) + left_half(-x, 0.012), 1, atol=1e-12)
    assert left_half(np.array([0.02]), 0.012) == 1


def test_every_left_or_whole_expression_has_a_recipe():
    made = {name for name in NAMES if not name.endswith("_R")}
    assert set(read_recipes()) == made


@pytest.mark.parametrize("jaw", ["upper", "lower"])
def test_arch_is_as_long_as_its_teeth(jaw):
    crowns = read_crowns()[jaw]
    length = sum(crown.mesiodistal for crown in crowns)
    assert len(crowns) == 7
    arch = Arch(0.030, length)
    points, normals = arch.at(np.linspace(-length, length, 400))
    assert np.linalg.norm(np.diff(points, axis=0), axis=1).sum() == pytest.approx(2 * length, rel=2e-3)
    np.testing.assert_allclose(points[:, 0], -points[::-1, 0], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)
    assert (normals[:, 0] * points[:, 0] >= -1e-9).all()


def test_eyeball_and_cornea_bound_the_height():
    ball = eyes.Eyeball(np.array([0.03, 0.04, 0.09]), 1.0)
    side, front = ball.centre + np.diag([ball.radius, 0, ball.radius])[[0, 2]]
    assert ball.height(side[None])[0] == pytest.approx(0)
    assert -0.002 < ball.height(front[None])[0] < -0.0005  # the cornea bulges before the sphere


def test_lids_slide_over_the_eyeball():
    ball = eyes.Eyeball(np.zeros(3), 1.0)
    start = np.array([[0.0, np.sin(0.7), np.cos(0.7)]]) * (ball.radius + 0.002)
    end = np.array([[0.0, np.sin(-0.3), np.cos(-0.3)]]) * (ball.radius + 0.002)
    straight = end - start
    assert ball.height(start + 0.5 * straight)[0] < 0
    kept = lids.keep_outside(start, straight, ball, np.array([1.0]))
    for share in (0.25, 0.5, 0.75, 1.0):
        assert ball.height(start + share * kept)[0] > 0.0004


@pytest.mark.slow
def test_the_head_is_seated(head):
    seated = lids.seat_lids(lips.close_lips(head))
    line = lips.find_lip_line(seated)
    assert np.abs(line.upper - line.lower).max() < 0.001
    assert 0.018 < line.corner < 0.032
    for side in ("left", "right"):
        found = lids.find_lids(seated, side)
        assert found.ball.height(seated.base[found.rings[0]]).max() < 0
        assert len(set(found.rings.ravel())) == found.rings.size
    moved = np.abs(seated.base - head.base).max()
    assert 0.0005 < moved < 0.005
    np.testing.assert_allclose(seated.base, seated.base[head.source.base.mirror] * [-1, 1, 1], atol=1e-9)


@pytest.mark.slow
def test_dentition_has_real_sizes(head):
    parts = {part.name: part for part in dentition.build(head)}
    first = parts["teeth_upper"].faces[:84]
    upper = parts["teeth_upper"].vertices[np.unique(first[first >= 0])]
    assert np.ptp(upper[:, 0]) == pytest.approx(0.0085, abs=0.0012)  # the left central incisor
    assert sum(len(part.vertices) for part in parts.values()) < 6000
    for part in parts.values():
        triangles = np.sort(part.faces[:, :3], axis=1)
        assert len(np.unique(triangles, axis=0)) == len(triangles)
        assert set(np.unique(part.faces[part.faces >= 0])) == set(range(len(part.vertices)))
