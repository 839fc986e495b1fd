from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitting import shading
from fitting.camera import Camera
from fitting.preview import BACKGROUND, portrait, render_asset, render_portrait
from fitting.raster import project, renderer
from hack_model.appearance.colour import to_bytes, to_linear
from hack_model.asset import ModelAsset
from tests.support.synthetic import synthetic_asset

FLAT = shading.ambient(1.0)


def red_left_side(asset: ModelAsset) -> ModelAsset:
    """The subject's left half in red, the right half in green."""
    asset = dataclasses.replace(
        asset,
        material_names=(*asset.material_names, "red", "green"),
        material_color=np.concatenate([asset.material_color, [[0.8, 0, 0, 1], [0, 0.8, 0, 1]]]),
        material_roughness=np.append(asset.material_roughness, [0.5, 0.5]),
    )
    left = asset.template[asset.faces[:, :3]].mean(axis=1)[:, 0] > 0
    return dataclasses.replace(asset, face_material=np.where(left, 2, 3))


def test_the_subject_s_left_is_on_the_right_and_positive_yaw_shows_it() -> None:
    asset = red_left_side(synthetic_asset())
    front = render_portrait(asset, size=200).astype(int)
    red, green = (front[..., channel] > front[..., 1 - channel] + 20 for channel in (0, 1))
    assert np.argwhere(red)[:, 1].min() >= 98
    assert np.argwhere(green)[:, 1].max() <= 101
    side = render_portrait(asset, yaw=1.2, size=200).astype(int)
    assert (side[..., 0] > side[..., 1] + 20).sum() > 3 * (side[..., 1] > side[..., 0] + 20).sum()


@given(st.floats(-3.2, 3.2), st.floats(-0.5, 0.5), st.integers(60, 400), st.integers(60, 400))
def test_a_portrait_holds_the_whole_head(yaw: float, pitch: float, width: int, height: int) -> None:
    asset = synthetic_asset()
    camera, placed = portrait(asset.template, yaw, pitch, (width, height))
    pixels = camera.project(placed)
    assert (pixels > -1).all()
    assert (pixels < [width + 1, height + 1]).all()
    assert np.ptp(pixels, axis=0).max() > 0.4 * min(width, height)
    np.testing.assert_allclose(  # nothing but a rotation and a shift
        np.linalg.norm(placed - placed[0], axis=1),
        np.linalg.norm(asset.template - asset.template[0], axis=1),
        atol=1e-5,
    )


def test_colours_come_from_texture_then_albedo_then_material() -> None:
    asset = synthetic_asset()
    camera, placed = portrait(asset.template, size=120)
    middle = (75, 60)  # below the nose, skin
    blue = np.full((8, 8, 3), (10, 20, 200), np.uint8)
    picture = render_asset(dataclasses.replace(asset, albedo=blue), camera, placed, light=FLAT)
    np.testing.assert_allclose(picture[middle], (10, 20, 200), atol=2)
    picture = render_asset(asset, camera, placed, light=FLAT, texture=blue[..., ::-1])
    assert picture[middle][0] > 150 > picture[middle][2]
    plain = dataclasses.replace(asset, albedo=np.zeros((0, 0, 3), np.uint8))
    picture = render_asset(plain, camera, placed, light=FLAT)
    np.testing.assert_allclose(picture[middle], to_bytes(asset.material_color[0, :3]), atol=2)
    clay = render_asset(asset, camera, placed, light=FLAT, clay=True)
    assert np.ptp(clay.reshape(-1, 3).astype(int), axis=1).max() < 30


def test_the_map_s_first_row_is_v_one() -> None:
    asset = synthetic_asset()
    camera, placed = portrait(asset.template, size=160)
    ramp = np.repeat(np.linspace(255, 0, 64).astype(np.uint8)[:, None, None], 64, axis=1).repeat(3, axis=2)
    picture = render_asset(asset, camera, placed, texture=ramp, light=FLAT, background=(0, 0, 255))
    points = project(camera, placed.astype(np.float32))
    surface = shading.Surface.of(asset)
    raster = renderer().rasterize(points, surface.triangles, 160, 160)
    pixels, face, weights = shading.covered(raster)
    skin = surface.textured[face]
    v = shading.interpolate(asset.uv, surface.uv_triangles, face[skin], weights[skin])[:, 1]
    shown = picture.reshape(-1, 3)[pixels[skin], 0]
    assert np.corrcoef(v, shown)[0, 1] > 0.98


def test_transparent_materials_are_not_drawn() -> None:
    asset = synthetic_asset()
    camera, placed = portrait(asset.template, size=100)
    colours = asset.material_color.copy()
    colours[0, 3] = 0.1
    skinless = dataclasses.replace(asset, material_color=colours)
    assert 0 < len(shading.Surface.of(skinless).triangles) < len(shading.Surface.of(asset).triangles)
    assert (render_asset(skinless, camera, placed) != render_asset(asset, camera, placed)).any()


def test_opacity_lets_the_background_through() -> None:
    asset = synthetic_asset()
    camera, placed = portrait(asset.template, size=90)
    photo = np.random.default_rng(0).integers(0, 255, (90, 90, 3)).astype(np.uint8)
    np.testing.assert_allclose(render_asset(asset, camera, placed, background=photo, opacity=0.0), photo, atol=1)
    solid = render_asset(asset, camera, placed, background=photo)
    corner = solid[:10, :10]
    np.testing.assert_allclose(corner, photo[:10, :10], atol=1)
    half = render_asset(asset, camera, placed, background=photo, opacity=0.5)
    expected = (to_linear(solid) + to_linear(photo)) / 2
    np.testing.assert_allclose(to_linear(half), expected, atol=0.02)


def test_edges_are_smoothed() -> None:
    asset = synthetic_asset()
    camera, placed = portrait(asset.template, size=90)
    picture = render_asset(asset, camera, placed, light=FLAT, clay=True, background=(0, 0, 0))
    levels = np.unique(picture[..., 0])
    assert len(levels) > 3  # clay, background and what lies between
    assert render_portrait(asset, size=(70, 50)).shape == (50, 70, 3)
    assert tuple(render_portrait(asset, size=70)[0, 0]) == BACKGROUND


def test_a_lamp_has_the_brightness_it_says_and_ambient_light_has_no_direction() -> None:
    random = np.random.default_rng(1)
    for _ in range(5):
        direction = random.normal(size=3)
        facing = shading.harmonics(direction / np.linalg.norm(direction)) @ shading.lamp(tuple(direction), 0.7)
        assert facing == pytest.approx(0.7)
    normals = random.normal(size=(50, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    np.testing.assert_allclose(shading.harmonics(normals) @ shading.ambient(0.4), 0.4)


def test_harmonics_are_orthogonal_over_the_sphere() -> None:
    random = np.random.default_rng(2)
    normals = random.normal(size=(400_000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    functions = shading.harmonics(normals) / np.repeat([1, 2 / 3, 1 / 4], (1, 3, 5))
    np.testing.assert_allclose(functions.T @ functions / len(normals) * 4 * np.pi, np.eye(9), atol=0.02)


def test_srgb_round_trip_and_known_values() -> None:
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_allclose(to_bytes(to_linear(every)), every, atol=1)
    np.testing.assert_allclose(to_linear(np.array([0, 188, 255], np.uint8)), [0, 0.5029, 1], atol=1e-3)
    np.testing.assert_array_equal(to_bytes(np.array([-1.0, 2.0])), [0, 255])


def test_sampling_is_bilinear_with_centres_at_halves() -> None:
    image = np.arange(12, dtype=np.float32).reshape(3, 4, 1)
    x, y = np.array([0.5, 1.0, 3.5, -5.0, 2.0]), np.array([0.5, 0.5, 2.5, 0.5, 2.0])
    np.testing.assert_allclose(shading.sample(image, x, y)[:, 0], [0, 0.5, 11, 0, 7.5])
    many = np.random.default_rng(0).uniform(0, 4, 40_000)
    np.testing.assert_allclose(
        shading.sample(image, many, np.full_like(many, 0.5))[:, 0], np.clip(many - 0.5, 0, 3), atol=0.03
    )


def test_camera_behind_nothing_gives_the_background() -> None:
    asset = synthetic_asset()
    camera = Camera.centred(100, 20, 20)
    picture = render_asset(asset, camera, asset.template + np.array([0, 0, 5.0]))
    assert (picture == BACKGROUND).all()
