from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hack_model import AssetError
from hack_model.basis import Basis, Refinement


def random_refinement(random: np.random.Generator, vertices: int, control: int) -> Refinement:
    places = random.integers(0, control, (vertices, 4))
    weights = random.dirichlet(np.ones(4), vertices) * (random.uniform(size=(vertices, 4)) < 0.8)
    return Refinement(places, weights, control)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1), st.booleans())
def test_every_form_says_the_same(seed: int, share: float, refined: bool) -> None:
    random = np.random.default_rng(seed)
    control = random.normal(size=(5, 30, 3)).astype(np.float32) * (random.uniform(size=(5, 30, 1)) < share)
    refinement = random_refinement(random, 50, 30) if refined else None
    basis = Basis.on_control(control, refinement) if refinement else Basis.of(control)
    matrix = np.eye(30)
    if refinement:
        matrix = np.zeros((50, 30))
        np.add.at(matrix, (np.arange(50)[:, None], refinement.vertices), refinement.weights)
    wanted = np.einsum("vc,rcx->rvx", matrix, control)
    assert len(basis) == 5
    assert basis.shape == wanted.shape
    np.testing.assert_allclose(basis.dense(), wanted, atol=1e-5)
    np.testing.assert_allclose(np.asarray(basis), wanted, atol=1e-5)
    np.testing.assert_array_equal(basis.control(), control)
    chosen = random.integers(0, wanted.shape[1], (4, 3))
    np.testing.assert_allclose(basis.at(chosen), wanted[:, chosen], atol=1e-5)
    assert basis.at(np.zeros(0, int)).shape == (5, 0, 3)
    np.testing.assert_allclose(basis[[3, 1]].dense(), wanted[[3, 1]], atol=1e-5)
    np.testing.assert_allclose(basis[1:4].at(chosen), wanted[1:4, chosen], atol=1e-5)
    assert set(np.flatnonzero(np.abs(wanted).max(axis=(0, 2), initial=0) > 1e-6)) <= set(basis.support)
    order = random.permutation(len(basis.pairs))
    again = Basis.from_pairs(5, 30, basis.pairs[order], basis.values.reshape(-1, 3)[order], refinement)
    np.testing.assert_array_equal(again.dense(), basis.dense())


def test_the_smaller_form_is_taken() -> None:
    few = np.zeros((10, 1000, 3))
    few[:, :50] = 1e-3
    assert Basis.of(few).nbytes < 0.1 * few.size * 4
    assert Basis.of(few + 1).nbytes == few.size * 4


def test_rows_are_not_taken_one_by_one() -> None:
    basis = Basis.of(np.ones((2, 3, 3)))
    for wrong in (lambda: basis[0], lambda: list(basis)):  # pyright: ignore
        with pytest.raises((IndexError, TypeError)):
            wrong()


@pytest.mark.parametrize("vertices", [[-1], [30], [[0, 99]]])
@pytest.mark.parametrize("share", [0.1, 1.0])
def test_vertices_outside_the_mesh_are_refused(vertices: list[int], share: float) -> None:
    values = np.ones((2, 30, 3)) * (np.arange(30) < 30 * share)[:, None]
    with pytest.raises(IndexError):
        Basis.of(values).at(np.array(vertices))


def test_values_cannot_be_written_to_and_are_not_shared() -> None:
    values = np.ones((2, 3, 3), np.float32)
    basis = Basis.of(values)
    values[:] = 5
    assert basis.dense().max() == 1
    with pytest.raises(ValueError, match="read-only"):
        basis.values[:] = 0


@pytest.mark.parametrize(
    ("pairs", "values", "message"),
    [
        ([[0, 0], [0, 0]], np.ones((2, 3)), "do not ascend"),
        ([[2, 0]], np.ones((1, 3)), "rows outside 0…1"),
        ([[0, 9]], np.ones((1, 3)), "vertices outside 0…8"),
        ([[0, 1]], np.ones((2, 3)), "pairs of shape"),
        ([[0, 1]], np.full((1, 3), np.nan), "not finite"),
    ],
)
def test_wrong_pairs_are_refused(pairs: list[list[int]], values: np.ndarray, message: str) -> None:
    with pytest.raises(AssetError, match=message):
        Basis.from_pairs(2, 9, np.array(pairs), values)


def test_wrong_refinements_are_refused() -> None:
    for vertices, weights, message in (
        (np.full((4, 2), 9), np.ones((4, 2)), "indices outside 0…8"),
        (np.zeros((4, 2), int), np.ones((4, 3)), "damaged"),
        (np.zeros((4, 2)), np.ones((4, 2)), "damaged"),
        (np.zeros((4, 2), int), np.full((4, 2), np.inf), "not finite"),
    ):
        with pytest.raises(AssetError, match=message):
            Refinement(vertices, weights, 9)
    with pytest.raises(AssetError, match="control vertices"):
        Basis(np.ones((1, 4, 3)), 4, refinement=Refinement(np.zeros((4, 2), int), np.ones((4, 2)), 9))
