"""Parameters go to FLAME and come back: known ones are found again, distances are told truly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("smplx")

from hack_model import HACK, FormatError, ParameterError
from hack_model.asset import ModelAsset
from hack_model.cli import app
from hack_model.clip import Clip
from hack_model.interop.flame_clip import FlameClip
from hack_model.interop.flame_convert import FlameConverter
from hack_model.interop.smpl_family import Flame
from hack_model.posing import neck_pose
from hack_model.sources.flame_model import JAW, build_flame, flame_expression
from tests.support.flame_files import EXPRESSIONS, SHAPES, embedding_of, flame_arrays, write_flame
from tests.support.synthetic import synthetic_asset


@pytest.fixture(scope="module")
def template() -> ModelAsset:
    return synthetic_asset(0, rings=40, segments=32, personal=False)


@pytest.fixture(scope="module")
def file(template: ModelAsset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    arrays = flame_arrays()
    return write_flame(tmp_path_factory.mktemp("flame"), arrays, embedding=embedding_of(arrays, template))


@pytest.fixture(scope="module")
def flame(file: Path) -> Flame:
    return Flame.load(file)


@pytest.fixture(scope="module")
def model(flame: Flame, template: ModelAsset) -> ModelAsset:
    """FLAME's own spaces on this project's neck: what can be shown by both."""
    return build_flame(flame.source, template)


@pytest.fixture(scope="module")
def converter(model: ModelAsset, flame: Flame) -> FlameConverter:
    return FlameConverter.of(model, flame)


def motion(frames: int, seed: int, **changes: Any) -> FlameClip:
    random = np.random.default_rng(seed)
    still = np.zeros((frames, 3))
    clip = FlameClip(
        betas=random.normal(size=SHAPES), expression=random.normal(size=(frames, EXPRESSIONS)) * 0.7,
        global_orient=random.normal(size=(frames, 3)) * 0.3, neck_pose=still, jaw_pose=still,
        leye_pose=random.normal(size=(frames, 3)) * 0.1, reye_pose=random.normal(size=(frames, 3)) * 0.1,
        transl=random.normal(size=(frames, 3)) * 0.2, error_mm=np.zeros(frames), fps=25.0,
    )  # fmt: skip
    return replace(clip, **changes)


def test_smplx_computes_what_the_file_says(flame: Flame) -> None:
    """Against linear blend skinning written out here."""
    source, random = flame.source, np.random.default_rng(0)
    betas, expression = random.normal(size=SHAPES), random.normal(size=EXPRESSIONS)
    jaw = np.array([0.3, 0, 0])
    cos, sin = np.cos(0.3), np.sin(0.3)
    rotation = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    shaped = source.template + np.tensordot(betas, source.shape_basis, 1)
    shaped = shaped + np.tensordot(expression, source.expression_basis, 1)
    joint = (source.joint_regressor @ shaped)[2]
    posed = shaped + np.tensordot((rotation - np.eye(3)).reshape(-1), source.pose_basis[9:18], 1)
    wanted = posed + source.weights[:, [2]] * ((posed - joint) @ (rotation - np.eye(3)).T) + [0.1, 0, 0]
    got = flame.vertices(
        betas=betas[None], expression=expression[None], jaw_pose=jaw[None], transl=np.array([[0.1, 0, 0]])
    )
    np.testing.assert_allclose(got[0], wanted, atol=1e-6)


def test_restricted_model_agrees_with_the_whole(flame: Flame) -> None:
    rows = np.array([600, 3, 77, 680])
    random = np.random.default_rng(1)
    given = {
        "betas": random.normal(size=(2, SHAPES)), "expression": random.normal(size=(2, EXPRESSIONS)),
        "neck_pose": random.normal(size=(2, 3)) * 0.3, "jaw_pose": random.normal(size=(2, 3)) * 0.2,
        "global_orient": random.normal(size=(2, 3)),
    }  # fmt: skip
    np.testing.assert_allclose(flame.restricted(rows).vertices(**given), flame.vertices(**given)[:, rows], atol=1e-7)


def test_known_parameters_are_found_again(converter: FlameConverter, flame: Flame) -> None:
    """From FLAME's own vertices, neck and jaw turned."""
    random = np.random.default_rng(2)
    truth = motion(
        3, 2, neck_pose=random.normal(size=(3, 3)) * 0.2, jaw_pose=np.array([[0.1, 0, 0], [0.3, 0, 0], [0, 0.1, 0]])
    )
    state = np.zeros(EXPRESSIONS + 12)
    for frame in range(3):
        vertices = flame.vertices(**truth.parameters(slice(frame, frame + 1)))[0]
        targets = vertices[converter.common.flame_rows]
        state, error = converter._flame_frame(
            truth.betas, targets, converter._flame_placed(truth.betas, targets, state)
        )
        assert error < 0.4  # what the priors cost
        np.testing.assert_allclose(state[:EXPRESSIONS], truth.expression[frame], atol=0.08)
        np.testing.assert_allclose(state[EXPRESSIONS : EXPRESSIONS + 3], truth.neck_pose[frame], atol=0.02)
        np.testing.assert_allclose(state[EXPRESSIONS + 3 : EXPRESSIONS + 6], truth.jaw_pose[frame], atol=0.02)


def test_there_and_back_through_this_projects_model(converter: FlameConverter, flame: Flame) -> None:
    truth = motion(2, 3)
    clip, error = converter.from_flame(truth)
    assert error.max() < 0.5
    np.testing.assert_allclose(clip.shape, truth.betas, atol=0.05)
    np.testing.assert_allclose(flame_expression(clip.expression_names, clip.expression), truth.expression, atol=0.15)
    again = converter.to_flame(clip)
    assert again.error_mm.max() < 0.5
    np.testing.assert_allclose(again.betas, truth.betas, atol=0.05)
    np.testing.assert_allclose(again.leye_pose, truth.leye_pose, atol=1e-6)
    assert again.fps == 25.0
    away = flame.vertices(**again.parameters()) - flame.vertices(**truth.parameters())
    assert np.linalg.norm(away, axis=-1).mean() < 8e-4


def test_clips_of_a_model_become_flames_and_return(converter: FlameConverter, model: ModelAsset) -> None:
    random = np.random.default_rng(4)
    clip = replace(
        Clip.neutral(model, 2),
        shape=random.normal(size=SHAPES) * 0.7,
        pose=neck_pose(model, np.array([0.15, -0.1]), np.array([0.2, 0.3])),
        translation=random.normal(size=(2, 3)),
    )
    found = converter.to_flame(clip)
    # One joint cannot bend as eight do: the distance says how far, and is what the meshes show.
    assert 0.05 < found.error_mm.max() < 5
    rows = converter.common.flame_rows
    shown = converter.flame.vertices(**found.parameters())[:, rows]
    head = np.asarray(HACK.from_asset(model, dtype="float64")(**clip.parameters()).vertices)
    goal = converter.common.on_head.carry(head[:, model.part("skin")])
    np.testing.assert_allclose(np.linalg.norm(shown - goal, axis=-1).mean(axis=1) * 1000, found.error_mm, rtol=1e-4)
    assert np.linalg.norm(found.neck_pose, axis=1).max() > 0.1, "a bent neck is not shown by turning the whole head"


def test_jaw_becomes_the_jaw(converter: FlameConverter, model: ModelAsset) -> None:
    opened = replace(Clip.neutral(model), expression=np.eye(len(model.expression_names))[[list(JAW).index("jawOpen")]])
    found = converter.to_flame(opened)
    assert found.jaw_pose[0, 0] == pytest.approx(JAW["jawOpen"][0], abs=0.08)
    assert found.error_mm[0] < 0.5


def test_a_model_of_other_spaces_comes_near(template: ModelAsset, flame: Flame) -> None:
    converter = FlameConverter.of(template, flame)
    found = converter.to_flame(replace(Clip.neutral(template), translation=np.array([[0.3, 0, 0.1]])))
    assert found.error_mm[0] < 1.0
    clip, error = converter.from_flame(found)
    assert error[0] < 1.0
    np.testing.assert_allclose(clip.translation[0], [0.3, 0, 0.1], atol=0.005)


def test_files_of_flame_clips(tmp_path: Path) -> None:
    clip = motion(2, 5)
    again = FlameClip.load(clip.save(tmp_path / "flame.npz"))
    np.testing.assert_allclose(again.expression, clip.expression, atol=1e-6)
    assert again.fps == 25.0
    np.savez(tmp_path / "bare.npz", betas=clip.betas, expression=clip.expression, transl=clip.transl)
    assert (FlameClip.load(tmp_path / "bare.npz").jaw_pose == 0).all()
    np.savez(tmp_path / "wrong.npz", betas=clip.betas, expression=clip.expression[:1], transl=clip.transl)
    with pytest.raises(FormatError, match="expression has shape"):
        FlameClip.load(tmp_path / "wrong.npz")
    np.savez(tmp_path / "text.npz", betas=clip.betas.astype(complex), expression=clip.expression, transl=clip.transl)
    with pytest.raises(FormatError, match="betas is complex128, wanted numbers"):
        FlameClip.load(tmp_path / "text.npz")
    np.savez(tmp_path / "nothing.npz", betas=clip.betas)
    with pytest.raises(FormatError, match="lacks expression, transl"):
        FlameClip.load(tmp_path / "nothing.npz")


def test_too_many_coefficients_and_unknown_names_are_refused(converter: FlameConverter, flame: Flame) -> None:
    with pytest.raises(ParameterError, match="the FLAME file 10 and 10"):
        converter.from_flame(motion(1, 0, betas=np.zeros(300)))
    with pytest.raises(FormatError, match="unknown parameters shape"):
        flame.vertices(shape=np.zeros((1, 3)))
    with pytest.raises(FormatError, match="betas has shape"):
        flame.vertices(betas=np.zeros((1, 3)))


def test_command_line(model: ModelAsset, file: Path, tmp_path: Path) -> None:
    asset, clip = model.save(tmp_path / "model.npz"), Clip.neutral(model).save(tmp_path / "clip.npz")
    words = [
        "convert",
        str(clip),
        "--to",
        "flame",
        "--model-file",
        str(file),
        "-o",
        str(tmp_path / "f.npz"),
        "-m",
        str(asset),
    ]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "mm from hack-flame on average over 1 frames" in done.output
    words = [
        "convert",
        str(tmp_path / "f.npz"),
        "--to",
        "hack",
        "--model-file",
        str(file),
        "-o",
        str(tmp_path / "c.npz"),
        "-m",
        str(asset),
    ]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert len(Clip.load(tmp_path / "c.npz")) == 1
    (tmp_path / "bad.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    words[5] = str(tmp_path / "bad.pkl")
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert "asks for os.system" in done.output
