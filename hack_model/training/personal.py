"""The personal stage: what each subject's expressions and correctives have of their own, as a function of shape.

The shared model leaves a residual in each mesh. It is explained by the products of the mesh's weights (activations of
expressions, or pose features) with the leading shape coefficients of its subject: one regularised least-squares
problem. The prior's width is the one that best predicts the residuals of subjects left out; where no width predicts
them better than the shared model does, nothing personal is kept. The principal components of the predicted deviations
over the population (independent shape coefficients of variance one) are the basis, and only (row, vertex) pairs that
stand out from the noise stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.asset import ModelAsset
from hack_model.training.skinning import edge_laplacian
from hack_model.training.static import Neutrals

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

MIN_SUBJECTS = 8
"""Fewer subjects with such meshes cannot tell what belongs to their shape."""
_SUBJECTS_PER_SHAPE, _MOST_SHAPES, _MOST_UNKNOWNS = 3, 24, 1500
_FOLDS = 4
_PRIOR_SDS = (2e-3, 1e-3, 5e-4, 2.5e-4, 1.2e-4, 6e-5, 3e-5)
"""Metres per unit weight and standard deviation of shape: the widths of the prior that are tried."""
_VALIDATION_VERTICES = 500
_COMPONENTS, _SMALLEST_SHARE = 16, 5e-3
_SIGNIFICANT, _SMALLEST = 2.0, 1e-5
"""Pairs are kept whose energy is so many times the noise's, and at least so many metres."""

Residuals = Callable[[], Iterator["Block"]]


@dataclass(frozen=True)
class Block:
    """Some meshes: their ``subject`` (b,), their ``weights`` (b, R) of the rows, and the ``residual`` (b, V, 3) in
    metres, at rest, of the shared model."""

    subject: Int[Array, " b"]
    weights: Float[Array, "b R"]
    residual: Float[Array, "b V 3"]


def subject_shapes(asset: ModelAsset, neutrals: Neutrals) -> Float[Array, "subjects S"]:
    """Shape coefficients of each subject's neutral head, by least squares."""
    flat = asset.shape_basis.dense().reshape(len(asset.shape_basis), -1).astype(np.float64)
    mean = asset.template.reshape(-1)
    projected = np.concatenate([(block - mean) @ flat.T for block in neutrals.stream()])
    return np.linalg.lstsq(flat @ flat.T, projected.T, rcond=None)[0].T


def learn_personal(
    asset: ModelAsset, shapes: Float[Array, "subjects S"], residuals: Residuals, noise: float
) -> dict[str, np.ndarray]:
    """``basis``, ``pairs`` and ``map`` of a personalised basis (:mod:`hack_model.schema`), and the share it tells.

    They are empty where the data shows none. ``told`` is the share of the residuals of subjects left out.
    """
    system = _System.of(residuals, shapes, asset.vertex_count)
    if system is None:
        return {**_nothing(), "told": np.array(0.0)}
    prior, told, untold = system.best_prior(noise)
    if told <= 0:
        return {**_nothing(), "told": np.array(0.0)}
    found, spread = system.solve(prior)
    return {**_components(asset, found, spread * untold, system.rows, shapes.shape[1]), "told": np.array(told)}


def _nothing() -> dict[str, np.ndarray]:
    return {"basis": np.zeros((0, 0, 3)), "pairs": np.zeros((0, 2), np.int32), "map": np.zeros((0, 0))}


@dataclass(frozen=True)
class _System:
    """Normal equations of residuals in products of the weights of the ``rows`` shown and leading shape coefficients.

    ``normal`` (D, D) and ``right`` (D, 3 V) are of all subjects; ``folds`` hold the same for parts of the subjects at
    some vertices, with the squares of the residuals there, of which there are ``probed``.
    """

    rows: Int[Array, " r"]
    shape_count: int
    normal: Float[Array, "D D"]
    right: Float[Array, "D 3V"]
    folds: tuple[tuple[Array, Array, float], ...]
    probed: int

    @classmethod
    def of(cls, residuals: Residuals, shapes: Float[Array, "subjects S"], vertices: int) -> _System | None:
        """The equations; None for too few subjects."""
        shown: set[int] = set()
        seen = np.zeros(0, bool)
        for block in residuals():
            shown |= set(block.subject.tolist())
            active = (block.weights != 0).any(axis=0)
            seen = active if not seen.size else seen | active
        if len(shown) < MIN_SUBJECTS:
            return None
        rows = np.flatnonzero(seen)
        count = min(shapes.shape[1], _MOST_SHAPES, len(shown) // _SUBJECTS_PER_SHAPE, _MOST_UNKNOWNS // len(rows))
        if count < 1:
            return None
        fold = {subject: number % _FOLDS for number, subject in enumerate(sorted(shown))}
        probe = np.unique(np.linspace(0, vertices - 1, min(vertices, _VALIDATION_VERTICES)).astype(int))
        size = len(rows) * count
        right = np.zeros((size, 3 * vertices), np.float32)
        parts: list[list[Any]] = [
            [np.zeros((size, size)), np.zeros((size, 3 * len(probe))), 0.0] for _ in range(_FOLDS)
        ]
        probed_count = 0
        for block in residuals():
            unknowns = block.weights[:, rows, None] * shapes[block.subject, None, :count]
            unknowns = unknowns.reshape(len(unknowns), size)
            right += unknowns.T.astype(np.float32) @ block.residual.reshape(len(unknowns), -1)
            probed = block.residual[:, probe].reshape(len(unknowns), -1).astype(np.float64)
            probed_count += probed.size
            own = np.array([fold[subject] for subject in block.subject.tolist()])
            for number in np.unique(own):
                part, here = parts[number], own == number
                part[0] += unknowns[here].T @ unknowns[here]
                part[1] += unknowns[here].T @ probed[here]
                part[2] += float((probed[here] ** 2).sum())
        normal = np.sum([part[0] for part in parts], axis=0)
        return cls(rows, count, normal, right, tuple((part[0], part[1], part[2]) for part in parts), probed_count)

    def best_prior(self, noise: float) -> tuple[float, float, float]:
        """Precision of the prior over the noise's that predicts subjects left out best, the share of their residuals
        that it tells, and the mean square per coordinate of what it does not."""
        rights = sum(part[1] for part in self.folds)
        whole = sum(part[2] for part in self.folds)
        best = (0.0, 0.0, whole / self.probed)
        for width in _PRIOR_SDS:
            prior = (noise / width) ** 2
            error = 0.0
            for normal, right, square in self.folds:
                found = np.linalg.solve(self.normal - normal + prior * np.eye(len(normal)), rights - right)
                error += square - 2 * float((found * right).sum()) + float((found * (normal @ found)).sum())
            best = max(best, (1 - error / whole, prior, error / self.probed))
        return best[1], best[0], best[2]

    def solve(self, prior: float) -> tuple[Float[Array, "r s V 3"], Float[Array, " r"]]:
        """The deviation of each row per shape coefficient, and its variance over that of the noise, summed."""
        inverse = np.linalg.inv(self.normal + prior * np.eye(len(self.normal)))
        found = inverse.astype(np.float32) @ self.right
        variance = np.diag(inverse @ self.normal @ inverse).reshape(len(self.rows), self.shape_count).sum(axis=1)
        return found.reshape(len(self.rows), self.shape_count, -1, 3), variance


def _components(
    asset: ModelAsset, found: Float[Array, "r s V 3"], noise: Float[Array, " r"], rows: Int[Array, " r"], shapes: int
) -> dict[str, np.ndarray]:
    """Principal components over the population, at pairs that stand out from ``noise``, the variance per coordinate."""
    energy = (found.astype(np.float64) ** 2).sum(axis=(1, 3))
    smooth = _averaged(asset, energy)
    kept = (smooth > _SIGNIFICANT * 3 * noise[:, None]) & (smooth > _SMALLEST**2)
    pairs = np.argwhere(kept)
    values = found.swapaxes(0, 1)[:, kept].astype(np.float64)  # (s, N, 3)
    flat = values.reshape(len(values), -1)
    variance, axes = np.linalg.eigh(flat @ flat.T)
    variance, axes = variance[::-1], axes[:, ::-1]
    count = min(_COMPONENTS, int((variance > _SMALLEST_SHARE * max(float(variance.sum()), 1e-30)).sum()))
    if not len(pairs):
        return _nothing()
    into = np.zeros((count, shapes))
    into[:, : len(values)] = axes[:, :count].T
    basis = np.tensordot(axes[:, :count].T, values, 1)
    pairs = np.stack([rows[pairs[:, 0]], pairs[:, 1]], axis=1)
    return {"basis": basis, "pairs": pairs.astype(np.int32), "map": into}


def _averaged(asset: ModelAsset, energy: Float[Array, "r V"]) -> Float[Array, "r V"]:
    """Each vertex' mean with its neighbours, so that noise does not choose single vertices."""
    adjacency = edge_laplacian(asset.faces, asset.template)
    adjacency = (adjacency != 0).astype(np.float64)  # a vertex and its neighbours
    counts = np.asarray(adjacency.sum(axis=1)).ravel()
    return (adjacency @ energy.T).T / np.maximum(counts, 1)
