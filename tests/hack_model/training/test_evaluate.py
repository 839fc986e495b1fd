from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from hack_model.asset import ModelAsset
from hack_model.cli import app
from hack_model.errors import FormatError
from hack_model.training.dataset import Dataset, DatasetWriter
from hack_model.training.evaluate import evaluate, save_report
from hack_model.training.spaces import Space
from tests.support.registrations import Plan, first_guess, make_dataset, truth

Learned = tuple[ModelAsset, Path]


def quiet(*_: object) -> None: ...


def test_space_has_the_axes_of_its_basis() -> None:
    basis = np.random.default_rng(0).normal(size=(4, 6, 3))
    space = Space.of(basis)
    np.testing.assert_allclose(space.axes @ space.axes.T, np.eye(4), atol=1e-9)
    flat = basis.reshape(4, -1)
    np.testing.assert_allclose((space.axes.T * space.variance) @ space.axes, flat.T @ flat, atol=1e-9)
    assert space.compactness()[-1] == pytest.approx(1)
    vector = np.random.default_rng(1).normal(size=(1, 18))
    rest = vector - np.linalg.lstsq(flat.T, vector.T, rcond=None)[0].T @ flat
    assert space.counts() == [1, 2, 4]
    assert space.squared_errors(vector)[0, -1] == pytest.approx((rest**2).sum())


def test_figures_of_a_learned_model(learned: Learned, held_out: Dataset, tmp_path: Path) -> None:
    report = evaluate(learned[0], held_out, progress=quiet)
    assert report["held_out"]
    shape, pose = report["shape"], report["pose"]
    errors = list(shape["generalisation_mm"].values())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < np.sqrt(3) * Plan().noise * 1000 < errors[0] < shape["mean_head_mm"]
    assert set(pose["with_correctives_mm"]) == {"all", "face", "neck"}
    for region, value in pose["with_correctives_mm"].items():
        assert value < 0.5 * pose["without_correctives_mm"][region]
    expression = report["expression"]
    assert expression["activations_mm"] < np.sqrt(3) * Plan().noise * 1000
    assert expression["specificity_mm"]["56"] > 0
    # A random head lies farther from six people than from itself, and not farther than two random heads do.
    assert 0 < shape["specificity_mm"]["6"] < 2 * shape["mean_head_mm"]
    files = save_report(report, tmp_path)
    assert [file.name for file in files] == [
        "evaluation.json", "shape.png", "expression.png", "corrective.png", "pose.png",
    ]  # fmt: skip
    assert json.loads(files[0].read_text()) == report
    for file in files[1:]:
        assert np.asarray(Image.open(file)).std() > 10


def test_specificity_of_known_heads_is_what_it_should_be(tmp_path: Path) -> None:
    """One component, two people at ±1 and a step aside: so far is a random head from the nearer one, ||z| - 1| away."""
    known = truth()
    axis, aside = known.shape_basis[:2].dense().astype(float)
    aside = aside - axis * (aside * axis).sum() / (axis**2).sum()
    with DatasetWriter(tmp_path, licence="x") as out:
        for sign in (1, -1):
            out.add(known.template + sign * axis + aside, subject=str(sign))
    from dataclasses import replace

    single = replace(known, shape_basis=known.shape_basis[:1], directions=np.zeros((2, 1)))
    found = evaluate(single, Dataset.open(tmp_path), progress=quiet)["shape"]["specificity_mm"]["1"]
    length, offset = (np.sqrt((field**2).sum() / known.vertex_count) * 1000 for field in (axis, aside))
    along = (np.abs(np.random.default_rng(0).normal(size=100_000)) - 1) * length
    assert found == pytest.approx(np.sqrt(along**2 + offset**2).mean(), rel=0.05)


def test_training_data_is_recognised(learned: Learned, registrations: Dataset) -> None:
    assert evaluate(learned[0], registrations, progress=quiet)["held_out"] is False


def test_without_data_only_compactness(tmp_path: Path) -> None:
    report = evaluate(truth(), progress=quiet)
    assert set(report["shape"]) == {"compactness"}
    assert [file.name for file in save_report(report, tmp_path)] == [
        "evaluation.json", "shape.png", "expression.png", "corrective.png",
    ]  # fmt: skip


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    known = truth()
    with DatasetWriter(tmp_path / "a", licence="x") as out:
        out.add(np.zeros((5, 3)), subject="a")
    with pytest.raises(FormatError, match="meshes of 5 vertices, but model synthetic has 293"):
        evaluate(known, Dataset.open(tmp_path / "a"), progress=quiet)
    with DatasetWriter(tmp_path / "b", licence="x") as out:
        out.add(known.template, subject="a")
        out.add(known.template, subject="a", expression="earWiggle")
    with pytest.raises(FormatError, match="expression 'earWiggle', which model synthetic does not have"):
        evaluate(known, Dataset.open(tmp_path / "b"), progress=quiet)


def test_train_and_evaluate_from_the_command_line(tmp_path: Path) -> None:
    make_dataset(tmp_path / "set", truth(), Plan(subjects=4, posed_subjects=1, poses=4))
    template, model = first_guess(truth()).save(tmp_path / "template.npz"), tmp_path / "model.npz"

    def run(*words: object):
        return CliRunner().invoke(app, [str(word) for word in words], prog_name="hack-model")

    trained = run("train", tmp_path / "set", "-o", model, "--template", template, "--iterations", 1, "--name", "mine")
    assert trained.exit_code == 0, trained.output
    assert ModelAsset.load(model).name == "mine"
    measured = run("evaluate", model, "--data", tmp_path / "set", "-o", tmp_path / "out")
    assert measured.exit_code == 0, measured.output
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["held_out"] is False
    refused = run("train", tmp_path, "-o", model)
    assert refused.exit_code == 1
    assert "dataset.json: no such file" in refused.stderr
