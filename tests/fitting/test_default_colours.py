"""The photo's colours beside the default model's own: brows, ears, jaw, neck and hair."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import pytest

from fitting import hair, photo_view, shading
from fitting.preview import portrait, render_asset
from fitting.raster import renderer
from fitting.texture import Texels, project_texture
from hack_model.appearance.colour import to_bytes, to_linear
from hack_model.asset import ModelAsset
from hack_model.resources import default_model_path
from tests.support.photographs import photographed


@cache
def default() -> ModelAsset:
    return ModelAsset.load(default_model_path())


def coloured(seen: Callable[[Texels, np.ndarray], None], size: int = 512) -> np.ndarray:
    """The default model's colour map, changed in place, in linear values, by a function of its texels."""
    asset = default()
    pixels = to_linear(cv2.resize(asset.albedo, (size, size), interpolation=cv2.INTER_AREA))
    texels = Texels.of(asset, size, renderer())
    values = pixels.reshape(-1, 3)
    seen(texels, values)
    return to_bytes(pixels)


def at(texels: Texels, weight: np.ndarray, least: float = 0.5) -> np.ndarray:
    """Places in the map of the texels where a weight of vertices is more than ``least``."""
    return texels.index[texels.interpolate(weight[:, None])[:, 0] > least]


def test_default_brows_do_not_show_where_the_photo_is_not_seen() -> None:
    """Nor does the mirror image put second brows beside the person's."""
    asset = default()
    brows, side = photo_view.brow_weight(asset), asset.template[:, 0]

    def without(texels: Texels, values: np.ndarray) -> None:
        values[at(texels, brows, 0.0)] = np.median(values[texels.index], axis=0)

    truth = coloured(without)
    camera, placed, photo = photographed(asset, truth, yaw=1.0, size=(500, 500))
    alone = dataclasses.replace(asset, mirror_vertices=np.zeros(0, np.int32))
    found = to_linear(project_texture(alone, placed, camera, photo, size=512)).reshape(-1, 3)
    texels = Texels.of(asset, 512, renderer())
    hidden = at(texels, brows * (side < -0.015))
    painted = to_linear(cv2.resize(asset.albedo, (512, 512))).reshape(-1, 3)[hidden]
    assert len(hidden) > 100
    assert np.std(np.log(painted.mean(axis=1))) > 0.2
    assert np.std(np.log(found[hidden].mean(axis=1))) < 0.08


def test_uneven_brows_are_not_doubled() -> None:
    """A brow on one side only, seen from the front, does not appear on the other."""
    asset = default()
    brows, side = photo_view.brow_weight(asset), asset.template[:, 0]
    points = (asset.template[asset.landmarks68_vertices] * asset.landmarks68_weights[..., None]).sum(axis=1)[17:27]
    distance = np.linalg.norm(asset.template[:, None] - points, axis=2).min(axis=1)
    bare = brows * (distance < 0.005)

    def bar(texels: Texels, values: np.ndarray) -> None:
        values[at(texels, brows, 0.0)] = np.median(values[texels.index], axis=0)
        values[at(texels, bare * (side > 0.015))] *= 0.2

    truth = coloured(bar)
    camera, placed, photo = photographed(asset, truth, size=(500, 500))
    found = to_linear(project_texture(asset, placed, camera, photo, size=512)).mean(axis=2).reshape(-1)
    texels = Texels.of(asset, 512, renderer())
    one, other = (np.median(found[at(texels, bare * (where * side > 0.02), 0.9)]) for where in (1, -1))
    assert one < 0.5 * other
    assert found[at(texels, brows * (side < -0.02), 0.9)].min() > 0.6 * other


def test_ears_and_jaw_stay_skin_beside_black_hair() -> None:
    asset = default()
    scalp = photo_view.region_weight(asset, "scalp")

    def black(texels: Texels, values: np.ndarray) -> None:
        values[at(texels, scalp)] = 0.01

    camera, placed, photo = photographed(asset, coloured(black), size=(500, 500))
    found = to_linear(project_texture(asset, placed, camera, photo, size=512)).mean(axis=2).reshape(-1)
    texels = Texels.of(asset, 512, renderer())
    crown = at(texels, scalp, 0.95)
    skin = np.median(found[at(texels, photo_view.face_weight(asset), 0.9)])
    assert np.median(found[crown]) < 0.03
    assert found[at(texels, photo_view.region_weight(asset, "ears"), 0.95)].min() > 0.5 * skin
    low = photo_view.region_weight(asset, "neck") * (photo_view.scalp_weight(asset) == 0)
    assert found[at(texels, low, 0.95)].min() > 0.6 * skin


@pytest.mark.parametrize("depth", [0.8, 0.5])
def test_a_shadow_on_the_neck_is_not_the_skin_s_colour(depth: float) -> None:
    asset = default()
    neck = photo_view.region_weight(asset, "neck")
    shadow = neck * (asset.template[:, 2] > np.median(asset.template[neck > 0.5, 2]))

    def brightness(factor: float) -> float:
        def shaded(texels: Texels, values: np.ndarray) -> None:
            values[at(texels, shadow)] *= factor

        camera, placed, photo = photographed(asset, coloured(shaded), size=(500, 500))
        found = to_linear(project_texture(asset, placed, camera, photo, size=512)).mean(axis=2).reshape(-1)
        return float(np.median(found[at(Texels.of(asset, 512, renderer()), shadow, 0.9)]))

    assert brightness(depth) > 0.95 * brightness(1.0)


def test_a_dim_photo_is_brightened_and_dark_skin_is_not() -> None:
    """The whites of the eyes tell one from the other."""
    asset = default()
    camera, placed, photo = photographed(asset, asset.albedo, size=(500, 500))
    dark = photographed(asset, to_bytes(0.2 * to_linear(asset.albedo)), size=(500, 500))[2]
    dim = to_bytes(0.15 * to_linear(photo))
    texels = Texels.of(asset, 256, renderer())
    face = at(texels, photo_view.face_weight(asset), 0.9)

    def brightness(shot: np.ndarray) -> float:
        found = project_texture(asset, placed, camera, shot, size=256)
        return float(np.median(to_linear(found).mean(axis=2).reshape(-1)[face]))

    usual = brightness(photo)
    assert 0.2 * usual < brightness(dim) < 0.6 * usual
    assert brightness(dark) == pytest.approx(0.2 * usual, rel=0.2)


def test_hair_is_strands_of_its_colour_on_the_scalp_alone() -> None:
    points = np.random.default_rng(1).normal(size=(4000, 3)).astype(np.float32)
    points *= 0.09 / np.linalg.norm(points, axis=1, keepdims=True)
    weight = np.clip(points[:, 1] / 0.02, 0, 1)
    skin = np.full((4000, 3), -1.0, np.float32)
    colour = np.log(np.array([0.03, 0.02, 0.01], np.float32))
    painted_skin = hair.paint(skin, colour, weight, points)
    np.testing.assert_array_equal(painted_skin, hair.paint(skin, colour, weight, points))
    np.testing.assert_array_equal(painted_skin[weight == 0], skin[weight == 0])
    full = painted_skin[weight == 1]
    np.testing.assert_allclose(np.median(full, axis=0), colour, atol=0.3)
    assert 0.05 < full.std(axis=0).min() < 0.3
    assert hair.paint(skin[:0], colour, weight[:0], points[:0]).shape == (0, 3)


def test_default_model() -> None:
    """The default model photographed in its own colours gets them back."""
    asset = ModelAsset.load(default_model_path())
    camera, placed = portrait(asset.template, size=(400, 400))
    photo = render_asset(asset, camera, placed, light=shading.ambient(1.0), background=(120, 130, 150))
    found = project_texture(asset, placed, camera, photo, size=512)
    again = render_asset(asset, camera, placed, texture=found, light=shading.ambient(1.0), background=(120, 130, 150))
    assert np.abs(again.astype(int) - photo).mean() < 6
