"""The shape space: principal components of many sampled people, scale and placement taken out.

Every sample is brought onto the template by the similarity (rotation, translation, one scale) that fits its head, from
scalp to jaw without ears and lips, in the least-squares sense. So components carry no head size and no head placement,
which are parameters of their own; shoulders and neck move relative to the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hack_model.alignment import similarity

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float, Int

    Array = np.ndarray


@dataclass(frozen=True)
class ShapeSpace:
    """``basis`` (S, C, 3) metres per standard deviation; ``variance`` the share of the samples' variance of each
    component; ``metric`` the weight of each vertex in the components' inner product."""

    basis: Float[Array, "S C 3"]
    variance: Float[Array, " S"]
    metric: Float[Array, " C"]

    def coefficients(self, displacement: Float[Array, "*batch C 3"]) -> Float[Array, "*batch S"]:
        """The coefficients whose shape is nearest to a displacement from the template, in the metric."""
        weighted = (self.basis * self.metric[:, None]).reshape(len(self.basis), -1)
        gram = weighted @ self.basis.reshape(len(self.basis), -1).T
        flat = displacement.reshape(*displacement.shape[:-2], -1)
        return np.linalg.solve(gram, weighted @ flat.T).T


def align(points: Float[Array, "C 3"], target: Float[Array, "C 3"], weight: Float[Array, " C"]) -> Float[Array, "C 3"]:
    """``points`` under the similarity that brings them nearest to ``target``, weighted per point."""
    scale, rotation, translation = similarity(points, target, weight)
    return scale * points @ rotation.T + translation


def principal_components(
    samples: Float[Array, "n C 3"], mirror: Int[Array, " C"], metric: Float[Array, " C"], components: int
) -> ShapeSpace:
    """Principal components of displacements from the template, each scaled to one standard deviation.

    Every sample counts together with its mirror image, so each component is exactly symmetric or antisymmetric: the two
    halves of the covariance are decomposed separately.
    """
    flipped = samples[:, mirror] * np.array([-1, 1, 1], np.float32)
    halves = [0.5 * (samples + flipped), 0.5 * (samples - flipped)]
    halves[0] = halves[0] - halves[0].mean(axis=0)
    found = [_components(half, metric, components) for half in halves]
    variance = np.concatenate([item[0] for item in found])
    basis = np.concatenate([item[1] for item in found])
    order = np.argsort(-variance, kind="stable")[:components]
    total = sum(float((half**2 * metric[:, None]).sum()) for half in halves) / len(samples)
    return ShapeSpace(_signed(basis[order], metric), variance[order] / total, metric)


def _components(half: np.ndarray, metric: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Variances and scaled components (S, C, 3) of one half, through the samples' Gram matrix."""
    count = len(half)
    flat = half.reshape(count, -1)
    weighted = (half * np.sqrt(metric, dtype=np.float32)[:, None]).reshape(count, -1)
    values, vectors = np.linalg.eigh((weighted @ weighted.T).astype(np.float64))
    values, vectors = values[::-1][:components], vectors[:, ::-1][:, :components]
    basis = (vectors / np.sqrt(count)).T.astype(np.float32) @ flat
    return values / count, basis.reshape(len(values), *half.shape[1:])


def _signed(basis: np.ndarray, metric: np.ndarray) -> np.ndarray:
    """Components with a reproducible sign: the weighted sum of forward, upward and leftward motion is positive."""
    total = np.einsum("scx,c,x->s", basis, metric, np.array([0.37, 0.61, 1.0]))
    return basis * np.where(total < 0, -1, 1)[:, None, None].astype(np.float32)


def sample_displacements(
    sample: Callable[[], Float[Array, "C 3"]],
    template: Float[Array, "C 3"],
    weight: Float[Array, " C"],
    count: int,
    progress: Callable[[str, int, int], None] | None = None,
) -> Float[Array, "n C 3"]:
    """``count`` people as displacements from the template after alignment."""
    result = np.empty((count, *template.shape), np.float32)
    for index in range(count):
        result[index] = align(sample(), template, weight) - template
        if progress is not None:
            progress("sampling identities", index + 1, count)
    return result


def generalisation(space: ShapeSpace, held_out: Float[Array, "n C 3"], counts: tuple[int, ...]) -> dict[int, float]:
    """Root-mean-square distance in metres between held-out people and their best approximation by the first components.

    Distances of vertices are weighted by the space's metric.
    """
    result: dict[int, float] = {}
    share = space.metric / space.metric.sum()
    for count in counts:
        part = ShapeSpace(space.basis[:count], space.variance[:count], space.metric)
        shapes = np.tensordot(part.coefficients(held_out), part.basis, axes=1)
        result[count] = float(np.sqrt((((held_out - shapes) ** 2).sum(axis=-1) @ share).mean()))
    return result
