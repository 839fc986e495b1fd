"""Makes the file of personalised expressions: samples people, carries the expressions to them, learns the space."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from hack_model.build.foundation import lay_foundation, silent
from hack_model.build.symmetry import mirror_of
from hack_model.build.transfer.learn import Samples, Space, learn
from hack_model.build.transfer.people import People
from hack_model.build.transfer.personal import STEP, PersonalFile, Stamp, mirror_rows, sorted_pairs

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from hack_model.build.foundation import Foundation
    from hack_model.build.identity import Progress
    from hack_model.build.source import MakeHumanSource

    Array = np.ndarray

CLIP = 2.5
"""Shape coefficients of the sampled people are normal and cut here, standard deviations."""
_HIDDEN = 0.1
"""Weight of skin nobody sees, and of teeth and tongue, against that of visible skin."""
_FIRMNESS = 30.0
"""Weight of a pair of points that is to meet against that of a skin vertex."""
_NOTICED = 1.7e-4
"""Pairs whose corrections are smaller than this (root mean square, metres, weighted) are left out."""


@dataclass(frozen=True)
class Teacher:
    """What people are sampled and judged with."""

    laid: Foundation
    people: People
    pairs: Int[Array, "N 2"]
    weights: Float[Array, " N"]
    contact: sp.csr_matrix

    @classmethod
    def of(cls, laid: Foundation) -> Teacher:
        """For one build."""
        people = People(
            laid.head, laid.parts, laid.control, laid.expression_names, laid.expression_basis, laid.combinations
        )
        pairs = sorted_pairs(people.moved())
        hidden = laid.regions["mouth_interior"] + laid.regions["eye_sockets"]
        seen = np.clip(1 - (1 - _HIDDEN) * hidden, 0, 1)[: people.skin_count]
        weights = np.full(people.carry.get_shape()[1], _HIDDEN)
        weights[: people.control_count] = people.embedding.T @ seen
        return cls(laid, people, pairs, weights[pairs[:, 1]], people.contact_rows(pairs))

    def sample(self, shapes: Float[Array, "n S"], report: Progress) -> Float[Array, "n N 3"]:
        """The corrections of people of these shapes."""
        result = np.empty((len(shapes), len(self.pairs), 3), np.float32)
        for index, shape in enumerate(shapes):
            own = self.people.corrections(np.tensordot(shape, self.laid.identity.basis, axes=1))
            result[index] = own[self.pairs[:, 0], self.pairs[:, 1]]
            report("carrying expressions to people", index + 1, len(shapes))
        return result

    def samples(self, shapes: Float[Array, "n S"], report: Progress) -> Samples:
        """People and their mirror images."""
        basis = self.laid.identity.basis
        points = self.laid.control.rows @ self.laid.head.base
        mirror = mirror_of(points, tolerance=1e-5)
        signs = np.sign(np.einsum("scx,scx,x->s", basis, basis[:, mirror], [-1.0, 1.0, 1.0]))
        counted = np.bincount(self.pairs[:, 1], self.weights, minlength=len(points))
        scales = np.sqrt((basis.astype(np.float64) ** 2).sum(axis=2) @ counted)
        names = (*self.laid.expression_names, *self.laid.combinations.names)
        people = Samples(shapes, self.sample(shapes, report), self.pairs, np.arange(len(shapes)), scales)
        return people.with_mirror_images(signs, mirror_rows(names), mirror)

    def error(self, difference: Float[Array, "n N 3"]) -> float:
        """Root mean square over people, pairs (weighted) and axes together, metres."""
        square = (difference.astype(np.float64) ** 2).sum(axis=2).mean(axis=0)
        return float(np.sqrt((square * self.weights).sum() / self.weights.sum()))

    def parting(self, difference: Float[Array, "n N 3"]) -> Float[Array, " n"]:
        """How far, at most, a person's points that are to meet are from where the transfer has them, metres."""
        parted = [self.contact @ difference[..., axis].T for axis in range(3)]
        return np.sqrt(np.sum(np.square(parted), axis=0)).max(axis=0)


def make_personal(
    source: MakeHumanSource,
    *,
    seed: int = 0,
    people: int = 300,
    held_out: int = 60,
    components: int = 32,
    progress: Progress | None = None,
) -> PersonalFile:
    """Personalised expressions learned from ``people`` random identities, and measured on ``held_out`` others."""
    report = progress or silent
    laid = lay_foundation(source, progress=report)
    teacher = Teacher.of(laid)
    random = np.random.default_rng(seed)
    count = len(laid.identity.basis)
    shapes, others = (np.clip(random.standard_normal((n, count)), -CLIP, CLIP) for n in (people, held_out))
    samples = teacher.samples(shapes, report)
    report("learning", 0, 1)
    space = learn(samples, teacher.weights, teacher.contact, _FIRMNESS, components)
    truth = teacher.sample(others, report)
    figures = _figures(teacher, samples, space, others, truth)
    basis = np.rint(space.basis / STEP) * STEP
    size = np.sqrt((basis.astype(np.float64) ** 2).sum(axis=(0, 2)) * np.minimum(teacher.weights, 1.0))
    kept = (size > _NOTICED) | (teacher.contact.getnnz(axis=0) > 0)
    kept &= np.abs(basis).max(axis=(0, 2)) > 0
    figures["pairs"] = int(kept.sum())
    figures["error_um"]["kept"] = _micrometres(teacher.error(_pruned(space, basis, kept, others) - truth))
    return PersonalFile(Stamp.of(laid), basis[:, kept], teacher.pairs[kept], space.map, json.dumps(figures))


def _pruned(space: Space, basis: np.ndarray, kept: np.ndarray, shapes: np.ndarray) -> Float[Array, "n N 3"]:
    return np.tensordot(shapes @ space.map.T, basis * kept[:, None], axes=1).astype(np.float32)


def _figures(teacher: Teacher, samples: Samples, space: Space, others: np.ndarray, truth: np.ndarray) -> dict:
    """How large corrections are, and what of them is left by spaces of several sizes, on people held out."""
    count = len(space.map)
    errors = {"generic": _micrometres(teacher.error(truth))}
    for size in sorted({min(size, count) for size in (8, 16, 24, 32, 48, count)}):
        part = Space(space.basis[:size], space.map[:size], space.ridge, space.values)
        errors[str(size)] = _micrometres(teacher.error(part(others).astype(np.float32) - truth))
    parting = teacher.parting(space(others).astype(np.float32) - truth)
    return {
        "people": len(samples.shapes) // 2,
        "held_out": len(others),
        "ridge": space.ridge,
        "error_um": errors,
        "parting_mm": {"mean": round(1000 * float(parting.mean()), 3), "worst": round(1000 * float(parting.max()), 3)},
    }


def _micrometres(metres: float) -> float:
    return round(1e6 * metres, 1)
