"""The skin's colour map: what pigments lie where, and the colour they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hack_model.appearance.anatomy import Anatomy, inside_distance, smoothstep
from hack_model.appearance.hair import beard_area, brow_cover, hair_colour, stubble
from hack_model.appearance.noise import lattice, solid, splats
from hack_model.appearance.reflectance import skin_colour

if TYPE_CHECKING:
    from jaxtyping import Float

    from hack_model.appearance.parameters import Appearance
    from hack_model.appearance.texels import Texels

    Array = np.ndarray

_MELANIN_RANGE: Final = (-0.6, 1.35)
_MOST_BLOOD: Final = 30.0
_OXYGENATION_RANGE: Final = (0.0, 1.0)
_GRID: Final = (48, 28, 6)
"""Steps of the table of colours: melanin, square root of blood, oxygenation."""
_BARE: Final = (0.5, 0.15)
"""Thickness of epidermis and horny layer of lips and linings, relative to the skin's."""
_MUCOSA: Final = 14.0
"""Blood of the mouth's lining relative to the face's skin."""


@dataclass(frozen=True)
class Places:
    """What both colour and relief need to know at each texel, in [0, 1] but for ``position`` (metres).

    ``lips`` is the vermilion, ``mouth`` the lining of the mouth, ``rim`` the lids' margins, ``lid`` the skin around
    them, ``fields`` the columns of :data:`hack_model.appearance.anatomy.FIELDS`.
    """

    position: Float[Array, "n 3"]
    lips: Float[Array, " n"]
    mouth: Float[Array, " n"]
    rim: Float[Array, " n"]
    lid: Float[Array, " n"]
    sockets: Float[Array, " n"]
    fields: dict[str, Float[Array, " n"]]


def places_of(anatomy: Anatomy, texels: Texels) -> Places:
    """The places of all texels."""
    regions = anatomy.regions
    interior = texels.carry_vertices(regions["mouth_interior"])
    sockets = texels.carry_vertices(regions["eye_sockets"])
    lips = _outlined(texels, anatomy, anatomy.lip_outline, 0.0065, interior)
    eyes = [_outlined(texels, anatomy, outline, 0.014, sockets) for outline in anatomy.eye_outlines]
    eye = np.maximum(*eyes)
    return Places(
        position=texels.carry_vertices(anatomy.template),
        lips=smoothstep(lips, -0.0006, 0.0009) * (interior < 0.5),
        mouth=smoothstep(interior, 0.05, 0.8),
        rim=np.exp(-((np.maximum(-eye - 0.0002, 0) / 0.0011) ** 2)) * (eye > -0.006),
        lid=np.exp(-((np.maximum(-eye, 0) / 0.0075) ** 2)),
        sockets=sockets,
        fields={name: texels.carry_vertices(value) for name, value in anatomy.fields.items()},
    )


def _outlined(
    texels: Texels, anatomy: Anatomy, outline: Float[Array, "k 2"], reach: float, lining: Float[Array, " n"]
) -> Float[Array, " n"]:
    """Signed distance in metres of the texels from an outline, positive inside; ``-1`` beyond ``reach``."""
    scale = float(np.median(anatomy.metres_per_uv[_near(anatomy, outline)]))
    low, high = outline.min(axis=0) - reach / scale, outline.max(axis=0) + reach / scale
    near = ((texels.uv > low) & (texels.uv < high)).all(axis=1) & (lining < 0.999)
    distance = np.full(len(texels.index), -1.0, np.float32)
    distance[near] = inside_distance(texels.uv[near].astype(np.float64), outline) * scale
    return distance


def _near(anatomy: Anatomy, outline: Float[Array, "k 2"]) -> np.ndarray:
    """Texture coordinates of the chart whose vertices lie about an outline."""
    used = np.unique(anatomy.chart.triangles)
    uv = anatomy.uv[used]
    return used[((uv >= outline.min(axis=0)) & (uv <= outline.max(axis=0))).all(axis=1)]


def colour_map(anatomy: Anatomy, texels: Texels, places: Places, appearance: Appearance) -> Float[Array, "n 3"]:
    """Linear albedo at the texels, before the relief's creases darken it."""
    melanin, blood, oxygenation = _pigments(anatomy, texels, places, appearance)
    colour = _Table(appearance.pheomelanin).colour(melanin, blood, oxygenation)
    thin = np.flatnonzero(np.maximum(np.maximum(places.lips, places.mouth), places.sockets) > 0)
    share = np.maximum(places.lips, np.maximum(places.mouth, places.sockets))[thin, None]
    bare = _Table(appearance.pheomelanin, *_BARE).colour(melanin[thin], blood[thin], oxygenation[thin])
    colour[thin] += share * (bare - colour[thin])
    hair = hair_colour(appearance).astype(np.float32)
    brows = brow_cover(anatomy, places.position, appearance.brows, appearance.seed) if appearance.brows else 0.0
    for area, amount, seed in (
        (beard_area(anatomy) if appearance.beard else None, appearance.beard, 0),
        (smoothstep(anatomy.regions["scalp"], 0.3, 0.9) if appearance.scalp else None, appearance.scalp, 7),
    ):
        if area is not None:
            where = texels.carry_vertices(area) * (1 - places.lips)
            colour = _bearded(colour, hair, where, stubble(texels, where, amount, appearance.seed + seed), amount)
    return colour + np.asarray(brows, np.float32)[..., None] * (hair - colour)


def _bearded(
    colour: Float[Array, "n 3"],
    hair: Float[Array, "3"],
    where: Float[Array, " n"],
    cover: Float[Array, " n"],
    amount: float,
) -> Float[Array, "n 3"]:
    """Skin with stubble: hairs on it, and their roots in it, which show bluish through the scattering layer above."""
    roots = np.array([0.52, 0.60, 0.70], np.float32) * (1 - hair.mean()) + hair.mean()
    shadow = where[:, None] * min(1.2 * amount, 0.6) * (1 - roots)
    return (1 - shadow) * colour * (1 - 0.9 * cover[:, None]) + 0.9 * cover[:, None] * hair


def _pigments(
    anatomy: Anatomy, texels: Texels, places: Places, appearance: Appearance
) -> tuple[Float[Array, " n"], Float[Array, " n"], Float[Array, " n"]]:
    """Melanin, blood and oxygenation at the texels, as :func:`skin_colour` takes them."""
    seed, fields, size = appearance.seed, places.fields, texels.size
    blotches = [texels.carry_vertices(_blotch(anatomy, period, seed + key)) for period, key in ((0.03, 5), (0.011, 6))]
    fine = lattice(size, 170, 170, seed + 8).reshape(-1)[texels.index]
    grain = lattice(size, 430, 430, seed + 9).reshape(-1)[texels.index]
    uneven = 0.6 + 0.8 * appearance.age
    melanin = appearance.melanin + fields["melanin"] + 0.03 * uneven * blotches[0] + 0.012 * uneven * fine
    melanin += 0.006 * grain + _spots(anatomy, texels, places, appearance)
    logarithm = fields["blood"] + 0.16 * blotches[0] + 0.16 * blotches[1] + 0.08 * fine + 0.05 * grain
    logarithm += 0.25 * places.lid * (1 - places.rim) + 0.75 * places.rim
    blood = appearance.haemoglobin * np.exp(logarithm)
    # The vermilion has a thin epidermis with little pigment over many vessels; its lower rim is the fuller.
    lines = lattice(size, 300, 60, seed + 10).reshape(-1)[texels.index]
    lips = places.lips * (0.92 + 0.05 * lines)
    melanin -= (0.14 - 0.40 * appearance.melanin) * lips
    blood *= np.exp(lips * (1.15 + 0.5 * np.log1p(appearance.lip_colour)) * min(appearance.lip_colour, 1.0) ** 0.5)
    inner = np.maximum(places.mouth, places.sockets)
    melanin += inner * (-0.45 - melanin)
    blood += inner * (_MUCOSA * np.sqrt(appearance.haemoglobin) - blood)
    oxygenation = appearance.oxygenation + fields["oxygenation"] + 0.06 * lips - 0.08 * places.lid * (1 - places.rim)
    return melanin, blood, np.clip(oxygenation, 0, 1)


def _blotch(anatomy: Anatomy, period: float, seed: int) -> Float[Array, " V"]:
    return solid(anatomy.template, period, seed)


def _spots(anatomy: Anatomy, texels: Texels, places: Places, appearance: Appearance) -> Float[Array, " n"]:
    """Melanin added by freckles, age spots and moles."""
    generator = np.random.default_rng([appearance.seed, 77])
    everywhere = np.clip(places.fields["freckles"] + 0.06, 0, 1) * (1 - places.lips) * (1 - places.mouth)
    everywhere = np.clip(everywhere * (1 - places.sockets), 0, 1)
    scale = texels.carry(anatomy.metres_per_uv)
    area = scale**2
    added = np.zeros(len(texels.index), np.float32)
    # number, mean radius in metres, melanin in the middle, what their density follows
    kinds = (
        (2600 * appearance.freckles**1.2, 0.00062, 0.26 + 0.12 * appearance.freckles, everywhere**1.6),
        (60 * max(appearance.age - 0.45, 0) ** 1.5, 0.0021, 0.16, everywhere),
        (60 * appearance.moles**1.4, 0.0007, 0.6, (everywhere > 0).astype(float)),
    )
    for number, radius, strength, density in kinds:
        count = round(number)
        share = np.cumsum(area.astype(np.float64) * density)
        draws = generator.random(4096)[:count] if count <= 4096 else generator.random(count)
        if not count or share[-1] <= 0:
            continue
        chosen = np.minimum(np.searchsorted(share, draws * share[-1]), len(share) - 1)
        size = radius * generator.lognormal(0, 0.35, count) / scale[chosen]
        height = strength * generator.uniform(0.35, 1.0, count)
        spots = splats(texels.size, texels.uv[chosen].astype(np.float64), size, height)
        added += np.minimum(spots.reshape(-1)[texels.index], 1.1 * strength)
    return added


class _Table:
    """Colours of skin by melanin, blood and oxygenation, interpolated: maps have more texels than tones."""

    def __init__(self, pheomelanin: float, thickness: float = 1.0, horny: float = 1.0) -> None:
        melanin = np.linspace(*_MELANIN_RANGE, _GRID[0])[:, None, None]
        blood = (np.linspace(0, np.sqrt(_MOST_BLOOD), _GRID[1]) ** 2)[None, :, None]
        oxygenation = np.linspace(*_OXYGENATION_RANGE, _GRID[2])[None, None]
        colours = skin_colour(melanin, blood, oxygenation, pheomelanin, thickness, horny)
        self._colours = colours.astype(np.float32).reshape(-1, 3)

    def colour(
        self, melanin: Float[Array, " n"], blood: Float[Array, " n"], oxygenation: Float[Array, " n"]
    ) -> Float[Array, "n 3"]:
        """Linear albedo."""
        low, high = _MELANIN_RANGE
        shares = (
            (melanin - low) / (high - low),
            np.sqrt(np.clip(blood, 0, _MOST_BLOOD) / _MOST_BLOOD),
            oxygenation,
        )
        cells: list[np.ndarray] = []
        parts: list[np.ndarray] = []
        for share, count in zip(shares, _GRID, strict=True):
            place = np.clip(share, 0, 1).astype(np.float32) * np.float32(count - 1)
            cell = np.minimum(place.astype(np.int32), count - 2)
            cells.append(cell)
            parts.append(place - cell)
        base = (cells[0] * _GRID[1] + cells[1]) * _GRID[2] + cells[2]
        result = np.zeros((len(base), 3), np.float32)
        for a, b, c in np.ndindex(2, 2, 2):
            weight = (parts[0] if a else 1 - parts[0]) * (parts[1] if b else 1 - parts[1])
            weight = weight * (parts[2] if c else 1 - parts[2])
            result += weight[:, None] * self._colours[base + ((a * _GRID[1] + b) * _GRID[2] + c)]
        return result
