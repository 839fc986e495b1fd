from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hack_model import ModelAsset
from hack_model.appearance.eyes import EyeLayout, eye_image, iris_colour
from hack_model.appearance.files import write_maps
from hack_model.appearance.materials import chosen_materials, head_materials, plain_materials
from hack_model.appearance.parameters import Appearance
from hack_model.errors import AssetError, ParameterError
from tests.support.synthetic import synthetic_asset


def test_irises_go_from_blue_to_brown_and_darken() -> None:
    colours = iris_colour(np.linspace(0, 1, 11))
    assert colours[0, 2] > 1.6 * colours[0, 0]  # blue
    assert colours[-1, 0] > 1.5 * colours[-1, 2]  # brown
    assert (np.diff(colours[:9, 2] / colours[:9, 0]) < 0).all()
    assert colours[5, 1] > 1.1 * colours[5, 0]  # green between them
    assert colours[5, 1] > colours[5, 2]
    luminance = colours @ (0.21, 0.72, 0.07)
    assert (np.diff(luminance) < 1e-3).all()
    assert luminance[-1] < 0.35 * luminance[0]


def test_the_layout_of_the_eyes_is_found(asset: ModelAsset) -> None:
    layout = EyeLayout.of(asset)
    assert layout is not None
    # iris 11.8 mm on an eyeball of 12.8 mm radius
    assert np.degrees(layout.iris) == pytest.approx(27.4, abs=0.5)
    for part in ("eye_left", "eye_right"):
        vertices = asset.part(part)
        chosen = asset.face_material == asset.material_names.index("limbus")
        chosen &= (asset.faces[:, 0] >= vertices.start) & (asset.faces[:, 0] < vertices.stop)
        place = layout.transform(asset.uv[np.unique(asset.face_uv[chosen])]) % 1.0 - 0.5
        angle = np.linalg.norm(place, axis=1) * 2 * layout.half_angle
        assert angle.max() == pytest.approx(layout.iris, rel=0.02)
        assert angle.min() > 0.8 * layout.iris
    assert EyeLayout.of(synthetic_asset()) is None


def test_the_picture_of_an_eye(asset: ModelAsset) -> None:
    layout = EyeLayout.of(asset)
    assert layout is not None
    picture = eye_image(layout, Appearance(iris=0.0, veins=0.0), 256).astype(float)
    centre = 128
    iris = round(256 * layout.iris / (2 * layout.half_angle))
    ring = [picture[centre, centre + round(iris * share)] for share in (0.65, 1.0, 1.6)]
    assert ring[0][2] > ring[0][0] + 15  # blue inside
    assert ring[2].min() > 150  # white outside
    assert ring[1].sum() < ring[2].sum()  # the rim is dark
    red = eye_image(layout, Appearance(veins=1.0), 256).astype(float)
    assert (red[..., 0] - red[..., 1]).mean() > (picture[..., 0] - picture[..., 1]).mean() + 2


def test_materials_keep_their_order_and_carry_maps(asset: ModelAsset) -> None:
    materials = head_materials(asset, Appearance(iris=0.0), size=64)
    assert tuple(each.name for each in materials) == asset.material_names
    by_name = {each.name: each for each in materials}
    skin = by_name["skin"]
    assert skin.albedo is not None
    assert skin.normal is not None
    assert skin.gloss is not None
    assert skin.albedo.shape == skin.normal.shape == (64, 64, 3)
    assert skin.gloss.shape == (64, 64)
    assert skin.subsurface[0] > skin.subsurface[2] > 0
    assert by_name["iris"].albedo is by_name["sclera"].albedo
    assert by_name["teeth"].albedo is None
    assert by_name["iris"].color[2] > by_name["iris"].color[0]
    assert by_name["cornea"].color[3] < 0.5


def test_plain_materials_are_the_assets(asset: ModelAsset) -> None:
    materials = plain_materials(asset)
    np.testing.assert_allclose([each.color for each in materials], asset.material_color)
    assert materials[0].albedo is asset.albedo
    assert materials[0].normal is None


def test_what_an_export_uses(asset: ModelAsset) -> None:
    synthetic = synthetic_asset()
    assert chosen_materials(asset, None, 0)[0].normal is None
    assert chosen_materials(asset, None, 64)[0].normal is not None
    assert chosen_materials(synthetic, None, 64)[0].normal is None
    with pytest.raises(AssetError, match="lacks landmarks"):
        chosen_materials(synthetic, Appearance(), 64)
    with pytest.raises(ParameterError, match="needs maps"):
        chosen_materials(asset, Appearance(), 0)


def test_maps_are_written_as_pictures(asset: ModelAsset, tmp_path: Path) -> None:
    appearance = Appearance(melanin=0.6)
    files = write_maps(tmp_path / "maps", asset, appearance, size=64, weights={"glabella_L": 1.0})
    names = {file.name for file in files}
    assert names == {
        "albedo.png", "normal.png", "roughness.png", "wrinkles_0.png", "wrinkles_1.png", "eye.png", "appearance.json",
    }  # fmt: skip
    with Image.open(tmp_path / "maps" / "albedo.png") as image:
        assert image.size == (64, 64)
    read = json.loads((tmp_path / "maps" / "appearance.json").read_text())
    assert Appearance(**read) == appearance
