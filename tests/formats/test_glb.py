from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import pygltflib as gltf
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation

from hack_model import HACK, FormatError
from hack_model.clip import Clip
from hack_model.formats.arkit import arkit_table
from hack_model.formats.glb import write_glb
from hack_model.formats.gltf_buffer import GltfBuffer
from hack_model.formats.morphs import LARYNX_STEP
from hack_model.formats.skin import quaternions, skin_influences
from hack_model.names import SKELETON, SKELETON_PARENTS
from tests.formats.conftest import Blender, Validate
from tests.formats.gltf_reader import GltfFile
from tests.support.synthetic import random_parameters


def random_clip(model: HACK, frames: int, seed: int = 0) -> Clip:
    """A clip whose larynx stands on the stored steps, so that the file can be exact."""
    parameters = random_parameters(model.asset, (frames,), seed)
    parameters["shape"] = 0.5 * parameters["shape"][0]
    parameters["larynx_shift"] = np.rint(parameters["larynx_shift"] / LARYNX_STEP) * LARYNX_STEP
    parameters["larynx_size"][-1] = 1.5  # a large one after the first frame, which Blender must not clamp
    return dataclasses.replace(Clip.neutral(model), fps=24.0, scale=1.03, **parameters)


def placed(model: HACK, clip: Clip) -> np.ndarray:
    return np.asarray(model(**clip.parameters()).vertices)


def issues(report: dict) -> list[str]:
    return [
        f"{message['code']}: {message['pointer']}"
        for message in report["issues"]["messages"]
        if message["severity"] < 2
    ]


@pytest.mark.parametrize("kind", ["neutral", "still", "animated", "textured"])
def test_khronos_validator_finds_nothing(model: HACK, kind: str, validate: Validate, tmp_path: Path) -> None:
    clip = {"neutral": None, "still": random_clip(model, 1)}.get(kind, random_clip(model, 5))
    texture = None
    if kind == "textured":
        texture = tmp_path / "skin.jpg"
        Image.new("RGB", (64, 64), (200, 150, 120)).save(texture)
    rig = model.rig() if clip is None else model.rig(clip.shape, clip.scale)
    report = validate(write_glb(tmp_path / "head.glb", rig, clip, texture=texture))
    assert issues(report) == []
    assert report["issues"]["numWarnings"] == 0
    assert report["info"]["hasSkins"]
    assert report["info"]["hasMorphTargets"]
    assert report["info"]["animationCount"] == (kind in ("animated", "textured"))


def test_the_file_is_the_model(model: HACK, tmp_path: Path) -> None:
    clip = random_clip(model, 4, seed=2)
    file = GltfFile(write_glb(tmp_path / "head.glb", model.rig(clip.shape, clip.scale), clip))
    for frame in (None, 0, 3):
        np.testing.assert_allclose(file.vertices(frame), placed(model, clip)[frame or 0], atol=3e-6)


def test_a_still_needs_no_idle_correctives(model: HACK, tmp_path: Path) -> None:
    clip = random_clip(model, 1, seed=3)
    rig = model.rig(clip.shape, clip.scale)
    whole = GltfFile(write_glb(tmp_path / "whole.glb", rig, clip))
    still = GltfFile(write_glb(tmp_path / "still.glb", rig, clip, idle_correctives=False))
    np.testing.assert_allclose(still.vertices(), placed(model, clip)[0], atol=3e-6)
    left_out = set(whole.target_names) - set(still.target_names)
    assert len(left_out) >= len(model.asset.pose_features)  # one sign of each at least
    assert all(name.startswith("poseCorrective") for name in left_out)


def test_blender_shows_the_model(model: HACK, blender: Blender, tmp_path: Path) -> None:
    clip = random_clip(model, 3, seed=4)
    found = blender(write_glb(tmp_path / "head.glb", model.rig(clip.shape, clip.scale), clip), 0, 1, 2)
    assert found["frame_end"] == 2
    assert set(found["bones"]) == set(SKELETON)
    assert list(found["shape_keys"])[1:53] == [n for n in arkit_table() if n in set(found["shape_keys"])]
    assert found["polygons"] == len(model.asset.triangles)
    assert set(found["index"]) == set(range(model.vertex_count))
    np.testing.assert_allclose(found["vertices"], placed(model, clip)[:, found["index"]], atol=1e-5)


def test_a_still_opens_in_blender_in_its_pose(synthetic: HACK, blender: Blender, tmp_path: Path) -> None:
    clip = random_clip(synthetic, 1, seed=7)
    found = blender(write_glb(tmp_path / "head.glb", synthetic.rig(clip.shape, clip.scale), clip))
    np.testing.assert_allclose(found["vertices"][0], placed(synthetic, clip)[0, found["index"]], atol=1e-5)
    assert found["frame_end"] == 0


def test_trimesh_opens_it(model: HACK, tmp_path: Path) -> None:
    scene = trimesh.load_scene(write_glb(tmp_path / "head.glb", model.rig()))
    assert sum(len(mesh.faces) for mesh in scene.geometry.values()) == len(model.asset.triangles)
    np.testing.assert_allclose(scene.bounds, [model.asset.template.min(0), model.asset.template.max(0)], atol=1e-6)


def test_targets_are_arkits_then_the_models_own(synthetic: HACK, tmp_path: Path) -> None:
    file = GltfFile(write_glb(tmp_path / "head.glb", synthetic.rig()))
    names = file.target_names
    assert names[:52] == list(arkit_table())
    assert names[52:58] == [
        "cheekRaiser_L", "cheekRaiser_R", "browInnerUp_L", "browInnerUp_R", "cheekPuff_L", "cheekPuff_R"
    ]  # fmt: skip
    assert len(set(names)) == len(names)
    basis = dict(zip(synthetic.expression_names, synthetic.asset.expression_basis.dense(), strict=True))
    for name, members in arkit_table().items():
        np.testing.assert_allclose(file.target(name), sum(basis[member] for member in members), atol=2e-7)
    np.testing.assert_allclose(file.target("cheekRaiser_R"), basis["cheekRaiser_R"], atol=2e-7)


def test_an_asymmetric_brow_is_kept(synthetic: HACK, tmp_path: Path) -> None:
    expression = np.zeros((1, len(synthetic.expression_names)))
    expression[0, synthetic.expression_names.index("browInnerUp_L")] = 0.9
    expression[0, synthetic.expression_names.index("browInnerUp_R")] = 0.2
    clip = dataclasses.replace(Clip.neutral(synthetic), expression=expression)
    file = GltfFile(write_glb(tmp_path / "head.glb", synthetic.rig(), clip))
    weights = dict(zip(file.target_names, file.json["meshes"][0]["weights"], strict=True))
    moved = {name: round(weight, 6) for name, weight in weights.items() if weight}
    assert moved == {"browInnerUp": 0.2, "browInnerUp_L": 0.7}


def test_larynx_slides_between_its_targets(model: HACK, tmp_path: Path) -> None:
    shifts = np.linspace(-0.011, 0.021, 65)
    clip = dataclasses.replace(Clip.neutral(model, 65), larynx_size=np.ones(65), larynx_shift=shifts)
    file = GltfFile(write_glb(tmp_path / "head.glb", model.rig(), clip))
    assert {"larynx", "larynxUp025", "larynxDown050", "larynxUp150"} <= set(file.target_names)
    exact = placed(model, clip)
    error = max(np.abs(file.vertices(frame) - exact[frame]).max() for frame in (5, 23, 42, 64))
    assert error < 2e-4


def test_a_swallow_is_kept_and_a_backward_glide_too(synthetic: HACK, tmp_path: Path) -> None:
    clip = dataclasses.replace(Clip.neutral(synthetic, 30), larynx_size=np.ones(30)).with_swallow(duration=0.9)
    file = GltfFile(write_glb(tmp_path / "head.glb", synthetic.rig(), clip))
    assert {"larynxForward", "larynxForwardUp100"} <= set(file.target_names)
    assert "larynxBack" not in file.target_names
    exact = placed(synthetic, clip)
    assert max(np.abs(file.vertices(frame) - exact[frame]).max() for frame in range(30)) < 2e-4
    back = dataclasses.replace(Clip.neutral(synthetic, 3), larynx_forward=[-0.004, 0.0, 0.02])
    file = GltfFile(write_glb(tmp_path / "back.glb", synthetic.rig(), back))
    exact = placed(synthetic, back)
    assert max(np.abs(file.vertices(frame) - exact[frame]).max() for frame in range(3)) < 1e-6
    assert np.ptp(exact, axis=0).max() > 0.01


def test_the_skeleton_is_the_models(model: HACK, tmp_path: Path) -> None:
    file = GltfFile(write_glb(tmp_path / "head.glb", model.rig()))
    (skin,) = file.json["skins"]
    nodes = file.json["nodes"]
    assert [nodes[joint]["name"] for joint in skin["joints"]] == list(SKELETON)
    parents = {child: index for index, node in enumerate(nodes) for child in node.get("children", [])}
    for joint, parent in enumerate(SKELETON_PARENTS[1:], 1):
        assert nodes[parents[skin["joints"][joint]]]["name"] == SKELETON[parent]
    bind = np.linalg.inv(file.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2))
    np.testing.assert_allclose(bind[1:, :3, 3], model.joint_template, atol=1e-6)
    np.testing.assert_allclose(bind[1:, :3, :3], model.asset.joint_frames, atol=1e-6)


def test_materials_and_texture(synthetic: HACK, tmp_path: Path) -> None:
    file = GltfFile(write_glb(tmp_path / "head.glb", synthetic.rig()))
    materials = {material["name"]: material for material in file.json["materials"]}
    assert "baseColorTexture" in materials["skin"]["pbrMetallicRoughness"]
    assert "baseColorTexture" not in materials["sclera"]["pbrMetallicRoughness"]
    np.testing.assert_allclose(
        materials["sclera"]["pbrMetallicRoughness"]["baseColorFactor"], synthetic.asset.material_color[1], atol=1e-6
    )
    picture = tmp_path / "albedo.png"
    picture.write_bytes(file.view(file.json["images"][0]["bufferView"]))
    np.testing.assert_array_equal(np.asarray(Image.open(picture)), synthetic.asset.albedo)


def test_texture_lies_the_right_way_up(synthetic: HACK, tmp_path: Path) -> None:
    file = GltfFile(write_glb(tmp_path / "head.glb", synthetic.rig()))
    asset = synthetic.asset
    wanted = {(int(v), *np.round(uv, 5)) for face, corner in zip(asset.faces, asset.face_uv, strict=True)
              for v, uv in zip(face, asset.uv[corner] * [1, -1] + [0, 1], strict=True) if v >= 0}  # fmt: skip
    found = set()
    for primitive in file.json["meshes"][0]["primitives"]:
        index = file.array(primitive["attributes"]["_HACK_VERTEX"])[:, 0].astype(int)
        uv = file.array(primitive["attributes"]["TEXCOORD_0"])
        found |= {(int(i), *np.round(np.float64(p), 5)) for i, p in zip(index, uv, strict=True)}
    assert found == wanted


def test_cornea_is_transparent(synthetic: HACK, tmp_path: Path) -> None:
    color = synthetic.asset.material_color.copy()
    color[1, 3] = 0.1
    glassy = HACK.from_asset(dataclasses.replace(synthetic.asset, material_color=color))
    file = GltfFile(write_glb(tmp_path / "head.glb", glassy.rig()))
    modes = {material["name"]: material.get("alphaMode") for material in file.json["materials"]}
    assert modes == {"skin": "OPAQUE", "sclera": "BLEND"}


def test_rotations_blend_the_short_way_round(synthetic: HACK, tmp_path: Path) -> None:
    turn = np.zeros((40, 3))
    turn[:, 1] = np.linspace(0, 2 * np.pi, 40)
    clip = dataclasses.replace(Clip.neutral(synthetic, 40), global_rotation=turn)
    file = GltfFile(write_glb(tmp_path / "head.glb", synthetic.rig(), clip))
    (animation,) = file.json["animations"]
    rotations = [
        file.array(animation["samplers"][channel["sampler"]]["output"])
        for channel in animation["channels"]
        if channel["target"]["path"] == "rotation"
    ]
    assert len(rotations) == len(SKELETON)
    assert min((q[1:] * q[:-1]).sum(axis=1).min() for q in rotations) > 0.9


def test_placement_can_be_left_out(synthetic: HACK, tmp_path: Path) -> None:
    clip = random_clip(synthetic, 1)
    file = GltfFile(write_glb(tmp_path / "head.glb", synthetic.rig(clip.shape, clip.scale), clip, placement=False))
    kept = {k: v for k, v in clip.parameters(0).items() if k not in ("global_rotation", "translation", "scale")}
    np.testing.assert_allclose(file.vertices(), synthetic(**kept).vertices, atol=3e-6)


def test_morph_normals_turn_with_the_surface(synthetic: HACK, tmp_path: Path) -> None:
    file = GltfFile(write_glb(tmp_path / "head.glb", synthetic.rig()))
    turned = file.attribute("NORMAL") + file.target("jawOpen", "NORMAL")
    moved = np.asarray(synthetic(expression={"jawOpen": 1.0}).vertices)
    wanted = trimesh.Trimesh(moved, synthetic.asset.triangles, process=False)
    angle = np.degrees(
        np.arccos(np.clip((turned * wanted.vertex_normals).sum(1) / np.linalg.norm(turned, axis=1), -1, 1))
    )
    assert np.percentile(angle, 99) < 12  # trimesh weights by angle, the file by area
    bare = GltfFile(write_glb(tmp_path / "bare.glb", synthetic.rig(), morph_normals=False))
    assert "NORMAL" not in bare.json["meshes"][0]["primitives"][0]["targets"][0]


def test_the_same_rig_gives_the_same_bytes(synthetic: HACK, tmp_path: Path) -> None:
    clip = random_clip(synthetic, 3)
    files = [write_glb(tmp_path / name, synthetic.rig(clip.shape), clip) for name in ("a.glb", "b.glb")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_textures_that_cannot_be_used_are_refused(synthetic: HACK, tmp_path: Path) -> None:
    note = tmp_path / "note.png"
    note.write_text("no picture")
    for texture in (note, tmp_path / "none.png", np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3))):
        with pytest.raises(FormatError):
            write_glb(tmp_path / "head.glb", synthetic.rig(), texture=texture)
    assert not (tmp_path / "head.glb").exists()


@given(st.lists(st.floats(-4, 4), min_size=3, max_size=3))
def test_quaternions_are_the_rotations(rotation: list[float]) -> None:
    matrix = Rotation.from_rotvec(rotation).as_matrix()
    quaternion = quaternions(matrix)
    assert abs(np.linalg.norm(quaternion) - 1) < 1e-12
    np.testing.assert_allclose(Rotation.from_quat(quaternion).as_matrix(), matrix, atol=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(1, 11))
def test_influences_sum_to_one(seed: int, used: int) -> None:
    random = np.random.default_rng(seed)
    weights = np.zeros((20, 11))
    for row in weights:
        row[random.choice(11, used, replace=False)] = random.dirichlet(np.full(used, 0.3))
    joints, values = skin_influences(weights)
    np.testing.assert_allclose(values.sum(axis=1, dtype=np.float64), 1, atol=1e-7)
    assert (values >= 0).all()
    assert (joints[values == 0] == 0).all()
    if used <= 4:
        dense = np.zeros_like(weights)
        np.add.at(dense, (np.arange(20)[:, None], joints), values)
        np.testing.assert_allclose(dense, weights, atol=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.floats(0, 1))
def test_offsets_come_back_and_lie_aligned(seed: int, count: int, moving: float) -> None:
    random = np.random.default_rng(seed)
    arrays = [
        (random.normal(size=(count, 3)) * (random.random((count, 1)) < moving)).astype(np.float32) for _ in range(3)
    ]
    buffer, document = GltfBuffer(), gltf.GLTF2()
    buffer.add_bytes(bytes(count))
    indices = [buffer.add_offsets(array) for array in arrays]
    buffer.finish(document)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.glb"
        path.write_bytes(b"".join(document.save_to_bytes()))
        file = GltfFile(path)
    for index, array in zip(indices, arrays, strict=True):
        np.testing.assert_array_equal(file.array(index), array)
        assert file.json["accessors"][index]["max"] == array.max(axis=0).tolist()
    assert all(view.get("byteOffset", 0) % 4 == 0 for view in file.json["bufferViews"])
    assert len(file.binary) <= sum(min(array.nbytes, 14 * int(array.any(axis=1).sum()) + 2) for array in arrays) + 64
