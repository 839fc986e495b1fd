"""Deformation transfer between meshes of the same faces.

Each triangle of the source has a deformation gradient from rest to expression; the target's triangles, at rest, are to
be deformed by the same. In the least-squares sense, with edges weighted by cotangents, that is one Poisson equation on
the target (Botsch, Sumner, Pauly & Gross, "Deformation transfer for detail-preserving surface editing", VMV 2006).
Vertices that the source's expression does not move are held.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int

    Array = np.ndarray

STILL = 1e-5
"""Vertices that an expression moves less than this, in metres, are held."""
_LEAST_COTANGENT = 0.02
_CORNERS = np.array([[0, 1, 2], [1, 2, 0], [2, 0, 1]])


@dataclass(frozen=True)
class Term:
    """Wanted displacements beside the transferred ones: ``rows`` (n, C) times the displacement is to be ``wanted``
    (n, 3) metres, each with its ``weight`` (n,) against the cotangent weights, which are about 1."""

    rows: sp.csr_matrix
    wanted: Float[Array, "n 3"]
    weight: Float[Array, " n"]


@dataclass(frozen=True)
class Directed:
    """Wanted displacements along one direction each: ``normal`` (n, 3) · (``rows`` (n, C) times the displacement) is to
    be ``wanted`` (n,) metres; across it the displacement is free."""

    rows: sp.csr_matrix
    normal: Float[Array, "n 3"]
    wanted: Float[Array, " n"]
    weight: Float[Array, " n"]

    def about(self, found: Float[Array, "C 3"]) -> Term:
        """The term that changes a displacement found without it along the directions only."""
        moved = self.rows @ found
        missing = self.wanted - np.einsum("nx,nx->n", self.normal, moved)
        return Term(self.rows, moved + missing[:, None] * self.normal, self.weight)


class Source:
    """A mesh at rest and its expressions, prepared for transfer to any target of the same ``faces`` (quads)."""

    def __init__(
        self, vertices: Float[Array, "C 3"], faces: Int[Array, "F 4"], displacements: Float[Array, "E C 3"]
    ) -> None:
        self.triangles = both_splits(faces)
        rest = _frames(vertices[self.triangles])
        inverse = np.linalg.inv(rest)
        self.moving: list[np.ndarray] = []
        self.touched: list[np.ndarray] = []
        self.gradients: list[np.ndarray] = []
        for displacement in displacements:
            moved = np.abs(displacement).max(axis=1) > STILL
            touched = np.flatnonzero(moved[self.triangles].any(axis=1))
            after = vertices + np.where(moved[:, None], displacement, 0.0)
            gradient = _frames(after[self.triangles[touched]]) @ inverse[touched] - np.eye(3)
            self.moving.append(np.flatnonzero(moved))
            self.touched.append(touched)
            self.gradients.append(gradient)

    def to(self, target: Float[Array, "C 3"], terms: Sequence[Sequence[Term]] | None = None) -> Float[Array, "E C 3"]:
        """The expressions' displacements on the target; ``terms`` of each expression are met beside the gradients."""
        transfer = Transfer(self, target)
        return np.stack([transfer(index, terms[index] if terms else ()) for index in range(len(self.moving))])


class Transfer:
    """Carries the expressions of a source to one target, one at a time."""

    def __init__(self, source: Source, target: Float[Array, "C 3"]) -> None:
        self.source, self.target = source, target
        self.weights = _cotangents(target[source.triangles])
        self.matrix = _laplacian(source.triangles, self.weights, len(target))

    def __call__(self, index: int, terms: Sequence[Term] = ()) -> Float[Array, "C 3"]:
        """One expression's displacement on the target, with ``terms`` beside the gradients."""
        result, moving = np.zeros_like(self.target, dtype=float), self.source.moving[index]
        if not moving.size:
            return result
        own, right = self.matrix[moving][:, moving], self._right_side(index)[moving]
        for term in terms:
            rows = term.rows[:, moving]
            weighted = sp.csr_matrix(sp.diags(term.weight) @ rows)
            own = own + rows.T @ weighted
            right = right + weighted.T @ term.wanted
        solver = scipy.sparse.linalg.splu(
            sp.csc_matrix(own), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )
        result[moving] = solver.solve(right)
        return result

    def _right_side(self, index: int) -> Float[Array, "C 3"]:
        """The divergence of the source's displacement gradients on the target."""
        touched, target = self.source.touched[index], self.target
        corners = self.source.triangles[touched]
        result = np.zeros_like(target, dtype=float)
        for opposite, first, second in _CORNERS:
            edge = target[corners[:, second]] - target[corners[:, first]]
            gradients = self.source.gradients[index]
            wanted = self.weights[touched, opposite, None] * np.einsum("tij,tj->ti", gradients, edge)
            for axis in range(3):
                result[:, axis] += np.bincount(corners[:, second], wanted[:, axis], len(target))
                result[:, axis] -= np.bincount(corners[:, first], wanted[:, axis], len(target))
        return result


def both_splits(faces: Int[Array, "F 4"]) -> Int[Array, "T 3"]:
    """Four triangles of every quad, along both its diagonals, so that no direction is preferred."""
    return np.concatenate([faces[:, list(corners)] for corners in ((0, 1, 2), (0, 2, 3), (1, 2, 3), (1, 3, 0))])


def _frames(corners: Float[Array, "T 3 3"]) -> Float[Array, "T 3 3"]:
    """Columns: two edges, and the normal scaled by the root of its length (Sumner & Popović, eq. 2 and 3)."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.cross(first, second)
    normal /= np.sqrt(np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-16))
    return np.stack([first, second, normal], axis=2)


def _cotangents(corners: Float[Array, "T 3 3"]) -> Float[Array, "T 3"]:
    """Half the cotangent of each corner's angle: the weight of the edge opposite, never quite zero or negative."""
    result = np.empty(corners.shape[:2])
    for corner, first, second in _CORNERS:
        one, other = corners[:, first] - corners[:, corner], corners[:, second] - corners[:, corner]
        area = np.linalg.norm(np.cross(one, other), axis=1)
        result[:, corner] = 0.5 * np.einsum("tc,tc->t", one, other) / np.maximum(area, 1e-14)
    return np.clip(result, _LEAST_COTANGENT, 1 / _LEAST_COTANGENT)


def _laplacian(triangles: Int[Array, "T 3"], weights: Float[Array, "T 3"], count: int) -> sp.csr_matrix:
    first = np.concatenate([triangles[:, corner] for corner in _CORNERS[:, 1]])
    second = np.concatenate([triangles[:, corner] for corner in _CORNERS[:, 2]])
    value = np.concatenate([weights[:, corner] for corner in _CORNERS[:, 0]])
    rows, columns = np.concatenate([first, second, first, second]), np.concatenate([second, first, first, second])
    entries = np.concatenate([-value, -value, value, value])
    return sp.csr_matrix((entries, (rows, columns)), (count, count))
