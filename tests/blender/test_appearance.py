"""Skin and eyes in Blender: the maps, where they lie, wrinkles under the sliders, painting again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hack_model import ModelAsset
from hack_model.appearance import wrinkles
from hack_model.appearance.anatomy import anatomy_of
from hack_model.appearance.eyes import EyeLayout
from hack_model.appearance.parameters import TRAITS, Appearance
from hack_model.appearance.skin import Skin
from hack_model.resources import default_model_path
from tests.blender.heads import Head

SIZE = 128


@pytest.fixture(scope="module")
def asset() -> ModelAsset:
    return ModelAsset.load(default_model_path())


@pytest.fixture(scope="module")
def painted(_registered: None) -> Head:
    """One head of the default model for the tests that only look."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    return Head.add(maps=SIZE, appearance="melanin=0.5,iris=0.1,seed=3")


def shader(head: Head, name: str) -> Any:
    material = next(each for each in head.mesh.data.materials if each["hack_role"] == name)
    return next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")


def picture(node: Any) -> np.ndarray:
    """A node's pixels, first row at the top, 0…255."""
    pixels = np.empty(len(node.image.pixels), np.float32)
    node.image.pixels.foreach_get(pixels)
    width, height = node.image.size
    return np.rint(pixels.reshape(height, width, 4)[::-1, :, :3] * 255).astype(np.uint8)


def images(head: Head, name: str) -> dict[str, np.ndarray]:
    tree = shader(head, name).id_data
    return {node.image["hack_role"]: picture(node) for node in tree.nodes if node.type == "TEX_IMAGE"}


def amounts(head: Head) -> dict[str, tuple[float, ...]]:
    """The driven strengths of every vector of wrinkles, by the node's name."""
    import bpy

    bpy.context.view_layer.update()
    tree = shader(head, "skin").id_data.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return {node.name: tuple(node.inputs[1].default_value) for node in tree.nodes if node.name.startswith("wrinkles ")}


def strength(head: Head, name: str) -> float:
    """A layer's strength, found the way the shader does: its map, its place among the map's layers, its side."""
    layer = next(each for each in wrinkles.layers() if each.name == name)
    pairs = list(dict.fromkeys(each.name[:-2] for each in wrinkles.layers() if each.map == layer.map))
    row, column = divmod(pairs.index(name[:-2]), 3)
    return amounts(head)[f"wrinkles {layer.map} {row} {layer.side}"][column]


def test_the_skin_has_the_maps_of_its_appearance(painted: Head, asset: ModelAsset) -> None:
    skin = Skin.paint(asset, Appearance(melanin=0.5, iris=0.1, seed=3), SIZE)
    maps, found = skin.maps(), images(painted, "skin")
    np.testing.assert_array_equal(found["albedo"], maps.albedo)
    np.testing.assert_array_equal(found["normal"], maps.normal)
    np.testing.assert_array_equal(found["gloss"][..., 0], maps.roughness)
    for number, image in enumerate(skin.wrinkle_images()):
        np.testing.assert_array_equal(found[f"wrinkles{number}"], image)


def test_sockets_are_connected(painted: Head) -> None:
    skin, iris = shader(painted, "skin"), shader(painted, "iris")
    for socket in ("Base Color", "Roughness", "Normal"):
        assert skin.inputs[socket].is_linked
    assert skin.inputs["Subsurface Weight"].default_value == 1
    assert skin.inputs["IOR"].default_value == pytest.approx(1.4)
    assert iris.inputs["Base Color"].is_linked
    assert not shader(painted, "teeth").inputs["Base Color"].is_linked
    colours = {node.image.colorspace_settings.name for node in skin.id_data.nodes if node.type == "TEX_IMAGE"}
    assert colours == {"sRGB", "Non-Color"}


def test_the_eyes_picture_lies_on_both_irises(painted: Head, asset: ModelAsset) -> None:
    layout = EyeLayout.of(asset)
    assert layout is not None
    nodes = shader(painted, "iris").id_data.nodes
    mapping = next(node for node in nodes if node.type == "MAPPING")
    scale, offset = mapping.inputs["Scale"].default_value, mapping.inputs["Location"].default_value
    for centre in (layout.centre, layout.centre + np.array([layout.step, 0])):
        place = np.array([centre[axis] * scale[axis] + offset[axis] for axis in range(2)])
        np.testing.assert_allclose(place % 1, 0.5, atol=1e-4)


def test_masks_lie_on_the_vertices(painted: Head, asset: ModelAsset) -> None:
    attributes = painted.mesh.data.attributes
    masks = wrinkles.masks(anatomy_of(asset))
    values = np.empty(3 * len(asset.template), np.float32)
    total = 0.0
    for attribute in attributes:
        if attribute.name.startswith("hack_wrinkles_"):
            attribute.data.foreach_get("vector", values)
            total += float(values.sum())
    assert total == pytest.approx(float(masks.sum()), rel=1e-4)
    left = np.empty(len(asset.template), np.float32)
    attributes["hack_left"].data.foreach_get("value", left)
    assert (left[asset.template[:, 0] > 0.007] == 1).all()
    assert (left[asset.template[:, 0] < -0.007] == 0).all()


@pytest.mark.parametrize(
    ("controls", "layer", "other"),
    [
        ({"AU6L": 0.6}, "crows_feet_L", "crows_feet_R"),
        ({"cheekSquint_R": 0.6}, "crows_feet_R", "crows_feet_L"),
        ({"AU1R": 0.6}, "forehead_inner_R", "forehead_outer_R"),
        ({"AU4L": 0.6}, "glabella_L", "glabella_R"),
        ({"AU12L": 0.6}, "nasolabial_L", "nasolabial_R"),
        ({"AU20R": 0.25, "AU21R": 0.5}, "platysma_R", "platysma_L"),
    ],
)
def test_wrinkles_follow_the_sliders(painted: Head, controls: dict[str, float], layer: str, other: str) -> None:
    assert strength(painted, layer) == 0
    painted.set(**controls)
    try:
        assert strength(painted, layer) == pytest.approx(0.6, abs=1e-5)
        assert strength(painted, other) == 0
        painted.set(**dict.fromkeys(controls, 2.0))
        assert strength(painted, layer) == pytest.approx(1, abs=1e-5)
    finally:
        painted.set(**dict.fromkeys(controls, 0.0))


def test_rings_of_the_neck_follow_the_nod(painted: Head) -> None:
    painted.set(head_nod=wrinkles.FULL_FLEXION / 2)
    assert strength(painted, "neck_rings_L") == pytest.approx(0.5, abs=1e-4)
    painted.set(head_nod=-0.5)
    assert strength(painted, "neck_rings_L") == 0
    painted.set(head_nod=0.0)


def test_drivers_need_no_python(painted: Head) -> None:
    tree = shader(painted, "skin").id_data
    drivers = [curve.driver for curve in tree.animation_data.drivers]
    assert len(drivers) == len(wrinkles.layers())
    assert all(driver.is_simple_expression for driver in drivers)


def test_painting_again_follows_the_sliders(scene: object, asset: ModelAsset) -> None:
    import bpy

    head = Head.add(maps=SIZE)
    before = images(head, "skin")["albedo"]
    for trait in TRAITS:
        assert head.rig[f"look_{trait.name}"] == pytest.approx(trait.default)
    head.set(look_melanin=0.9, look_iris=1.0)
    assert bpy.ops.hack.paint() == {"FINISHED"}
    after = images(head, "skin")["albedo"]
    assert after.mean() < before.mean() - 40
    expected = Skin.paint(asset, Appearance(melanin=0.9, iris=1.0), SIZE).maps().albedo
    assert np.abs(after.astype(int) - expected).max() <= 1
    own = [image for image in bpy.data.images if "hack_role" in image]
    assert len([image for image in own if image["hack_role"] == "albedo"]) == 2  # skin and eyes
    assert all(image.packed_file is not None and not image.is_dirty for image in own)
    assert bpy.ops.hack.paint(random=True, seed=5) == {"FINISHED"}
    assert head.rig["look_melanin"] == pytest.approx(Appearance.random(5).melanin)


def test_a_head_without_maps_is_plain(scene: object) -> None:
    import bpy

    head = Head.add(maps=0)
    assert set(images(head, "skin")) == {"albedo"}
    assert "look_seed" not in head.rig
    with pytest.raises(RuntimeError, match="has no skin to paint"):
        bpy.ops.hack.paint()


def test_wrong_appearance_is_reported(scene: object) -> None:
    import bpy

    with pytest.raises(RuntimeError, match="is no parameter of appearance"):
        bpy.ops.hack.add_head(appearance="mellanin=1")
