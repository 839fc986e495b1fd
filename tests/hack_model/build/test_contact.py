"""Contact of the lips: pairs that touch, and displacements that keep them touching."""

from __future__ import annotations

import numpy as np
import pytest

from hack_model.build import dentition, eyes, lashes
from hack_model.build.assemble import Control, Geometry
from hack_model.build.contact import LipClosure, lip_pairs
from hack_model.build.head import Head
from hack_model.build.lids import seat_lids
from hack_model.build.lips import close_lips
from hack_model.build.symmetry import mirror_of_parts


@pytest.fixture(scope="module")
def closed(head: Head) -> Head:
    return close_lips(seat_lids(head))


@pytest.fixture(scope="module")
def control(closed: Head) -> Control:
    parts = [closed.skin, *eyes.build(closed), *dentition.build(closed), *lashes.build(closed)]
    return Control.of(parts, Geometry.join(parts, mirror_of_parts(parts)).mirror)


def test_touching_lips_are_found_along_the_whole_mouth(closed: Head):
    pairs = lip_pairs(closed)
    x = closed.skin.vertices[pairs.first, 0]
    assert np.histogram(x, np.linspace(-0.0235, 0.0235, 16))[0].min() >= 4
    assert np.linalg.norm(pairs.difference(closed.skin.vertices), axis=1).max() < 0.0015
    mirrored = {tuple(pair) for pair in closed.skin_mirror[np.column_stack([pairs.first, pairs.second])]}
    assert mirrored == set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


def test_closed_displacements_move_both_lips_alike_and_the_rest_not(closed: Head, control: Control):
    """A smooth random field opens the lips by millimetres; corrected it does not, and far from them it is unchanged."""
    random = np.random.default_rng(0)
    points = control.rows @ closed.base
    waves = random.normal(size=(3, 40)) * 120
    field = 0.0004 * np.sin(points @ waves + random.uniform(0, 6, 40)) @ random.normal(size=(40, 3))
    kept = LipClosure.of(closed, control)(field)
    pairs, skin = lip_pairs(closed), len(closed.skin.vertices)
    carry = np.einsum("vn,vnc->vc", control.weights[:skin], field[control.columns[:skin]])
    closed_carry = np.einsum("vn,vnc->vc", control.weights[:skin], kept[control.columns[:skin]])
    before, after = (np.abs(pairs.difference(values)[:, 1]).max() for values in (carry, closed_carry))
    assert before > 0.0007
    assert after < 0.2 * before
    np.testing.assert_array_equal(kept[:, [0, 2]], field[:, [0, 2]])
    batch = LipClosure.of(closed, control)(np.stack([field, -2 * field]))
    np.testing.assert_allclose(batch, [kept, -2 * kept], atol=1e-12)
    far = np.linalg.norm(points - closed.skin.vertices[pairs.first].mean(axis=0), axis=1) > 0.06
    assert np.abs(kept - field)[far].max() < 1e-6


def test_a_translation_keeps_the_lips_closed(closed: Head, control: Control):
    moved = np.full((len(control.rows.indptr) - 1, 3), 0.01)
    np.testing.assert_allclose(LipClosure.of(closed, control)(moved), moved, atol=1e-12)
