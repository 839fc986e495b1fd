"""Skinning weights from data: a smooth, sparse, convex combination of bones at each vertex."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

BONES_PER_VERTEX = 4
_STEPS = 150


def project_to_simplex(values: Float[Array, "n J"], bones: int) -> Float[Array, "n J"]:
    """The nearest rows that are non-negative, sum to 1 and have at most ``bones`` non-zero entries.

    Exact: the largest entries are kept (Kyrillidis et al., "Sparse projections onto the simplex", ICML 2013), the rest
    is the sort of Held, Wolfe and Crowder (1974).
    """
    order = np.argsort(-values, axis=1, kind="stable")[:, :bones]
    top = np.take_along_axis(values, order, axis=1)
    excess = (np.cumsum(top, axis=1) - 1) / np.arange(1, top.shape[1] + 1)
    count = (top > excess).sum(axis=1)
    kept = np.clip(top - np.take_along_axis(excess, count[:, None] - 1, axis=1), 0, None)
    result = np.zeros_like(values)
    np.put_along_axis(result, order, kept, axis=1)
    return result / result.sum(axis=1, keepdims=True)


def edge_laplacian(faces: Int[Array, "F 4"], vertices: Float[Array, "V 3"]) -> Any:
    """Sparse (V, V): the quadratic form of squared slopes along edges, in 1/m²; -1 in ``faces`` ends a triangle."""
    from scipy.sparse import coo_matrix, diags

    corners = np.where(faces >= 0, faces, faces[:, :1])
    pairs = np.concatenate([np.stack([corners[:, i], corners[:, (i + 1) % 4]], axis=1) for i in range(4)])
    pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
    first, second = pairs.T
    # Seams of zero length would tie vertices infinitely; a tenth of a millimetre ties them enough.
    length = np.maximum(np.linalg.norm(vertices[first] - vertices[second], axis=1), 1e-4)
    size = (len(vertices), len(vertices))
    adjacency = coo_matrix((length**-2.0, (first, second)), shape=size)
    adjacency = (adjacency + adjacency.T).tocsr()
    return (diags(np.asarray(adjacency.sum(axis=1)).ravel()) - adjacency).tocsr()


def solve_weights(
    normal: Float[Array, "V J J"], right: Float[Array, "V J"], smoothness: Any, start: Float[Array, "V J"]
) -> Float[Array, "V J"]:
    """Minimises ``sum_v w·normal·w/2 - w·right + tr(Wᵀ·smoothness·W)/2`` over sparse convex weights.

    Accelerated projected gradient, each vertex with its own step; the four bones of a vertex are chosen from the
    dense convex solution, then solved for alone.
    """
    diagonal = smoothness.diagonal()
    step = 1 / (np.linalg.eigvalsh(normal)[:, -1] + 2 * diagonal + 1e-12)
    bones = start.shape[1]
    weights = start
    for limit in (bones, BONES_PER_VERTEX):
        allowed = np.ones_like(weights, bool)
        if limit < bones:
            allowed = project_to_simplex(weights, limit) > 0
        previous = weights = project_to_simplex(np.where(allowed, weights, -1e3), limit)
        for count in range(_STEPS):
            ahead = weights + count / (count + 3) * (weights - previous)
            gradient = np.matmul(normal, ahead[..., None])[..., 0] - right + smoothness @ ahead
            previous, weights = (
                weights,
                project_to_simplex(np.where(allowed, ahead - step[:, None] * gradient, -1e3), limit),
            )
    return weights
