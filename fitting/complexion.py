"""Which pixels of a photo show the person's skin or hair, judged by colour learned from that photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from fitting.shading import smoothstep, to_linear

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped, UInt8

    Array = np.ndarray

_DARKEST = 0.004  # linear; below it the ratios of colours are noise
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class ColourModel:
    """Centre and spread of one material's colour: two ratios, which light hardly changes, and its logarithmic level."""

    centre: Float[Array, "3"]
    spread: Float[Array, "3"]

    @classmethod
    def learn(cls, colours: Float[Array, "n 3"], level: float, greyness: float) -> ColourModel:
        """Medians and median deviations of feature vectors.

        The spread of the logarithmic level is kept between ``level`` and twice that. The ratios' spread is at most
        ``greyness`` of their distance from grey, so that pale skin and a grey wall are told apart in a hazy photo too.
        """
        centre = np.median(colours, axis=0)
        most = max(greyness * float(np.hypot(*centre[:2])), _LEAST_RATIO)
        limits = np.array([_LEAST_RATIO, _LEAST_RATIO, level]), np.array([most, most, 2 * level])
        spread = np.clip(_MAD_TO_SIGMA * np.median(np.abs(colours - centre), axis=0), *limits)
        near = colours[(np.abs(colours - centre) < 2.5 * spread).all(axis=1)]
        centre = np.median(near, axis=0)
        return cls(centre, np.clip(_MAD_TO_SIGMA * np.median(np.abs(near - centre), axis=0), *limits))

    def distance(self, colours: Float[Array, "*n 3"], shade: float = 1.0) -> Float[Array, "*n"]:
        """Standard deviations from the centre; being darker than it counts ``shade`` times as much as brighter."""
        offset = (colours - self.centre) / self.spread
        level = np.where(offset[..., 2] < 0, shade, 1.0) * offset[..., 2]
        return np.sqrt(offset[..., 0] ** 2 + offset[..., 1] ** 2 + level**2)


_LEAST_RATIO = 0.03  # noise and compression alone spread colours as far
_SHADOWED = 1.3  # dark skin is as likely the edge of hair or a deep shadow, and neither is missed


def features(photo: UInt8[Array, "H W 3"]) -> Float[Array, "H W 3"]:
    """Logarithms of red over green, blue over green, and green, in linear light."""
    logarithm = np.log(to_linear(photo) + _DARKEST)
    green = logarithm[..., 1]
    return np.stack([logarithm[..., 0] - green, logarithm[..., 2] - green, green], axis=-1)


def _feathered(mask: Float[Array, "H W"], radius: float) -> Float[Array, "H W"]:
    """The mask without specks, falling softly to zero inside its border, where pixels mix with what is beyond it."""
    inside = cv2.GaussianBlur(mask, (0, 0), radius) > 0.5
    depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5)
    return smoothstep(depth, radius, 7 * radius)


def skin_and_hair(
    photo: UInt8[Array, "H W 3"],
    face: Shaped[Array, "H W"],
    scalp: Shaped[Array, "H W"],
    radius: float,
) -> tuple[Float[Array, "H W"], Float[Array, "H W"]]:
    """How surely each pixel shows skin, and how surely hair, in [0, 1].

    ``face`` marks pixels to learn the skin from, ``scalp`` pixels to learn the hair from; where most of the latter show
    skin, nothing is hair. ``radius`` is the size in pixels of what may be ignored.
    """
    colours = features(cv2.GaussianBlur(photo, (0, 0), radius / 2))  # compression leaves blocks of wrong hue
    skin_model = ColourModel.learn(colours[face], level=0.3, greyness=0.26)
    distance = skin_model.distance(colours, _SHADOWED)
    shining = _small_spots((distance > 2.6) & (colours[..., 2] > skin_model.centre[2]), 20 * radius)
    skin = _feathered(np.maximum(smoothstep(distance, 4.2, 2.6), shining), radius)
    if scalp.sum() < 50 or np.median(distance[scalp]) < 2.6:
        return skin, np.zeros_like(skin)
    hair_model = ColourModel.learn(colours[scalp & (distance > 2.6)], level=0.45, greyness=1.0)
    return skin, _feathered(smoothstep(hair_model.distance(colours), 4.2, 2.6), radius)


def _small_spots(mask: Shaped[Array, "H W"], limit: float) -> Shaped[Array, "H W"]:
    """The connected parts of a mask that are no wider and no taller than ``limit`` pixels: highlights, not a shirt."""
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    small = (boxes[:, cv2.CC_STAT_WIDTH] <= limit) & (boxes[:, cv2.CC_STAT_HEIGHT] <= limit)
    small[0] = False  # what is outside the mask
    return small[np.asarray(labels, np.int64)]
