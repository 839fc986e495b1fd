"""How lids meet, as terms of a transfer: each expression closes the same share of another person's eye."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.spatial import KDTree

from hack_model.build.contact import Pairs, smooth_correction
from hack_model.build.transfer.gradients import Term

if TYPE_CHECKING:
    from jaxtyping import Float

    from hack_model.build.head import Head
    from hack_model.build.lids import Lids

    Array = np.ndarray

_MARGIN = (-0.01, 1.3)
"""Rings of a lid between which its margin lies."""
_MEETING = 0.0015
"""Points of the two lids nearer than this to each other in a blink meet there, metres."""
_FIRM = 100.0
_LOWER = 5.0
"""Weight of the height at which lids meet, against that of their meeting."""
_SMALL = 0.0003
"""Openings below this have no share to close, metres."""
_CLOSED = 0.9


def lid_pairs(head: Head, lids: Lids, rings: Float[Array, " V"], blink: Float[Array, "V 3"]) -> Pairs:
    """Vertices of the skin on the margins of one eye's lids that meet in a blink; ``rings`` as of ``ring_field``."""
    side = np.zeros(len(head.base))
    upper = lids.upper(head.base)
    side[lids.rings[:, upper]], side[lids.rings[:, ~upper]] = 1.0, -1.0
    place = head.skin.embedding @ side
    margin = (rings > _MARGIN[0]) & (rings < _MARGIN[1])
    above, below = np.flatnonzero(margin & (place > 0.3)), np.flatnonzero(margin & (place < -0.3))
    closed = head.skin.vertices + blink
    found: list[np.ndarray] = []
    for own, other, order in ((above, below, 1), (below, above, -1)):
        distance, nearest = KDTree(closed[other]).query(closed[own])
        near = distance < _MEETING
        found.append(np.column_stack([own[near], other[np.asarray(nearest)[near]]])[:, ::order])
    both = np.unique(np.concatenate(found), axis=0)
    return Pairs(both[:, 0], both[:, 1])


@dataclass(frozen=True)
class LidTerms:
    """Terms that close the same share of the opening as on the template, wherever an expression moves the margins.

    ``rows`` (n, C) take control displacements to the pairs' differences, ``lower`` (n, C) to the lower points;
    ``opening`` (n, 3) is the template's; ``correction`` (C, n) closes what the pairs are apart, smoothly.
    """

    rows: sp.csr_matrix
    lower: sp.csr_matrix
    opening: Float[Array, "n 3"]
    correction: Float[Array, "C n"]

    @classmethod
    def of(cls, head: Head, pairs: Pairs, embedding: sp.csr_matrix) -> LidTerms:
        """The terms of pairs of skin vertices; ``embedding`` (V, C) carries control displacements to the skin."""
        rows = pairs.rows(embedding)
        return cls(
            rows,
            sp.csr_matrix(embedding[pairs.second]),
            pairs.difference(head.skin.vertices),
            smooth_correction(head, rows),
        )

    def closed(self, displacement: Float[Array, "C 3"]) -> bool:
        """Whether an expression's displacement of the control vertices brings the lids together."""
        parting = self.rows @ displacement
        return bool(np.median(np.linalg.norm(self.opening + parting, axis=1)) < _MEETING)

    def together(self, displacement: Float[Array, "C 3"]) -> Float[Array, "C 3"]:
        """The displacement of the control vertices that moves both points of each pair alike, else as the given one."""
        return displacement - self.correction @ (self.rows @ displacement)

    def terms(self, displacement: Float[Array, "C 3"], identity: Float[Array, "C 3"]) -> list[Term]:
        """For one expression's ``displacement`` and one person's ``identity``, both of the control vertices."""
        parting, rising = self.rows @ displacement, self.lower @ displacement
        if np.abs(parting).max() < _SMALL:
            return []
        square = (self.opening**2).sum(axis=1) + _SMALL**2
        share = -np.einsum("nc,nc->n", parting, self.opening) / square
        share = np.where(share > _CLOSED, 1.0, share)
        risen = np.einsum("nc,nc->n", rising, self.opening) / square
        wider = self.rows @ identity
        every = np.ones(len(share))
        return [
            Term(self.rows, parting - share[:, None] * wider, _FIRM * every),
            Term(self.lower, rising + risen[:, None] * wider, _LOWER * every),
        ]
