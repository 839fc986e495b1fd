"""Hair that lies flat enough for a map: brows, stubble, and the colour of hair from its melanin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from hack_model.appearance.anatomy import Anatomy, smoothstep
from hack_model.appearance.noise import jittered, solid, splats

if TYPE_CHECKING:
    from jaxtyping import Float

    from hack_model.appearance.parameters import Appearance
    from hack_model.appearance.texels import Texels

    Array = np.ndarray

_EUMELANIN: Final = (0.419, 0.697, 1.37)
_PHEOMELANIN: Final = (0.187, 0.4, 1.05)
"""Absorption of hair per unit of pigment in red, green, blue: E. d'Eon et al., "An Energy-Conserving Hair Reflectance
Model", EGSR 2011."""
_MULTIPLE: Final = 5.888
"""Exponent of many hairs' colour at roughness 0.3: colour = exp(-5.888 sqrt(absorption)), M. Chiang et al., "A
Practical and Controllable Hair and Fur Model for Production Path Tracing", 2016."""
_LEAST, _MOST = 0.03, 1.2
"""Pigment of the lightest and the darkest hair."""
_GREY: Final = (0.26, 0.25, 0.235)
_CURVE: Final = np.array(
    [[-0.0205, 0.0150], [-0.0100, 0.0178], [0.0030, 0.0202], [0.0130, 0.0205], [0.0220, 0.0160], [0.0260, 0.0128]]
)
"""Middle line of the left brow, x and y in metres from the middle between the eye's corners, for eyes 31 mm wide."""
_HALF: Final = np.array([0.0040, 0.0043, 0.0040, 0.0034, 0.0020, 0.0008])
"""Half the brow's height along that line."""
_STUBBLE_CELLS: Final = 620
"""Hairs along a map's side where stubble is densest: one to a square millimetre of the chin."""


def hair_colour(appearance: Appearance) -> Float[Array, "3"]:
    """Linear colour of many hairs, those without pigment mixed in."""
    amount = _LEAST * (_MOST / _LEAST) ** appearance.hair
    share = appearance.hair_red
    absorption = amount * ((1 - share) * np.array(_EUMELANIN) + share * np.array(_PHEOMELANIN))
    return (1 - appearance.grey) * np.exp(-_MULTIPLE * np.sqrt(absorption)) + appearance.grey * np.array(_GREY)


def brow_cover(anatomy: Anatomy, place: Float[Array, "n 3"], density: float, seed: int) -> Float[Array, " n"]:
    """How much of the skin the brows' hairs cover at places on the template, in [0, 1]."""
    cover = np.zeros(len(place))
    corners = anatomy.landmark(42), anatomy.landmark(45)
    eye = 0.5 * (corners[0] + corners[1])
    offset = np.column_stack([np.abs(place[:, 0]), place[:, 1:]]) - eye
    near = (np.abs(offset[:, 0]) < 0.034) & (offset[:, 1] > 0.006) & (offset[:, 1] < 0.027) & (offset[:, 2] > -0.02)
    if not near.any():
        return cover
    along = np.linspace(0, 1, 90)
    knots = np.linspace(0, 1, len(_CURVE))
    curve = np.stack([_cubic(along, knots, _CURVE[:, axis]) for axis in range(2)], axis=1)
    half = _cubic(along, knots, _HALF)
    flat = offset[near, :2]
    index, distance = _nearest(flat, curve)
    tangent = np.gradient(curve, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    away = flat - curve[index]
    across = (tangent[index, 0] * away[:, 1] - tangent[index, 1] * away[:, 0]) / half[index]
    inside = np.clip(1.35 - np.abs(across) ** 1.6 * 1.1, 0, 1)
    ends = (index == 0) | (index == len(curve) - 1)
    inside *= np.where(ends, np.exp(-((distance / 0.0022) ** 2)), 1.0)
    # Hairs stand up at the inner end and lie along the brow further out.
    slant = along[index] * 0.052 - across * half[index] * (0.9 - 0.75 * along[index])
    side = np.sign(place[near, 0])
    hair = 0.6 * solid(np.stack([slant / 0.00055, across * 0.7, side], axis=1), 1.0, seed + 21)
    hair += 0.4 * solid(np.stack([slant / 0.00031, across * 1.1, side], axis=1), 1.0, seed + 22)
    start = np.clip(along[index] / 0.22, 0, 1) * np.clip((1 - along[index]) / 0.25, 0.25, 1)
    strands = np.clip(density / 0.7 * inside * (0.50 + 0.75 * hair), 0, 0.88)
    cover[near] = strands * np.clip(inside * 1.6, 0, 1) * (0.35 + 0.65 * start)
    return cover


def stubble(texels: Texels, where: Float[Array, " n"], amount: float, seed: int) -> Float[Array, " n"]:
    """Cover of single short hairs at the texels, in [0, 1]; ``where`` they grow, ``amount`` of them, both 0…1."""
    places = jittered(_STUBBLE_CELLS, seed + 41)
    generator = np.random.default_rng([seed, 42])
    density = texels.image(where)
    row = np.clip(((1 - places[:, 1]) * texels.size).astype(int), 0, texels.size - 1)
    column = np.clip((places[:, 0] * texels.size).astype(int), 0, texels.size - 1)
    kept = generator.random(len(places)) < density[row, column] * (0.25 + 0.75 * amount)
    places = places[kept]
    radius = np.full(len(places), 0.00022 + 0.00012 * amount)
    height = generator.uniform(0.5, 1.2, len(places)) * (0.55 + 0.6 * amount)
    return 1 - np.exp(-splats(texels.size, places, radius, height).reshape(-1)[texels.index])


def beard_area(anatomy: Anatomy) -> Float[Array, " V"]:
    """Where a beard grows, at each vertex, in [0, 1]."""
    skin = 1 - anatomy.regions["mouth_interior"]
    return smoothstep(anatomy.fields["beard"], 0.06, 0.40) * skin


def _nearest(points: Float[Array, "n 2"], curve: Float[Array, "k 2"]) -> tuple[np.ndarray, np.ndarray]:
    """Index of the nearest point of a curve, and the distance."""
    index = np.empty(len(points), np.int64)
    squared = np.empty(len(points))
    block = 20000
    for start in range(0, len(points), block):
        part = points[start : start + block]
        apart = (part[:, :1] - curve[:, 0]) ** 2 + (part[:, 1:] - curve[:, 1]) ** 2
        index[start : start + block] = apart.argmin(axis=1)
        squared[start : start + block] = apart.min(axis=1)
    return index, np.sqrt(squared)


def _cubic(at: Float[Array, " n"], knots: Float[Array, " k"], values: Float[Array, " k"]) -> Float[Array, " n"]:
    """Smooth interpolation: straight pieces, rounded over a fifth of their length."""
    blur = np.linspace(-1, 1, 9)
    weights = np.exp(-2 * blur**2)
    width = 0.18 * (knots[1] - knots[0]) * 2
    moved = np.clip(at[:, None] + blur * width, 0, 1)
    return np.interp(moved, knots, values) @ (weights / weights.sum())
