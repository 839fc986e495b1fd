"""The photo as the model's colour map: what it shows where it shows it, the rest in keeping with it.

The photo fills what the camera saw from a good angle, its mirror image what only the other side shows, and the asset's
own colour map, without its brows, everything else. A field of tone, smooth over the mesh, gives the latter the photo's
colour where they meet, so that the layers join without a visible border. Outside the face the photo gives detail only:
its shadows under the chin and at the hair's edge are not the skin's colour. Hair is painted (:mod:`fitting.hair`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from fitting import hair, shading
from fitting.photo_view import View, brow_weight, face_weight, scalp_weight
from fitting.raster import Renderer, renderer
from fitting.tone import fit_light, tone_field
from hack_model.appearance.anatomy import smoothstep
from hack_model.appearance.colour import to_bytes, to_linear
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
_MAX_TONE = 4.0  # natural logarithm: a tone field changes colours at most fiftyfold, fair skin to black
_WELL_KNOWN = 0.3  # of the usual number of texels at a vertex makes its colour count fully
_CLEAR = 60  # percentile of the face's brightness that is clear skin; lips, brows and folds are darker
_NECK = 0.02  # how much a colour outside the face counts for the tone, as against 1 in the face
_DARK, _BRIGHT = (-0.6, -0.25), (0.9, 0.5)  # logarithmic; farther from the usual skin is hair, cloth or a shadow
_GLOSS, _GLOSS_OFF = (0.25, 0.9), 0.6  # logarithmic brightness above the skin; how much of it is taken off
_DETAIL = 0.08  # logarithmic; stronger detail outside the face is strands of hair or gloss, and is toned down
_HALF_HIDDEN = (0.85, 0.55)  # of what the other side shows: between them the mirror image comes in
_BROW_SPREAD = 0.02  # of the map's side, over which the skin round the brows goes on below them


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

    def part(self, chosen: Int[Array, " m"]) -> Texels:
        """Some of the texels, by their place in this object."""
        return Texels(self.index[chosen], self.triangles, self.from_vertices[chosen])

    def near(self, weights: Float[Array, " V"]) -> Int[Array, " m"]:
        """The places of the texels on triangles with a vertex of positive weight."""
        return np.flatnonzero(self.from_vertices @ (weights > 0).astype(np.float32) > 0)

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
    surface = np.concatenate([placed, vertex_normals(placed, asset.triangles)], axis=1, dtype=np.float32)
    texels = Texels.of(asset, size, draw)
    view = View.of(asset, placed, surface[:, 3:], camera, photo, draw)
    base = _base_map(asset, size, texels)
    default = base.reshape(-1, 3)[texels.index]
    face = face_weight(asset)

    seen = Layer.of(view, texels, surface)
    light = fit_light(
        seen.normals, seen.colours.mean(axis=1), seen.confidence * seen.texels.interpolate(face[:, None])[:, 0]
    )
    shade = _EVENED * light.shade(surface[:, 3:])[:, None]
    seen.colours -= seen.texels.interpolate(shade)
    fill = default + texels.interpolate(_join(asset, seen, default[seen.chosen], face))
    if asset.mirror_vertices.size:
        _mirror(asset, view, texels, surface, shade, seen, fill)
    under = fill[seen.chosen]
    brighter = (seen.colours - under).mean(axis=1)
    seen.colours -= (_GLOSS_OFF * smoothstep(brighter, *_GLOSS))[:, None] * (seen.colours - under)
    inside = seen.texels.interpolate(face[:, None])
    detail = seen.colours - under
    seen.colours = under + inside * detail + (1 - inside) * _DETAIL * np.tanh(detail / np.float32(_DETAIL))
    fill[seen.chosen] = _blend(under, seen.colours, seen.confidence)
    if view.hair is not None:
        scalp = scalp_weight(asset)
        grown = texels.near(scalp)
        part = texels.part(grown)
        template = part.interpolate(asset.template)
        weight = part.interpolate(scalp[:, None])[:, 0]
        fill[grown] = hair.paint(fill[grown], np.log(view.hair + _DARKEST).astype(np.float32), weight, template)
    base.reshape(-1, 3)[texels.index] = fill
    return _padded(to_bytes(np.exp(base + np.float32(view.exposure)) - _DARKEST), texels)


@dataclass
class Layer:
    """Logarithmic colours of some texels, ``chosen`` by their place among all, and how far each is to be trusted."""

    chosen: Int[Array, " m"]
    texels: Texels
    normals: Float[Array, "m 3"]
    colours: Float[Array, "m 3"]
    confidence: Float[Array, " m"]

    @classmethod
    def of(cls, view: View, texels: Texels, surface: Float[Array, "V 6"]) -> Layer:
        """What the view shows of a surface given by points and normals."""
        chosen = texels.near(view.look(surface[:, :3], surface[:, 3:])[1])
        part = texels.part(chosen)
        points, normals = np.split(part.interpolate(surface), 2, axis=1)
        colour, confidence = view.look(points, normals)
        return cls(chosen, part, normals, np.log(colour + np.float32(_DARKEST)), confidence)


def _join(
    asset: ModelAsset, seen: Layer, default: Float[Array, "m 3"], face: Float[Array, " V"]
) -> Float[Array, "V 3"]:
    """The tone that takes the default map to the photo's; changes what was ``seen`` outside the face to join it.

    There the photo keeps its detail but takes the tone, and what is too dark or too bright for skin is not trusted.
    """
    difference = seen.colours - default
    featured = seen.texels.interpolate(face[:, None])[:, 0] * seen.confidence
    level = np.percentile(difference[featured > 0.5 * featured.max()], _CLEAR, axis=0)
    means, weights = seen.texels.gather(difference, seen.confidence)
    offset = (means - level).mean(axis=1)
    likely = smoothstep(offset, *_DARK) * smoothstep(offset, *_BRIGHT)
    likely = np.maximum(likely, face)
    usual = np.median(weights[weights > 0]) if (weights > 0).any() else 1.0
    known = np.clip(weights / (_WELL_KNOWN * usual), 0, 1) * likely * np.maximum(face, _NECK)
    levels = np.tile(level, (len(face), 1))
    tone = np.clip(tone_field(asset.template, seen.texels.triangles, means, known, levels), -_MAX_TONE, _MAX_TONE)
    correction = np.where(weights[:, None] > 0, (1 - face)[:, None] * (means - tone), 0)
    trust, *changes = seen.texels.interpolate(np.concatenate([likely[:, None], correction], axis=1)).T
    seen.confidence *= trust
    seen.colours -= np.stack(changes, axis=1)
    return tone.astype(np.float32)


def _mirror(
    asset: ModelAsset,
    view: View,
    texels: Texels,
    surface: Float[Array, "V 6"],
    shade: Float[Array, "V 1"],
    seen: Layer,
    fill: Float[Array, "n 3"],
) -> None:
    """Changes the fill of a side the camera hardly saw to the mirror image of the other, and trusts that side less.

    Not where both sides are seen: brows are not symmetrical, and one would show beside the other.
    """
    face = face_weight(asset)
    _, trust = view.look(surface[:, :3], surface[:, 3:])
    side = np.sign(asset.template[:, 0])
    left, right = ((face * trust)[side == which].sum() for which in (1, -1))
    hidden = smoothstep(np.array(min(left, right) / max(left, right, 1e-9)), *_HALF_HIDDEN)
    if hidden == 0:
        return
    order = asset.mirror_vertices
    other = Layer.of(view, texels, surface[order])
    other.colours -= other.texels.interpolate(shade[order])
    both = np.zeros(len(fill), np.float32)
    both[seen.chosen] = seen.confidence
    target = fill.copy()
    target[seen.chosen] = seen.colours
    weight = both[other.chosen] * other.confidence
    means, weights = other.texels.gather(target[other.chosen] - other.colours, weight)
    usual = np.median(weights[weights > 0]) if (weights > 0).any() else 1.0
    known = np.clip(weights / (_WELL_KNOWN * usual), 0, 1)
    tone = tone_field(asset.template, texels.triangles, means, known, np.zeros_like(means))
    other.colours += other.texels.interpolate(tone)
    lesser = other.texels.interpolate((side == (1 if left < right else -1)).astype(np.float32)[:, None])[:, 0]
    weight = hidden * lesser * other.confidence
    fill[other.chosen] = _blend(fill[other.chosen], other.colours, weight)
    both[:] = 0
    both[other.chosen] = weight
    better = both[seen.chosen]  # than stretched pixels at the face's edge, mixed with what is behind it
    seen.confidence *= 1 - better * (1 - np.square(seen.confidence))


def _blend(below: Float[Array, "n 3"], above: Float[Array, "n 3"], weight: Float[Array, " n"]) -> Float[Array, "n 3"]:
    """Logarithmic colours mixed as light is."""
    linear = np.exp(below)
    return np.log(linear + weight[:, None] * (np.exp(above) - linear))


def _base_map(asset: ModelAsset, size: int, texels: Texels) -> Float[Array, "size size 3"]:
    """Logarithms of the asset's own colour map without its brows, or of its skin's colour where it has none."""
    if not asset.albedo.size:
        colour = np.log(asset.material_color[asset.material_names.index("skin"), :3] + _DARKEST)
        return np.tile(colour.astype(np.float32), (size, size, 1))
    smaller = size < asset.albedo.shape[0]
    pixels = asset.albedo
    if asset.albedo.shape[0] != size:
        pixels = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    logarithms = np.log(to_linear(np.arange(256, dtype=np.uint8)) + np.float32(_DARKEST))[pixels]
    brows = brow_weight(asset)  # would show beside the person's
    near = texels.near(brows)
    if not len(near):
        return logarithms
    weight = np.zeros((size * size), np.float32)
    weight[texels.index] = 1
    weight[texels.index[near]] -= texels.part(near).interpolate(brows[:, None])[:, 0]
    rows, columns = np.divmod(texels.index[near], size)
    margin = max(round(3 * _BROW_SPREAD * size), 1)
    box = np.s_[
        max(rows.min() - margin, 0) : rows.max() + margin, max(columns.min() - margin, 0) : columns.max() + margin
    ]
    known = weight.reshape(size, size)[box]
    spread = [
        cv2.GaussianBlur(values, (0, 0), _BROW_SPREAD * size) for values in (logarithms[box] * known[..., None], known)
    ]
    skin = spread[0] / np.maximum(spread[1], 1e-6)[..., None]
    logarithms[box] = np.where(
        known[..., None] < 1, skin + known[..., None] * (logarithms[box] - skin), logarithms[box]
    )
    return logarithms


def _padded(image: UInt8[Array, "size size 3"], texels: Texels) -> UInt8[Array, "size size 3"]:
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
