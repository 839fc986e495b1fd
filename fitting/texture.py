"""The photo as the model's colour map: what it shows where it shows it, the rest in keeping with it.

The photo fills what the camera saw from a good angle, its mirror image what only the other side shows, and the asset's
own colour map everything else. The two latter are multiplied by a field, smooth over the mesh, that gives them the
photo's tone where they meet it, so that the layers join without a visible border. Colours that are neither the person's
skin nor hair (clothes, background) are not taken outside the face.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from fitting import shading
from fitting.photo_view import View, brow_weight
from fitting.raster import Renderer, renderer
from fitting.tone import fit_light, tone_field
from hack_model.errors import AssetError, ParameterError
from hack_model.formats.surface import vertex_normals

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8
    from scipy.sparse import csr_array

    from fitting.camera import Camera
    from hack_model.asset import ModelAsset

    Array = np.ndarray

_EVENED = 0.75  # of the photo's shading taken off, since whoever shows the head lights it again; all of it looks flat
_DARKEST = 0.004  # linear, added before logarithms
_MAX_TONE = 4.0  # natural logarithm: a tone field changes colours at most fiftyfold, fair skin to black hair


@dataclass(frozen=True)
class Texels:
    """The texels that show the material ``skin``: where each lies in the map and on the mesh."""

    index: Int[Array, " n"]
    triangles: Int[Array, "N 3"]
    from_vertices: csr_array

    @classmethod
    def of(cls, asset: ModelAsset, size: int, draw: Renderer) -> Texels:
        """The texels of a map of ``size`` pixels a side."""
        surface = shading.Surface.of(asset)
        uv = asset.uv * [size, -size] + [0, size]
        points = np.concatenate([uv, np.ones((len(uv), 1))], axis=1)
        raster = draw.rasterize(points, surface.uv_triangles[surface.textured], size, size)
        index, face, barycentric = shading.covered(raster)
        triangles = surface.triangles[surface.textured]
        return cls(index, triangles, shading.interpolation(triangles, face, barycentric, asset.vertex_count))

    def interpolate(self, values: Float[Array, "V C"]) -> Float[Array, "n C"]:
        """Values of vertices at the texels."""
        return self.from_vertices @ np.asarray(values, np.float32)

    def gather(self, values: Float[Array, "n C"], weights: Float[Array, " n"]) -> tuple[Array, Array]:
        """The weighted means (V, C) of the texels around each vertex, zero where none, and the sums of the weights."""
        weighted = np.concatenate([values * weights[:, None], weights[:, None]], axis=1)
        sums = self.from_vertices.T @ weighted
        return sums[:, :-1] / np.maximum(sums[:, -1:], 1e-9), sums[:, -1]


def project_texture(
    asset: ModelAsset,
    vertices: Float[Array, "V 3"],
    camera: Camera,
    photo: UInt8[Array, "H W 3"],
    *,
    size: int = 1024,
    backend: Renderer | None = None,
) -> UInt8[Array, "size size 3"]:
    """The asset's colour map with the photo on it: sRGB, first row at v = 1.

    ``vertices`` (V, 3) are metres before ``camera``, as the fit placed them; ``photo`` is sRGB of the camera's size.
    The same arguments give the same map. Raises :class:`ParameterError` for arguments that do not fit together or a
    head outside the picture, :class:`AssetError` when the asset has no ``landmarks68`` to tell where its face is.
    """
    _check(asset, vertices, camera, photo, size)
    draw = backend or renderer()
    placed = np.asarray(vertices, np.float32)
    normals = vertex_normals(placed, asset.triangles)
    texels = Texels.of(asset, size, draw)
    view = View.of(asset, placed, normals, camera, photo, draw)
    base = _base_map(asset, size)
    linear = np.log(base.reshape(-1, 3)[texels.index] + _DARKEST)
    brows = texels.interpolate(brow_weight(asset)[:, None])
    linear += brows * (np.median(linear[::16], axis=0) - linear)  # the map's own brows would show beside the person's

    surface = np.concatenate([placed, normals], axis=1)
    points, directions = np.split(texels.interpolate(surface), 2, axis=1)
    colour, confidence = view.look(points, directions)
    seen = np.log(colour + _DARKEST)
    skin = confidence * (1 - texels.interpolate(view.hairy[:, None])[:, 0])
    light = fit_light(directions, seen.mean(axis=1), skin)
    shade = _EVENED * light.shade(normals)[:, None]
    seen -= texels.interpolate(shade)
    level = _level(texels, linear, view)
    linear = linear + _tone(asset, texels, seen - linear, confidence, level)
    if asset.mirror_vertices.size:
        points, directions = np.split(texels.interpolate(surface[asset.mirror_vertices]), 2, axis=1)
        colour, mirrored = view.look(points, directions)
        other = np.log(colour + _DARKEST) - texels.interpolate(shade[asset.mirror_vertices])
        other += _tone(asset, texels, seen - other, confidence * mirrored, np.zeros_like(level))
        linear += mirrored[:, None] * (other - linear)
    colours = np.exp(linear) + confidence[:, None] * (np.exp(seen) - np.exp(linear)) - _DARKEST
    base.reshape(-1, 3)[texels.index] = colours
    return shading.to_srgb(_padded(base, texels))


def _tone(
    asset: ModelAsset,
    texels: Texels,
    difference: Float[Array, "n 3"],
    weights: Float[Array, " n"],
    level: Float[Array, "V 3"],
) -> Float[Array, "n 3"]:
    """A logarithmic gain for each texel: ``difference`` where it is known, spread smoothly over the mesh elsewhere."""
    field = tone_field(asset.template, texels.triangles, *texels.gather(difference, weights), level)
    return texels.interpolate(np.clip(field, -_MAX_TONE, _MAX_TONE))


def _level(texels: Texels, default: Float[Array, "n 3"], view: View) -> Float[Array, "V 3"]:
    """What makes the default map's skin the person's skin, and its scalp the person's hair; logarithmic."""
    means, _ = texels.gather(default, np.ones(len(default), np.float32))
    level = np.zeros_like(means)
    for where, colour in ((1 - view.hairy, view.skin_colour), (view.hairy, view.hair_colour)):
        if (where > 0.5).any():
            level += where[:, None] * (np.log(colour + _DARKEST) - np.median(means[where > 0.5], axis=0))
    return level


def _base_map(asset: ModelAsset, size: int) -> Float[Array, "size size 3"]:
    """The asset's own colour map in linear values, or its skin's colour where it has none."""
    if not asset.albedo.size:
        colour = asset.material_color[asset.material_names.index("skin"), :3]
        return np.tile(colour.astype(np.float32), (size, size, 1))
    smaller = size < asset.albedo.shape[0]
    linear = shading.to_linear(asset.albedo)
    return cv2.resize(linear, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def _padded(image: Float[Array, "size size 3"], texels: Texels) -> Float[Array, "size size 3"]:
    """The map with every empty texel given its nearest texel's colour, so that filtering finds no seam."""
    size = image.shape[0]
    empty = np.ones(size * size, np.uint8)
    empty[texels.index] = 0
    _, labels = cv2.distanceTransformWithLabels(
        empty.reshape(size, size), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    source = np.zeros(labels.max() + 1, np.int64)
    source[np.asarray(labels, np.int64).reshape(-1)[texels.index]] = texels.index
    return image.reshape(-1, 3)[source[np.asarray(labels, np.int64)]]


def _check(asset: ModelAsset, vertices: Array, camera: Camera, photo: Array, size: int) -> None:
    if np.shape(vertices) != asset.template.shape:
        raise ParameterError(f"vertices have shape {np.shape(vertices)}, model {asset.name} has {asset.template.shape}")
    if photo.dtype != np.uint8 or photo.shape != (camera.height, camera.width, 3):
        raise ParameterError(
            f"photo is {photo.dtype} {photo.shape}, wanted uint8 ({camera.height}, {camera.width}, 3) like its camera"
        )
    if not 16 <= size <= 8192:
        raise ParameterError(f"a texture of {size} pixels a side cannot be made; choose 16 to 8192")
    if "skin" not in asset.material_names:
        raise AssetError(f"model {asset.name} has no material 'skin', which alone takes a texture")
    if len(asset.landmarks68_vertices) != 68:
        raise AssetError(f"model {asset.name} has no landmarks68; its face cannot be told from its neck and scalp")
