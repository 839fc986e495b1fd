"""What a photo tells of the surface: its colours, and how far each may be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from fitting import shading
from fitting.complexion import hair_colour, skin_and_hair
from fitting.raster import Renderer, project
from hack_model.appearance.anatomy import smoothstep
from hack_model.appearance.colour import to_linear
from hack_model.errors import ParameterError

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped, UInt8

    from fitting.camera import Camera
    from hack_model.asset import ModelAsset

    Array = np.ndarray

_HEAD_HEIGHT = 640  # pixels of the model in the maps that tell what is visible
_MAX_COLOUR_HEIGHT = 1500  # pixels of the model in the picture colours are read from; a map of 1024 holds no more
_DEPTH_SLACK = 0.0015  # metres by which a surface may miss its own depth
_DEPTH_JUMP = 0.008  # metres between neighbouring pixels that make an occluding edge
_GRAZING, _FACING = 0.18, 0.60  # cosines of the viewing angle between which a photo becomes trustworthy
_FACE_BONUS = 0.2  # added to the cosine in the face, where stretched features are better than none
_OUTLINE = 0.016  # of the model's height in the picture: how wrong its outline may be
_FOLD = 0.004  # the same for edges inside the face
_BROW_MARGIN = 0.012  # metres round the brows' line that are theirs
_FOREHEAD = 0.013  # metres above it that belong to the face
_CHEEK_MARGIN = 0.015  # metres inside the jaw's line that do not, as hair hangs there
_LEAST_SCALP = 50  # pixels; where fewer are seen the hair's colour is unknown
_UNSEEN_HAIR = 0.35  # of the skin's brightness
_LEAST_WHITE = 60  # pixels
_DIM_WHITE, _MAX_EXPOSURE = 0.15, 0.8  # linear; logarithmic
_CHIN = 0.008  # metres below the chin's line that do, so that beards are whole
_FACE_MARGIN = 0.015  # metres of the face's soft border


@dataclass(frozen=True)
class View:
    """A photo with the model before it, cut to the model's rectangle (``corner`` and ``extent`` in pixels).

    ``colours`` are linear; ``depth``, ``trust`` and ``face`` are of a scale of their own. ``hair`` is the hair's linear
    colour, None when the photo shows a bald head. ``exposure`` is the logarithmic gain that a dim photo needs.
    """

    camera: Camera
    corner: tuple[int, int]
    extent: tuple[int, int]
    colours: Float[Array, "H W 3"]
    depth: Float[Array, "h w"]
    trust: Float[Array, "h w"]
    face: Float[Array, "h w"]
    hair: Float[Array, "3"] | None
    exposure: float

    @classmethod
    def of(
        cls,
        asset: ModelAsset,
        placed: Float[Array, "V 3"],
        normals: Float[Array, "V 3"],
        camera: Camera,
        photo: UInt8[Array, "H W 3"],
        draw: Renderer,
    ) -> View:
        """Draws the model over the photo and judges every pixel of it."""
        left, top, right, bottom = head_rectangle(placed, camera)
        cut = photo[top:bottom, left:right]
        tall = np.ptp(camera.project(placed)[:, 1])
        small = _resized(cut, _HEAD_HEIGHT / tall)
        height, width = small.shape[:2]
        scale = np.array([width / (right - left), height / (bottom - top)])
        points = project(camera, placed)
        points[:, :2] = (points[:, :2] - points[:, 2:] * [left, top]) * scale
        surface = shading.Surface.of(asset)
        solid = surface.material != _material(
            asset, "lashes"
        )  # they hide the lids from the depth test, not from the photo
        triangles, textured = surface.triangles[solid], surface.textured[solid]
        raster = draw.rasterize(points, triangles, width, height)

        pixels, face, weights = shading.covered(raster)
        facing = -(normals * placed).sum(axis=1, keepdims=True) / np.linalg.norm(placed, axis=1, keepdims=True)
        regions = np.stack([face_weight(asset), scalp_weight(asset), region_weight(asset, "ears")], axis=1)
        attributes = np.concatenate([regions, facing], axis=1, dtype=np.float32)
        maps = np.zeros((height * width, 5), np.float32)
        maps[pixels, :4] = shading.interpolate(attributes, triangles, face, weights)
        maps[pixels, 4] = textured[face]
        inside, scalp, ears, towards, skinned = np.moveaxis(maps.reshape(height, width, 5), -1, 0)

        margin = _OUTLINE * _HEAD_HEIGHT
        outline, folds = _edges(raster.depth, inside)
        outline, folds = _distance(outline), _distance(folds | (skinned < 0.5))
        good = (skinned > 0.5) & (towards > 0.6)
        if (good & (inside > 0.9)).sum() < 100:
            raise ParameterError("the model's face is not in the picture; check the fit's camera and placement")
        face_pixels = good & (inside > 0.9)
        scalp_pixels = (towards > 0.1) & (scalp > 0.6) & (outline > margin / 3)
        skin, haired = skin_and_hair(
            small, face_pixels, scalp_pixels, _HEAD_HEIGHT / 250 * max(1.0, _HEAD_HEIGHT / tall)
        )
        usual = _median_colour(small[face_pixels & (skin > 0.5)])
        if haired.any():
            hair = hair_colour(small, haired, usual)
        else:
            hair = None if scalp_pixels.sum() >= _LEAST_SCALP else _UNSEEN_HAIR * usual
        accepted = np.maximum(inside, skin * (1 - (scalp if hair is not None else 0))) * (1 - ears)
        sclera = surface.material[solid] == _material(asset, "sclera")
        white = small.reshape(-1, 3)[pixels[sclera[face]]]
        fold = _FOLD * _HEAD_HEIGHT
        trust = accepted * smoothstep(outline, margin / 4, margin) * smoothstep(folds, fold / 4, fold)
        colours = to_linear(_resized(cut, min(1.0, _MAX_COLOUR_HEIGHT / tall)))
        return cls(
            camera,
            (left, top),
            (right - left, bottom - top),
            colours,
            raster.depth,
            trust,
            inside,
            hair,
            _exposure(white),
        )

    def look(self, points: Float[Array, "n 3"], normals: Float[Array, "n 3"]) -> tuple[Array, Array]:
        """The colours (n, 3), linear, the photo shows of surface points, and the trust (n,) in [0, 1] they deserve."""
        squares = np.einsum("nc,nc->n", points, points) * np.einsum("nc,nc->n", normals, normals)
        facing = -np.einsum("nc,nc->n", points, normals) / np.sqrt(np.maximum(squares, np.float32(1e-18)))
        chosen = np.flatnonzero((facing > _GRAZING) & (points[:, 2] < 0))
        facing, depth = facing[chosen], -points[chosen, 2]
        x, y = ((self.camera.project(points[chosen]) - self.corner) / self.extent).T.astype(np.float32)
        height, width = self.depth.shape
        column, row = np.floor(x * width).astype(int), np.floor(y * height).astype(int)
        within = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        nearest = self.depth[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
        slope = np.sqrt(1 / np.square(facing) - 1) * depth * self.extent[1] / (self.camera.focal * height)
        visible = within & (depth <= nearest + _DEPTH_SLACK + 1.5 * slope)
        trust, face = shading.sample(np.stack([self.trust, self.face], axis=-1), x * width, y * height).T
        trust *= smoothstep(facing + _FACE_BONUS * face, _GRAZING, _FACING) * visible
        colours, confidence = np.zeros((len(points), 3), np.float32), np.zeros(len(points), np.float32)
        confidence[chosen] = trust
        used = trust > 0
        height, width = self.colours.shape[:2]
        colours[chosen[used]] = shading.sample(self.colours, x[used] * width, y[used] * height)
        return colours, confidence


def brow_weight(asset: ModelAsset) -> Float[Array, " V"]:
    """How far each vertex belongs to the brows, which differ from face to face, in [0, 1]."""
    brows = _landmarks(asset)[17:27]
    tails = brows[[0, -1]] + (brows[[0, -1]] - brows[[1, -2]])
    nearest = np.linalg.norm(asset.template[:, None] - np.concatenate([brows, tails]), axis=2).min(axis=1)
    return smoothstep(nearest, 1.5 * _BROW_MARGIN, 0.8 * _BROW_MARGIN)


def face_weight(asset: ModelAsset) -> Float[Array, " V"]:
    """How far each vertex belongs to the face between the jaw's line and the brows, in [0, 1], softly."""
    template, landmarks = asset.template, _landmarks(asset)
    jaw = landmarks[:17] - np.sign(landmarks[:17]) * [_CHEEK_MARGIN, 0, 0]
    jaw[5:12, 1] -= _CHIN
    brows = landmarks[26:16:-1] + np.array([0, _FOREHEAD, 0])
    brows[[0, -1], 0] *= 1.15  # the tails of brows are longer than the landmarks tell
    outline = np.concatenate([jaw, brows])
    low, high = outline[:, :2].min(axis=0), outline[:, :2].max(axis=0)
    per_metre = 1000.0
    mask = np.zeros(np.ceil((high - low)[::-1] * per_metre).astype(int) + 3, np.uint8)
    cv2.fillPoly(mask, [np.rint((outline[:, :2] - low) * per_metre + 1).astype(np.int32)], (1,))
    inset = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    x, y = ((template[:, :2] - low) * per_metre + 1).T.astype(np.float32)
    inset = cv2.remap(inset, x[None], y[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)[0]
    ahead = template[:, 2] > landmarks[:17, 2].min() - _FACE_MARGIN
    return smoothstep(inset, 0, _FACE_MARGIN * per_metre) * ahead


def _landmarks(asset: ModelAsset) -> Float[Array, "68 3"]:
    """The template's Multi-PIE landmarks."""
    return (asset.template[asset.landmarks68_vertices] * asset.landmarks68_weights[..., None]).sum(axis=1)


def head_rectangle(placed: Float[Array, "V 3"], camera: Camera) -> tuple[int, int, int, int]:
    """The part of the picture (left, top, right, bottom; pixels) that holds the model."""
    if (placed[:, 2] >= 0).any():
        raise ParameterError("part of the model lies behind the camera; check the fit's placement")
    pixels = camera.project(placed)
    left, top = np.clip(np.floor(pixels.min(axis=0)).astype(int) - 2, 0, None)
    right, bottom = np.clip(np.ceil(pixels.max(axis=0)).astype(int) + 2, None, [camera.width, camera.height])
    if right - left < 16 or bottom - top < 16:
        raise ParameterError("the model is not in the picture; check the fit's camera and placement")
    return int(left), int(top), int(right), int(bottom)


def _median_colour(pixels: UInt8[Array, "n 3"]) -> Float[Array, "3"]:
    """Linear values of the median pixel."""
    return to_linear(np.median(pixels, axis=0) / 255)


def _resized(image: UInt8[Array, "H W 3"], scale: float) -> UInt8[Array, "h w 3"]:
    size = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
    if size == image.shape[1::-1]:
        return image
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def _edges(depth: Float[Array, "h w"], inside: Float[Array, "h w"]) -> tuple[Array, Array]:
    """Pixels at the outline (the picture's too, jumps of depth outside the face), and at folds of the face."""
    square = np.ones((3, 3), np.uint8)
    finite = np.where(np.isfinite(depth), depth, np.float32(1e3))
    jump = cv2.dilate(finite, square) - cv2.erode(finite, square) > _DEPTH_JUMP
    face = cv2.erode(np.ascontiguousarray(inside), square) > 0.5
    empty = cv2.dilate((~np.isfinite(depth)).astype(np.uint8), square) > 0
    outline = (jump & ~face) | empty
    outline[[0, -1]] = outline[:, [0, -1]] = True
    return outline, jump & face & ~empty


def _distance(mask: Shaped[Array, "h w"]) -> Float[Array, "h w"]:
    """Pixels to the nearest pixel of the mask."""
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)


def scalp_weight(asset: ModelAsset) -> Float[Array, " V"]:
    """How far hair grows on each vertex, in [0, 1]: the scalp without its faint outskirts, and not on the ears."""
    return smoothstep(region_weight(asset, "scalp"), 0.25, 1.0) * (1 - region_weight(asset, "ears"))


def region_weight(asset: ModelAsset, name: str) -> Float[Array, " V"]:
    """The named region's weights; zeros where the asset does not have it."""
    if name not in asset.region_names:
        return np.zeros(asset.vertex_count, np.float32)
    return asset.region_weights[asset.region_names.index(name)]


def _material(asset: ModelAsset, name: str) -> int:
    return asset.material_names.index(name) if name in asset.material_names else -1


def _exposure(white: UInt8[Array, "n 3"]) -> float:
    """The logarithmic gain that gives the whites of the eyes, alike in all people, the least usual brightness."""
    if len(white) < _LEAST_WHITE:
        return 0.0
    brightness = np.percentile(to_linear(white).mean(axis=1), 80)
    return float(np.clip(np.log(_DIM_WHITE / max(brightness, 1e-3)), 0, _MAX_EXPOSURE))
