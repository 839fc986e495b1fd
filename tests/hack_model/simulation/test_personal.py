"""Learning the part of the correctives that depends on shape."""

from __future__ import annotations

import numpy as np
import pytest

from hack_model.simulation.personal import LARGEST, STEP, Meshes, best_ridge, learn_personal

SHAPES, FEATURES, VERTICES, POSES = 30, 6, 20, 12
WEIGHTS = np.where(np.arange(SHAPES) < 3, 1.0, 0.01)
"""The first three shapes move the skin most."""


def _meshes(truth: np.ndarray, pairs: int = 15, noise: float = 0.0, seed: int = 0) -> Meshes:
    """The mean and pairs of opposites, whose residual is what ``truth`` (S, K, k, 3) says, and noise."""
    random = np.random.default_rng(seed)
    drawn = random.normal(size=(pairs, SHAPES))
    people = np.concatenate([np.zeros((1, SHAPES)), np.stack([drawn, -drawn], axis=1).reshape(-1, SHAPES)])
    person = np.repeat(np.arange(len(people)), POSES)
    features = 0.1 * random.normal(size=(len(person), FEATURES))
    residual = np.einsum("ns,nf,sfkc->nkc", people[person], features, truth)
    return Meshes(features, people[person], person, residual + noise * random.normal(size=residual.shape))


@pytest.fixture
def truth() -> np.ndarray:
    """Three shapes change two of the correctives, at half of the vertices."""
    result = np.zeros((SHAPES, FEATURES, VERTICES, 3))
    result[:3, :2, ::2] = np.random.default_rng(1).normal(size=(3, 2, VERTICES // 2, 3)) * 1e-1
    return result


def test_what_shape_tells_is_found(truth: np.ndarray) -> None:
    found = learn_personal(_meshes(truth, noise=1e-4), WEIGHTS)
    assert found is not None
    assert found.told > 0.9
    new = _meshes(truth, seed=5)
    values = np.zeros((len(found.basis), FEATURES, VERTICES, 3))
    values[:, found.pairs[:, 0], found.pairs[:, 1]] = found.basis
    said = np.einsum("ns,qs,nf,qfkc->nkc", new.shapes, found.map, new.features, values)
    assert np.linalg.norm(said - new.residual) < 0.15 * np.linalg.norm(new.residual)
    assert np.abs(found.basis / STEP - np.rint(found.basis / STEP)).max() < 1e-6
    assert LARGEST / 2 < np.abs(found.basis).max() <= LARGEST + STEP


def test_the_prior_is_as_strong_as_the_noise_asks(truth: np.ndarray) -> None:
    weak, strong = (best_ridge(_meshes(truth, noise=noise), WEIGHTS)[0] for noise in (1e-3, 3e-2))
    assert weak < strong


def test_what_shape_does_not_tell_is_not_kept(truth: np.ndarray) -> None:
    """Opposites leave the same behind, which no linear function of shape does."""
    meshes = _meshes(truth)
    same = Meshes(meshes.features, np.abs(meshes.shapes), meshes.person, meshes.residual)
    even = np.einsum("ns,nf,sfkc->nkc", np.cos(3 * same.shapes), same.features, truth)
    assert learn_personal(Meshes(meshes.features, meshes.shapes, meshes.person, even), WEIGHTS) is None
    noise = np.random.default_rng(2).normal(size=meshes.residual.shape) * 1e-3
    assert learn_personal(Meshes(meshes.features, meshes.shapes, meshes.person, noise), WEIGHTS) is None


def test_opposites_are_left_out_together() -> None:
    """Each pair has a shape of its own: whoever knows the opposite knows all, everyone else nothing."""
    random = np.random.default_rng(3)
    people = np.zeros((11, SHAPES))
    for pair in range(5):
        people[2 * pair + 1, pair], people[2 * pair + 2, pair] = 1, -1
    person = np.repeat(np.arange(11), POSES)
    features = random.normal(size=(len(person), FEATURES))
    truth = random.normal(size=(SHAPES, FEATURES, VERTICES, 3)) * 1e-3
    residual = np.einsum("ns,nf,sfkc->nkc", people[person], features, truth)
    assert best_ridge(Meshes(features, people[person], person, residual), np.ones(SHAPES))[1] == pytest.approx(0)


def test_as_few_pairs_and_components_as_told(truth: np.ndarray) -> None:
    found = learn_personal(_meshes(truth, noise=1e-4), WEIGHTS, components=2, pairs=20)
    assert found is not None
    assert found.basis.shape == (2, 20, 3)
    assert found.map.shape == (2, SHAPES)
    assert set(found.pairs[:, 0]) == {0, 1}  # those that move most
    assert not (found.pairs[:, 1] % 2).any()
    order = np.lexsort((found.pairs[:, 1], found.pairs[:, 0]))
    assert np.array_equal(order, np.arange(20))
