"""One person's own expressions: transferred, closed where the template's close, outside eyeballs and teeth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg
from scipy.spatial import KDTree

from hack_model.alignment import rigid_motion
from hack_model.build.contact import lip_pairs, screened_laplacian
from hack_model.build.expressions import JAW_UNITS
from hack_model.build.eyes import SIDES, Eyeball
from hack_model.build.lids import CLEARANCE, FAR, find_lids, keep_outside, ring_field
from hack_model.build.transfer.gradients import STILL, Source, Term, Transfer
from hack_model.build.transfer.lid_terms import LidTerms, lid_pairs
from hack_model.build.transfer.mouth_terms import LiningTerms, LipTerms, MeetingLips, TeethContact
from hack_model.errors import FormatError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    from hack_model.build.assemble import Control
    from hack_model.build.combinations import Combinations
    from hack_model.build.head import Head
    from hack_model.build.parts import Part

    Array = np.ndarray

_SMOOTH = 0.02
"""Weight of smoothness where pushed skin is carried back to its control mesh."""
_ROUNDS = 3
_SUNK = 5e-5
"""Lids this far in the eyeball are left there, metres."""
UPON = {"mouthClose": "jawOpen"}
"""Expressions made to be used on top of another."""
_CHIN = 0.025
"""Skin nearer than this to the lower teeth goes with the jaw, metres …"""
_WALL = 0.008
"""… nearer than this it may tell the jaw's place …"""
_WITH_JAW = 10.0
"""Weight of a vertex of the jaw's skin that stays with it in what is used on top of the jaw's expressions."""
_RIGID = 0.005
"""… and all where it departs less than this from the teeth's rigid motion in jawOpen."""


@dataclass(frozen=True)
class FollowingEyeball(Eyeball):
    """An eyeball that follows the identity affinely: x → matrix · x + offset from the template's ``original``."""

    original: Eyeball
    matrix: Float[Array, "3 3"]
    offset: Float[Array, "3"]

    @classmethod
    def of(cls, original: Eyeball, before: Float[Array, "n 3"], after: Float[Array, "n 3"]) -> FollowingEyeball:
        """The eyeball whose vertices went from ``before`` to ``after``."""
        middle, moved = before.mean(axis=0), after.mean(axis=0)
        matrix = np.linalg.lstsq(before - middle, after - moved, rcond=None)[0].T
        offset = moved - matrix @ middle
        scale = original.scale * float(np.cbrt(np.linalg.det(matrix)))
        return cls(matrix @ original.centre + offset, scale, original, matrix, offset)

    def height(self, points: Float[Array, "*batch n 3"]) -> Float[Array, "*batch n"]:
        """Distance of points above the surface, negative inside, metres."""
        back = (points - self.offset) @ np.linalg.inv(self.matrix).T
        return self.original.height(back) * (self.scale / self.original.scale)


def sinks(rest: Float[Array, "n 3"], moved: Float[Array, "n 3"], ball: Eyeball) -> float:
    """How far lids displaced by ``moved``, half of it or nothing more dip below both rest and clearance, metres."""
    wanted = np.minimum(ball.height(rest), CLEARANCE)
    return float(max((wanted - ball.height(rest + share * moved)).max() for share in (1.0, 0.5)))


def mixtures(names: Sequence[str], combinations: Combinations) -> Float[Array, "R R"]:
    """What is transferred as one shape: rows of weights over expressions, then combinations.

    A combination is transferred on top of its sources, and what is made to be used on top of another, likewise.
    """
    count = len(names)
    result = np.eye(count + len(combinations.names))
    rows = list(zip(combinations.sources, combinations.peaks, strict=True))
    for row, (sources, peaks) in enumerate(rows, count):
        for source, peak in zip(sources, peaks, strict=True):
            if source >= 0:
                result[row, source] += peak
    for upper, lower in ((names.index(upper), names.index(lower)) for upper, lower in UPON.items()):
        for row in np.flatnonzero(result[:, upper] * (result[:, lower] == 0)):
            result[row, lower] = result[row, upper]
            between = [
                count + other
                for other, (sources, peaks) in enumerate(rows)
                if sources[0] == lower and (sources[1:] < 0).all() and peaks[0] == result[row, lower]
            ]
            result[row, between] = 1.0
    return result


@dataclass(frozen=True)
class LowerJaw:
    """The lower teeth and the tongue: a rigid body in the jaw's expressions, whose place the jaw's skin tells.

    ``columns`` (n,) are their control vertices, ``wall`` (m,) those of the lining that goes with them; ``turns``
    holds the rotation less the identity of each expression (row, matrix).
    """

    columns: Int[Array, " n"]
    wall: Int[Array, " m"]
    skin: Int[Array, " k"]
    turns: tuple[tuple[int, Float[Array, "3 3"]], ...]

    @classmethod
    def of(cls, people: People, control: Control, basis: Float[Array, "E V 3"]) -> LowerJaw:
        """The jaw of the template and its rigid motions in ``basis``."""
        span = people.spans["teeth_lower"]
        teeth = people.template[span]
        columns = np.unique(
            np.concatenate([people.carry[people.spans[name]].indices for name in ("teeth_lower", "tongue")])
        )
        distance, _ = KDTree(teeth).query(people.rest)
        skin = distance < _CHIN
        turns: list[tuple[int, np.ndarray]] = []
        for name in JAW_UNITS:
            row = people.names.index(name)
            rotation, offset = rigid_motion(teeth, teeth + basis[row, span])
            turns.append((row, rotation - np.eye(3)))
            if name == "jawOpen":
                rigid = people.rest @ (rotation - np.eye(3)).T + offset
                skin &= np.linalg.norm(people.source_displacements[row] - rigid, axis=1) < _RIGID
        wall = skin & (distance < _WALL)
        if wall.sum() < 10:
            raise FormatError("no skin of this head goes with the lower teeth in the jaw's expressions")
        return cls(columns, np.flatnonzero(wall), np.flatnonzero(skin), tuple(turns))

    def carry(self, corrections: Float[Array, "R C 3"], identity: Float[Array, "C 3"]) -> None:
        """Writes the corrections of teeth and tongue, given those of the skin."""
        for row, turn in self.turns:
            lag = self.lag(row, corrections[row], identity)
            corrections[row, self.columns] = identity[self.columns] @ turn.T + lag

    def term(
        self,
        weights: Float[Array, " R"],
        moved: Float[Array, "n 3"],
        identity: Float[Array, "n 3"],
        lags: Mapping[int, Float[Array, "3"]],
    ) -> Term | None:
        """In a shape on top of the jaw's, its skin stays with the teeth; ``weights`` are the shape's of expressions,
        ``moved`` the template's displacement, ``lags`` the jaw's expressions'. None without the jaw."""
        turns = [(row, turn) for row, turn in self.turns if weights[row] and row in lags]
        if not turns:
            return None
        wanted = moved[self.skin]
        for row, turn in turns:
            wanted = wanted + weights[row] * (identity[self.skin] @ turn.T + lags[row])
        entries = (np.ones(len(self.skin)), (np.arange(len(self.skin)), self.skin))
        return Term(sp.csr_matrix(entries, (len(self.skin), len(moved))), wanted, np.full(len(wanted), _WITH_JAW))

    def lag(self, row: int, correction: Float[Array, "n 3"], identity: Float[Array, "C 3"]) -> Float[Array, "3"]:
        """What the skin of the jaw moves, by an expression's correction, beyond turning."""
        turn = dict(self.turns)[row]
        return correction[self.wall].mean(axis=0) - turn @ identity[self.wall].mean(axis=0)


class People:
    """Carries the template's expressions to people, given as displacements of the control vertices."""

    def __init__(
        self,
        head: Head,
        parts: Sequence[Part],
        control: Control,
        names: Sequence[str],
        basis: Float[Array, "E V 3"],
        combinations: Combinations,
    ) -> None:
        self.head, self.parts, self.names = head, list(parts), list(names)
        basis = np.concatenate([basis, combinations.basis])
        self.mixture = mixtures(self.names, combinations)
        self.skin_count, self.control_count = len(head.skin.vertices), len(head.skin_control)
        self.carry = sp.csr_matrix(control.matrix(), dtype=np.float64)
        self.embedding = sp.csr_matrix(self.carry[: self.skin_count, : self.control_count])
        self.rest = head.base[head.skin_control]
        normal = self.embedding.T @ self.embedding
        self._exact = scipy.sparse.linalg.splu(sp.csc_matrix(normal))
        smooth = screened_laplacian(self.rest, head.control_faces, 1.0)
        self._smooth = scipy.sparse.linalg.splu(sp.csc_matrix(normal + _SMOOTH * smooth))
        mixed = np.tensordot(self.mixture, np.asarray(basis, np.float64), axes=1)
        self.generic = mixed[:, : self.skin_count]
        self.source_displacements = self._to_control(self._exact, self.generic)
        self.source = Source(self.rest, head.control_faces, self.source_displacements)
        self.lids = {side: find_lids(head, side) for side in SIDES}
        self.rings = {side: ring_field(head, lids) for side, lids in self.lids.items()}
        self._lid_skin = {side: np.flatnonzero((rings > 0.8) & (rings < FAR)) for side, rings in self.rings.items()}
        self.lid_terms = {side: self._lid_terms(side) for side in SIDES}
        ends = np.cumsum([len(part.vertices) for part in parts])
        self.spans = {
            part.name: slice(int(end) - len(part.vertices), int(end)) for part, end in zip(parts, ends, strict=True)
        }
        self.template = np.concatenate([part.vertices for part in parts])
        self.jaw = LowerJaw.of(self, control, np.asarray(basis, np.float64)[: len(names)])
        self.lip_terms = LipTerms.of(lip_pairs(head), self.embedding, head.skin.vertices)
        self.lining_terms = LiningTerms.of(head)
        self.meeting = [MeetingLips.of(head, self.embedding, item) for item in self.source_displacements]
        arches = [self.spans[name] for name in ("teeth_upper", "teeth_lower")]
        self._teeth = sp.csr_matrix(sp.vstack([self.carry[span] for span in arches]))
        contact = TeethContact(head, self.embedding, (self.template[arches[0]], self.template[arches[1]]))
        upon = self.mixture[:, [self.names.index(name) for name in UPON]].any(axis=1)
        shapes = zip(self.source_displacements, mixed[:, arches[1]], upon, strict=True)
        self.lying = [contact.of(skin, lower, drawn=drawn) for skin, lower, drawn in shapes]

    def _lid_terms(self, side: str) -> LidTerms:
        blink = self.generic[self.names.index(f"eyeBlink_{side[0].upper()}")]
        pairs = lid_pairs(self.head, self.lids[side], self.rings[side], blink)
        return LidTerms.of(self.head, pairs, self.embedding)

    def _to_control(self, solver: scipy.sparse.linalg.SuperLU, skin: Float[Array, "E V 3"]) -> Float[Array, "E C 3"]:
        stacked = skin.transpose(1, 0, 2).reshape(skin.shape[1], -1)
        solved = solver.solve(self.embedding.T @ stacked)
        return solved.reshape(len(solved), -1, 3).transpose(1, 0, 2)

    def corrections(self, identity: Float[Array, "C 3"]) -> Float[Array, "R C 3"]:
        """Own minus generic displacement of the control vertices, metres, for every expression and combination."""
        transfer = Transfer(self.source, self.rest + identity[: self.control_count])
        change = np.empty_like(self.source_displacements)
        lags: dict[int, np.ndarray] = {}
        jaws = [row for row, _ in self.jaw.turns]
        for index in [*jaws, *np.setdiff1d(np.arange(len(change)), jaws)]:
            change[index] = self._carried(transfer, index, identity, lags) - self.source_displacements[index]
            if index in jaws:
                lags[index] = self.jaw.lag(index, change[index], identity)
        vertices = self.template + self.carry @ identity
        for index in range(len(change)):
            change[index] = self._outside_eyes(index, change[index], vertices)
        change = np.tensordot(np.linalg.inv(self.mixture), change, axes=1)
        result = np.zeros((len(change), *identity.shape))
        result[:, : self.control_count] = change
        self.jaw.carry(result, identity)
        return result

    def _carried(
        self, transfer: Transfer, index: int, identity: Float[Array, "C 3"], lags: Mapping[int, Float[Array, "3"]]
    ) -> Float[Array, "C 3"]:
        """One shape's displacement of the skin's control vertices, in contact; ``lags`` as of the jaw's shapes."""
        displacement, own = self.source_displacements[index], identity[: self.control_count]
        terms = [term for lids in self.lid_terms.values() for term in lids.terms(displacement, own)]
        terms += [*self.lip_terms.terms(displacement), *self.lining_terms.terms(displacement)]
        found = transfer(index, terms)
        if lags and (with_jaw := self.jaw.term(self.mixture[index], displacement, own, lags)) is not None:
            terms.append(with_jaw)
        directed = []
        if (lips := self.meeting[index]) is not None:
            directed.append(lips.term(own))
        if (lying := self.lying[index]) is not None:
            teeth = self._teeth @ identity
            directed.append(lying.term(own, teeth, self._teeth_carried(index, teeth, lags)))
        return transfer(index, terms + [item.about(found) for item in directed]) if directed else found

    def _teeth_carried(
        self, index: int, teeth: Float[Array, "T 3"], lags: Mapping[int, Float[Array, "3"]]
    ) -> np.ndarray:
        """What a person's teeth, moved by ``teeth`` at rest, move more than the template's in a shape."""
        result, lower = np.zeros_like(teeth), slice(-len(self.template[self.spans["teeth_lower"]]), None)
        for row, turn in self.jaw.turns:
            if row in lags:
                result[lower] += self.mixture[index, row] * (teeth[lower] @ turn.T + lags[row])
        return result

    def moved(self) -> Bool[Array, "R C"]:
        """Which control vertices an expression or combination can move differently in different people."""
        result = np.zeros((len(self.mixture), self.carry.get_shape()[1]), bool)
        own = np.abs(self.source_displacements).max(axis=2) > STILL
        mixed = np.abs(np.linalg.inv(self.mixture)) > 1e-9
        result[:, : self.control_count] = mixed.astype(float) @ own > 0
        for row, _ in self.jaw.turns:
            result[row, self.jaw.columns] = True
        return result

    def contact_rows(self, pairs: Int[Array, "N 2"]) -> sp.csr_matrix:
        """Rows (n, N) that take corrections of the ``pairs`` (row, control vertex) to the parting of points that meet:
        the margins of the lids in shapes that close them, lips wherever the template's touch."""
        place = np.full((len(self.mixture), self.carry.get_shape()[1]), -1)
        place[pairs[:, 0], pairs[:, 1]] = np.arange(len(pairs))
        found: list[sp.csr_matrix] = []
        for shape, displacement in enumerate(self.source_displacements):
            measures = [lids.rows for lids in self.lid_terms.values() if lids.closed(displacement)]
            measures += [term.rows[np.flatnonzero(term.weight)] for term in self.lip_terms.terms(displacement)]
            measures += [lips.rows for lips in (self.meeting[shape],) if lips is not None]
            for measure in measures:
                entries = sp.coo_matrix(measure)
                row, column, value = [], [], []
                for source in np.flatnonzero(self.mixture[shape]):
                    here = place[source, entries.col]
                    row.append(entries.row[here >= 0])
                    column.append(here[here >= 0])
                    value.append(self.mixture[shape, source] * entries.data[here >= 0])
                parts = (np.concatenate(value), (np.concatenate(row), np.concatenate(column)))
                found.append(sp.csr_matrix(parts, (entries.get_shape()[0], len(pairs))))
        return sp.csr_matrix(sp.vstack(found))

    def _outside_eyes(self, index: int, change: np.ndarray, vertices: np.ndarray) -> np.ndarray:
        """The change with lids pushed out of the eyeballs."""
        for side in SIDES:
            near = self._lid_skin[side]
            generic = self.generic[index][near]
            if np.abs(generic).max() < STILL:
                continue
            lids = self.lid_terms[side]
            closed = lids.closed(self.source_displacements[index])
            ball, rest, rings = self.ball(side, vertices), vertices[near], self.rings[side][near]
            for _ in range(_ROUNDS):
                moved = generic + self.embedding[near] @ change
                pushed = keep_outside(rest, moved, ball, rings) if sinks(rest, moved, ball) > _SUNK else moved
                if np.abs(pushed - moved).max() < _SUNK:
                    break
                push = np.zeros((1, self.skin_count, 3))
                push[0, near] = pushed - moved
                step = self._to_control(self._smooth, push)[0]
                change = change + (lids.together(step) if closed else step)
        return change

    def ball(self, side: str, vertices: Float[Array, "V 3"]) -> FollowingEyeball:
        """The eyeball of one side in a person's vertices."""
        span = self.spans[f"eye_{side}"]
        return FollowingEyeball.of(self.lids[side].ball, self.template[span], vertices[span])
