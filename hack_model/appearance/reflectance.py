"""The colour of skin from its pigments: three layers, absorption and scattering from measurements, Kubelka and Munk.

The horny layer has no pigment, the living epidermis holds melanin, the dermis blood. Light scattered back by each, and
between them, leaves through the surface. All functions take numbers or arrays of numpy, torch and other array
libraries, so that fits can differentiate them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj
from array_api_compat import device as device_of

from hack_model.appearance.colour import reflectance_to_rgb, spectrum, wavelengths

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

LEAST_MELANIN, MOST_MELANIN = 0.011, 0.21
"""Volume fractions of melanosomes in the epidermis at melanin 0 and 1. Jacques 1998 gives 1.3-6.3 % for light, 11-16 %
for tanned and 18-43 % for dark skin; with our layers 21 % reaches the darkest skin measured (ITA about -55)."""
BLOOD: Final = 0.015
"""Volume fraction of blood in the dermis at haemoglobin 1: between the mean of 0.2 % and the 5 % or so of the upper
plexus that Jacques 1998 gives."""
EPIDERMIS: Final = 0.0075
"""Thickness of the epidermis in centimetres. Facial epidermis measures 50-80 µm (Lintzeri et al. 2022)."""
_VESSEL: Final = 0.0010
"""Radius of the dermis' vessels in centimetres."""
_CORNEUM: Final = 0.0008
"""Thickness of the horny layer in centimetres: 10-20 µm but for palms and soles."""
_CLUSTER: Final = 0.0003
"""Half the size in centimetres of the caps of melanosomes over the nuclei of keratinocytes."""
_INDEX: Final = 1.4
"""Refractive index of skin (Jacques 2013)."""
_HAEMOGLOBIN: Final = 150 / 64500
"""Moles of haemoglobin per litre of blood: 150 g/L at 64,500 g/mol (Prahl)."""


def melanosomes(melanin: Any) -> Any:
    """Volume fraction of melanosomes in the epidermis for ``melanin`` in [0, 1]; equal steps look equal."""
    return LEAST_MELANIN * (MOST_MELANIN / LEAST_MELANIN) ** melanin


def skin_colour(
    melanin: Any,
    haemoglobin: Any = 1.0,
    oxygenation: Any = 0.75,
    pheomelanin: Any = 0.2,
    thickness: Any = 1.0,
    horny: Any = 1.0,
) -> Any:
    """Diffuse albedo of skin in linear sRGB, (…, 3) for parameters that broadcast to (…); inside [0, 1].

    ``melanin`` in [0, 1], see :func:`melanosomes`; ``haemoglobin`` relative to :data:`BLOOD`, at least 0;
    ``oxygenation`` and ``pheomelanin``, the share of red-yellow pheomelanin in the melanin, in [0, 1]; ``thickness`` of
    the epidermis relative to :data:`EPIDERMIS`; ``horny``, that of the horny layer, which lips and lining hardly have.
    """
    values = [melanin, haemoglobin, oxygenation, pheomelanin, thickness, horny]
    xp, values = _arrays(values)
    spectra = reflectance(*values)
    matrix = xp.asarray(reflectance_to_rgb(), dtype=spectra.dtype, device=device_of(spectra))
    return xp.clip(spectra @ matrix, 0.0, 1.0)


def reflectance(melanin: Any, haemoglobin: Any, oxygenation: Any, pheomelanin: Any, thickness: Any, horny: Any) -> Any:
    """Share of light that leaves skin diffusely, (…, W) at :func:`hack_model.appearance.colour.wavelengths`.

    Layers by Kubelka and Munk (P. Kubelka, JOSA 38, 1948 and 44, 1954) with K = 2 μa and S = 3/4 μs' - 1/4 μa
    (P. S. Mudgett, L. W. Richards, Appl. Opt. 10, 1971) and the surface's inner reflection by J. L. Saunderson (JOSA
    32, 1942). The mirror reflection at the surface is the material's, not part of this.
    """
    xp, values = _arrays([melanin, haemoglobin, oxygenation, pheomelanin, thickness, horny])
    melanin, haemoglobin, oxygenation, pheomelanin, thickness, horny = (value[..., None] for value in values)

    def constant(array: Float[Array, " W"]) -> Any:
        return xp.asarray(array, dtype=melanin.dtype, device=device_of(melanin))

    base, scattering = constant(baseline()), constant(reduced_scattering())
    share = melanosomes(melanin)
    brown, red = (constant(packed(pigment, _CLUSTER)) for pigment in (eumelanin(), pheomelanin_absorption()))
    pigment = (1 - pheomelanin) * brown + pheomelanin * red
    epidermis = share * pigment + (1 - share) * base
    oxygenated, reduced = (constant(packed(blood(name), _VESSEL)) for name in ("oxygenated", "deoxygenated"))
    fraction = BLOOD * haemoglobin
    dermis = fraction * (oxygenation * oxygenated + (1 - oxygenation) * reduced) + (1 - fraction) * base
    inside = _endless(xp, dermis, scattering)
    for absorption, depth in ((epidermis, EPIDERMIS * thickness), (base, _CORNEUM * horny)):
        back, through = _layer(xp, absorption, scattering, depth)
        inside = back + through**2 * inside / (1 - back * inside)
    outer, inner = 0.04, inner_reflection(_INDEX)
    return (1 - outer) * (1 - inner) * inside / (1 - inner * inside)


def eumelanin() -> Float[Array, " W"]:
    """Absorption of a melanosome with eumelanin, 1/cm: 6.6e11 λ^-3.33 (S. Jacques, "Skin Optics", OMLC News 1998)."""
    return 6.6e11 * wavelengths() ** -3.33


def pheomelanin_absorption() -> Float[Array, " W"]:
    """Absorption of a melanosome with pheomelanin, 1/cm: 2.9e15 λ^-4.75 (C. Donner, H. W. Jensen, "A Spectral BSSRDF
    for Shading Human Skin", EGSR 2006)."""
    return 2.9e15 * wavelengths() ** -4.75


def baseline() -> Float[Array, " W"]:
    """Absorption of skin without melanin and blood, 1/cm: 0.244 + 85.3 exp(-(λ - 154) / 66.2) (Jacques 1998)."""
    return 0.244 + 85.3 * np.exp(-(wavelengths() - 154) / 66.2)


def reduced_scattering() -> Float[Array, " W"]:
    """Reduced scattering of skin, 1/cm: 46 (λ / 500)^-1.421 (S. L. Jacques, "Optical properties of biological tissues:
    a review", Phys. Med. Biol. 58, 2013: the mean of skin)."""
    return 46.0 * (wavelengths() / 500) ** -1.421


def blood(column: str) -> Float[Array, " W"]:
    """Absorption of whole blood, 1/cm, ``oxygenated`` or ``deoxygenated`` (data/appearance/haemoglobin.csv)."""
    return np.log(10) * spectrum("haemoglobin.csv", column) * _HAEMOGLOBIN


def packed(absorption: Float[Array, " W"], radius: float) -> Float[Array, " W"]:
    """Mean absorption, 1/cm, of a pigment packed in bodies of ``radius`` centimetres: less where they are opaque.

    R. L. P. van Veen, W. Verkruysse, H. J. C. M. Sterenborg, Opt. Lett. 27, 2002, for blood in vessels; caps of
    melanosomes shade each other likewise.
    """
    depth = 2 * absorption * radius
    return absorption * (1 - np.exp(-depth)) / depth


def inner_reflection(index: float) -> float:
    """Share of diffuse light in a medium of this refractive index that its surface throws back (W. G. Egan, T. W.
    Hilgeman, "Optical Properties of Inhomogeneous Materials", 1979)."""
    return -1.440 / index**2 + 0.710 / index + 0.668 + 0.0636 * index


def _endless(xp: Any, absorption: Any, scattering: Any) -> Any:
    """Reflectance of an endlessly thick layer."""
    back = 0.75 * scattering - 0.25 * absorption
    back = xp.where(back > 0.05 * scattering, back, 0.05 * scattering)
    ratio = 2 * absorption / back
    return 1 + ratio - (ratio * (ratio + 2)) ** 0.5


def _layer(xp: Any, absorption: Any, scattering: Any, depth: Any) -> tuple[Any, Any]:
    """Reflectance and transmittance of a layer of ``depth`` centimetres."""
    back = 0.75 * scattering - 0.25 * absorption
    back = xp.where(back > 0.05 * scattering, back, 0.05 * scattering)
    a = 1 + 2 * absorption / back
    b = (a * a - 1) ** 0.5
    x = xp.clip(b * back * depth, 0.0, 40.0)
    rise, fall = (xp.exp(x) - xp.exp(-x)) / 2, (xp.exp(x) + xp.exp(-x)) / 2
    total = a * rise + b * fall
    return rise / total, b / total


def _arrays(values: list[Any]) -> tuple[Any, list[Any]]:
    """The array library of the values (numpy for plain numbers) and all of them as its arrays of one shape."""
    arrays = [value for value in values if is_array_api_obj(value)]
    xp = array_namespace(*arrays) if arrays else array_namespace(np.zeros(0))
    like: Any = arrays[0] if arrays else np.zeros(())
    dtype = like.dtype if xp.isdtype(like.dtype, "real floating") else xp.float64
    made = [
        xp.astype(value, dtype) if is_array_api_obj(value) else xp.asarray(value, dtype=dtype, device=device_of(like))
        for value in values
    ]
    return xp, list(xp.broadcast_arrays(*made))
