"""A template's colour map on another head's texture coordinates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

from hack_model.appearance.texels import texels_of
from hack_model.sources.transfer import Fitted, region

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from hack_model.asset import ModelAsset

    Array = np.ndarray

SIZE: Final = 1024
_SEAM: Final = 0.05
"""Texture coordinates of one triangle's corners farther apart than this lie on both sides of a seam."""


def with_carried_albedo(asset: ModelAsset, fitted: Fitted, size: int = SIZE) -> ModelAsset:
    """The foreign asset, whose first vertices are the fitted skin, with the template's colour map on its own layout.

    Skin that cannot be seen from outside takes the mean colour of the template's mouth. Without a colour map in the
    template there is none here.
    """
    pixels = fitted.template.albedo
    if not pixels.size:
        return asset
    texels = texels_of(asset, size)
    corners = texels.chart.vertices[texels.corners]
    at_corners, found = _vertex_uv(fitted)[corners], fitted.points.found[corners]
    place = np.einsum("nk,nkc->nc", texels.weights, at_corners)
    torn = (np.ptp(at_corners, axis=1).max(axis=1) > _SEAM) | ~found.all(axis=1)
    strongest = np.argmax(np.where(found, texels.weights, -1), axis=1)
    place[torn] = at_corners[np.flatnonzero(torn), strongest[torn]]
    colour = _bilinear(pixels, place)
    colour[~found.any(axis=1)] = _bilinear(pixels, _mouth_uv(fitted)).mean(axis=0)
    return replace(asset, albedo=np.clip(np.rint(texels.filled(colour)), 0, 255).astype(np.uint8))


def _vertex_uv(fitted: Fitted) -> Float[Array, "V 2"]:
    """Texture coordinates on the template's map of each foreign vertex."""
    template = fitted.template
    count = template.part("skin").stop
    own = np.zeros((count, 2))
    used = (template.faces >= 0) & (template.faces < count)
    own[template.faces[used]] = template.uv[template.face_uv[used]]
    corners = own[fitted.points.vertices]
    torn = np.ptp(corners, axis=1).max(axis=1) > _SEAM
    nearest = corners[np.arange(len(corners)), np.argmax(fitted.points.weights, axis=1)]
    return np.where(torn[:, None], nearest, np.einsum("nk,nkc->nc", fitted.points.weights, corners))


def _mouth_uv(fitted: Fitted) -> Float[Array, "n 2"]:
    """Texture coordinates of the template's mouth; of all its skin when it names no such region."""
    template = fitted.template
    inside = region(template, "mouth_interior")[: template.part("skin").stop] > 0.5
    faces = template.faces[:, 0]
    skin = faces < template.part("skin").stop
    chosen = skin & np.append(inside, False)[np.minimum(faces, len(inside))] if inside.any() else skin
    return template.uv[template.face_uv[chosen, 0]].astype(np.float64)


def _bilinear(pixels: UInt8[Array, "H W 3"], uv: Float[Array, "n 2"]) -> Float[Array, "n 3"]:
    """Colours of a map at texture coordinates, 0…255."""
    height, width = pixels.shape[:2]
    where = [(1 - uv[:, 1]) * height - 0.5, uv[:, 0] * width - 0.5]
    values = pixels.astype(np.float32)
    return np.stack(
        [ndimage.map_coordinates(values[..., band], where, order=1, mode="nearest") for band in range(3)], axis=1
    )
