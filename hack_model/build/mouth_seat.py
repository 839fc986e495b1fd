"""What lies behind the lips keeps its place there in every identity: the mouth's lining, the teeth and the tongue.

Sliders that move lips, chin and nose move what is behind them by other amounts: a lining that stays comes through the
skin, teeth that stay stand before a receding lip. Here the lining follows the skin before it, teeth and tongue follow
the lips. Both are linear in the displacement, so a linear space made of corrected displacements keeps them in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.spatial import KDTree

from hack_model.appearance.anatomy import smoothstep
from hack_model.build.assemble import shape_of
from hack_model.build.dentition import mouth_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int

    from hack_model.build.assemble import Control
    from hack_model.build.head import Head
    from hack_model.build.parts import Part

    Array = np.ndarray

CONTENTS = ("teeth_upper", "teeth_lower", "tongue")
_LIPS = (0.004, 0.009)
"""Nearer than the first to the line of the lips the lining moves as it does; beyond the second, metres …"""
_THICK = (0.007, 0.014)
"""… it follows the skin before it where that is nearer than the first, less the further away, to the second."""
_SPREAD = 0.003
"""Of the skin before it the lining follows what is not further than this beyond the nearest point, metres."""
_NEIGHBOURS = 12
_HEIGHT, _DEPTH = 0.008, 0.02
"""Teeth follow the skin about the line of the lips and before the mouth's front wall; its share falls off with the
distance above, below and behind over these lengths, metres …"""
_NEAR, _BEFORE = 0.003, 0.003
"""… and, where it is further from the teeth than the first, over the second."""
_STIFF = 0.006
"""Radius of gyration, metres, that skin would add to resist stretch, so that crowns keep their size."""
_LEAST = 0.01
"""Smaller shares are left out."""


@dataclass(frozen=True)
class MouthSeat:
    """Moves control vertices ``moved`` (m,) as ``rows`` (m, C) times a displacement of all control vertices."""

    moved: Int[Array, " m"]
    rows: sp.csr_matrix

    def __call__(self, displacement: Float[Array, "*batch C 3"]) -> Float[Array, "*batch C 3"]:
        """The displacement with those vertices in their place; linear."""
        stacked = np.moveaxis(displacement, -2, 0)
        found = (self.rows @ stacked.reshape(len(stacked), -1)).reshape(-1, *stacked.shape[1:])
        result = displacement.copy()
        result[..., self.moved, :] = np.moveaxis(found, 0, -2)
        return result


def mouth_seats(head: Head, control: Control, parts: Sequence[Part]) -> list[MouthSeat]:
    """The seats of the lining and of what it holds; apply one after the other."""
    return [lining_seat(head, shape_of(control.rows)[0]), _contents_seat(head, control, parts)]


def lining_seat(head: Head, count: int) -> MouthSeat:
    """The lining follows the skin before it; on ``count`` control vertices, of which the skin's come first."""
    points = head.base[head.skin_control]
    hidden = head.inner["mouth_interior"][: len(points)]  # control vertices come first
    inner, outer = np.flatnonzero(hidden), np.flatnonzero(~hidden)
    distance, place = KDTree(points[outer]).query(points[inner], k=_NEIGHBOURS)
    line, _ = mouth_place(head)
    share = smoothstep(np.abs(points[inner, 1] - line), *_LIPS) * (1 - smoothstep(distance[:, 0], *_THICK))
    weight = np.exp(-(((distance - distance[:, :1]) / _SPREAD) ** 2))
    weight *= share[:, None] / weight.sum(axis=1, keepdims=True)
    row, shape = np.arange(len(inner)), (len(inner), count)
    follow = sp.csr_matrix((weight.ravel(), (np.repeat(row, _NEIGHBOURS), outer[place].ravel())), shape)
    own = sp.csr_matrix((1 - share, (row, inner)), shape)
    chosen = np.flatnonzero(share)
    return MouthSeat(inner[chosen], sp.csr_matrix(sp.csr_matrix(follow + own)[chosen]))


def _contents_seat(head: Head, control: Control, parts: Sequence[Part]) -> MouthSeat:
    """Teeth and tongue under the one affine map that best carries the lips before them: they keep their bite."""
    points, matrix = np.asarray(control.rows @ head.base), control.matrix()
    ends = np.cumsum([len(part.vertices) for part in parts])
    places = [[part.name for part in parts].index(name) for name in CONTENTS]
    carried = [matrix[ends[place] - len(parts[place].vertices) : ends[place]].indices for place in places]
    moved = np.unique(np.concatenate(carried))
    skin = points[: len(head.skin_control)]
    distance, _ = KDTree(np.concatenate([parts[place].vertices for place in places[:2]])).query(skin)
    line, wall = mouth_place(head)
    away = [
        (skin[:, 1] - line) / _HEIGHT,
        np.clip(wall - skin[:, 2], 0, None) / _DEPTH,
        np.clip(distance - _NEAR, 0, None) / _BEFORE,
    ]
    weight = np.exp(-np.square(away).sum(axis=0))
    anchors = np.flatnonzero(weight > _LEAST)
    weight = weight[anchors] / weight[anchors].sum()
    middle = weight @ points[anchors]
    frame, wanted = (np.column_stack([np.ones(len(at)), points[at] - middle]) for at in (anchors, moved))
    weighted = frame.T * weight
    rows = wanted @ np.linalg.solve(weighted @ frame + np.diag([0.0, *3 * (_STIFF**2,)]), weighted)
    entries = np.repeat(np.arange(len(moved)), len(anchors)), np.tile(anchors, len(moved))
    return MouthSeat(moved, sp.csr_matrix((rows.ravel(), entries), (len(moved), len(points))))
