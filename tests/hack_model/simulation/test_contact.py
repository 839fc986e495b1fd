from __future__ import annotations

import numpy as np
import pytest

from hack_model.simulation.contact import Contact
from hack_model.simulation.measure import crossings


def _sheets(gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Two sheets of 6 cm that face each other across ``gap``, joined nowhere."""
    step = np.linspace(-0.03, 0.03, 7)
    x, z = (array.ravel() for array in np.meshgrid(step, step, indexing="ij"))
    lower = np.column_stack([x, np.zeros(49), z])
    cell = (np.arange(6)[:, None] * 7 + np.arange(6)).ravel()
    up = np.concatenate([np.stack([cell, cell + 1, cell + 7], 1), np.stack([cell + 1, cell + 8, cell + 7], 1)])
    upper = lower * [0.97, 1, 0.97] + [0.001, gap, 0.002]
    return np.concatenate([lower, upper]), np.concatenate([up, up[:, ::-1] + 49])


@pytest.mark.parametrize(("gap", "touches"), [(0.004, False), (0.0005, True), (-0.003, True)])
def test_sheets_push_each_other_apart(gap: float, touches: bool) -> None:
    skin, triangles = _sheets(gap)
    pairs = Contact.of(_sheets(0.1)[0], triangles).pairs(skin)
    gradient, _ = pairs.derivatives(skin)
    assert (pairs.energy(skin) > 0) == touches
    if touches:
        assert gradient[:49, 1].sum() > 0.01  # force is minus the gradient: the lower sheet goes down
        assert gradient.sum(axis=0) == pytest.approx(0, abs=1e-9)


def test_neighbours_on_one_sheet_do_not_touch() -> None:
    skin, triangles = _sheets(0.1)
    assert not len(Contact.of(skin, triangles).pairs(skin).point)


def test_gradient_and_hessian_are_slopes() -> None:
    skin, triangles = _sheets(0.0004)
    pairs = Contact.of(_sheets(0.1)[0], triangles).pairs(skin)
    way = np.random.default_rng(0).normal(size=skin.shape)
    gradient, blocks = pairs.derivatives(skin)
    slope = (pairs.energy(skin + 1e-7 * way) - pairs.energy(skin - 1e-7 * way)) / 2e-7
    assert (gradient * way).sum() == pytest.approx(slope, rel=1e-5)
    flat = way[pairs.nodes].reshape(len(pairs.point), -1)
    bend = np.einsum("ca,cab,cb->", flat, blocks, flat)
    change = pairs.derivatives(skin + 1e-7 * way)[0] - pairs.derivatives(skin - 1e-7 * way)[0]
    assert bend == pytest.approx((change * way).sum() / 2e-7, rel=1e-5)


def test_crossings_of_sheets() -> None:
    skin, triangles = _sheets(0.1)
    assert not len(crossings(skin, triangles))
    through = skin.copy()
    through[49 + 24, 1] = -0.01
    found = crossings(through, triangles)
    assert len(found)
    assert ((triangles[found] == 49 + 24).any(axis=2)).any(axis=1).all()
