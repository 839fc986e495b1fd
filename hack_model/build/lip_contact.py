"""Lips that touch: they neither part nor pass through each other where an expression keeps the mouth closed.

Both lips are seen as height fields over the horizontal plane: the upper lip by the lowest, the lower lip by the highest
of its points. Where the clearance between the two differs from that at rest, the lips move towards each other or apart,
each with all the skin around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter

from hack_model.build.dentition import mouth_place
from hack_model.build.lips import find_lip_line, lower_lip

if TYPE_CHECKING:
    from jaxtyping import Float

    from hack_model.build.head import Head

    Array = np.ndarray

_CELL = 0.0007
"""Spacing of the height fields, metres."""
_HALF_WIDTH = 0.055
_HALF_DEPTH = 0.035
_FIELD = 0.012
"""Skin nearer than this to the line of the lips makes the height fields."""
_BEHIND = 0.012
"""So far behind the mouth's front wall the lips' skin is looked at."""
_REACH = 0.009
"""Lips move with the skin around them; its share falls off with the distance from their line over this length."""
_FADE = 0.007
"""Towards the corners of the mouth, where the lips join, the motion fades out over this length."""
_LARGEST_STEP = 0.0008
_OVERLAP = 0.0015
"""A lower lip that stands before the upper one need not rise further than this above its end."""
_STEPS = 7
"""Sample points along each side of a quad."""


class LipContact:
    """Keeps the lips in the contact they have at rest."""

    def __init__(self, head: Head) -> None:
        skin = head.skin.vertices
        line = find_lip_line(head)
        _, wall = mouth_place(head)
        self.rest = skin
        self.lower = head.skin.embedding @ lower_lip(head).astype(float) > 0.5
        self.origin = np.array([0.0, wall])
        away = skin[:, 1] - line.middle(skin[:, 0])
        beyond = np.clip(np.abs(skin[:, 0]) - line.corner, 0, None)
        front = skin[:, 2] > wall - _BEHIND
        near = front & (np.abs(away) < _FIELD) & (beyond < 0.0015)
        quads = head.skin.faces[near[head.skin.faces].all(axis=1)]
        lower = self.lower[quads]
        self.quads = {"upper": quads[~lower.any(axis=1)], "lower": quads[lower.all(axis=1)]}
        inwards = np.clip((line.corner + _FADE / 4 - np.abs(skin[:, 0])) / _FADE, 0, 1)
        self.weight = np.where(front, np.exp(-((away / _REACH) ** 2)) * inwards**2 * (3 - 2 * inwards), 0.0)
        self.before = np.minimum(self.clearance(skin), 0.0)

    def clearance(self, place: Float[Array, "V 3"]) -> Float[Array, " X"]:
        """Smallest vertical distance between the lips in each column from right to left, negative where they overlap.

        Columns lie ``_CELL`` apart, the middle one at x = 0; those without both lips take their neighbours' value.
        """
        upper = self._field(place[self.quads["upper"]], -1.0)
        lower = self._field(place[self.quads["lower"]], 1.0)
        both = np.isfinite(upper) & np.isfinite(lower)
        with np.errstate(invalid="ignore"):
            between = np.where(both, upper - lower, np.inf).min(axis=1)
            seen = upper.min(axis=1, where=np.isfinite(upper), initial=np.inf) - lower.max(
                axis=1, where=np.isfinite(lower), initial=-np.inf
            )
        between = np.minimum(between, seen + _OVERLAP)
        known = np.flatnonzero(np.isfinite(between))
        return median_filter(np.interp(np.arange(len(between)), known, between[known]), 3)

    def _field(self, corners: np.ndarray, direction: float) -> np.ndarray:
        """Highest (direction 1) or lowest (-1) y of quads (n, 4, 3) over the cells (X, Z); infinite where none is."""
        share = np.linspace(0, 1, _STEPS)
        u, v = (item.ravel() for item in np.meshgrid(share, share))
        weights = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], axis=1)
        points = (weights @ corners).reshape(-1, 3)
        size = np.array([_HALF_WIDTH, _HALF_DEPTH])
        cell = np.rint((points[:, [0, 2]] - self.origin + size) / _CELL).astype(int)
        shape = np.rint(2 * size / _CELL).astype(int) + 1
        inside = ((cell >= 0) & (cell < shape)).all(axis=1)
        field = np.full(shape, -np.inf)
        np.maximum.at(field, tuple(cell[inside].T), direction * points[inside, 1])
        return direction * field

    def keep(self, delta: Float[Array, "V 3"], lower_share: float | None, *, rounds: int = 8) -> Float[Array, "V 3"]:
        """The displacement with the lips brought back into contact, the lower lip by ``lower_share`` of the way.

        With None the lips may part, and only those that overlap are parted, each by half.
        """
        delta = delta.copy()
        share = np.where(self.lower, 0.5 if lower_share is None else lower_share, 0.0)
        share = (share - ~self.lower * (0.5 if lower_share is None else 1 - lower_share)) * self.weight
        for _ in range(rounds):
            place = self.rest + delta
            excess = self.clearance(place) - self.before
            if lower_share is None:
                excess = np.minimum(excess, 0.0)
            if np.abs(excess).max() < 5e-5:
                break
            excess = gaussian_filter1d(np.clip(excess, -_LARGEST_STEP, _LARGEST_STEP), 2.5, mode="nearest")
            columns = np.arange(len(excess)) * _CELL - _HALF_WIDTH
            delta[:, 1] += share * np.interp(place[:, 0], columns, excess)
        return delta
