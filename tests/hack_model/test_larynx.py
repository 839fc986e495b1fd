"""The swallow's curve, the forward glide and the identity's part in the prominence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hack_model import HACK, ModelAsset, ParameterError
from hack_model.larynx import SWALLOW_DURATION, SWALLOW_FORWARD, SWALLOW_RISE, swallow
from tests.support.synthetic import LARYNX_METRES_PER_V, synthetic_asset


@pytest.fixture(scope="module")
def asset() -> ModelAsset:
    return synthetic_asset()


@pytest.fixture(scope="module")
def exact(asset: ModelAsset) -> HACK:
    return HACK.from_asset(asset, dtype="float64")


def test_swallow_has_the_published_extent() -> None:
    times = np.linspace(0, SWALLOW_DURATION, 2001)
    shift, forward = swallow(times)
    assert (SWALLOW_DURATION, SWALLOW_RISE, SWALLOW_FORWARD) == (1.13, 0.0104, 0.0069)
    assert shift.max() == pytest.approx(0.0104)
    assert forward.max() == pytest.approx(0.0069)
    assert np.argmax(shift) < np.argmax(forward), "up first, then forward"
    assert forward[np.searchsorted(shift[:700], 0.5 * SWALLOW_RISE)] < 0.05 * SWALLOW_FORWARD
    assert min(shift.min(), forward.min()) >= 0


@given(
    st.floats(0.2, 5),
    st.floats(-0.02, 0.02),
    st.floats(-0.02, 0.02),
    st.lists(st.floats(-3, 8), min_size=1, max_size=9),
)
def test_swallow_is_at_rest_outside_and_never_jumps(
    duration: float, rise: float, forward: float, times: list[float]
) -> None:
    moved = swallow(times, duration=duration, rise=rise, forward=forward)
    for values, extent in zip(moved, (rise, forward), strict=True):
        outside = (np.array(times) <= 0) | (np.array(times) >= duration)
        np.testing.assert_allclose(values[outside], 0, atol=1e-12)
        assert (np.abs(values) <= abs(extent) * (1 + 1e-9)).all()
    nearby = np.array(times) + 1e-6
    for first, second in zip(moved, swallow(nearby, duration=duration, rise=rise, forward=forward), strict=True):
        # The steepest part goes its way in a quarter of the time, at 1.5 times the mean speed.
        np.testing.assert_allclose(first, second, atol=1e-6 * 0.02 * 1.5 * 4 / duration)


def test_velocity_of_a_swallow_is_continuous_and_zero_at_its_ends() -> None:
    times = np.linspace(-0.1, 1.3, 14001)
    for values in swallow(times):
        velocity = np.gradient(values, times)
        assert np.abs(velocity[np.abs(times) < 1.5e-4]).max() < 1e-4
        assert np.abs(velocity[np.abs(times - SWALLOW_DURATION) < 1.5e-4]).max() < 1e-4
        assert np.abs(np.diff(velocity)).max() < 2e-4, "a jump of the velocity, metres per second"


@pytest.mark.parametrize(
    ("t", "options", "message"),
    [
        ("now", {}, "t: wanted seconds, got 'now'"),
        (np.array(["now"]), {}, "t: wanted seconds, got array"),
        ([0.1, "x"], {}, "t: wanted seconds"),
        (None, {}, "t: wanted seconds, got None"),
        (0.1, {"duration": "long"}, "duration: wanted a finite number, got 'long'"),
        (0.1, {"duration": float("nan")}, "duration: wanted a finite number"),
        (0.1, {"duration": 0}, "more than zero"),
        (0.1, {"rise": float("inf")}, "rise: wanted a finite number"),
        (0.1, {"forward": None}, "forward: wanted a finite number"),
    ],
)
def test_what_is_no_number_of_seconds_or_metres_is_refused(t: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        swallow(t, **options)


def test_swallow_takes_numbers_and_tensors_and_gradients_flow() -> None:
    times = torch.tensor([0.1, 0.35, 0.9], dtype=torch.float64, requires_grad=True)
    shift, forward = swallow(times)
    np.testing.assert_allclose(shift.detach().numpy(), swallow(times.detach().numpy()).shift)
    (shift.sum() + forward.sum()).backward()
    assert (times.grad != 0).all()
    assert float(swallow(0.5).shift) == pytest.approx(float(swallow([0.5]).shift[0]))
    with pytest.raises(ParameterError, match="duration: wanted more than zero"):
        swallow(times, duration=0.0)


def test_forward_glide_is_its_map_whatever_the_size(asset: ModelAsset, exact: HACK) -> None:
    """A ramp makes the rule visible: read like the bump, slid with it, in metres per metre."""
    ramp = np.zeros((11, 11))
    ramp[1:-1, 1:-1] = np.arange(1, 10)[:, None] * 0.1
    model = HACK.from_asset(replace(asset, larynx_map=np.zeros((11, 11)), larynx_forward_map=ramp), dtype="float64")
    for shift, forward in ((0.0, 0.01), (0.0071, 0.006), (-0.02, -0.01)):
        for size in (None, 0.0, 1.7):
            moved = (model(larynx_forward=forward, larynx_shift=shift, larynx_size=size).rest - asset.template) @ (
                asset.larynx_direction.astype(float)
            )
            for vertex in np.flatnonzero(asset.larynx_uv[:, 0] >= 0):
                u, v = asset.larynx_uv[vertex].astype(float)
                row = (v - shift / LARYNX_METRES_PER_V) * 10
                if 0.1 < u < 0.9 and 0 <= v <= 1 and 0 <= row <= 9:
                    assert moved[vertex] == pytest.approx(forward * row * 0.1, abs=1e-9)


def test_bump_and_glide_add_up(exact: HACK) -> None:
    rest = exact().rest
    both = exact(larynx_size=[0.5, 1.2], larynx_forward=0.005, larynx_shift=[[0.003], [0.0]]).rest - rest
    bump = exact(larynx_size=[0.5, 1.2], larynx_shift=[[0.003], [0.0]]).rest - rest
    glide = exact(larynx_forward=0.005, larynx_shift=[[0.003], [0.0]]).rest - rest
    np.testing.assert_allclose(both, bump + glide, atol=1e-15)
    assert np.abs(bump - bump[0]).max() > 1e-3
    assert np.abs(glide).max() > 1e-3


def test_prominence_follows_the_identity(asset: ModelAsset, exact: HACK) -> None:
    shape = np.random.default_rng(1).normal(size=(4, len(asset.shape_basis)))
    lift = exact(shape=shape, larynx_size=0.7).rest - exact(shape=shape).rest
    mean = exact(larynx_size=0.7).rest - exact().rest
    factor = np.exp(shape @ asset.larynx_identity.astype(float))
    assert np.ptp(factor) > 0.1
    np.testing.assert_allclose(lift, factor[:, None, None] * mean, atol=1e-12)
    glide = exact(shape=shape, larynx_forward=0.004).rest - exact(shape=shape).rest
    np.testing.assert_allclose(glide, np.broadcast_to(glide[0], glide.shape), atol=1e-12)
    plain = HACK.from_asset(replace(asset, larynx_identity=np.zeros(0)), dtype="float64")
    lift = plain(shape=shape, larynx_size=0.7).rest - plain(shape=shape).rest
    np.testing.assert_allclose(lift, np.broadcast_to(mean, lift.shape), atol=1e-12)


def test_glide_of_a_model_without_its_map(asset: ModelAsset) -> None:
    model = HACK.from_asset(replace(asset, larynx_forward_map=np.zeros((0, 0))))
    assert np.array_equal(model(larynx_forward=np.zeros(3), larynx_size=1).rest, model(larynx_size=1).rest)
    with pytest.raises(ParameterError, match=r"larynx_forward: this model has no map .* leave it at 0"):
        model(larynx_forward=[0.0, 0.001])
