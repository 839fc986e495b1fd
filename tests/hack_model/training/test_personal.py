"""A known model whose expressions and correctives depend on identity makes noisy meshes; training finds both again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hack_model import HACK
from hack_model.asset import ModelAsset
from hack_model.training.dataset import Dataset
from hack_model.training.dynamic import PosedMeshes, subject_rig
from hack_model.training.evaluate import evaluate, save_report
from hack_model.training.personal import MIN_SUBJECTS, Block, learn_personal, subject_shapes
from hack_model.training.spaces import PersonalSpace, generic
from hack_model.training.static import Neutrals, activations
from hack_model.training.train import Options, train
from tests.support.registrations import Plan, first_guess, make_dataset, personal_truth, truth

NOISE = Plan().noise
OPTIONS = Options(shape_components=6, iterations=5, noise=NOISE)
Trained = tuple[ModelAsset, Dataset, Neutrals, np.ndarray]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The learned model, other people's meshes without noise, their neutral heads and shape coefficients."""
    folder = tmp_path_factory.mktemp("personal")
    data = make_dataset(folder / "a", personal_truth(), Plan(posed_subjects=24, poses=30))
    held = make_dataset(folder / "b", personal_truth(), Plan(subjects=6, posed_subjects=6, poses=10, noise=0.0, seed=9))
    asset = train(data, folder / "model.npz", first_guess(truth()), OPTIONS, progress=lambda *_: None)
    people = Neutrals.create(folder / "neutral.npy", held, HACK.from_asset(asset), lambda *_: None)
    return asset, held, people, subject_shapes(asset, people)


def expression_error(asset: ModelAsset, trained: Trained) -> float:
    """Root-mean-square error per coordinate of held-out expressions at rest, metres."""
    _, held, people, shapes = trained
    squares: list[float] = []
    for numbers, vertices in held.batches(held.rest & ~held.neutral):
        subjects = held.subject[numbers]
        rig = subject_rig(HACK.from_asset(asset), people.of(subjects), shapes[subjects])
        size, shift = held.larynx[numbers].T
        active = activations(held, asset.expression_names)[numbers]
        squares.append(float(np.mean((vertices - rig(active, larynx_size=size, larynx_shift=shift).vertices) ** 2)))
    return float(np.sqrt(np.mean(squares)))


def posed_error(asset: ModelAsset, trained: Trained) -> float:
    _, held, people, shapes = trained
    meshes = PosedMeshes.of(held, people, asset.expression_names, shapes)
    squares = [
        np.mean((vertices - np.swapaxes(output.vertices, 1, 2)) ** 2)
        for _, vertices, output in meshes.predictions(HACK.from_asset(asset))
    ]
    return float(np.sqrt(np.mean(squares)))


def test_held_out_people_show_their_own_expressions_to_noise_level(trained: Trained) -> None:
    assert expression_error(trained[0], trained) < NOISE / 2
    assert expression_error(generic(trained[0], "expression"), trained) > 3 * NOISE


def test_held_out_people_in_held_out_poses_to_noise_level(trained: Trained) -> None:
    assert posed_error(trained[0], trained) < NOISE
    assert posed_error(generic(trained[0], "pose"), trained) > 1.5 * NOISE
    assert posed_error(generic(trained[0], "expression"), trained) > 1.5 * NOISE


def test_only_pairs_that_move_are_kept(trained: Trained) -> None:
    asset, known = trained[0], personal_truth()
    told = json.loads(asset.provenance)["figures"]
    assert told["personal_expression_told_of_subjects_left_out"] > 0.8
    for kind, most in (("expression", 1.5), ("pose", 4)):
        wanted = {tuple(pair) for pair in getattr(known, f"personal_{kind}_pairs").tolist()}
        found = {tuple(pair) for pair in getattr(asset, f"personal_{kind}_pairs").tolist()}
        assert len(found & wanted) > 0.85 * len(wanted)
        assert len(found) < most * len(wanted)
    assert len(asset.personal_expression_basis) == 2


def test_evaluation_tells_what_personalisation_and_correctives_bring(trained: Trained, tmp_path: Path) -> None:
    asset, held, _, _ = trained
    report = evaluate(asset, held, progress=lambda *_: None)
    noise = np.sqrt(3) * NOISE * 1000
    expression, pose = report["expression"], report["pose"]
    assert expression["activations_mm"] < noise / 2
    assert expression["activations_without_personalisation_mm"] > 3 * noise
    assert pose["with_correctives_mm"]["all"] < noise < pose["without_personalisation_mm"]["all"] / 1.5
    assert pose["without_personalisation_mm"]["all"] < pose["without_correctives_mm"]["all"]
    assert pose["without_correctives_mm"]["all"] < pose["without_correctives_and_personalisation_mm"]["all"]
    for name in ("personal_expression", "corrective", "personal_pose"):
        errors = list(report[name]["generalisation_mm"].values())
        assert errors == sorted(errors, reverse=True), name
        assert report[name]["compactness"][-1] == pytest.approx(1)
        assert min(report[name]["specificity_mm"].values()) > 0
    # Two true components: with both, a mesh's own part is told to what the learned ones miss.
    own = report["personal_expression"]
    assert own["generalisation_mm"]["2"] <= expression["activations_mm"]
    assert own["generalisation_mm"]["1"] > 2 * own["generalisation_mm"]["2"]
    files = {file.name: file for file in save_report(report, tmp_path)}
    assert set(files) == {
        "evaluation.json", "shape.png", "expression.png", "personal_expression.png", "corrective.png",
        "personal_pose.png", "pose.png",
    }  # fmt: skip


def test_axes_of_a_personalised_space_are_those_of_its_population() -> None:
    """Random people's deviations have the axes' variances along them, and no more."""
    asset = personal_truth()
    mixing = np.array([[2.0, 0.5], [1.5, 1.0]])
    asset = replace(asset, personal_expression_map=mixing @ asset.personal_expression_map)
    space = PersonalSpace.of(asset, "expression")
    row = int(asset.personal_expression_pairs[0, 0])
    shapes = np.random.default_rng(0).normal(size=(4000, 6))
    pairs = asset.personal_expression_pairs
    deviations = np.einsum("nu,upc->npc", shapes @ asset.personal_expression_map.T, asset.personal_expression_basis)
    along = deviations.reshape(len(shapes), -1) @ space.space.axes.T
    np.testing.assert_allclose(along.var(axis=0), space.space.variance, rtol=0.1)
    weights = np.zeros((1, len(asset.expression_names)))
    weights[0, row] = 0.5
    shown = space.shown(weights)[0].reshape(len(along.T), -1, 3)
    here = pairs[:, 0] == row
    axes = space.space.axes.reshape(len(along.T), -1, 3)
    np.testing.assert_allclose(shown[:, pairs[here, 1]], 0.5 * axes[:, here], atol=1e-12)
    mixed = np.tensordot([3e-3, -1e-3], shown, 1).reshape(1, -1)
    assert space.squared_errors(weights, mixed)[0, -1] < 1e-18
    assert space.squared_errors(weights, mixed)[0, 0] > 1e-10


def test_nothing_personal_is_learned_where_everyone_is_alike(learned: tuple[ModelAsset, Path]) -> None:
    asset = learned[0]
    assert not asset.personal_expression_basis.size
    people = np.random.default_rng(0).normal(size=(MIN_SUBJECTS - 1, 6))
    vertices = asset.vertex_count

    def residuals():  # plainly a function of shape, but of too few people
        yield Block(np.arange(len(people)), np.ones((len(people), 2)), np.tile(people[:, :1, None], (1, vertices, 3)))

    assert not learn_personal(asset, people, residuals, NOISE)["basis"].size


def test_shape_coefficients_are_found(tmp_path: Path) -> None:
    known, shapes = truth(), np.random.default_rng(1).normal(size=(5, 6))
    heads = HACK.from_asset(known)(shapes).vertices
    np.save(tmp_path / "neutral.npy", heads)
    np.testing.assert_allclose(subject_shapes(known, Neutrals(tmp_path / "neutral.npy")), shapes, atol=1e-3)


def test_joints_and_weights_may_be_kept(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "data", truth(), Plan(subjects=3, posed_subjects=3, poses=12))
    guess = first_guess(truth())
    for keep in ((True, True), (False, True), (True, False)):
        options = Options(shape_components=2, iterations=2, keep_joints=keep[0], keep_weights=keep[1], personal=False)
        learned = train(data, tmp_path / "model.npz", guess, options, progress=lambda *_: None)
        assert np.array_equal(learned.joint_offsets, guess.joint_offsets) == keep[0]
        assert np.array_equal(learned.joint_regressor_weights, guess.joint_regressor_weights) == keep[0]
        assert np.array_equal(learned.weights, guess.weights) == keep[1]
        assert np.abs(learned.pose_basis.dense()).max() > 1e-3
