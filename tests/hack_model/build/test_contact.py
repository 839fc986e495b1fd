"""Contact at rest: lips that touch, lids on the eyeballs, and displacements that keep both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from hack_model.build import dentition, eyes, lashes
from hack_model.build.assemble import Control, Geometry
from hack_model.build.contact import lip_pairs, rest_contact
from hack_model.build.head import Head
from hack_model.build.lids import find_lids, seat_lids
from hack_model.build.lips import close_lips
from hack_model.build.parts import Part
from hack_model.build.symmetry import mirror_of_parts


@dataclass(frozen=True)
class Built:
    head: Head
    parts: list[Part]
    control: Control

    def field(self, seed: int) -> np.ndarray:
        """A smooth random displacement of the control vertices by millimetres."""
        random = np.random.default_rng(seed)
        points = self.control.rows @ self.head.base
        waves = random.normal(size=(3, 40)) * 70
        return 0.001 * np.sin(points @ waves + random.uniform(0, 6, 40)) @ random.normal(size=(40, 3))

    def kept(self, field: np.ndarray) -> np.ndarray:
        for seat in rest_contact(self.head, self.control, self.parts):
            field = seat(field)
        return field

    def carried(self, field: np.ndarray) -> np.ndarray:
        return np.stack([self.control.matrix() @ field[:, axis] for axis in range(3)], axis=1)


@pytest.fixture(scope="module")
def built(head: Head) -> Built:
    closed = close_lips(seat_lids(head))
    parts = [closed.skin, *eyes.build(closed), *dentition.build(closed), *lashes.build(closed)]
    return Built(closed, parts, Control.of(parts, Geometry.join(parts, mirror_of_parts(parts)).mirror))


def test_touching_lips_are_found_along_the_whole_mouth(built: Built):
    pairs, head = lip_pairs(built.head), built.head
    x = head.skin.vertices[pairs.first, 0]
    assert np.histogram(x, np.linspace(-0.0235, 0.0235, 16))[0].min() >= 3
    assert np.linalg.norm(pairs.difference(head.skin.vertices), axis=1).max() < 0.0015
    mirrored = {tuple(pair) for pair in head.skin_mirror[np.column_stack([pairs.first, pairs.second])]}
    assert mirrored == set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_lips_stay_closed(built: Built, seed: int):
    pairs, field = lip_pairs(built.head), built.field(seed)
    before, after = (
        np.abs(pairs.difference(built.carried(values))[:, 1]).mean() for values in (field, built.kept(field))
    )
    assert before > 0.0001
    assert after < 0.25 * before


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("side", ["left", "right"])
def test_lids_stay_on_the_eyeballs(built: Built, side: str, seed: int):
    """Heights over the eyeball, whose own (affine) motion is taken out, are the template's."""
    ring = find_lids(built.head, side).rings[0]
    ball = find_lids(built.head, side).ball
    names = [part.name for part in built.parts]
    start = sum(len(part.vertices) for part in built.parts[: names.index(f"eye_{side}")])
    eye = built.parts[names.index(f"eye_{side}")].vertices

    def lift(field: np.ndarray) -> float:
        moved = built.carried(field)[start : start + len(eye)]
        frame = np.column_stack([np.ones(len(eye)), eye])
        affine = np.linalg.lstsq(frame, moved, rcond=None)[0]
        points = built.head.base[ring]
        own = (
            field[np.searchsorted(built.head.skin_control, ring)]
            - np.column_stack([np.ones(len(ring)), points]) @ affine
        )
        radial = points - ball.centre
        return float(np.abs(np.einsum("nc,nc->n", own, radial)).max() / np.linalg.norm(radial, axis=1).mean())

    field = built.field(seed)
    assert lift(field) > 0.0004
    assert lift(built.kept(field)) < 0.15 * lift(field)


def test_the_rest_stays_as_it_is(built: Built):
    field = built.field(3)
    kept = built.kept(field)
    points = built.control.rows @ built.head.base
    places = np.concatenate(
        [built.head.skin.vertices[lip_pairs(built.head).first]]
        + [built.head.base[find_lids(built.head, side).rings[:3].ravel()] for side in ("left", "right")]
    )
    far = np.linalg.norm(points[:, None] - places[None, ::7], axis=2).min(axis=1) > 0.04
    assert far.sum() > 1000
    assert np.abs(kept - field)[far].max() < 1e-6
    np.testing.assert_allclose(built.kept(np.stack([field, -2 * field])), [kept, -2 * kept], atol=1e-12)


def test_a_translation_keeps_all_contacts(built: Built):
    moved = np.full((len(built.control.rows.indptr) - 1, 3), 0.01)
    np.testing.assert_allclose(built.kept(moved), moved, atol=1e-9)
