"""The part of the correctives that depends on who someone is, learned from the simulated necks of many people.

What the common correctives leave of each mesh is a linear function of products of its pose features and its person's
shape, found by kernel ridge regression: with some forty people and two hundred shapes the unknowns far outnumber the
meshes, so the problem is solved in their dual. All shapes take part, each with a prior as wide as it moves the neck's
skin, or nearly so. The training's own personal stage (:mod:`hack_model.training.personal`) takes the leading shapes
alone, which suits hundreds of scans; thirteen of them for forty people predicted others worse than nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

_RIDGES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
"""Strengths of the regression's prior that are tried."""
_FOLDS = 5
COMPONENTS, PAIRS = 8, 13000
"""Principal components over the population, and (row, vertex) pairs, that are kept."""
STEP, LARGEST = 6.4e-5, 0.0163
"""Components are kept as multiples of this, metres per unit coefficient and unit feature, and made no larger than that:
a file then needs little more than a byte for each number (:mod:`hack_model.packing`)."""


@dataclass(frozen=True)
class Meshes:
    """What is left of ``n`` meshes, at rest: ``residual`` (n, k, 3) in metres, their pose ``features`` (n, K), whose
    ``shapes`` (n, S) they have, and each person's number ``person`` (n,). People 2 i + 1 and 2 i + 2 are opposites,
    which are left out together; person 0 is the mean."""

    features: Float[Array, "n K"]
    shapes: Float[Array, "n S"]
    person: Int[Array, " n"]
    residual: Float[Array, "n k 3"]


@dataclass(frozen=True)
class PersonalCorrectives:
    """``basis`` (Q, N, 3) at ``pairs`` (N, 2) of a corrective's row and a vertex, ``map`` (Q, S) from shape.

    ``told`` is the share of the squared residual that people left out of learning lose by it.
    """

    basis: Float[Array, "Q N 3"]
    pairs: Int[Array, "N 2"]
    map: Float[Array, "Q S"]
    told: float = 0.0


def learn_personal(
    meshes: Meshes, weights: Float[Array, " S"], components: int = COMPONENTS, pairs: int = PAIRS
) -> PersonalCorrectives | None:
    """The personal part; None where it does not bring meshes of people left out nearer.

    ``weights`` (S,) are the variances of the shapes' priors.
    """
    ridge, told = best_ridge(meshes, weights)
    if told <= 0:
        return None
    dual = _solved(meshes, weights, ridge)
    within = (meshes.shapes * weights).T  # (S, n): the deviation for a shape z is z @ within @ products
    people, first = np.unique(meshes.person, return_index=True)
    features, shown = meshes.features.shape[1], meshes.residual.shape[1]
    products = np.zeros((len(people), features, shown * 3))
    for row, person in enumerate(people):
        here = meshes.person == person
        products[row] = meshes.features[here].T @ dual[here]
    into, basis = _principal(within[:, first], products.reshape(len(people), -1), components)
    basis = basis.reshape(len(basis), features, shown, 3)
    share = (meshes.features**2).mean(axis=0)
    energy = share[:, None] * (basis**2).sum(axis=(0, 3))
    kept = np.zeros(energy.size, bool)
    kept[np.argsort(-energy, axis=None, kind="stable")[:pairs]] = True
    kept = kept.reshape(energy.shape) & (energy > 0)
    values = basis[:, kept]
    scale = np.maximum(np.abs(values).max(axis=(1, 2), initial=0) / LARGEST, 1)[:, None]
    values = np.rint(values / scale[..., None] / STEP) * STEP
    return PersonalCorrectives(values, np.argwhere(kept).astype(np.int32), into * scale, told)


def best_ridge(meshes: Meshes, weights: Float[Array, " S"]) -> tuple[float, float]:
    """The ridge that predicts people left out best, and the share of their squared residual that it tells."""
    fold = (meshes.person + 1) // 2 % _FOLDS
    tested = meshes.person > 0
    error = np.zeros(len(_RIDGES))
    for number in range(_FOLDS):
        left = tested & (fold == number)
        if not left.any():
            continue
        known, out = _chosen(meshes, ~left), _chosen(meshes, left)
        values, vectors = np.linalg.eigh(_kernel(known, known, weights))
        turned = vectors.T @ known.residual.reshape(len(known.person), -1)
        across = _kernel(out, known, weights) @ vectors
        for place, ridge in enumerate(_RIDGES):
            found = across @ (turned / (values + ridge)[:, None])
            error[place] += ((out.residual.reshape(len(found), -1) - found) ** 2).sum()
    best = int(error.argmin())
    return _RIDGES[best], 1 - float(error[best]) / max(float((meshes.residual[tested] ** 2).sum()), 1e-30)


def _chosen(meshes: Meshes, rows: np.ndarray) -> Meshes:
    return Meshes(meshes.features[rows], meshes.shapes[rows], meshes.person[rows], meshes.residual[rows])


def _kernel(one: Meshes, other: Meshes, weights: np.ndarray) -> Float[Array, "n m"]:
    return (one.features @ other.features.T) * ((one.shapes * weights) @ other.shapes.T)


def _solved(meshes: Meshes, weights: np.ndarray, ridge: float) -> Float[Array, "n 3k"]:
    kernel = _kernel(meshes, meshes, weights)
    kernel[np.diag_indices_from(kernel)] += ridge
    return np.linalg.solve(kernel, meshes.residual.reshape(len(kernel), -1))


def _principal(into: Float[Array, "S p"], products: Float[Array, "p D"], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Map (Q, S) and components (Q, D) of ``shape @ into @ products`` for independent shapes of variance one."""
    axes, size, within = np.linalg.svd(into, full_matrices=False)
    spread = (size[:, None] * within) @ products
    variance, turn = np.linalg.eigh(spread @ spread.T)
    order = np.argsort(-variance)[:count]
    order = order[variance[order] > 1e-9 * max(float(variance.max()), 1e-30)]
    return (axes @ turn[:, order]).T, turn[:, order].T @ spread
