"""A known model makes noisy meshes; training from a wrong template must find it again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hack_model import HACK
from hack_model.asset import ModelAsset
from hack_model.training.dataset import Dataset
from hack_model.training.dynamic import PosedMeshes
from hack_model.training.static import Neutrals, larynx_displacement, learn_larynx
from tests.support.registrations import SHOWN, Plan, first_guess, make_dataset, truth

NOISE = Plan().noise
Learned = tuple[ModelAsset, Path]


@pytest.fixture(scope="module")
def people(learned: Learned, held_out: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Neutrals:
    file = tmp_path_factory.mktemp("people") / "neutral.npy"
    return Neutrals.create(file, held_out, HACK.from_asset(learned[0]), lambda *_: None)


def posed_error(asset: ModelAsset, dataset: Dataset, people: Neutrals) -> float:
    """Root-mean-square error per coordinate, metres."""
    meshes = PosedMeshes.of(dataset, people, asset.expression_names)
    squares = [
        np.mean((vertices - np.swapaxes(output.vertices, 1, 2)) ** 2)
        for _, vertices, output in meshes.predictions(HACK.from_asset(asset))
    ]
    return float(np.sqrt(np.mean(squares)))


def test_held_out_poses_to_noise_level(learned: Learned, held_out: Dataset, people: Neutrals) -> None:
    assert posed_error(learned[0], held_out, people) < NOISE


def test_correctives_weights_and_joints_each_matter(learned: Learned, held_out: Dataset, people: Neutrals) -> None:
    asset, guess = learned[0], first_guess(truth())
    plain = replace(asset, pose_basis=asset.pose_basis[:0], pose_features=asset.pose_features[:0])
    stiff = replace(asset, weights=guess.weights)
    displaced = replace(asset, joint_offsets=asset.joint_offsets + np.float32(0.01))
    for worse in (plain, stiff, displaced):
        assert posed_error(worse, held_out, people) > 4 * NOISE


def test_held_out_identities_to_noise_level(learned: Learned, people: Neutrals) -> None:
    asset = learned[0]
    basis = asset.shape_basis.dense().reshape(len(asset.shape_basis), -1)
    heads = (people.open() - asset.template).reshape(len(people.open()), -1)
    missing = heads - np.linalg.lstsq(basis.T, heads.T, rcond=None)[0].T @ basis
    assert np.sqrt(np.mean(missing**2)) < NOISE
    assert np.sqrt(np.mean(heads**2)) > 8 * NOISE


def test_shape_coefficients_have_unit_variance(learned: Learned, registrations: Dataset, tmp_path: Path) -> None:
    asset = learned[0]
    heads = Neutrals.create(tmp_path / "n.npy", registrations, HACK.from_asset(asset), lambda *_: None).open()
    basis = asset.shape_basis.dense().reshape(len(asset.shape_basis), -1).astype(float)
    flat = (heads - asset.template).reshape(len(heads), -1)
    coefficients = np.linalg.solve(basis @ basis.T, basis @ flat.T)
    np.testing.assert_allclose(coefficients.std(axis=1, ddof=1), 1, atol=0.02)


def test_expressions_and_larynx_are_found(learned: Learned) -> None:
    asset, known = learned[0], truth()
    shown = [known.expression_names.index(name) for name in SHOWN]
    missing = asset.expression_basis[shown].dense() - known.expression_basis[shown].dense()
    assert np.sqrt(np.mean(missing**2)) < NOISE
    others = np.delete(np.arange(len(known.expression_names)), shown)
    np.testing.assert_array_equal(asset.expression_basis[others], first_guess(known).expression_basis[others])
    throats = np.stack([np.ones(21), np.linspace(-0.012, 0.012, 21)], axis=1)
    wanted = larynx_displacement(HACK.from_asset(known), throats)
    moving = np.abs(wanted).max(axis=(0, 2)) > 1e-6
    missing = (larynx_displacement(HACK.from_asset(asset), throats) - wanted)[:, moving]
    assert np.sqrt(np.mean(missing**2)) < NOISE


def test_weights_are_sparse_convex_and_the_eyes_untouched(learned: Learned) -> None:
    weights, known = learned[0].weights, truth()
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert (weights > 0).sum(axis=1).max() <= 4
    eyes = slice(int(known.part_vertices[1, 0]), None)
    np.testing.assert_array_equal(weights[eyes], known.weights[eyes])


def test_provenance_says_what_was_learned(learned: Learned, registrations: Dataset) -> None:
    import json

    told = json.loads(learned[0].provenance)
    assert told["training"]["dataset"] == registrations.digest
    assert told["figures"]["subjects"] == 24
    assert told["figures"]["posed_meshes"] == 320
    assert "jawOpen" not in told["figures"]["expressions_kept_from_template"]
    assert "tongueOut" in told["figures"]["expressions_kept_from_template"]


def test_a_larynx_like_the_templates_is_left_as_it_is(tmp_path: Path) -> None:
    """Also where no throat shows it: heights nobody saw start at the template's and stay there."""
    known = truth()
    data = make_dataset(tmp_path, known, Plan(subjects=4, posed_subjects=0, noise=0.0))
    found = learn_larynx(data, known, NOISE)
    assert found["learned"] == 12
    highest = known.larynx_map.max()
    np.testing.assert_allclose(found["map"], known.larynx_map, atol=0.01 * highest)
    np.testing.assert_allclose(found["direction"], known.larynx_direction, atol=1e-3)
