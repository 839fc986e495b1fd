from __future__ import annotations

import itertools

import numpy as np
import pytest

from fitting import shading
from fitting.camera import Camera
from fitting.overlay import MAX_SIDE, draw_overlay, draw_strip
from fitting.preview import portrait, render_asset
from hack_model.asset import ModelAsset
from hack_model.errors import ParameterError
from tests.support.synthetic import synthetic_asset


def scene(size: tuple[int, int] = (1000, 860)) -> tuple[ModelAsset, Camera, np.ndarray, np.ndarray]:
    asset = synthetic_asset()
    camera, placed = portrait(asset.template, size=size)
    return asset, camera, placed, np.full((size[1], size[0], 3), (90, 90, 200), np.uint8)


def is_green(pixels: np.ndarray) -> np.ndarray:
    return (pixels[..., 1].astype(int) > pixels[..., 0] + 60) & (pixels[..., 1].astype(int) > pixels[..., 2] + 60)


def is_red(pixels: np.ndarray) -> np.ndarray:
    return (pixels[..., 0].astype(int) > pixels[..., 1] + 80) & (pixels[..., 0].astype(int) > pixels[..., 2] + 80)


def test_points_lie_where_they_were_found() -> None:
    asset, camera, placed, photo = scene()
    detected, fitted = np.array([[50.5, 40.5], [240.5, 200.5]]), np.array([[70.5, 40.5], [240.5, 180.5]])
    picture = draw_overlay(asset, placed, camera, photo, detected, fitted)
    assert picture.shape == photo.shape
    for points, colour in ((detected, is_green), (fitted, is_red)):
        for x, y in points:
            assert colour(picture[int(y), int(x)])
    assert is_red(picture[40, 60])  # the line between a pair
    own = draw_overlay(asset, placed, camera, photo, detected, detected)
    dot = np.argwhere((own != draw_overlay(asset, placed, camera, photo, detected[1:], detected[1:])).any(axis=2))
    np.testing.assert_allclose(dot.mean(axis=0), [40, 50], atol=0.3)


def test_the_model_is_drawn_where_it_is_and_nowhere_else() -> None:
    asset, camera, placed, photo = scene()
    points = np.array([[5.0, 5.0]])
    picture = draw_overlay(asset, placed, camera, photo, points, points)
    mask = render_asset(asset, camera, placed, clay=True, light=shading.ambient(1), background=(0, 0, 0))[..., 0] > 0
    changed = np.abs(picture.astype(int) - photo).max(axis=2) > 12
    inner = mask & ~(np.indices(mask.shape)[0] > 780)
    assert changed[inner].mean() > 0.98
    outside = ~mask & (np.indices(mask.shape)[0] > 15) & (np.indices(mask.shape)[0] < 780)
    assert changed[outside].mean() < 0.03  # the contour's soft rim
    white = (picture > 200).all(axis=2) & (np.indices(mask.shape)[0] < 780)
    assert white.sum() > 50


def test_the_photo_given_is_not_changed_and_large_photos_are_reduced() -> None:
    asset, camera, placed, photo = scene((2400, 1300))
    before = photo.copy()
    points = np.array([[1200.0, 600.0], [100.0, 100.0]])
    picture = draw_overlay(asset, placed, camera, photo, points, points)
    np.testing.assert_array_equal(photo, before)
    assert picture.shape == (round(1300 * MAX_SIDE / 2400), MAX_SIDE, 3)
    x, y = (points[1] * MAX_SIDE / 2400).astype(int)
    assert is_green(picture[y, x]) or is_red(picture[y, x])


def test_a_small_head_is_enlarged() -> None:
    asset, camera, placed, photo = scene((300, 260))
    picture = draw_overlay(asset, placed, camera, photo, np.array([[50.5, 40.5]]), np.array([[80.5, 40.5]]))
    scale = picture.shape[1] / 300
    assert 2 < scale < 6
    assert is_green(picture[int(40.5 * scale), int(50.5 * scale)])
    assert is_red(picture[int(40.5 * scale), int(80.5 * scale)])


def test_a_head_partly_outside_the_picture_is_drawn_and_one_outside_is_refused() -> None:
    asset, camera, placed, photo = scene()
    points = np.array([[5.0, 5.0], [50.0, 50.0]])
    beside = draw_overlay(asset, placed + np.array([0.1, 0, 0]), camera, photo, points, points)
    assert beside.shape == photo.shape
    with pytest.raises(ParameterError, match="not in the picture"):
        draw_overlay(asset, placed + np.array([9.0, 0, 0]), camera, photo, points, points)
    with pytest.raises(ParameterError, match="photo is uint8"):
        draw_overlay(asset, placed, camera, photo[1:], points, points)


def test_strip_shows_six_pictures_of_one_size() -> None:
    asset, camera, placed, photo = scene((640, 480))
    points = np.array([[5.0, 5.0], [50.0, 50.0]])
    overlay = draw_overlay(asset, placed, camera, photo, points, points)
    strip = draw_strip(asset, photo, overlay, camera, placed, asset.template, asset.albedo, size=160)
    assert strip.shape == (160, 960, 3)
    pictures = np.split(strip, 6, axis=1)
    assert (pictures[0][40:100, 60:100] == (90, 90, 200)).all()
    for first, second in itertools.pairwise(pictures):
        assert np.abs(first.astype(int) - second).mean() > 1
