"""Speed of the rasteriser and of the pictures made of a fit. Run with ``--benchmark-enable`` for figures."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from fitting import shading
from fitting.camera import Camera
from fitting.overlay import draw_overlay, draw_strip
from fitting.preview import portrait, render_asset, render_portrait
from fitting.raster import project, renderer
from fitting.texture import project_texture
from hack_model.asset import ModelAsset
from hack_model.resources import default_model_path

Scene = tuple[ModelAsset, Camera, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def scene() -> Scene:
    """The default model before the camera of a picture of 1350² pixels, as the size of studio portraits is."""
    asset = ModelAsset.load(default_model_path())
    camera, placed = portrait(asset.template, size=1350)
    photo = render_asset(asset, camera, placed, light=shading.ambient(1.0), supersampling=1)
    return asset, camera, placed, photo


@pytest.mark.parametrize("size", [256, 512, 1024])
def test_rasterise(benchmark: Any, scene: Scene, size: int) -> None:
    asset = scene[0]
    camera, placed = portrait(asset.template, size=size)
    points = project(camera, placed.astype(np.float32))
    raster = benchmark(renderer().rasterize, points, asset.triangles, size, size)
    assert (raster.face >= 0).any()


def test_portrait(benchmark: Any, scene: Scene) -> None:
    assert benchmark(render_portrait, scene[0], size=512).shape == (512, 512, 3)


def test_texture(benchmark: Any, scene: Scene) -> None:
    asset, camera, placed, photo = scene
    assert benchmark(project_texture, asset, placed, camera, photo).shape == (1024, 1024, 3)


def test_overlay_and_strip(benchmark: Any, scene: Scene) -> None:
    asset, camera, placed, photo = scene
    points = np.random.default_rng(0).uniform(400, 900, (478, 2))

    def both() -> np.ndarray:
        overlay = draw_overlay(asset, placed, camera, photo, points, points)
        return draw_strip(asset, photo, overlay, camera, placed, asset.template, cv2.resize(asset.albedo, (1024, 1024)))

    assert benchmark(both).shape[0] == 420
