"""Deferred shading of a raster: attributes at the pixels, spherical-harmonic light, colour maps.

Light is nine spherical-harmonic coefficients per channel; a surface's brightness is its irradiance over π
(R. Ramamoorthi, P. Hanrahan, "An efficient representation for irradiance environment maps", SIGGRAPH 2001).
Light adds in linear values, pictures hold sRGB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from scipy.sparse import csr_array

from hack_model.asset import split_quads

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Shaped

    from fitting.raster import Raster
    from hack_model.asset import ModelAsset

    Array = np.ndarray

_BASIS: Final = (0.282095, 0.488603, 1.092548, 0.315392, 0.546274)
"""Factors of the real spherical harmonics of degree 0 to 2 (Ramamoorthi and Hanrahan 2001, equation 3)."""

_COSINE: Final = (1.0, 2 / 3, 1 / 4)
"""The clamped cosine's factors per degree, over π (equation 8 there)."""


@dataclass(frozen=True)
class Surface:
    """An asset's triangles with what each needs to be coloured; transparent materials (alpha < 0.5) are left out.

    ``uv`` has v up; ``material`` is each triangle's index into the asset's materials; ``textured`` marks triangles of
    the material ``skin``, which alone take the colour map.
    """

    triangles: Int[Array, "N 3"]
    uv_triangles: Int[Array, "N 3"]
    uv: Float[Array, "T 2"]
    material: Int[Array, " N"]
    textured: Shaped[Array, " N"]

    @classmethod
    def of(cls, asset: ModelAsset) -> Surface:
        """The asset's opaque triangles."""
        material = np.repeat(asset.face_material, np.where(asset.faces[:, 3] >= 0, 2, 1))
        opaque = asset.material_color[material, 3] >= 0.5
        skin = asset.material_names.index("skin") if "skin" in asset.material_names else -1
        return cls(
            split_quads(asset.faces)[opaque],
            split_quads(asset.face_uv)[opaque],
            asset.uv,
            material[opaque],
            material[opaque] == skin,
        )


def interpolate(
    values: Float[Array, "V C"],
    triangles: Int[Array, "N 3"],
    face: Int[Array, " n"],
    barycentric: Float[Array, "n 3"],
) -> Float[Array, "n C"]:
    """Vertex values at points given by triangle and barycentric weights."""
    return interpolation(triangles, face, barycentric, len(values)) @ np.asarray(values, np.float32)


def interpolation(
    triangles: Int[Array, "N 3"], face: Int[Array, " n"], barycentric: Float[Array, "n 3"], vertices: int
) -> csr_array:
    """The sparse matrix (n, V) that takes vertex values to points given by triangle and barycentric weights."""
    starts = np.arange(0, 3 * len(face) + 1, 3, dtype=np.int32)
    corners = np.asarray(triangles, np.int32)[face]
    return csr_array((barycentric.reshape(-1), corners.reshape(-1), starts), shape=(len(face), vertices))


def sample(image: Shaped[Array, "H W C"], x: Float[Array, " n"], y: Float[Array, " n"]) -> Float[Array, "n C"]:
    """Bilinear values of an image at points in pixels (centres at + 0.5); beyond its border the border's value."""
    if not len(x):
        return np.zeros((0, image.shape[2]), np.float32)
    rows, remainder = divmod(len(x), 16384)  # cv2.remap takes images of at most 32767 pixels a side
    padded = np.zeros((2, (rows + bool(remainder)) * 16384), np.float32)
    padded[0, : len(x)], padded[1, : len(y)] = x, y
    columns, lines = padded.reshape(2, -1, 16384) - np.float32(0.5)
    values = cv2.remap(np.asarray(image, np.float32), columns, lines, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return values.reshape(columns.size, -1)[: len(x)]


def harmonics(normals: Float[Array, "*n 3"]) -> Float[Array, "*n 9"]:
    """The functions whose weighted sum is a surface's brightness: spherical harmonics times the cosine's factors."""
    x, y, z = normals[..., 0], normals[..., 1], normals[..., 2]
    flat, linear, mixed, polar, square = _BASIS
    degree0, degree1, degree2 = _COSINE
    functions = (
        np.full_like(x, flat * degree0),
        linear * degree1 * y,
        linear * degree1 * z,
        linear * degree1 * x,
        mixed * degree2 * x * y,
        mixed * degree2 * y * z,
        polar * degree2 * (3 * z * z - 1),
        mixed * degree2 * x * z,
        square * degree2 * (x * x - y * y),
    )
    return np.stack(functions, axis=-1)


def lamp(direction: tuple[float, float, float], brightness: float) -> Float[Array, "9"]:
    """Light from one far lamp: a white surface that faces it has ``brightness``."""
    towards = np.asarray(direction) / np.linalg.norm(direction)
    functions = harmonics(towards) / np.repeat(_COSINE, (1, 3, 5))
    return functions * brightness / (harmonics(towards) @ functions)


def ambient(brightness: float) -> Float[Array, "9"]:
    """Light that is the same from everywhere: every white surface has ``brightness``."""
    return np.array([brightness / (_BASIS[0] * _COSINE[0]), *[0.0] * 8])


def studio_light() -> Float[Array, "9"]:
    """A portrait's light: a key lamp from above on the subject's left, a weaker fill and some light all round."""
    return ambient(0.28) + lamp((0.55, 0.5, 0.9), 0.62) + lamp((-0.8, 0.1, 0.6), 0.18)


def covered(raster: Raster) -> tuple[Int[Array, " n"], Int[Array, " n"], Float[Array, "n 3"]]:
    """The flat index, triangle and barycentric weights of the pixels that see a triangle."""
    face = raster.face.reshape(-1)
    pixels = np.flatnonzero(face >= 0)
    return pixels, face[pixels], raster.barycentric.reshape(-1, 3)[pixels]
