"""USD: valid, exact in every frame as UsdSkel evaluates it, and what Blender makes of it."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hack_model import HACK, Clip, FormatError, MissingDependencyError, ParameterError
from hack_model.appearance.materials import plain_materials
from hack_model.formats.arkit import arkit_table
from hack_model.formats.export import export_clip
from hack_model.formats.morphs import morph_targets
from hack_model.formats.surface import vertex_normals
from hack_model.formats.usd import write_usd
from hack_model.names import SKELETON, SKELETON_PARENTS
from tests.formats.conftest import Blender
from tests.formats.test_glb import placed, random_clip

pytest.importorskip("pxr")
from pxr import Usd, UsdGeom, UsdShade, UsdSkel, UsdValidation


def opened(path: Path) -> Any:
    """The stage of a file, as nothing else in this process has it open."""
    return Usd.Stage.Open(str(path))


def faults(path: Path) -> list[str]:
    """What the validators of USD's own checker say."""
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    errors = UsdValidation.ValidationContext(validators).Validate(opened(path))
    return [f"{error.GetName()}: {error.GetMessage()}" for error in errors]


def baked(path: Path) -> tuple[Any, list[np.ndarray]]:
    """The mesh, and its vertices in the world at each time code, skinned and blended by UsdSkel."""
    stage = opened(path)
    assert UsdSkel.BakeSkinning(UsdSkel.Root(stage.GetDefaultPrim()))
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/head/mesh"))
    frames = []
    for time in range(int(stage.GetStartTimeCode()), int(stage.GetEndTimeCode()) + 1):
        matrix = np.array(mesh.ComputeLocalToWorldTransform(time))
        frames.append(np.array(mesh.GetPointsAttr().Get(time)) @ matrix[:3, :3] + matrix[3, :3])
    return mesh, frames


@pytest.mark.parametrize("suffix", [".usda", ".usdc", ".usdz"])
@pytest.mark.parametrize("frames", [0, 1, 4])
def test_checker_finds_nothing(synthetic: HACK, suffix: str, frames: int, tmp_path: Path) -> None:
    clip = random_clip(synthetic, frames) if frames else None
    rig = synthetic.rig() if clip is None else synthetic.rig(clip.shape, clip.scale)
    files = write_usd(tmp_path / f"head{suffix}", rig, clip)
    assert [path.name for path in files] == [f"head{suffix}", *["head_skin.png"] * (suffix != ".usdz")]
    assert all(path.is_file() for path in files)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in files}
    assert faults(files[0]) == []


@pytest.mark.parametrize("suffix", [".usdc", ".usdz"])
def test_maps_of_relief_and_roughness(synthetic: HACK, suffix: str, blender: Blender, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    skin, *others = plain_materials(synthetic.asset)
    relief, gloss = (random.integers(100, 200, shape).astype(np.uint8) for shape in ((8, 8, 3), (8, 8)))
    materials = [dataclasses.replace(skin, normal=relief, gloss=gloss), *others]
    files = write_usd(tmp_path / f"head{suffix}", synthetic.rig(), materials=materials)
    assert faults(files[0]) == []
    if suffix == ".usdc":
        assert {path.name for path in files[1:]} == {f"head_skin{kind}.png" for kind in ("", "_normal", "_roughness")}
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "head_skin_normal.png").convert("RGB")), relief)
    assert len(blender(files[0])["images"]) == 3


def test_the_checker_would_find_faults(synthetic: HACK, tmp_path: Path) -> None:
    (path, picture) = write_usd(tmp_path / "head.usda", synthetic.rig())
    picture.unlink()
    assert any("Missing" in fault or "Unresolvable" in fault for fault in faults(path))
    broken = tmp_path / "broken.usda"
    broken.write_text(path.read_text().replace("metersPerUnit", "ignored"))
    assert any("metersPerUnit" in fault for fault in faults(broken))


def test_usdskel_shows_the_model(model: HACK, tmp_path: Path) -> None:
    clip = random_clip(model, 4, seed=2)
    path = write_usd(tmp_path / "head.usdc", model.rig(clip.shape, clip.scale), clip)[0]
    _, frames = baked(path)
    assert len(frames) == 4
    np.testing.assert_allclose(frames, placed(model, clip), atol=1e-6)


def test_placement_can_be_left_out(synthetic: HACK, tmp_path: Path) -> None:
    clip = random_clip(synthetic, 2, seed=3)
    rig = synthetic.rig(clip.shape, clip.scale)
    path = write_usd(tmp_path / "head.usdc", rig, clip, placement=False)[0]
    stage = opened(path)
    box = np.array(UsdGeom.Boundable(stage.GetDefaultPrim()).GetExtentAttr().Get())
    _, frames = baked(path)
    still = dataclasses.replace(clip, global_rotation=np.zeros((2, 3)), translation=np.zeros((2, 3)), scale=1.0)
    wanted = placed(synthetic, still)
    np.testing.assert_allclose(frames, wanted, atol=1e-6)
    np.testing.assert_allclose(box, [wanted.min(axis=(0, 1)), wanted.max(axis=(0, 1))], atol=1e-6)


def test_a_swallow_is_kept(synthetic: HACK, tmp_path: Path) -> None:
    clip = dataclasses.replace(Clip.neutral(synthetic, 12, 10.0), larynx_size=np.ones(12)).with_swallow()
    _, frames = baked(write_usd(tmp_path / "head.usdc", synthetic.rig(), clip)[0])
    np.testing.assert_allclose(frames, placed(synthetic, clip), atol=2e-4)
    assert np.ptp(frames, axis=0).max() > 0.003


def test_stage_says_its_units_time_and_licence(synthetic: HACK, tmp_path: Path) -> None:
    clip = dataclasses.replace(Clip.neutral(synthetic, 7), fps=29.97)
    stage = opened(write_usd(tmp_path / "head.usda", synthetic.rig(), clip)[0])
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (0, 6)
    assert stage.GetTimeCodesPerSecond() == stage.GetFramesPerSecond() == 29.97
    assert stage.GetRootLayer().documentation == f"Model synthetic {synthetic.asset.version}: CC0-1.0"


def test_skeleton_is_the_models(model: HACK, tmp_path: Path) -> None:
    stage = opened(write_usd(tmp_path / "head.usdc", model.rig())[0])
    skeleton = UsdSkel.Skeleton(stage.GetPrimAtPath("/head/skeleton"))
    joints = list(skeleton.GetJointsAttr().Get())
    assert [joint.rpartition("/")[2] for joint in joints] == list(SKELETON)
    assert [joints.index(joint.rpartition("/")[0]) if "/" in joint else -1 for joint in joints] == list(
        SKELETON_PARENTS
    )
    bind = np.array(skeleton.GetBindTransformsAttr().Get())
    np.testing.assert_allclose(bind[1:, 3, :3], model.joint_template, atol=1e-6)
    np.testing.assert_allclose(bind[1:, :3, :3].swapaxes(1, 2), model.asset.joint_frames, atol=1e-6)
    rest = np.array(skeleton.GetRestTransformsAttr().Get())
    for joint, parent in enumerate(SKELETON_PARENTS):
        whole = rest[joint] if parent < 0 else rest[joint] @ bind[parent]
        np.testing.assert_allclose(whole, bind[joint], atol=1e-9)


def test_mesh_keeps_quads_uv_normals_and_materials(model: HACK, tmp_path: Path) -> None:
    asset = model.asset
    stage = opened(write_usd(tmp_path / "head.usdc", model.rig())[0])
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/head/mesh"))
    corners = asset.faces >= 0
    np.testing.assert_array_equal(mesh.GetFaceVertexCountsAttr().Get(), corners.sum(axis=1))
    np.testing.assert_array_equal(mesh.GetFaceVertexIndicesAttr().Get(), asset.faces[corners])
    st = UsdGeom.PrimvarsAPI(mesh).GetPrimvar("st")
    np.testing.assert_allclose(st.ComputeFlattened(), asset.uv[asset.face_uv[corners]], atol=1e-7)
    np.testing.assert_allclose(mesh.GetNormalsAttr().Get(), vertex_normals(asset.template, asset.triangles), atol=1e-5)
    subsets = UsdShade.MaterialBindingAPI(mesh).GetMaterialBindSubsets()
    found = {}
    for subset in subsets:
        material = UsdShade.MaterialBindingAPI(subset).ComputeBoundMaterial()[0]
        found[material.GetPrim().GetName()] = np.array(subset.GetIndicesAttr().Get())
    used = np.unique(asset.face_material)
    assert set(found) == {asset.material_names[index] for index in used}
    for index in used:
        np.testing.assert_array_equal(found[asset.material_names[index]], np.flatnonzero(asset.face_material == index))


def test_surfaces_have_the_assets_colours_and_the_skin_its_picture(synthetic: HACK, tmp_path: Path) -> None:
    texture = tmp_path / "photo.jpg"
    Image.new("RGB", (32, 32), (200, 150, 120)).save(texture)
    files = write_usd(tmp_path / "head.usda", synthetic.rig(), texture=texture)
    assert files[1].read_bytes() == texture.read_bytes()
    stage = opened(files[0])
    sclera = UsdShade.Shader(stage.GetPrimAtPath("/head/materials/sclera/surface"))
    np.testing.assert_allclose(sclera.GetInput("diffuseColor").Get(), synthetic.asset.material_color[1, :3], atol=1e-6)
    assert sclera.GetInput("roughness").Get() == pytest.approx(0.1)
    skin = UsdShade.Shader(stage.GetPrimAtPath("/head/materials/skin/surface"))
    source = skin.GetInput("diffuseColor").GetConnectedSources()[0][0].source
    picture = UsdShade.Shader(source.GetPrim()).GetInput("file").Get()
    assert Path(picture.resolvedPath) == files[1]


def test_blend_shapes_are_the_targets_of_every_format(synthetic: HACK, tmp_path: Path) -> None:
    rig, clip = synthetic.rig(), random_clip(synthetic, 2)
    stage = opened(write_usd(tmp_path / "head.usdc", rig, clip)[0])
    binding = UsdSkel.BindingAPI(stage.GetPrimAtPath("/head/mesh"))
    names = list(binding.GetBlendShapesAttr().Get())
    targets = morph_targets(rig, clip)
    assert len(names) == len(set(names)) == len(targets)
    assert names[:52] == list(arkit_table())
    assert any(name.endswith("Plus") for name in names)
    normals = vertex_normals(synthetic.asset.template, synthetic.asset.triangles)
    for name, path, target in zip(names, binding.GetBlendShapeTargetsRel().GetTargets(), targets, strict=True):
        shape = UsdSkel.BlendShape(stage.GetPrimAtPath(path))
        assert path.name == name
        offsets = np.zeros_like(target.offsets)
        offsets[shape.GetPointIndicesAttr().Get()] = shape.GetOffsetsAttr().Get()
        np.testing.assert_allclose(offsets, target.offsets, atol=2e-7)
    jaw = UsdSkel.BlendShape(stage.GetPrimAtPath("/head/mesh/jawOpen"))
    moved = np.array(jaw.GetPointIndicesAttr().Get())
    opened_mouth = rig(expression={"jawOpen": 1.0}).rest
    turned = vertex_normals(opened_mouth, synthetic.asset.triangles) - normals
    np.testing.assert_allclose(jaw.GetNormalOffsetsAttr().Get(), turned[moved], atol=3e-3)
    plain = opened(write_usd(tmp_path / "plain.usdc", rig, clip, morph_normals=False)[0])
    assert not np.any(UsdSkel.BlendShape(plain.GetPrimAtPath("/head/mesh/jawOpen")).GetNormalOffsetsAttr().Get())


def odd_names(synthetic: HACK) -> HACK:
    """The synthetic model with names that USD has to spell otherwise, or that meet when it does."""
    asset = synthetic.asset
    expressions = dict.fromkeys(asset.expression_names)
    odd = ("skin", "nosé", "nosè", "a b", "a_b", "A_B", "larynx", "eyeBlinkLeft", "1up", "../jaw")
    for name, new in zip(list(expressions)[-len(odd) :], odd, strict=True):
        expressions[name] = new
    renamed = tuple(new or name for name, new in expressions.items())
    materials = np.array(["skin", "../../eye ball", "../../eye_ball"])
    face_material = asset.face_material.copy()
    last = np.flatnonzero(face_material == 1)
    face_material[last[::2]] = 2
    more = {
        name: np.concatenate([getattr(asset, name), getattr(asset, name)[:1]])
        for name in ("material_color", "material_roughness")
    }
    return HACK.from_asset(
        dataclasses.replace(
            asset, expression_names=renamed, material_names=materials, face_material=face_material, **more
        )
    )


def test_names_that_meet_stay_apart(synthetic: HACK, tmp_path: Path) -> None:
    model = odd_names(synthetic)
    clip = random_clip(model, 3, seed=6)
    skin, *others = plain_materials(model.asset)
    pictures = [np.full((4, 4, 3), value, np.uint8) for value in (60, 120)]
    materials = [skin, *(dataclasses.replace(each, albedo=p) for each, p in zip(others, pictures, strict=True))]
    (tmp_path / "out").mkdir()
    rig = model.rig(clip.shape, clip.scale)
    path, *files = write_usd(tmp_path / "out/head.usdc", rig, clip, materials=materials)
    assert faults(path) == []
    assert [file.name for file in files] == ["head_skin.png", "head_______eye_ball.png", "head_______eye_ball_2.png"]
    assert {file.name for file in tmp_path.rglob("*")} == {"out", path.name, *(file.name for file in files)}
    _, frames = baked(path)
    np.testing.assert_allclose(frames, placed(model, clip), atol=1e-6)
    stage = opened(path)
    shapes = [prim for prim in stage.GetPrimAtPath("/head/mesh").GetChildren() if prim.IsA(UsdSkel.BlendShape)]
    targets = [target.name for target in morph_targets(rig, clip)]
    assert [prim.GetDisplayName() or prim.GetName() for prim in shapes] == targets
    assert {"nosé", "nosè", "a b", "a_b", "A_B_2", "eyeBlinkLeft", "eyeBlinkLeft_2", "larynx_2"} <= set(targets)
    subsets = [prim for prim in stage.GetPrimAtPath("/head/mesh").GetChildren() if prim.IsA(UsdGeom.Subset)]
    assert [prim.GetDisplayName() or prim.GetName() for prim in subsets] == list(model.asset.material_names)
    for index, prim in enumerate(subsets):
        faces = np.array(UsdGeom.Subset(prim).GetIndicesAttr().Get())
        np.testing.assert_array_equal(faces, np.flatnonzero(model.asset.face_material == index))


def test_extent_holds_the_head_in_every_frame(synthetic: HACK, tmp_path: Path) -> None:
    clip = random_clip(synthetic, 20, seed=5)
    stage = opened(write_usd(tmp_path / "head.usdc", synthetic.rig(clip.shape, clip.scale), clip)[0])
    box = np.array(UsdGeom.Boundable(stage.GetDefaultPrim()).GetExtentAttr().Get()) * clip.scale
    vertices = placed(synthetic, clip)
    np.testing.assert_allclose(box, [vertices.min(axis=(0, 1)), vertices.max(axis=(0, 1))], atol=1e-6)


@pytest.mark.parametrize("suffix", [".usdc", ".usdz"])
def test_blender_shows_the_model(model: HACK, blender: Blender, suffix: str, tmp_path: Path) -> None:
    clip = random_clip(model, 3, seed=4)
    found = blender(write_usd(tmp_path / f"head{suffix}", model.rig(clip.shape, clip.scale), clip)[0], 0, 1, 2)
    np.testing.assert_allclose(found["vertices"], placed(model, clip), atol=1e-5)
    assert found["polygons"] == len(model.asset.faces)
    assert {name.rpartition("_")[2] if name.startswith("base_") else name for name in found["bones"]} >= {"base"}
    assert len(found["bones"]) == len(SKELETON)
    assert list(found["shape_keys"])[1:53] == [n for n in arkit_table() if n in set(found["shape_keys"])]
    assert found["textured"].tolist() == (["skin"] if model.asset.albedo.size else [])
    names = np.array(model.asset.material_names)[model.asset.face_material]
    np.testing.assert_array_equal(found["materials"][found["face_material"]], names)
    corners = model.asset.face_uv[model.asset.faces >= 0]
    np.testing.assert_allclose(found["uv"], model.asset.uv[corners], atol=1e-6)


def test_export_by_suffix(synthetic: HACK, tmp_path: Path) -> None:
    clip = random_clip(synthetic, 3)
    for suffix in (".usda", ".USDC", ".usdz"):
        path = export_clip(clip, tmp_path / f"head{suffix}", synthetic, frame=2, placement=False)[0]
        stage = opened(path)
        assert stage.GetEndTimeCode() == 0
        assert not UsdGeom.Xformable(stage.GetDefaultPrim()).GetOrderedXformOps()


def test_what_cannot_be_written(synthetic: HACK, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FormatError, match=r"cannot write \.usd; use \.usda"):
        write_usd(tmp_path / "head.usd", synthetic.rig())
    (tmp_path / "bad.png").write_bytes(b"GIF89a")
    with pytest.raises(FormatError, match="neither PNG nor JPEG"):
        write_usd(tmp_path / "head.usda", synthetic.rig(), texture=tmp_path / "bad.png")
    foreign = Clip("m", "1", ("earWiggle",), np.ones((1, 1)))
    with pytest.raises(ParameterError, match="earWiggle"):
        write_usd(tmp_path / "head.usda", synthetic.rig(), foreign)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.png"]
    monkeypatch.setitem(sys.modules, "pxr", None)
    with pytest.raises(MissingDependencyError, match=r"hack-model\[usd\]"):
        write_usd(tmp_path / "head.usda", synthetic.rig())
