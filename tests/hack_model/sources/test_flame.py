"""A small FLAME file becomes a model: FLAME's spaces exactly, this project's neck by correspondence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from hack_model import HACK, AssetError, FormatError
from hack_model.asset import ModelAsset, split_quads
from hack_model.cli import app
from hack_model.posing import neck_pose
from hack_model.sources.flame import FlameModel, read_flame
from hack_model.sources.flame_model import (
    EXPRESSION_STEP,
    JAW,
    build_flame,
    find_pieces,
    flame_expression,
    jaw_displacement,
)
from hack_model.sources.surface import Surface
from tests.support.flame_files import EXPRESSIONS, SHAPES, SHIFT, embedding_of, flame_arrays, write_flame
from tests.support.synthetic import synthetic_asset


@pytest.fixture(scope="module")
def template() -> ModelAsset:
    return synthetic_asset(0, rings=40, segments=32)


@pytest.fixture(scope="module")
def arrays() -> dict[str, Any]:
    return flame_arrays()


@pytest.fixture(scope="module")
def flame(arrays: dict[str, Any], template: ModelAsset, tmp_path_factory: pytest.TempPathFactory) -> FlameModel:
    folder = tmp_path_factory.mktemp("flame")
    return read_flame(write_flame(folder, arrays, embedding=embedding_of(arrays, template)))


@pytest.fixture(scope="module")
def model(flame: FlameModel, template: ModelAsset) -> ModelAsset:
    return build_flame(flame, template)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("chumpy", [False, True])
def test_every_dialect_reads_the_same(
    arrays: dict[str, Any], flame: FlameModel, tmp_path: Path, protocol: int, chumpy: bool
) -> None:
    again = read_flame(write_flame(tmp_path, arrays, protocol=protocol, chumpy=chumpy))
    for name in ("template", "faces", "shape_basis", "expression_basis", "pose_basis", "joint_regressor", "weights"):
        np.testing.assert_array_equal(getattr(again, name), getattr(flame, name))
    assert again.landmarks51 is None


def test_npz_reads_the_same_and_its_notes_are_left_unread(
    arrays: dict[str, Any], flame: FlameModel, tmp_path: Path
) -> None:
    notes = {"part2num": np.array({"head": 1}, dtype=object)}
    np.savez(tmp_path / "flame.npz", **{n: v for n, v in arrays.items() if isinstance(v, np.ndarray)}, **notes)
    again = read_flame(tmp_path / "flame.npz")
    np.testing.assert_array_equal(again.shape_basis, flame.shape_basis)
    assert "part2num" not in again.arrays


def test_shapes_and_expressions_are_flames_own(model: ModelAsset, arrays: dict[str, Any]) -> None:
    head = HACK.from_asset(model, dtype="float64")
    np.testing.assert_allclose(np.asarray(head().vertices), arrays["v_template"], atol=1e-6)
    random = np.random.default_rng(0)
    shape, expression = random.normal(size=SHAPES), random.uniform(0, 1, len(model.expression_names))
    expression[: len(JAW)] = 0
    coefficients = flame_expression(model.expression_names, expression)
    wanted = arrays["v_template"] + arrays["shapedirs"] @ np.concatenate([shape, coefficients])
    np.testing.assert_allclose(np.asarray(head(shape, expression).vertices), wanted, atol=1e-5)
    assert len(coefficients) == EXPRESSIONS


def test_signs_of_expressions() -> None:
    names = ("jawOpen", "flame_expression_000_positive", "flame_expression_000_negative")
    np.testing.assert_allclose(flame_expression(names, np.array([1.0, 0.5, 0.0])), [0.5 * EXPRESSION_STEP])
    np.testing.assert_allclose(flame_expression(names, np.array([1.0, 0.0, 0.5])), [-0.5 * EXPRESSION_STEP])


def test_jaw_is_flames_jaw_turned(model: ModelAsset, flame: FlameModel) -> None:
    """Against a direct evaluation of the skinning formula, joint after joint."""
    turn = np.array(JAW["jawOpen"])
    cos, sin = np.cos(turn[0]), np.sin(turn[0])
    rotation = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    posed = flame.template + np.einsum("k,kvc->vc", (rotation - np.eye(3)).reshape(-1), flame.pose_basis[9:18])
    joint = flame.joints[2]
    wanted = np.zeros_like(posed)
    for index in range(5):
        moved = (posed - joint) @ rotation.T + joint if index == 2 else posed
        wanted += flame.weights[:, [index]] * moved
    np.testing.assert_allclose(flame.template + jaw_displacement(flame, turn), wanted, atol=1e-9)
    opened = np.asarray(HACK.from_asset(model)(expression={"jawOpen": 1.0}).vertices)
    np.testing.assert_allclose(opened, wanted, atol=1e-5)
    assert np.linalg.norm(wanted - flame.template, axis=1).max() > 0.01


@pytest.mark.parametrize("turn", [{"flexion": 0.6}, {"axial": 0.8}])
def test_neck_bends_as_the_templates_does(model: ModelAsset, template: ModelAsset, turn: dict[str, float]) -> None:
    posed = np.asarray(HACK.from_asset(model)(pose=neck_pose(model, **turn)).vertices).astype(np.float64) - SHIFT
    other = np.asarray(HACK.from_asset(template)(pose=neck_pose(template, **turn)).vertices).astype(np.float64)
    triangles = split_quads(template.faces)
    surface = Surface(other, triangles[(triangles < template.part("skin").stop).all(axis=1)])
    skin = model.part("skin")
    assert np.linalg.norm(posed[skin] + SHIFT - model.template[skin], axis=1).max() > 0.03
    assert np.percentile(surface.closest(posed[skin]).distance, 95) < 0.0035


def test_joints_are_the_templates_in_flames_frame(model: ModelAsset, template: ModelAsset) -> None:
    mine, theirs = (np.asarray(HACK.from_asset(asset, dtype="float64").joint_template) for asset in (model, template))
    np.testing.assert_allclose(mine - SHIFT, theirs, atol=0.002)


def test_pieces_licence_and_provenance(model: ModelAsset, flame: FlameModel) -> None:
    assert model.part_names == ("skin", "eye_left", "eye_right")
    assert model.template[model.part("eye_left"), 0].mean() > 0
    assert "not for distribution" in model.licence
    provenance = json.loads(model.provenance)
    assert provenance["sha256"] == flame.sha256
    assert provenance["landmarks"] == "FLAME's static embedding"
    assert model.albedo.shape[2] == 3
    assert 0 <= model.uv.min() <= model.uv.max() <= 1


def test_without_the_landmark_file_eyes_and_nose_serve(
    arrays: dict[str, Any], template: ModelAsset, tmp_path: Path
) -> None:
    # The synthetic model's landmarks lie anywhere; its thirtieth must be the tip of a nose here.
    below = template.template - template.template[template.part("eye_left").start :].mean(axis=0)
    near = (np.abs(below[:, 0]) < 0.015) & (below[:, 1] < 0) & (below[:, 1] > -0.06)
    vertices = template.landmarks68_vertices.copy()
    vertices[30] = np.flatnonzero(near)[np.argmax(template.template[near, 2])]
    template = replace(template, landmarks68_vertices=vertices)
    model = build_flame(read_flame(write_flame(tmp_path, arrays)), template)
    assert json.loads(model.provenance)["landmarks"] == "eyes and tip of the nose"
    mine, theirs = (np.asarray(HACK.from_asset(asset).joint_template) for asset in (model, template))
    np.testing.assert_allclose(mine - SHIFT, theirs, atol=0.006)


def test_landmarks_lie_where_the_templates_do(model: ModelAsset, template: ModelAsset) -> None:
    for kind in ("multipie68", "mediapipe478"):
        mine, theirs = (
            np.asarray(HACK.from_asset(asset).landmarks(asset.template, kind)) for asset in (model, template)
        )
        assert np.median(np.linalg.norm(mine - SHIFT - theirs, axis=1)) < 0.002


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": None}, "lacks the arrays weights"),
        ({"posedirs": np.zeros((701, 3, 9))}, r"posedirs is float64 \(701, 3, 9\)"),
        ({"f": np.full((4, 3), 9999)}, "f holds vertices outside"),
        ({"v_template": np.full((701, 3), np.nan)}, "v_template is"),
        ({"v_template": np.array(1.0)}, r"v_template is float64 \(\)"),
        ({"weights": np.ones((701, 5))}, "do not sum to 1"),
        ({"kintree_table": np.array([[0, 0, 1, 2, 3], [0, 1, 2, 3, 4]])}, "joints hang on"),
        ({"shapedirs": np.zeros((701, 3, 4))}, "shapedirs has 4 components"),
    ],
)
def test_damaged_files_are_refused(
    arrays: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    damaged = {name: value for name, value in {**arrays, **change}.items() if value is not None}
    path = tmp_path / "flame.npz"
    np.savez(path, **{name: value for name, value in damaged.items() if isinstance(value, np.ndarray)})
    with pytest.raises(FormatError, match=message):
        read_flame(path)


def test_damaged_embedding_is_refused(arrays: dict[str, Any], tmp_path: Path) -> None:
    wrong = {"lmk_face_idx": np.arange(3), "lmk_b_coords": np.ones((3, 3)) / 3}
    with pytest.raises(FormatError, match="wanted 51 landmarks"):
        read_flame(write_flame(tmp_path, arrays, embedding=wrong))
    nowhere = {"lmk_face_idx": np.arange(51), "lmk_b_coords": np.full((51, 3), np.nan)}
    with pytest.raises(FormatError, match="lmk_b_coords holds values that are not finite"):
        read_flame(write_flame(tmp_path, arrays, embedding=nowhere))


def test_other_meshes_are_refused(arrays: dict[str, Any], tmp_path: Path) -> None:
    welded = {**arrays, "f": np.concatenate([arrays["f"], [[0, 610, 660]]]).astype(np.uint32)}
    with pytest.raises(FormatError, match="wanted FLAME's skin and, after it, two eyeballs"):
        find_pieces(read_flame(write_flame(tmp_path, welded)))


def test_damaged_pickles_say_so(tmp_path: Path) -> None:
    (tmp_path / "flame.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(AssetError, match=r"asks for os\.system"):
        read_flame(tmp_path / "flame.pkl")


def test_command_line(arrays: dict[str, Any], template: ModelAsset, tmp_path: Path) -> None:
    file, base = write_flame(tmp_path, arrays), template.save(tmp_path / "template.npz")
    words = ["build", "--source", "flame", "-o", str(tmp_path / "model.npz"), "--template", str(base)]
    done = CliRunner().invoke(app, [*words, "--from", str(file)])
    assert done.exit_code == 0, done.output
    assert "not for distribution" in done.output
    assert ModelAsset.load(tmp_path / "model.npz").name == "hack-flame"
    assert CliRunner().invoke(app, ["info", str(tmp_path / "model.npz")]).exit_code == 0
    for more, message in (([], "name your FLAME model file"), (["--download"], "cannot be downloaded for you")):
        done = CliRunner().invoke(app, [*words, *more])
        assert done.exit_code == 2
        assert message in done.output
