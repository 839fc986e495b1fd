"""Which pixels of a photo show the person's skin or hair, judged by colour learned from that photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from hack_model.appearance.anatomy import smoothstep
from hack_model.appearance.colour import to_linear

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
    def learn(cls, colours: Float[Array, "n 3"], ratio: tuple[float, float], level: float) -> ColourModel:
        """Medians and median deviations of feature vectors.

        The ratios' spread is kept within the two limits of ``ratio``, the level's between ``level`` and twice that.
        """
        limits = np.array([ratio[0], ratio[0], level]), np.array([ratio[1], ratio[1], 2 * level])
        centre = np.median(colours, axis=0)
        spread = np.clip(_MAD_TO_SIGMA * np.median(np.abs(colours - centre), axis=0), *limits)
        near = colours[(np.abs(colours - centre) < 2.5 * spread).all(axis=1)]
        centre = np.median(near, axis=0)
        return cls(centre, np.clip(_MAD_TO_SIGMA * np.median(np.abs(near - centre), axis=0), *limits))

    def distance(self, colours: Float[Array, "*n 3"], shade: float = 1.0) -> Float[Array, "*n"]:
        """Standard deviations from the centre; being darker than it counts ``shade`` times as much as brighter."""
        offset = (colours - self.centre) / self.spread
        level = np.where(offset[..., 2] < 0, shade, 1.0) * offset[..., 2]
        return np.sqrt(offset[..., 0] ** 2 + offset[..., 1] ** 2 + level**2)


_NEAR, _FAR = 3.2, 5.0  # standard deviations up to which a colour is surely the material's, and from which surely not
_SKIN_RATIO = (0.13, 0.19)  # spread of skin as a share of its distance from grey: a grey wall stays far in any haze
_SKIN_LEVEL = 0.3
_LEAST_RATIO = 0.03  # noise and compression alone spread colours as far
_LEAST_HAIR = 0.15  # of the scalp that is seen; less is the hairline of a bald or hidden head
_BODY = (15, 50)  # percentiles of brightness that show hair neither in shadow nor in gloss
_DARK_SKIN, _DARKER = 0.12, 0.6  # linear; and what hair beside it has of its brightness at most
_GREYEST = 25  # percent of the pixels
_WHITE = 0.4  # of the hue seen in white hair
_BLACK = 0.03  # linear; the darker hair is than this, the less its hue can be told
_GREYER, _BRIGHTER = 0.85, 0.4  # of skin's logarithm of red over green; logarithmic
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
) -> tuple[Float[Array, "H W"], Shaped[Array, "H W"]]:
    """How surely each pixel shows skin, in [0, 1]; and the pixels of the scalp that show hair, none on a bald head.

    ``face`` marks pixels to learn the skin from, ``scalp`` pixels where hair would be. ``radius`` is the size in pixels
    of what may be ignored.
    """
    colours = features(cv2.GaussianBlur(photo, (0, 0), radius / 2))  # compression leaves blocks of wrong hue
    paleness = float(np.hypot(*np.median(colours[face], axis=0)[:2]))
    least, most = (max(share * paleness, _LEAST_RATIO) for share in _SKIN_RATIO)
    skin_model = ColourModel.learn(colours[face], (least, most), _SKIN_LEVEL)
    distance = skin_model.distance(colours, _SHADOWED)
    bright = (distance > _NEAR) & (colours[..., 2] > skin_model.centre[2])
    shining = _enclosed(bright, by=distance <= _NEAR, limit=20 * radius)
    skin = _feathered(np.maximum(smoothstep(distance, _FAR, _NEAR), shining), radius)
    hair = _pale(colours, scalp, skin_model)
    if not hair.any():
        hair = scalp & (distance > _NEAR)
        hair &= hair.sum() >= max(50, _LEAST_HAIR * scalp.sum())
    return skin, hair


def hair_colour(photo: UInt8[Array, "H W 3"], hair: Shaped[Array, "H W"], skin: Float[Array, "3"]) -> Float[Array, "3"]:
    """Linear colour of the hair in the marked pixels, between its shadows and its gloss.

    Gloss makes black hair grey. So beside dark ``skin`` (linear) hair is taken to be darker than it.
    """
    colours = to_linear(photo[hair])
    level = colours.mean(axis=1)
    low, high = np.percentile(level, _BODY)
    colour = np.median(colours[(level >= low) & (level <= high)], axis=0)
    hue = min(1.0, colour.mean() / _BLACK)
    if colour.mean() > skin.mean():  # white hair takes what hue it has from the skin below it
        hue = _WHITE
    colour = hue * colour + (1 - hue) * colour.mean()
    if skin.mean() < _DARK_SKIN:
        colour *= min(1.0, _DARKER * skin.mean() / max(colour.mean(), 1e-6))
    return colour


def _pale(colours: Float[Array, "H W 3"], scalp: Shaped[Array, "H W"], skin: ColourModel) -> Shaped[Array, "H W"]:
    """White hair, through which skin shows: the greyest part of a scalp that is brighter and greyer than the face."""
    none = np.zeros_like(scalp)
    if scalp.sum() < 50:
        return none
    redness, level = np.median(colours[scalp][:, [0, 2]], axis=0)
    if redness > _GREYER * skin.centre[0] or level < skin.centre[2] + _BRIGHTER:
        return none
    return scalp & (colours[..., 0] <= np.percentile(colours[scalp, 0], _GREYEST))


def _enclosed(mask: Shaped[Array, "H W"], by: Shaped[Array, "H W"], limit: float) -> Shaped[Array, "H W"]:
    """The connected parts of a mask, at most ``limit`` pixels wide and tall, that another surrounds: highlights."""
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    grown = cv2.dilate(labels.astype(np.float32), np.ones((5, 5), np.uint8)).astype(np.int64)
    ring = (grown > 0) & ~mask
    count = np.bincount(grown[ring], minlength=len(boxes))
    share = np.bincount(grown[ring], by[ring], minlength=len(boxes)) / np.maximum(count, 1)
    chosen = (share > 0.85) & (boxes[:, cv2.CC_STAT_WIDTH] <= limit) & (boxes[:, cv2.CC_STAT_HEIGHT] <= limit)
    chosen[0] = False  # what is outside the mask
    return chosen[np.asarray(labels, np.int64)]
