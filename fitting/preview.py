"""Quick pictures of a model: a shaded head without Blender, in a fraction of a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from fitting import shading
from fitting.camera import Camera
from fitting.raster import Raster, project, renderer
from hack_model.appearance.colour import to_bytes, to_linear
from hack_model.formats.surface import vertex_normals

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8

    from hack_model.asset import ModelAsset

    Array = np.ndarray

CLAY: Final = (0.60, 0.57, 0.53)
"""Linear colour of everything when shape alone is to be judged."""

BACKGROUND: Final = (236, 238, 241)
"""sRGB behind a preview."""

_PORTRAIT_DISTANCE = 1.3  # metres: where a portrait photographer stands
_TEXTURE_LIGHT = 0.35  # how much of the studio's light falls on a photo's texture, which has light of its own


def render_asset(
    asset: ModelAsset,
    camera: Camera,
    vertices: Float[Array, "V 3"] | None = None,
    *,
    texture: UInt8[Array, "T T 3"] | None = None,
    clay: bool = False,
    light: Float[Array, "9"] | None = None,
    background: tuple[int, int, int] | UInt8[Array, "H W 3"] = BACKGROUND,
    opacity: float = 1.0,
    supersampling: int = 2,
    raster: Raster | None = None,
) -> UInt8[Array, "H W 3"]:
    """A shaded picture, sRGB, of vertices placed before the camera (the template, as it lies, by default).

    Skin takes ``texture`` (sRGB, first row at v = 1), else the asset's colour map, else its material's colour; other
    parts their material's colour; everything is grey with ``clay``. ``light`` is nine harmonics
    (:func:`fitting.shading.studio_light` by default). ``background`` is a colour or a picture of the camera's size;
    ``opacity`` in [0, 1] lets it show through. ``supersampling`` squared samples are averaged per pixel. ``raster`` is
    what :func:`rasterize_asset` gave for the same arguments, for callers that use it themselves.
    """
    placed = np.asarray(asset.template if vertices is None else vertices, np.float32)
    surface = shading.Surface.of(asset)
    width, height = camera.width * supersampling, camera.height * supersampling
    raster = raster or rasterize_asset(asset, camera, placed, supersampling)
    pixels, face, weights = shading.covered(raster)
    normals = shading.interpolate(vertex_normals(placed, asset.triangles), surface.triangles, face, weights)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    positions = shading.interpolate(placed, surface.triangles, face, weights)
    normals *= np.where((normals * positions).sum(axis=1, keepdims=True) > 0, np.float32(-1), np.float32(1))
    brightness = shading.harmonics(normals) @ (shading.studio_light() if light is None else light).astype(np.float32)
    albedo = _albedo(asset, surface, face, weights, texture=texture, clay=clay)
    if texture is not None and not clay:
        lit = surface.textured[face]
        brightness[lit] = 1 + _TEXTURE_LIGHT * (brightness[lit] - 0.9)
    image = np.zeros((height * width, 4), np.float32)
    image[pixels, :3] = albedo * brightness[:, None]
    image[pixels, 3] = 1
    image = cv2.resize(image.reshape(height, width, 4), (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    behind = to_linear(np.broadcast_to(np.asarray(background, np.uint8), (camera.height, camera.width, 3)))
    return to_bytes(opacity * image[..., :3] + (1 - opacity * image[..., 3:]) * behind)


def rasterize_asset(asset: ModelAsset, camera: Camera, vertices: Float[Array, "V 3"], supersampling: int = 1) -> Raster:
    """What each of the camera's pixels, divided ``supersampling`` times, sees of :class:`fitting.shading.Surface`."""
    points = project(camera, np.asarray(vertices, np.float32)) * np.array([supersampling, supersampling, 1], np.float32)
    triangles = shading.Surface.of(asset).triangles
    return renderer().rasterize(points, triangles, camera.width * supersampling, camera.height * supersampling)


def render_portrait(
    asset: ModelAsset,
    vertices: Float[Array, "V 3"] | None = None,
    *,
    yaw: float = 0.0,
    pitch: float = 0.0,
    size: int | tuple[int, int] = 512,
    texture: UInt8[Array, "T T 3"] | None = None,
    clay: bool = False,
    background: tuple[int, int, int] = BACKGROUND,
) -> UInt8[Array, "H W 3"]:
    """A picture that frames the model by itself, from vertices in model space.

    The camera goes round the head by ``yaw`` radians towards the subject's left and up by ``pitch``; ``size`` is one
    number or (width, height) in pixels. Colours as in :func:`render_asset`.
    """
    camera, placed = portrait(np.asarray(asset.template if vertices is None else vertices), yaw, pitch, size)
    return render_asset(asset, camera, placed, texture=texture, clay=clay, background=background)


def portrait(
    vertices: Float[Array, "V 3"], yaw: float = 0.0, pitch: float = 0.0, size: int | tuple[int, int] = 512
) -> tuple[Camera, Float[Array, "V 3"]]:
    """The camera and the vertices placed before it for a portrait; see :func:`render_portrait`."""
    width, height = (size, size) if isinstance(size, int) else size
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    middle = (low + high) / 2
    around = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    above = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    placed = (vertices - middle) @ (above @ around).T - np.array([0, 0, _PORTRAIT_DISTANCE])
    tall, wide = high[1] - low[1], float(np.hypot(high[0] - low[0], high[2] - low[2]))
    focal = min(0.90 * height / tall, 0.98 * width / min(wide, 1.25 * tall)) * (_PORTRAIT_DISTANCE - wide / 4)
    return Camera.centred(focal, width, height), placed


def _albedo(
    asset: ModelAsset,
    surface: shading.Surface,
    face: Int[Array, " n"],
    barycentric: Float[Array, "n 3"],
    *,
    texture: UInt8[Array, "T T 3"] | None,
    clay: bool,
) -> Float[Array, "n 3"]:
    """Linear colours of points on triangles."""
    if clay:
        return np.broadcast_to(np.asarray(CLAY, np.float32), (len(face), 3))
    colour = asset.material_color[surface.material[face], :3]
    pixels = asset.albedo if texture is None else texture
    if pixels.size:
        skin = np.flatnonzero(surface.textured[face])
        uv = shading.interpolate(surface.uv, surface.uv_triangles, face[skin], barycentric[skin])
        height, width = pixels.shape[:2]
        colour[skin] = shading.sample(to_linear(pixels), uv[:, 0] * width, (1 - uv[:, 1]) * height)
    return colour
