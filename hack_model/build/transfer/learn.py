"""From people's own expressions to a small linear space of corrections, driven by the shape coefficients.

A ridge regression from shape to corrections, through zero at the mean identity, and the principal components of what
it predicts: of all spaces of that size the one that loses least (reduced-rank regression; Izenman, "Reduced-rank
regression for the multivariate linear model", J. Multivariate Anal. 5, 1975).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse as sp
    from jaxtyping import Float, Int

    Array = np.ndarray

RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Candidates for the weight of the squared map, in people; the map of a shape component counts by the inverse of how
much that component moves the vertices concerned, so what hardly moves them hardly changes how they move."""
_FOLDS = 5


@dataclass(frozen=True)
class Samples:
    """People: ``shapes`` (n, S) and their ``corrections`` (n, N, 3) metres of the ``pairs`` (N, 2) of a row and a
    control vertex; ``groups`` (n,) numbers people who must be left out together when errors are estimated; ``scales``
    (S,) tells how much each shape component moves the pairs' vertices, in any unit."""

    shapes: Float[Array, "n S"]
    corrections: Float[Array, "n N 3"]
    pairs: Int[Array, "N 2"]
    groups: Int[Array, " n"]
    scales: Float[Array, " S"]

    def with_mirror_images(
        self, signs: Float[Array, " S"], rows: Int[Array, " R"], vertices: Int[Array, " C"]
    ) -> Samples:
        """These people and their mirror images: ``signs`` of the shape components, ``rows`` and ``vertices`` are the
        other side's."""
        key = self.pairs[:, 0] * len(vertices) + self.pairs[:, 1]
        twin = rows[self.pairs[:, 0]] * len(vertices) + vertices[self.pairs[:, 1]]
        order = np.argsort(key)
        place = order[np.searchsorted(key[order], twin)]
        flipped = self.corrections[:, place] * np.array([-1, 1, 1], self.corrections.dtype)
        return Samples(
            np.concatenate([self.shapes, self.shapes * signs]),
            np.concatenate([self.corrections, flipped]),
            self.pairs,
            np.tile(self.groups, 2),
            self.scales,
        )


@dataclass(frozen=True)
class Space:
    """``basis`` (M, N, 3) metres per unit coefficient, ``map`` (M, S) from shape to coefficients; ``ridge`` used, and
    ``values`` (S,) the mean squared corrections, in the metric, that each possible component explains."""

    basis: Float[Array, "M N 3"]
    map: Float[Array, "M S"]
    ridge: float
    values: Float[Array, " S"]

    def __call__(self, shape: Float[Array, "*batch S"]) -> Float[Array, "*batch N 3"]:
        """The corrections of an identity."""
        return np.tensordot(shape @ self.map.T, self.basis, axes=1)


def learn(
    samples: Samples, weights: Float[Array, " N"], contact: sp.csr_matrix, firmness: float, components: int
) -> Space:
    """The space of so many components.

    The metric sums each pair's squared error times its weight, and ``firmness`` times the squares of ``contact`` (n, N)
    times the errors: how far they part what is to touch.
    """
    flat = samples.corrections.reshape(len(samples.corrections), -1)
    scale = np.repeat(np.sqrt(weights), 3).astype(np.float32)
    measured = _measured(samples.corrections, contact) * np.float32(np.sqrt(firmness))
    gram = sum(np.float64(part @ part.T) for part in (flat * scale, measured))
    penalty = (np.sqrt((samples.scales**2).mean()) / samples.scales) ** 2
    ridge = best_ridge(samples.shapes, np.asarray(gram), samples.groups, penalty)
    solved = _solver(samples.shapes, ridge * penalty)
    predicted = solved @ gram @ solved.T
    values, vectors = np.linalg.eigh(predicted)
    order = np.argsort(-values)[:components]
    chosen = vectors[:, order].T
    chosen *= np.where(chosen.sum(axis=1, keepdims=True) < 0, -1, 1)
    basis = ((chosen @ solved).astype(np.float32) @ flat).reshape(len(chosen), -1, 3)
    return Space(basis, chosen.astype(np.float32), ridge, values[::-1])


def best_ridge(
    shapes: Float[Array, "n S"], gram: Float[Array, "n n"], groups: Int[Array, " n"], penalty: Float[Array, " S"]
) -> float:
    """The candidate with the least error on people left out, whose inner products ``gram`` holds."""
    fold = groups % _FOLDS
    errors = []
    for ridge in RIDGES:
        total = 0.0
        for left_out in range(_FOLDS):
            test, train = np.flatnonzero(fold == left_out), np.flatnonzero(fold != left_out)
            share = shapes[test] @ _solver(shapes[train], ridge * penalty)
            total += np.trace(gram[np.ix_(test, test)]) - 2 * np.einsum("ij,ij->", share, gram[np.ix_(test, train)])
            total += np.einsum("ij,jk,ik->", share, gram[np.ix_(train, train)], share, optimize=True)
        errors.append(total)
    return RIDGES[int(np.argmin(errors))]


def _solver(shapes: np.ndarray, penalty: np.ndarray) -> Float[Array, "S n"]:
    """The matrix that takes samples (n, …) to the regression's coefficients (S, …)."""
    return np.linalg.solve(shapes.T @ shapes + np.diag(penalty), shapes.T)


def _measured(corrections: Float[Array, "n N 3"], contact: sp.csr_matrix) -> Float[Array, "n k"]:
    count = len(corrections)
    stacked = corrections.transpose(1, 0, 2).reshape(corrections.shape[1], -1)
    parted = contact @ stacked
    return parted.reshape(parted.shape[0], count, 3).transpose(1, 0, 2).reshape(count, -1).astype(np.float32)
