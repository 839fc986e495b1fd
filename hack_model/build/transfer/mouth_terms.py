"""How lips, teeth and the mouth's lining meet, as terms of a transfer.

Lips that touch at rest stay apart as on the template; lips that touch in an expression only meet there as those of the
template do; what an expression lays on the teeth lies on another person's as well; the lining goes with the skin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.spatial import KDTree

from hack_model.build.contact import Pairs, lip_pairs
from hack_model.build.dentition import mouth_place
from hack_model.build.lips import TeethShield
from hack_model.build.mouth_seat import lining_seat
from hack_model.build.transfer.gradients import Directed, Term
from hack_model.formats.surface import vertex_normals

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from hack_model.build.head import Head

    Array = np.ndarray

_FIRM = 100.0
_TOUCHING, _APART = 0.0015, 0.004
"""Lips nearer than the first in an expression keep their distance there, beyond the second they are free, metres."""
_SMALL = 0.0003
"""Lips that an expression moves less apart or together are not looked at, metres."""
_ANEW = 0.5
"""Lips meet anew where at least this share of the pairs that touch at rest is touching of others instead."""
_HELD = 10.0
"""Weight of a vertex of the lining that goes with the skin before it."""
_ON_TEETH = 10.0
"""Weight of a point of the lips that lies on the teeth."""
_LYING, _OFF = 0.0015, 0.004
"""Skin nearer to the teeth than the first in an expression lies on them, beyond the second it is free, metres."""
_DRAWN = (0.010, 0.018)
"""The same where lips that close on an open jaw draw the chin over the teeth, all of whose thickness counts."""
_LEAST = 0.0005
"""Skin nearer to the teeth at rest lies on them already, metres."""
_FAR = 1.0
"""Distance, metres, that stands for skin which is not before the teeth at rest."""
_ABOUT = 0.03
"""Skin nearer than this to the line of the lips may lie on the teeth."""
_ASIDE = 1.3
"""… and not further than this to the side, radians around the middle of the mouth."""


@dataclass(frozen=True)
class LipTerms:
    """Terms that leave lips apart as on the template, where they touch in an expression.

    ``rows`` (n, C) take control displacements to the differences of pairs that touch at rest, ``rest`` (n, 3).
    """

    rows: sp.csr_matrix
    rest: Float[Array, "n 3"]

    @classmethod
    def of(cls, pairs: Pairs, embedding: sp.csr_matrix, vertices: Float[Array, "V 3"]) -> LipTerms:
        """The terms of pairs of skin vertices."""
        return cls(pairs.rows(embedding), pairs.difference(vertices))

    def terms(self, displacement: Float[Array, "C 3"]) -> list[Term]:
        """For one expression's displacement of the control vertices."""
        parting = self.rows @ displacement
        if np.abs(parting).max() < _SMALL:
            return []
        distance = np.linalg.norm(self.rest + parting, axis=1)
        weight = np.clip((_APART - distance) / (_APART - _TOUCHING), 0, 1)
        return [Term(self.rows, parting, _FIRM * weight)]


@dataclass(frozen=True)
class MeetingLips:
    """Points of both lips that meet in one expression, wherever they are at rest.

    ``rows`` (n, C) take control displacements to the pairs' differences, ``normal`` (n, 3) points from the lower lip to
    the upper there, ``parting`` (n,) is the template's along it.
    """

    rows: sp.csr_matrix
    normal: Float[Array, "n 3"]
    parting: Float[Array, " n"]

    @classmethod
    def of(cls, head: Head, embedding: sp.csr_matrix, displacement: Float[Array, "C 3"]) -> MeetingLips | None:
        """For one expression's displacement of the control vertices; None where no lips move and meet."""
        posed = head.skin.vertices + embedding @ displacement
        held, pairs = lip_pairs(head), lip_pairs(head, posed)
        still = np.linalg.norm(held.difference(posed), axis=1) < _TOUCHING
        free = [~np.isin(own, other[still]) for own, other in ((pairs.first, held.first), (pairs.second, held.second))]
        new = free[0] & free[1]
        pairs = Pairs(pairs.first[new], pairs.second[new])
        if len(pairs) < _ANEW * len(held):
            return None
        rows = pairs.rows(embedding)
        moved = rows @ displacement
        if np.abs(moved).max() < _SMALL:
            return None
        normals = vertex_normals(posed, head.skin.faces)
        normal = normals[pairs.second] - normals[pairs.first]
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        return cls(rows, normal, np.einsum("nx,nx->n", normal, moved))

    def term(self, identity: Float[Array, "C 3"]) -> Directed:
        """For a person's ``identity``, a displacement of the control vertices."""
        wider = np.einsum("nx,nx->n", self.normal, self.rows @ identity)
        return Directed(self.rows, self.normal, self.parting - wider, np.full(len(wider), _FIRM))


@dataclass(frozen=True)
class LiningTerms:
    """Terms by which the lining moves as on the template relative to the skin before it; ``rows`` (n, C) take control
    displacements to what it moves more."""

    rows: sp.csr_matrix

    @classmethod
    def of(cls, head: Head) -> LiningTerms:
        """For a head's skin."""
        count = len(head.skin_control)
        seat = lining_seat(head, count)
        entries = (np.ones(len(seat.moved)), (np.arange(len(seat.moved)), seat.moved))
        return cls(sp.csr_matrix(sp.csr_matrix(entries, (len(seat.moved), count)) - seat.rows))

    def terms(self, displacement: Float[Array, "C 3"]) -> list[Term]:
        """For one expression's displacement of the control vertices."""
        own = self.rows @ displacement
        return [Term(self.rows, own, np.full(len(own), _HELD))] if np.abs(own).max() > _SMALL else []


@dataclass(frozen=True)
class LyingOnTeeth:
    """Points of the skin that lie on the teeth in one expression.

    ``rows`` (n, C) take control displacements to the points, ``teeth`` (n,) are the teeth's vertices behind them, among
    those of both arches; ``normal`` (n, 3) points out of the mouth, ``moved`` (n,) is the template's motion along it,
    ``share`` (n,) of the distance at rest is what the expression takes away.
    """

    rows: sp.csr_matrix
    teeth: Int[Array, " n"]
    normal: Float[Array, "n 3"]
    moved: Float[Array, " n"]
    share: Float[Array, " n"]
    weight: Float[Array, " n"]

    def term(
        self, identity: Float[Array, "C 3"], of_teeth: Float[Array, "T 3"], carried: Float[Array, "T 3"]
    ) -> Directed:
        """For a person's ``identity``; ``of_teeth`` displaces the teeth at rest, ``carried`` is what they move
        more than the template's in the expression."""
        further = np.einsum("nx,nx->n", self.normal, self.rows @ identity - of_teeth[self.teeth])
        along = np.einsum("nx,nx->n", self.normal, carried[self.teeth])
        return Directed(self.rows, self.normal, self.moved + along - self.share * further, self.weight)


class TeethContact:
    """Finds what lies on the teeth: ``arches`` are the vertices of the upper and the lower one at rest."""

    def __init__(self, head: Head, embedding: sp.csr_matrix, arches: tuple[np.ndarray, np.ndarray]) -> None:
        self.embedding, self.arches, self.skin = embedding, arches, head.skin.vertices
        self.upper = TeethShield.of(arches[0])
        line, _ = mouth_place(head)
        aside, _ = self.upper.polar(self.skin)
        self.near = np.flatnonzero((np.abs(self.skin[:, 1] - line) < _ABOUT) & (np.abs(aside) < _ASIDE))
        self.rest = np.minimum(*[TeethShield.of(arch).clearance(self.skin[self.near]) for arch in arches])

    def of(
        self, displacement: Float[Array, "C 3"], lower: Float[Array, "t 3"], *, drawn: bool = False
    ) -> LyingOnTeeth | None:
        """For one expression's displacement of the control vertices and of the lower arch; None where nothing lies.

        ``drawn`` says that an open jaw lies beneath, over which the expression draws the skin.
        """
        lying, off = _DRAWN if drawn else (_LYING, _OFF)
        moved = (self.embedding @ displacement)[self.near]
        posed = self.skin[self.near] + moved
        arches = np.concatenate([self.arches[0], self.arches[1] + lower])
        after = np.minimum(self.upper.clearance(posed), TeethShield.of(self.arches[1] + lower).clearance(posed))
        chosen = np.flatnonzero((np.abs(after) < off) & (np.abs(moved).max(axis=1) > _SMALL))
        if not chosen.size:
            return None
        normal = self.upper.outwards(posed[chosen])
        after, before = after[chosen], self.rest[chosen]
        _, teeth = KDTree(arches).query(posed[chosen] - after[:, None] * normal)
        before = np.minimum(before, _FAR)
        share = (before - after) / np.maximum(np.abs(before), _LEAST)
        return LyingOnTeeth(
            sp.csr_matrix(self.embedding[self.near[chosen]]),
            np.asarray(teeth),
            normal,
            np.einsum("nx,nx->n", normal, moved[chosen]),
            np.clip(share, 0, 1),
            _ON_TEETH * np.clip((off - np.abs(after)) / (off - lying), 0, 1),
        )
