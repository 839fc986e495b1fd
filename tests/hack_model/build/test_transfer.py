"""Deformation transfer, and the linear space of personalised expressions learned from it."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hack_model.build.transfer.gradients import Directed, Source, Term, Transfer
from hack_model.build.transfer.learn import Samples, Space, learn

SIDE = 9


def sheet() -> tuple[np.ndarray, np.ndarray]:
    """A curved square of quads."""
    across, along = np.meshgrid(np.linspace(-1, 1, SIDE), np.linspace(-1, 1, SIDE), indexing="ij")
    vertices = np.column_stack([across.ravel(), along.ravel(), 0.3 * np.cos(across * along * 2).ravel()])
    first = (np.arange(SIDE - 1)[:, None] * SIDE + np.arange(SIDE - 1)).ravel()
    return vertices, np.column_stack([first, first + SIDE, first + SIDE + 1, first + 1])


def bumps(vertices: np.ndarray, seed: int = 0) -> np.ndarray:
    """Two smooth expressions that leave the sheet's border still."""
    random = np.random.default_rng(seed)
    inside = np.clip(1 - np.abs(vertices[:, :2]).max(axis=1), 0, None)
    waves = np.sin(vertices @ random.normal(size=(2, 3, 3)) * 2)
    return 0.3 * inside[None, :, None] * waves


def person(vertices: np.ndarray, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return vertices + 0.1 * np.sin(vertices @ random.normal(size=(3, 3)) * 1.5)


@pytest.mark.parametrize("seed", range(3))
def test_transfer_to_the_source_gives_the_sources_expressions(seed: int):
    vertices, faces = sheet()
    expressions = bumps(vertices, seed)
    np.testing.assert_allclose(Source(vertices, faces, expressions).to(vertices), expressions, atol=1e-9)


def test_growth_is_the_same_in_every_direction_off_the_surface_too():
    vertices, faces = sheet()
    vertices[:, 0] += 3.0  # away from the origin, where a growing vertex would count as still
    (gradients,) = Source(vertices, faces, 0.5 * vertices[None]).gradients
    np.testing.assert_allclose(gradients, np.broadcast_to(0.5 * np.eye(3), gradients.shape), atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 99),
    scale=st.floats(0.3, 3),
    offset=st.tuples(*[st.floats(-2, 2)] * 3),
    turn=st.tuples(*[st.floats(-3, 3)] * 3),
)
def test_similar_targets_have_similar_expressions(
    seed: int, scale: float, offset: tuple[float, float, float], turn: tuple[float, float, float]
):
    """A target moved and scaled has the displacements scaled; source and target turned together have them turned."""
    vertices, faces = sheet()
    expressions, target = bumps(vertices), person(vertices, seed)
    own = Source(vertices, faces, expressions).to(target)
    moved = Source(vertices, faces, expressions).to(scale * target + offset)
    np.testing.assert_allclose(moved, scale * own, atol=1e-8)
    rotation = Rotation.from_rotvec(turn).as_matrix()
    turned = Source(vertices @ rotation.T, faces, expressions @ rotation.T).to(target @ rotation.T)
    border = np.abs(expressions).max(axis=(0, 2)) == 0
    assert np.abs(own[:, border]).max() == 0
    np.testing.assert_allclose(turned, own @ rotation.T, atol=1e-6)


def test_triangles_keep_the_sources_gradients():
    """On a target of double width an expression across it is twice as large."""
    vertices, faces = sheet()
    vertices[:, 2] = 0
    expressions = np.zeros((1, len(vertices), 3))
    expressions[0, :, 0] = 0.2 * (1 - np.abs(vertices[:, 0]))
    own = Source(vertices, faces, expressions).to(vertices * [2, 1, 1])
    np.testing.assert_allclose(own, 2 * expressions, atol=1e-9)


def test_terms_are_met_beside_the_gradients():
    vertices, faces = sheet()
    expressions, target = bumps(vertices)[:1], person(vertices, 4)
    first, second = SIDE * 3 + 4, SIDE * 5 + 4
    rows = sp.csr_matrix(([1.0, -1.0], ([0, 0], [first, second])), (1, len(vertices)))
    wanted = np.array([[0.05, 0.02, -0.03]])
    free = Source(vertices, faces, expressions).to(target)[0]
    held = Source(vertices, faces, expressions).to(target, [[Term(rows, wanted, np.array([1e4]))]])[0]
    assert np.linalg.norm(free[first] - free[second] - wanted[0]) > 0.01
    np.testing.assert_allclose(held[first] - held[second], wanted[0], atol=1e-4)


def test_directed_terms_leave_the_other_directions_alone():
    vertices, faces = sheet()
    expressions, target = bumps(vertices)[:1], person(vertices, 4)
    point = SIDE * 4 + 4
    rows = sp.csr_matrix(([1.0], ([0], [point])), (1, len(vertices)))
    normal = np.array([[0.6, 0.0, 0.8]])
    transfer = Transfer(Source(vertices, faces, expressions), target)
    free = transfer(0)
    wanted = normal @ free[point] + 0.07
    held = transfer(0, [Directed(rows, normal, wanted, np.array([1e4])).about(free)])
    np.testing.assert_allclose(held[point], free[point] + 0.07 * normal[0], atol=1e-4)


def people(count: int = 60, seed: int = 0, curved: float = 0.0) -> tuple[Samples, np.ndarray]:
    """People whose corrections are linear in shape (of rank 3) with something ``curved`` added."""
    random = np.random.default_rng(seed)
    shapes = random.normal(size=(count, 8))
    truth = np.einsum(
        "sm,mnc->snc", np.random.default_rng(5).normal(size=(8, 3)), np.random.default_rng(6).normal(size=(3, 12, 3))
    )
    corrections = np.einsum("is,snc->inc", shapes, truth) + curved * (shapes[:, :1, None] ** 2 - 1)
    pairs = np.column_stack([np.repeat([0, 1], 6), np.tile(np.arange(6), 2)])
    return Samples(shapes, corrections.astype(np.float32), pairs, np.arange(count), np.ones(8)), truth


NOTHING = sp.csr_matrix((1, 12))


def test_a_linear_dependence_is_found_again():
    samples, truth = people()
    space = learn(samples, np.ones(12), NOTHING, 1.0, 3)
    shapes = np.random.default_rng(9).normal(size=(5, 8))
    np.testing.assert_allclose(space(shapes), np.einsum("is,snc->inc", shapes, truth), atol=0.03)
    assert space(np.zeros(8)) == pytest.approx(0, abs=0)


def test_fewer_components_lose_the_least_in_the_metric():
    """With weight on some pairs one component serves those best; contact counts like them."""
    samples, _ = people()
    truth = learn(samples, np.ones(12), NOTHING, 1.0, 3)(samples.shapes)

    def error(space: Space, part: slice) -> float:
        return float(((space(samples.shapes) - truth)[:, part] ** 2).mean())

    few, rest = slice(0, 2), slice(2, 12)
    even = learn(samples, np.ones(12), NOTHING, 1.0, 1)
    weighted = learn(samples, np.r_[100.0, 100.0, np.ones(10)], NOTHING, 1.0, 1)
    contact = learn(samples, np.ones(12), sp.csr_matrix(np.eye(12)[:2]), 100.0, 1)
    for space in (weighted, contact):
        assert error(space, few) < 0.9 * error(even, few)
        assert error(space, rest) > error(even, rest)


def test_noise_asks_for_a_firmer_ridge():
    quiet, noisy = people()[0], people(curved=6.0)[0]
    ridges = [learn(samples, np.ones(12), NOTHING, 1.0, 3).ridge for samples in (quiet, noisy)]
    assert ridges[0] < ridges[1]


def test_mirror_images_count_as_people():
    samples, _ = people()
    signs, rows, vertices = np.r_[np.ones(4), -np.ones(4)], np.array([1, 0]), np.array([1, 0, 2, 4, 3, 5])
    both = samples.with_mirror_images(signs, rows, vertices)
    assert len(both.shapes) == 2 * len(samples.shapes)
    np.testing.assert_array_equal(both.shapes[60:], samples.shapes * signs)
    np.testing.assert_allclose(both.corrections[60, 6 + 1], samples.corrections[0, 0] * [-1, 1, 1])  # row 0, vertex 0
    again = both.with_mirror_images(signs, rows, vertices)
    np.testing.assert_allclose(again.corrections[180:], samples.corrections)
    assert (both.groups[60:] == samples.groups).all()
