"""Hair as close-cropped: the person's colour in fine strands on the scalp, in place of a photo's loose hair.

The model has no hair to put a photo's hair on: projected, it smears over the skull. Strands painted along the skull
from the whorl outwards look intended from every side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from hack_model.appearance.anatomy import smoothstep

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

_WHORL = np.radians(40)  # backwards from the top of the skull
_SWIRL = 0.5  # radians round the whorl for each radian away from it
_OCTAVES = ((640, 6, 0.5), (300, 3, 0.55), (90, 2, 0.4), (14, 1.5, 0.35))  # round the whorl; per radian away; strength
_FINE = 2  # octaves that are single strands
_CONTRAST = 0.22  # logarithmic, between strands
_SMOOTHEST = 0.12  # radians from the whorl, where strands would run together
_HAIRLINE = (0.10, 0.90)  # of the scalp's weight between which hair sets in
_RAGGED = 0.22  # of the scalp's weight by which single strands pass the hairline
_DENSITY = 0.93  # of the scalp hair covers; a little skin shows through


def strands(points: Float[Array, "n 3"]) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Fixed patterns, about -1 to 1, at points (metres) of a scalp in the model's space: locks, and their strands."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2
    middle[1] = high[1] - (high[2] - low[2]) / 2  # the skull is about as tall as long
    whorl = np.array([0, np.cos(_WHORL), -np.sin(_WHORL)], np.float32)
    ahead = np.array([0, np.sin(_WHORL), np.cos(_WHORL)], np.float32)
    offset = np.asarray(points - middle, np.float32)
    up, forward = offset @ whorl, offset @ ahead
    away = cv2.phase(up, cv2.magnitude(forward, np.ascontiguousarray(offset[:, 0])))[:, 0]
    around = cv2.phase(forward, np.ascontiguousarray(offset[:, 0]))[:, 0] + np.float32(_SWIRL) * away
    random = np.random.default_rng(0)
    layers = []
    for count, along, strength in _OCTAVES:
        noise = random.uniform(-1, 1, (int(np.pi * along) + 3, count)).astype(np.float32)
        layers.append(np.float32(strength) * _wrapped(noise, around * np.float32(count / (2 * np.pi)), away * along))
    fade = smoothstep(away, 0, _SMOOTHEST)
    return fade * sum(layers[_FINE:]), fade * sum(layers[:_FINE])


def paint(
    linear: Float[Array, "n 3"], colour: Float[Array, "3"], weight: Float[Array, " n"], points: Float[Array, "n 3"]
) -> Float[Array, "n 3"]:
    """Logarithmic colours of skin with hair of a logarithmic ``colour`` over it, where the scalp's ``weight`` has it.

    ``points`` are as for :func:`strands`. ``weight`` in [0, 1] falls off at the hairline.
    """
    if not len(points):
        return linear
    locks, single = strands(points)
    cover = _DENSITY * smoothstep(weight + np.float32(_RAGGED) * single * (weight > 0), *_HAIRLINE)
    return linear + cover[:, None] * (colour + _CONTRAST * (locks + single)[:, None] - linear)


def _wrapped(noise: Float[Array, "h w"], x: Float[Array, " n"], y: Float[Array, " n"]) -> Float[Array, " n"]:
    """Bilinear values of noise that goes round in x."""
    height, width = noise.shape
    column, row = np.floor(x), np.floor(y)
    across, down = x - column, y - row
    left, top = column.astype(np.int32) % width, np.clip(row.astype(np.int32), 0, height - 2)
    right = (left + 1) % width
    flat = noise.reshape(-1)
    upper = flat[top * width + left] * (1 - across) + flat[top * width + right] * across
    lower = flat[(top + 1) * width + left] * (1 - across) + flat[(top + 1) * width + right] * across
    return upper * (1 - down) + lower * down
