"""Skin and eyes of an appearance in GLB and USD files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hack_model
from hack_model import HACK
from hack_model.appearance.eyes import EyeLayout
from hack_model.appearance.materials import Material, head_materials
from hack_model.appearance.parameters import Appearance
from hack_model.clip import Clip
from hack_model.errors import AssetError
from hack_model.formats.export import export_clip
from hack_model.formats.glb import write_glb
from tests.formats.conftest import Validate
from tests.formats.gltf_reader import GltfFile

SIZE = 64


@pytest.fixture(scope="module")
def head() -> HACK:
    return hack_model.load()


@pytest.fixture(scope="module")
def materials(head: HACK) -> tuple[Material, ...]:
    return head_materials(head.asset, Appearance(iris=0.1), size=SIZE)


@pytest.fixture(scope="module")
def file(head: HACK, materials: tuple[Material, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("glb") / "head.glb"
    return write_glb(path, head.rig(), materials=materials, morph_normals=False)


def picture(document: GltfFile, texture: int) -> np.ndarray:
    image = document.json["images"][document.json["textures"][texture]["source"]]
    return np.asarray(Image.open(io.BytesIO(document.view(image["bufferView"]))))


def test_khronos_validator_finds_nothing_in_maps(file: Path, validate: Validate) -> None:
    report = validate(file)
    # A picture's coordinates on parts without a picture are no fault.
    found = [each for each in report["issues"]["messages"] if each["code"] != "UNUSED_OBJECT"]
    assert found == []
    assert report["info"]["hasTextures"]


def test_the_skin_carries_its_maps(file: Path, materials: tuple[Material, ...]) -> None:
    document = GltfFile(file)
    skin = materials[0]
    stored = document.json["materials"][0]
    surface = stored["pbrMetallicRoughness"]
    np.testing.assert_array_equal(picture(document, surface["baseColorTexture"]["index"]), skin.albedo)
    np.testing.assert_array_equal(picture(document, stored["normalTexture"]["index"]), skin.normal)
    rough = picture(document, surface["metallicRoughnessTexture"]["index"])
    np.testing.assert_array_equal(rough[..., 1], skin.gloss)
    assert not rough[..., 2].any()  # no metal
    assert surface["roughnessFactor"] == 1
    assert surface["metallicFactor"] == 0


def test_tangents_stand_on_the_normals_along_u(head: HACK, file: Path) -> None:
    document = GltfFile(file)
    with_tangents = [each for each in document.json["meshes"][0]["primitives"] if "TANGENT" in each["attributes"]]
    assert [document.json["materials"][each["material"]]["name"] for each in with_tangents] == ["skin"]
    attributes = with_tangents[0]["attributes"]
    tangent, normal, place, uv = (
        document.array(attributes[name]).astype(float) for name in ("TANGENT", "NORMAL", "POSITION", "TEXCOORD_0")
    )
    assert np.abs(np.linalg.norm(tangent[:, :3], axis=1) - 1).max() < 1e-4
    assert np.abs((tangent[:, :3] * normal).sum(axis=1)).max() < 1e-4
    assert set(np.unique(tangent[:, 3])) <= {-1.0, 1.0}
    bitangent = tangent[:, 3:] * np.cross(normal, tangent[:, :3])
    triangles = document.array(with_tangents[0]["indices"]).reshape(-1, 3)
    edge = place[triangles[:, 1]] - place[triangles[:, 0]]
    step = uv[triangles[:, 1]] - uv[triangles[:, 0]]
    level = np.abs(step[:, 1]) < 0.2 * np.abs(step[:, 0])
    upright = np.abs(step[:, 0]) < 0.2 * np.abs(step[:, 1])
    start = triangles[:, 0]
    along, up = (edge * tangent[start, :3]).sum(axis=1), (edge * bitangent[start]).sum(axis=1)
    assert (np.sign(along[level]) == np.sign(step[level, 0])).mean() > 0.98
    assert (np.sign(up[upright]) == -np.sign(step[upright, 1])).mean() > 0.98  # the file's v grows downwards


def test_the_eyes_show_one_picture(head: HACK, file: Path) -> None:
    document = GltfFile(file)
    names = [material["name"] for material in document.json["materials"]]
    textures = {
        name: document.json["materials"][names.index(name)]["pbrMetallicRoughness"]["baseColorTexture"]["index"]
        for name in ("sclera", "limbus", "iris", "iris_inner")
    }
    assert len(set(textures.values())) == 1
    layout = EyeLayout.of(head.asset)
    assert layout is not None
    primitive = next(
        each for each in document.json["meshes"][0]["primitives"] if names[each["material"]] == "iris_inner"
    )
    uv = document.array(primitive["attributes"]["TEXCOORD_0"]) % 1.0
    distance = np.hypot(uv[:, 0] - 0.5, uv[:, 1] - 0.5) * 2 * layout.half_angle
    assert distance.max() < layout.iris
    assert distance.min() == pytest.approx(layout.pupil, rel=0.02)
    shown = picture(document, textures["iris"])
    centre = shown[250:262, 200:220].reshape(-1, 3).mean(axis=0)  # beside the pupil
    assert centre[2] > centre[0]  # blue


def test_exports_are_wrinkled_as_their_frame(head: HACK, tmp_path: Path) -> None:
    import dataclasses

    calm = Clip.neutral(head)
    expression = np.zeros((1, len(head.asset.expression_names)))
    expression[0, head.asset.expression_names.index("browDown_L")] = 1.0
    frown = dataclasses.replace(calm, expression=expression)
    first, second = (
        GltfFile(export_clip(clip, tmp_path / f"{name}.glb", head, maps=256)[0])
        for name, clip in (("calm", calm), ("frown", frown))
    )
    normals = [
        picture(each, each.json["materials"][0]["normalTexture"]["index"]).astype(int) for each in (first, second)
    ]
    changed = np.argwhere(np.abs(normals[0] - normals[1]).max(axis=-1) > 4)
    assert len(changed)
    row, column = changed.mean(axis=0) / 256
    assert 0.2 < row < 0.36  # between the brows …
    assert 0.48 < column < 0.56  # … more on the left


def test_obj_has_the_painted_colour(head: HACK, tmp_path: Path) -> None:
    files = export_clip(
        Clip.neutral(head), tmp_path / "head.obj", head, appearance=Appearance(melanin=0.9), maps=SIZE
    )  # fmt: skip
    with Image.open(next(file for file in files if file.suffix == ".png")) as image:
        assert image.size == (SIZE, SIZE)
        assert np.asarray(image).mean() < 120


def test_models_without_places_keep_their_colours_or_say_so(synthetic: HACK, tmp_path: Path) -> None:
    clip = Clip.neutral(synthetic)
    plain = GltfFile(export_clip(clip, tmp_path / "head.glb", synthetic, maps=SIZE)[0])
    assert "normalTexture" not in plain.json["materials"][0]
    with pytest.raises(AssetError, match="lacks landmarks"):
        export_clip(clip, tmp_path / "head.glb", synthetic, appearance=Appearance(), maps=SIZE)


def test_usd_carries_maps(head: HACK, materials: tuple[Material, ...], tmp_path: Path) -> None:
    pytest.importorskip("pxr")
    from pxr import Usd, UsdShade

    from hack_model.formats.usd import write_usd

    files = write_usd(tmp_path / "head.usda", head.rig(), materials=materials, morph_normals=False)
    assert {file.name for file in files} == {
        "head.usda", "head_skin.png", "head_skin_normal.png", "head_skin_roughness.png", "head_sclera.png",
    }  # fmt: skip
    stage = Usd.Stage.Open(str(tmp_path / "head.usda"))

    def source(material: str, name: str) -> UsdShade.Shader:
        surface = UsdShade.Shader.Get(stage, f"/head/materials/{material}/surface")
        found = surface.GetInput(name).GetConnectedSources()[0]
        return UsdShade.Shader(found[0].source.GetPrim())

    for name, picture in (("diffuseColor", "skin"), ("normal", "skin_normal"), ("roughness", "skin_roughness")):
        texture = source("skin", name)
        assert texture.GetInput("file").Get().path == f"./head_{picture}.png"
        space = texture.GetInput("sourceColorSpace").Get()
        assert space == ("sRGB" if name == "diffuseColor" else "raw")
    assert tuple(source("skin", "normal").GetInput("scale").Get()) == (2, 2, 2, 1)
    iris = source("iris", "diffuseColor")
    assert iris.GetInput("file").Get().path == "./head_sclera.png"
    place = UsdShade.Shader(iris.GetInput("st").GetConnectedSources()[0][0].source.GetPrim())
    layout = EyeLayout.of(head.asset)
    assert layout is not None
    moved = layout.centre * place.GetInput("scale").Get()[0] + np.array(place.GetInput("translation").Get())
    np.testing.assert_allclose(moved % 1, 0.5, atol=1e-4)
