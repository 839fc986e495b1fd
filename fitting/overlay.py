"""Pictures that show how good a fit is: the model over its photo, and the fitted head from several sides."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from fitting.photo_view import head_rectangle
from fitting.preview import BACKGROUND, rasterize_asset, render_asset, render_portrait
from hack_model.errors import ParameterError

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8

    from fitting.camera import Camera
    from fitting.raster import Raster
    from hack_model.asset import ModelAsset

    Array = np.ndarray

MAX_SIDE: Final = 1600
"""Larger photos are reduced to this many pixels for the overlay."""

_LEAST_HEAD = 700  # pixels; photos with a smaller head are enlarged, within the limit above, to keep the points apart

_OPACITY = 0.45
_DEPTH_JUMP = 0.006  # metres between neighbouring pixels that are drawn as a contour
_CONTOUR, _DETECTED, _MODEL = (255, 255, 255), (40, 220, 90), (255, 70, 50)
_INK, _PLATE = (35, 38, 42), (255, 255, 255)
_SUBPIXEL_BITS = 4


def draw_overlay(
    asset: ModelAsset,
    vertices: Float[Array, "V 3"],
    camera: Camera,
    photo: UInt8[Array, "H W 3"],
    landmarks: Float[Array, "L 2"],
    model_landmarks: Float[Array, "L 2"],
) -> UInt8[Array, "h w 3"]:
    """The photo with the model over it: translucent, its contours white, detected points green, the model's points red.

    ``vertices`` are metres before ``camera``; landmarks are pixels of ``photo``. A line joins each pair of points.
    Photos larger than :data:`MAX_SIDE` come out
    reduced to it, photos of a small head enlarged. Raises :class:`ParameterError` for a photo that is not
    of the camera's size and for a head outside the picture.
    """
    if photo.dtype != np.uint8 or photo.shape != (camera.height, camera.width, 3):
        raise ParameterError(f"photo is {photo.dtype} {photo.shape}, wanted uint8 {(camera.height, camera.width, 3)}")
    tall = float(np.ptp(camera.project(np.asarray(vertices))[:, 1]))
    scale = min(max(1.0, _LEAST_HEAD / tall), MAX_SIDE / max(camera.width, camera.height))
    width, height = max(round(camera.width * scale), 1), max(round(camera.height * scale), 1)
    picture = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    small = replace(
        camera, focal=camera.focal * scale, centre=(camera.centre[0] * scale, camera.centre[1] * scale),
        width=width, height=height,
    )  # fmt: skip
    left, top, right, bottom = head_rectangle(vertices, small)
    part = replace(
        small, centre=(small.centre[0] - left, small.centre[1] - top), width=right - left, height=bottom - top
    )
    behind = picture[top:bottom, left:right]
    raster = rasterize_asset(asset, part, vertices)
    shaded = render_asset(
        asset, part, vertices, clay=True, background=behind, opacity=_OPACITY, supersampling=1, raster=raster
    )
    picture[top:bottom, left:right] = _with_contours(raster, shaded)
    detected, fitted = np.asarray(landmarks) * scale, np.asarray(model_landmarks) * scale
    _draw_points(picture, detected, fitted, spread=float(np.ptp(detected, axis=0).max()))
    return _labelled(picture, (("detected", _DETECTED), ("model", _MODEL)))


def draw_strip(
    asset: ModelAsset,
    photo: UInt8[Array, "H W 3"],
    overlay: UInt8[Array, "h w 3"],
    camera: Camera,
    vertices: Float[Array, "V 3"],
    head_vertices: Float[Array, "V 3"],
    texture: UInt8[Array, "T T 3"],
    *,
    size: int = 420,
) -> UInt8[Array, "size 6*size 3"]:
    """Six pictures in a row: photo, overlay, the textured head from the front and both sides, its profile in clay.

    ``vertices`` are placed before the photo's ``camera``; ``head_vertices`` are the same head in model space, without
    global rotation and translation. ``size`` is each picture's side in pixels.
    """
    left, top, right, bottom = head_rectangle(vertices, camera)
    ratio = overlay.shape[1] / camera.width
    panels = [
        ("photo", _framed(photo[top:bottom, left:right], size)),
        (
            "fit",
            _framed(
                overlay[round(top * ratio) : round(bottom * ratio), round(left * ratio) : round(right * ratio)], size
            ),
        ),
    ]
    for name, degrees, clay in (("front", 0, False), ("left", 40, False), ("right", -40, False), ("profile", 90, True)):
        yaw = float(np.radians(degrees))
        panels.append((name, render_portrait(asset, head_vertices, yaw=yaw, size=size, texture=texture, clay=clay)))
    return np.concatenate([_labelled(panel, ((name, None),)) for name, panel in panels], axis=1)


def _with_contours(raster: Raster, picture: UInt8[Array, "h w 3"]) -> UInt8[Array, "h w 3"]:
    """Soft white lines where the depth jumps."""
    depth = np.where(np.isfinite(raster.depth), raster.depth, np.float32(1e3))
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    line = (depth - cv2.erode(depth, cross) > _DEPTH_JUMP).astype(np.float32)
    alpha = cv2.GaussianBlur(line, (0, 0), 0.7)[..., None]
    return np.rint(picture + alpha * (np.array(_CONTOUR, np.float32) - picture)).astype(np.uint8)


def _draw_points(
    picture: UInt8[Array, "h w 3"], detected: Float[Array, "L 2"], fitted: Float[Array, "L 2"], spread: float
) -> None:
    """Draws the pairs in place, in sizes that suit a face ``spread`` pixels wide."""
    radius = float(np.clip(spread / 230, 1.2, 4.5))
    for first, second in zip(_subpixel(detected), _subpixel(fitted), strict=True):
        cv2.line(picture, first, second, _MODEL, max(1, round(radius / 2)), cv2.LINE_AA, _SUBPIXEL_BITS)
    for points, colour, size in ((detected, _DETECTED, radius), (fitted, _MODEL, 0.6 * radius)):
        for point in _subpixel(points):
            reach = round(size * 2**_SUBPIXEL_BITS)
            cv2.circle(picture, point, reach, colour, -1, cv2.LINE_AA, _SUBPIXEL_BITS)


def _subpixel(points: Float[Array, "L 2"]) -> list[tuple[int, int]]:
    """Fixed-point coordinates as OpenCV draws them: its pixel centres are whole numbers, ours are halves."""
    fixed: Int[Array, "L 2"] = np.rint((points - 0.5) * 2**_SUBPIXEL_BITS).astype(int)
    return [(int(x), int(y)) for x, y in fixed]


def _framed(picture: UInt8[Array, "h w 3"], size: int) -> UInt8[Array, "size size 3"]:
    """The picture scaled into the middle of a square."""
    scale = size / max(picture.shape[:2])
    width, height = max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    frame = np.full((size, size, 3), BACKGROUND, np.uint8)
    x, y = (size - width) // 2, (size - height) // 2
    frame[y : y + height, x : x + width] = cv2.resize(picture, (width, height), interpolation=method)
    return frame


def _labelled(
    picture: UInt8[Array, "h w 3"], entries: tuple[tuple[str, tuple[int, int, int] | None], ...]
) -> UInt8[Array, "h w 3"]:
    """The picture with a small plate of words at its lower left, each after a dot of its colour if it has one."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(picture)
    height = int(np.clip(image.height / 40, 11, 26))
    font = ImageFont.load_default(size=height)
    draw = ImageDraw.Draw(image, "RGBA")
    pad = height // 2
    widths = [draw.textlength(word, font=font) + (height if colour else 0) for word, colour in entries]
    x, y = pad, image.height - height - 3 * pad
    draw.rounded_rectangle(
        (x, y, x + sum(widths) + pad * (len(entries) + 1), y + height + 2 * pad), pad, (*_PLATE, 205)
    )
    x += pad
    for (word, colour), width in zip(entries, widths, strict=True):
        start = x
        if colour:
            draw.ellipse((x, y + pad + height * 0.2, x + height * 0.6, y + pad + height * 0.8), (*colour, 255))
            start += height
        draw.text((start, y + pad + height / 2), word, (*_INK, 255), font, anchor="lm")
        x += width + pad
    return np.array(image)
