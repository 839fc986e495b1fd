"""Colour science: spectra to linear sRGB, CIELAB and the skin's individual typology angle."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hack_model.errors import AssetError
from hack_model.resources import data_folder
from hack_model.tables import read_table

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped, UInt8

    Array = np.ndarray

_LOBES: Final = (
    ((1.056, 599.8, 37.9, 31.0), (0.362, 442.0, 16.0, 26.7), (-0.065, 501.1, 20.4, 26.2)),
    ((0.821, 568.8, 46.9, 40.5), (0.286, 530.9, 16.3, 31.1)),
    ((1.217, 437.0, 11.8, 36.0), (0.681, 459.0, 26.0, 13.8)),
)
"""Height, place and the widths on both sides of the Gaussian lobes of the CIE 1931 colour matching functions: C. Wyman,
P.-P. Sloan, P. Shirley, "Simple Analytic Approximations to the CIE XYZ Color Matching Functions", JCGT 2(2), 2013."""
_TO_SRGB: Final = (
    (3.2404542, -1.5371385, -0.4985314),
    (-0.9692660, 1.8760108, 0.0415560),
    (0.0556434, -0.2040259, 1.0572252),
)
"""XYZ (D65) to linear sRGB, IEC 61966-2-1."""
WHITE: Final = (0.95047, 1.0, 1.08883)
"""XYZ of the illuminant D65."""


@cache
def wavelengths() -> Float[Array, " W"]:
    """The sampled wavelengths in nanometres, 380 to 780."""
    return spectrum("daylight.csv", "wavelength")


@cache
def spectrum(table: str, column: str) -> Float[Array, " W"]:
    """A column of a table below ``data/appearance``. Raises :class:`AssetError` naming the line that is no number."""
    values: list[float] = []
    for place, row in read_table(data_folder() / "appearance" / table, AssetError, "wavelength", column):
        try:
            values.append(float(row[column]))
        except ValueError as fault:
            raise AssetError(f"{place}: {column} {row[column]!r} is no number") from fault
    return np.array(values)


def matching_functions() -> Float[Array, "W 3"]:
    """The CIE 1931 2° colour matching functions at :func:`wavelengths`."""
    nanometres = wavelengths()
    columns = [
        sum(
            height * np.exp(-0.5 * ((nanometres - place) / np.where(nanometres < place, below, above)) ** 2)
            for height, place, below, above in lobes
        )
        for lobes in _LOBES
    ]
    return np.stack(columns, axis=1)


@cache
def reflectance_to_rgb() -> Float[Array, "W 3"]:
    """The matrix that takes a reflectance spectrum to linear sRGB in daylight (D65); perfect white gives (1, 1, 1)."""
    lit = matching_functions() * spectrum("daylight.csv", "power")[:, None]
    lit *= np.array(WHITE) / lit.sum(axis=0)
    return lit @ np.array(_TO_SRGB).T


def lab(linear: Float[Array, "*n 3"]) -> Float[Array, "*n 3"]:
    """CIELAB (L*, a*, b*) of linear sRGB for D65 (CIE 15:2018)."""
    share = np.asarray(linear, np.float64) @ np.linalg.inv(np.array(_TO_SRGB)).T / np.array(WHITE)
    root = np.where(share > (6 / 29) ** 3, np.cbrt(np.maximum(share, 0)), share / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def to_srgb(linear: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """sRGB in [0, 1] of linear values, clipped (IEC 61966-2-1)."""
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)


def to_bytes(linear: Float[Array, "*n"]) -> UInt8[Array, "*n"]:
    """8-bit sRGB of linear values, by a table, since maps have more pixels than there are values."""
    steps = 8191
    table = np.rint(to_srgb(np.linspace(0, 1, steps + 1)) * 255).astype(np.uint8)
    return table[(np.clip(linear, 0, 1) * steps + 0.5).astype(np.uint16)]


def to_linear(srgb: Shaped[Array, "*n"]) -> Any:
    """Linear values of sRGB in [0, 1], or of 8-bit sRGB."""
    values = np.asarray(srgb)
    scaled = np.arange(256) / 255 if values.dtype == np.uint8 else values
    linear = np.where(scaled <= 0.04045, scaled / 12.92, ((np.maximum(scaled, 0.04045) + 0.055) / 1.055) ** 2.4)
    return linear[values].astype(np.float32) if values.dtype == np.uint8 else linear
