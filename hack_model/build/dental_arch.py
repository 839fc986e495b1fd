"""The curve along which the teeth of a jaw stand, and the jaw placed in the head.

It has nearly the form of the beta function that Braun, Hnat, Fender & Legan (1998) fitted to dental casts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from scipy.optimize import brentq

from hack_model.build.crowns import MILLIMETRE, Crown

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

_SQUARENESS = 0.65
"""Exponent of the arch: 0.8 is the beta function of Braun et al., 0.5 an ellipse; this puts the canines' cusps 35 mm
and the first molars' mesiobuccal cusps 53 mm apart."""
_EDGE = {
    "upper": {"incisor": (-2.0, -1.5), "canine": (-2.0,), "premolar": (-1.3, -1.1), "molar": (-0.9, -0.9)},
    "lower": {"incisor": (0.3, 0.3), "canine": (0.4,), "premolar": (-0.7, -0.9), "molar": (-1.1, -1.1)},
}
"""Height of edge or cusps above the line of the lips in millimetres, front to back."""


class Arch:
    """The curve through the contact points of one jaw's teeth, by arc length from the midline (+ to the left)."""

    def __init__(self, half_width: float, half_length: float) -> None:
        def excess(depth: float) -> float:
            return self._trace(half_width, depth)[0][-1] - half_length

        self.depth = cast("float", brentq(excess, 0.3 * half_length, 1.2 * half_length))
        self._length, self._points = self._trace(half_width, self.depth)

    @staticmethod
    def _trace(half_width: float, depth: float) -> tuple[np.ndarray, np.ndarray]:
        x = half_width * np.sin(np.linspace(0, np.pi / 2, 400))
        z = depth * np.clip(1 - (x / half_width) ** 2, 0, 1) ** _SQUARENESS - depth
        points = np.stack([x, z], axis=1)
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        return np.concatenate([[0.0], np.cumsum(steps)]), points

    def at(self, length: Float[Array, " n"]) -> tuple[Float[Array, "n 2"], Float[Array, "n 2"]]:
        """Points (x, z), z = 0 at the front, and unit normals that point out of the mouth."""

        def place(s: np.ndarray) -> np.ndarray:
            x = np.interp(np.abs(s), self._length, self._points[:, 0]) * np.sign(s)
            return np.stack([x, np.interp(np.abs(s), self._length, self._points[:, 1])], axis=-1)

        length = np.asarray(length, float)
        reach = 0.4 * MILLIMETRE
        last = self._length[-1] - reach
        middle = np.clip(length, -last, last)
        tangent = place(middle + reach) - place(middle - reach)
        tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True)
        return place(length), np.stack([-tangent[..., 1], tangent[..., 0]], axis=-1)


@dataclass(frozen=True)
class Jaw:
    """One arch placed in the head: ``front`` z of the contact curve, ``lips`` y of the line of the lips."""

    name: str
    crowns: tuple[Crown, ...]
    arch: Arch
    front: float
    lips: float

    @property
    def up(self) -> float:
        """+1 where the roots point up."""
        return 1.0 if self.name == "upper" else -1.0

    @property
    def borders(self) -> Float[Array, "8"]:
        """Arc lengths of the contact points from the midline backwards."""
        return np.concatenate([[0.0], np.cumsum([crown.mesiodistal for crown in self.crowns])])

    def edge(self, index: int) -> float:
        """y of the edge or cusps of a tooth, counted from the midline."""
        kind = self.crowns[index].kind
        first = [crown.kind for crown in self.crowns].index(kind)
        return self.lips + _EDGE[self.name][kind][index - first] * MILLIMETRE

    def place(self, length: np.ndarray, y: np.ndarray, out: np.ndarray) -> Float[Array, "n 3"]:
        """Points by arc length, height and distance from the contact curve towards the lips."""
        points, normal = self.arch.at(length)
        flat = points + normal * np.asarray(out)[..., None]
        return np.stack([flat[..., 0], np.broadcast_to(y, flat[..., 0].shape), flat[..., 1] + self.front], axis=-1)
