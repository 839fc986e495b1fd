"""The larynx as it is built on the default template: where it lies, and how it looks wherever it slides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hack_model
from hack_model.build.larynx import (
    BELOW_HYOID,
    HEIGHT,
    PEAK,
    LarynxChart,
    bend,
    bump,
    forward,
    identity_direction,
    make_larynx,
    throat_line,
)
from hack_model.formats.surface import vertex_normals
from hack_model.model import HACK

SHIFTS = (-0.015, -0.01, -0.005, 0.0, 0.005, 0.01, 0.015)


@pytest.fixture(scope="module")
def shipped() -> HACK:
    return hack_model.load(dtype="float64")


@pytest.fixture(scope="module")
def inner(shipped: HACK) -> np.ndarray:
    regions = dict(zip(shipped.asset.region_names, shipped.asset.region_weights, strict=True))
    return np.flatnonzero((regions["mouth_interior"] > 0.5) | (regions["eye_sockets"] > 0.5))


@pytest.fixture(scope="module")
def chart(shipped: HACK, inner: np.ndarray) -> LarynxChart:
    asset = shipped.asset
    template = asset.template.astype(float)
    return make_larynx(template, vertex_normals(template, asset.faces), asset.part("skin").stop, inner)


@pytest.fixture(scope="module")
def model(shipped: HACK, chart: LarynxChart) -> HACK:
    fields = {
        "larynx_map": chart.map,
        "larynx_forward_map": chart.forward_map,
        "larynx_uv": chart.uv,
        "larynx_direction": chart.direction,
        "larynx_metres_per_v": chart.metres_per_v,
    }
    return HACK.from_asset(replace(shipped.asset, **fields), dtype="float64")


def lift(model: HACK, shape: np.ndarray | None = None, **larynx: float) -> np.ndarray:
    return (model(shape, **larynx).rest - model(shape).rest) @ model.asset.larynx_direction.astype(float)


@given(st.floats(-0.04, 0.04), st.floats(-0.07, 0.07))
def test_maps_are_symmetric_hills_that_end_inside_the_chart(across: float, along: float):
    place, height = np.array(across), np.array(along)
    for hill in (bump, forward):
        assert 0 <= hill(place, height) <= 1
        assert hill(place, height) == pytest.approx(float(hill(-place, height)))
    assert bump(place, np.array(0.024)) == bump(place, np.array(-0.044)) == bump(np.array(0.034), height) == 0
    assert forward(place, np.array(0.028)) == forward(place, np.array(-0.048)) == forward(np.array(0.03), height) == 0


def test_prominence_lies_below_the_hyoid_in_front_of_the_lower_neck(model: HACK, inner: np.ndarray):
    template = model.asset.template.astype(float)
    outer = np.setdiff1d(np.arange(model.asset.part("skin").stop), inner)
    line = throat_line(template[outer])
    np.testing.assert_allclose(np.linalg.norm(np.diff(line, axis=0), axis=1), 0.001, atol=1e-5)
    hyoid = line[bend(line)]
    top = template[lift(model, larynx_size=1.0).argmax()]
    assert abs(top[0]) < 1e-6
    assert np.linalg.norm(top[1:] - hyoid) == pytest.approx(BELOW_HYOID, abs=0.004)
    c4c5, c6c7 = model.joint_template[[3, 1], 1]
    assert c6c7 - 0.002 < top[1] < c4c5
    chin = template[outer][template[outer, 2] > 0.1]
    assert top[1] < hyoid[0] < chin[:, 1].max()
    assert 0.35 < -model.asset.larynx_direction[1] < 0.5


@pytest.mark.parametrize("shift", SHIFTS)
def test_bump_keeps_its_shape_wherever_it_slides(model: HACK, chart: LarynxChart, shift: float):
    """Heights along the throat's median line are the unshifted ones, moved by the slide along the skin."""
    template = model.asset.template.astype(float)
    middle = np.flatnonzero((np.abs(template[:, 0]) < 1e-6) & (chart.uv[:, 0] > 0))
    middle = middle[np.argsort(chart.uv[middle, 1])]
    points = template[middle, 1:]
    arc = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    arc += (chart.uv[middle[0], 1] - 0.5) * HEIGHT
    heights = lift(model, larynx_size=1.0, larynx_shift=shift)[middle]
    np.testing.assert_allclose(heights, PEAK * bump(np.zeros(len(arc)), arc - shift), atol=5e-4)
    glide = lift(model, larynx_forward=1.0, larynx_shift=shift)[middle]
    np.testing.assert_allclose(glide, forward(np.zeros(len(arc)), arc - shift), atol=0.04)
    assert glide.max() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("shift", [*SHIFTS, 0.02, -0.02])
def test_skin_neither_tears_nor_folds(model: HACK, shift: float):
    rest = model().rest
    corners = model.asset.faces[(model.asset.faces >= 0).all(axis=1)]
    edges = np.unique(np.sort(np.concatenate([corners[:, [i, (i + 1) % 4]] for i in range(4)]), axis=1), axis=0)
    posed = model(larynx_size=1.0, larynx_shift=shift, larynx_forward=0.0069).rest
    length, moved = (np.linalg.norm(np.diff(points[edges], axis=1)[:, 0], axis=1) for points in (rest, posed))
    stretch = (moved / length)[length > 1e-4]
    assert stretch.min() > 0.5
    assert stretch.max() < 1.7
    apart = np.abs(np.diff(lift(model, larynx_size=1.0, larynx_shift=shift, larynx_forward=0.0069)[edges], axis=1))
    assert (apart[:, 0] < 1.3 * length)[length > 1e-4].all(), "a jump between neighbours"


@pytest.mark.parametrize("shift", [-0.02, 0.0, 0.02])
def test_jaw_chin_and_chest_stay(model: HACK, shift: float):
    template = model.asset.template
    moved = np.abs(lift(model, larynx_size=1.5, larynx_shift=shift, larynx_forward=0.01))
    assert moved.max() > 0.01
    assert moved[template[:, 2] > 0.085].max() == 0
    assert moved[template[:, 1] > -0.0765].max() < 5e-4  # the floor of the mouth, at the jaw's edge
    assert moved[template[:, 1] < -0.165].max() < 1e-5
    assert moved[np.abs(template[:, 0]) > 0.035].max() == 0
    assert moved[template[:, 2] < 0.0].max() == 0


def test_shipped_model_has_this_larynx(shipped: HACK, chart: LarynxChart):
    asset = shipped.asset
    np.testing.assert_allclose(asset.larynx_map, chart.map, atol=1e-7)
    np.testing.assert_allclose(asset.larynx_forward_map, chart.forward_map, atol=1e-7)
    np.testing.assert_allclose(asset.larynx_direction, chart.direction, atol=1e-3)
    np.testing.assert_array_equal(asset.larynx_uv[:, 0] < 0, chart.uv[:, 0] < 0)
    np.testing.assert_allclose(asset.larynx_uv, chart.uv, atol=2e-4)
    sex = asset.directions[asset.direction_names.index("sex")].astype(float)
    rise = [lift(shipped, shape=step * sex, larynx_size=1.0).max() for step in (-1, 0, 1)]
    np.testing.assert_allclose(np.array(rise) / rise[1], [1 / 1.309, 1, 1.309], atol=0.002)


def test_a_step_of_sex_is_half_the_way_between_mens_and_womens_angles():
    """Two laminae at an angle a project by cot(a / 2) of their half distance: 1.71 times as far in men."""
    sex = np.random.default_rng(0).normal(size=40)
    identity = identity_direction(sex)
    men, women = np.exp(identity @ sex), np.exp(identity @ -sex)
    assert men / women == pytest.approx(np.tan(np.radians(93.3) / 2) / np.tan(np.radians(63.5) / 2))
    assert men / women == pytest.approx(1.713, abs=0.002)
    assert 1000 * PEAK * np.array([men, women]) == pytest.approx([11.65, 6.80], abs=0.02)
    other = np.random.default_rng(1).normal(size=40)
    other -= sex * (other @ sex) / (sex @ sex)
    assert identity @ other == pytest.approx(0, abs=1e-12)
