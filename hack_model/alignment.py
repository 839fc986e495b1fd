"""The rigid motion or similarity that brings points nearest to other points, by least squares.

S. Umeyama, "Least-squares estimation of transformation parameters between two point patterns", IEEE PAMI 13 (1991);
without scale it is the rotation of W. Kabsch, Acta Crystallographica A 32 (1976).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray


def similarity(
    points: Float[Array, "n 3"], targets: Float[Array, "n 3"], weights: Float[Array, " n"] | None = None
) -> tuple[float, Float[Array, "3 3"], Float[Array, "3"]]:
    """Scale s, rotation R and translation t with targets ≈ s · points Rᵀ + t; never a reflection.

    ``weights`` say how much each point counts (all alike when left out); only their ratios matter.
    """
    share, middle, goal = _centres(points, targets, weights)
    rotation, stretch = _rotation(share * (points - middle), targets - goal)
    scale = stretch / float((share * (points - middle) ** 2).sum())
    return scale, rotation, goal - scale * rotation @ middle


def rigid_motion(
    points: Float[Array, "n 3"], targets: Float[Array, "n 3"], weights: Float[Array, " n"] | None = None
) -> tuple[Float[Array, "3 3"], Float[Array, "3"]]:
    """Rotation R and translation t with targets ≈ points Rᵀ + t; ``weights`` as for :func:`similarity`."""
    share, middle, goal = _centres(points, targets, weights)
    rotation, _ = _rotation(share * (points - middle), targets - goal)
    return rotation, goal - rotation @ middle


def _centres(
    points: Float[Array, "n 3"], targets: Float[Array, "n 3"], weights: Float[Array, " n"] | None
) -> tuple[Float[Array, "n 1"], Float[Array, "3"], Float[Array, "3"]]:
    """The points' shares, sum 1, and both weighted means."""
    share = np.full((len(points), 1), 1 / len(points)) if weights is None else (weights / weights.sum())[:, None]
    return share, (share * points).sum(axis=0), (share * targets).sum(axis=0)


def _rotation(points: Float[Array, "n 3"], targets: Float[Array, "n 3"]) -> tuple[Float[Array, "3 3"], float]:
    """The rotation that makes the sum of the products of rotated points and targets largest, and that sum."""
    left, stretch, right = np.linalg.svd(targets.T @ points)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    return (left * signs) @ right, float((stretch * signs).sum())
