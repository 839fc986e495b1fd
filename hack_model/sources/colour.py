"""A template's colour map on another head's texture coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy import ndimage

from hack_model.asset import split_quads
from hack_model.sources.transfer import Fitted, region

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8

    Array = np.ndarray

SIZE: Final = 1024
_SEAM: Final = 0.05
"""Texture coordinates of one triangle's corners farther apart than this lie on both sides of a seam."""


def carried_albedo(
    fitted: Fitted, uv: Float[Array, "T 2"], face_uv: Int[Array, "F 4"], size: int = SIZE
) -> UInt8[Array, "H W 3"]:
    """The template's colour map for the foreign skin, whose faces have the texture coordinates ``face_uv``.

    Skin that cannot be seen from outside takes the mean colour of the template's mouth. Empty when the template has no
    colour map.
    """
    pixels = fitted.template.albedo
    if not pixels.size:
        return pixels
    triangle, weights = texels(uv, split_quads(face_uv), size)
    covered = triangle >= 0
    corners = split_quads(fitted.faces)[triangle[covered]]
    shares = weights[covered]
    template_uv = _vertex_uv(fitted)
    at_corners, found = template_uv[corners], fitted.points.found[corners]
    spread = np.ptp(at_corners, axis=1).max(axis=1)
    place = np.einsum("nk,nkc->nc", shares, at_corners)
    torn = (spread > _SEAM) | ~found.all(axis=1)
    strongest = np.argmax(np.where(found, shares, -1), axis=1)
    place[torn] = at_corners[np.flatnonzero(torn), strongest[torn]]
    colour = _bilinear(pixels, place)
    colour[~found.any(axis=1)] = _bilinear(pixels, _mouth_uv(fitted)).mean(axis=0)
    image = np.zeros((size, size, 3))
    image[covered] = colour
    nearest: Any = ndimage.distance_transform_edt(~covered, return_distances=False, return_indices=True)
    image = image[nearest[0], nearest[1]]
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def texels(
    uv: Float[Array, "T 2"], triangles: Int[Array, "N 3"], size: int
) -> tuple[Int[Array, "H W"], Float[Array, "H W 3"]]:
    """The triangle under each texel of a map (-1 none) and its barycentric weights there; first row at v = 1."""
    points = uv[triangles] * [size, -size] + [0, size]  # (N, 3, 2)
    low = np.clip(np.floor(points.min(axis=1) - 0.5), 0, size).astype(int)
    high = np.clip(np.ceil(points.max(axis=1) + 0.5), 0, size).astype(int)
    spans = np.maximum(high - low, 0)
    counts = spans.prod(axis=1)
    owner = np.repeat(np.arange(len(triangles)), counts)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    width = np.maximum(spans[owner, 0], 1)
    x, y = low[owner, 0] + place % width, low[owner, 1] + place // width
    first, edge, other = points[owner, 0], points[owner, 1] - points[owner, 0], points[owner, 2] - points[owner, 0]
    offset = np.stack([x + 0.5, y + 0.5], axis=1) - first
    area = edge[:, 0] * other[:, 1] - edge[:, 1] * other[:, 0]
    flat = np.abs(area) < 1e-12
    area = np.where(flat, 1, area)
    second = (offset[:, 0] * other[:, 1] - offset[:, 1] * other[:, 0]) / area
    third = (edge[:, 0] * offset[:, 1] - edge[:, 1] * offset[:, 0]) / area
    weights = np.stack([1 - second - third, second, third], axis=1)
    inside = (weights >= -1e-6).all(axis=1) & ~flat
    index, shares = np.full((size, size), -1), np.zeros((size, size, 3))
    index[y[inside], x[inside]] = owner[inside]
    shares[y[inside], x[inside]] = weights[inside]
    return index, shares


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
