"""The mesh of one tooth: rings up its crown, rounded corners or cusps, and a biting face."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hack_model.build.crowns import FORMS, MILLIMETRE, Crown, lean
from hack_model.build.dental_arch import Jaw

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

ROUND = 12
"""Points around a crown."""
_TAPER = 0.07
"""Front teeth are wider by this share at their labial and narrower at their lingual side."""
_TURN = {0: 0.4, 1: 0.9}
"""Share of the arch's direction which the central and the lateral incisors take; they face rather forwards."""


def tooth_mesh(jaw: Jaw, index: int) -> tuple[Float[Array, "n 3"], Int[Array, "F 4"]]:
    """The crown of a tooth of the left side, counted from the midline, in its place: vertices in metres and faces."""
    crown, form = jaw.crowns[index], FORMS[jaw.crowns[index].kind]
    edge, middle = jaw.edge(index), (jaw.borders[index] + jaw.borders[index + 1]) / 2
    turn = np.arange(ROUND) / ROUND * 2 * np.pi
    across = _superellipse(np.cos(turn), form.power)
    deep = _superellipse(np.sin(turn), form.power)
    taper = 1 + (_TAPER if crown.kind in ("incisor", "canine") else 0.0) * deep  # front teeth narrow inwards
    rings = []
    for height, width, labial, lingual in zip(form.heights, form.width, form.labial, form.lingual, strict=True):
        centre, half = (labial + lingual) / 2, (labial - lingual) / 2
        rings.append(
            np.stack([taper * across * width * crown.mesiodistal / 2, (centre + half * deep) * crown.buccolingual,
                      np.full(ROUND, height * crown.length)], axis=1)
        )  # fmt: skip
    rings[-1] = _edge_ring(rings[-1], crown, turn)
    local = np.concatenate([*rings, *_cap(rings[-1], crown, turn)])
    out = local[:, 1] + lean(crown, local[:, 2] / crown.length)
    base, normal = jaw.arch.at(np.array([middle]))
    turned = _TURN.get(index, 1.0) * np.arctan2(normal[0, 0], normal[0, 1])
    outwards = np.array([np.sin(turned), np.cos(turned)])
    tangent = np.array([outwards[1], -outwards[0]])
    flat = base[0] + local[:, :1] * tangent + out[:, None] * outwards
    y = edge + jaw.up * (crown.length - local[:, 2])
    vertices = np.stack([flat[:, 0], y, flat[:, 1] + jaw.front], axis=1)
    return vertices, _tube(len(rings) + 1, ROUND, fan=True)


def _superellipse(value: np.ndarray, power: float) -> np.ndarray:
    return np.sign(value) * np.abs(value) ** (2 / power)


def _edge_ring(ring: np.ndarray, crown: Crown, turn: np.ndarray) -> np.ndarray:
    """The top ring with rounded corners (front teeth) or cusps (back teeth)."""
    ring = ring.copy()
    if crown.kind == "incisor":
        ring[:, 2] -= 0.7 * MILLIMETRE * np.abs(np.cos(turn)) ** 4
    elif crown.kind == "canine":
        ring[:, 2] -= 1.1 * MILLIMETRE * np.abs(np.cos(turn))
    elif crown.kind == "premolar":
        ring[:, 2] -= 1.2 * MILLIMETRE * np.abs(np.cos(turn)) ** 1.5
    else:
        ring[:, 2] -= 0.9 * MILLIMETRE * np.abs(np.cos(2 * turn))
    return ring


def _cap(ring: np.ndarray, crown: Crown, turn: np.ndarray) -> list[np.ndarray]:
    """An inner ring and the middle of the biting face."""
    centre = ring.mean(axis=0)
    inner = centre + 0.55 * (ring - centre)
    middle = centre[None].copy()
    if crown.kind in ("incisor", "canine"):
        rise = 0.03 * crown.length if crown.kind == "incisor" else 0.06 * crown.length
        inner[:, 2] = ring[:, 2] + 0.6 * rise
        middle[:, 2] = ring[:, 2].max() + rise * 0.6
    else:
        inner[:, 2] = ring[:, 2] + 0.15 * MILLIMETRE
        middle[:, 2] = ring[:, 2].min() - 0.5 * MILLIMETRE
    return [inner, middle]


def _tube(rings: int, around: int, *, fan: bool) -> np.ndarray:
    """Quads between successive rings, counter-clockwise from outside for rings towards the roots' opposite side."""
    start = np.arange(rings - 1)[:, None] * around
    first = start + np.arange(around)
    second = start + (np.arange(around) + 1) % around
    quads = np.stack([first, first + around, second + around, second], axis=-1).reshape(-1, 4)
    if not fan:
        return quads
    last = (rings - 1) * around + np.arange(around)
    tip = np.full(around, rings * around)
    closing = np.column_stack([last, tip, np.roll(last, -1), np.full(around, -1)])
    return np.concatenate([quads, closing])
