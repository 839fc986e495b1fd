"""Flattening a disk of triangles without folds: Tutte's embedding, then the symmetric Dirichlet energy.

The energy (Smith & Schaefer 2015) grows without bound as a triangle shrinks to nothing, so steps that are cut before
the first flip keep every triangle's orientation. Steps come from reweighted least squares (Rabinovich et al. 2017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray


def tutte(triangles: Int[Array, "N 3"], border: Int[Array, " b"], points: Float[Array, "n 3"]) -> Float[Array, "n 2"]:
    """Vertices in the unit disk: the border on the circle by length, every other vertex the mean of its neighbours."""
    step = np.linalg.norm(points[border] - points[np.roll(border, -1)], axis=1)
    turn = 2 * np.pi * np.concatenate([[0], np.cumsum(step)[:-1]]) / step.sum()
    count = len(points)
    rows = triangles[:, [0, 1, 2, 1, 2, 0]].reshape(-1)
    columns = triangles[:, [1, 2, 0, 0, 1, 2]].reshape(-1)
    graph = sp.csr_matrix((np.ones(len(rows)), (rows, columns)), (count, count))
    graph.data[:] = 1
    laplacian = sp.csr_matrix(sp.diags(np.asarray(graph.sum(axis=1)).ravel()) - graph)
    result = np.zeros((count, 2))
    result[border] = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    free = np.setdiff1d(np.arange(count), border)
    result[free] = spsolve(laplacian[free][:, free].tocsc(), -laplacian[free][:, border] @ result[border])
    return result


def flatten(
    start: Float[Array, "n 2"],
    triangles: Int[Array, "N 3"],
    points: Float[Array, "n 3"],
    size: Float[Array, " N"],
    iterations: int = 60,
) -> Float[Array, "n 2"]:
    """Lowers the distortion of a flattening that has no flipped triangle; the border is free.

    ``size`` is the wanted scale of each triangle: 2 asks for twice its length in the plane.
    """
    inverse, area = _rest(points, triangles, size)
    gradient = _gradient(triangles, inverse, len(points))
    place = start * np.sqrt(area.sum() / _areas(start, triangles).sum())
    energy = _energy(_jacobians(place, triangles, inverse), area)
    for _ in range(iterations):
        step = _step(place, triangles, inverse, area, gradient)
        length = min(1.0, 0.8 * _first_flip(place, step, triangles))
        while length > 1e-6:
            moved = place + length * step
            new = _energy(_jacobians(moved, triangles, inverse), area)
            if new < energy:
                break
            length *= 0.6
        else:
            return place
        settled = energy - new < 1e-5 * energy
        place, energy = moved, new
        if settled:
            break
    return place


def _rest(points: np.ndarray, triangles: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse edge matrix (N, 2, 2) and area of each triangle laid into the plane at its wanted scale."""
    first = points[triangles[:, 1]] - points[triangles[:, 0]]
    second = points[triangles[:, 2]] - points[triangles[:, 0]]
    length = np.maximum(np.linalg.norm(first, axis=1), 1e-9)
    along = (first * second).sum(axis=1) / length
    across = np.maximum(np.linalg.norm(np.cross(first, second), axis=1) / length, 1e-3 * length)
    zero = np.zeros(len(length))
    edges = (
        np.stack([np.stack([length, along], axis=1), np.stack([zero, across], axis=1)], axis=1) * size[:, None, None]
    )
    return np.linalg.inv(edges), 0.5 * np.linalg.det(edges)


def _gradient(triangles: np.ndarray, inverse: np.ndarray, count: int) -> sp.csr_matrix:
    """Matrix (2N, n) from one coordinate of the vertices to each triangle's row of its Jacobian."""
    shares = np.concatenate([-inverse.sum(axis=1, keepdims=True), inverse], axis=1)
    rows = np.repeat(np.arange(2 * len(triangles)).reshape(-1, 1, 2), 3, axis=1)
    columns = np.repeat(triangles[:, :, None], 2, axis=2)
    return sp.csr_matrix((shares.reshape(-1), (rows.reshape(-1), columns.reshape(-1))), (2 * len(triangles), count))


def _jacobians(place: np.ndarray, triangles: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    corners = place[triangles]
    edges = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], axis=2)
    return edges @ inverse


def _energy(jacobians: np.ndarray, area: np.ndarray) -> float:
    determinant = np.linalg.det(jacobians)
    if (determinant <= 0).any():
        return float("inf")
    square = (jacobians**2).sum(axis=(1, 2))
    return float(area @ (square * (1 + determinant**-2.0)))


def _step(
    place: np.ndarray, triangles: np.ndarray, inverse: np.ndarray, area: np.ndarray, gradient: sp.csr_matrix
) -> np.ndarray:
    """Direction to the minimum of the reweighted least squares."""
    jacobians = _jacobians(place, triangles, inverse)
    left, stretch, right = np.linalg.svd(jacobians)
    near = np.abs(stretch - 1) < 1e-6
    square = np.where(near, 4, (stretch - stretch**-3) / np.where(near, 1, stretch - 1))
    # Squared weight matrices: of the two coordinates, the first couples to the second through their off-diagonal.
    metric = np.einsum("nij,nj,nkj->nik", left, square, left) * area[:, None, None]
    wanted = left @ right
    blocks = [[_weighted(gradient, metric[:, i, j]) for j in range(2)] for i in range(2)]
    damping = 1e-6 * blocks[0][0].diagonal().mean() * sp.eye(len(place))
    matrix = sp.bmat([[blocks[0][0] + damping, blocks[0][1]], [blocks[1][0], blocks[1][1] + damping]]).tocsc()
    pull = np.einsum("nij,njk->nik", metric, wanted)
    side = np.concatenate([gradient.T @ pull[:, i].reshape(-1) + damping @ place[:, i] for i in range(2)])
    return spsolve(matrix, side).reshape(2, -1).T - place


def _weighted(gradient: sp.csr_matrix, weight: np.ndarray) -> sp.csr_matrix:
    return gradient.T @ sp.diags(np.repeat(weight, 2)) @ gradient


def _first_flip(place: np.ndarray, step: np.ndarray, triangles: np.ndarray) -> float:
    """The length along ``step`` at which the first triangle loses its area; infinite when none does."""
    corners, moves = place[triangles], step[triangles]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    c, d = moves[:, 1] - moves[:, 0], moves[:, 2] - moves[:, 0]
    zero, one, two = _cross(a, b), _cross(a, d) + _cross(c, b), _cross(c, d)
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(one**2 - 4 * two * zero)
        # The stable pair of roots of a quadratic; a linear one leaves its second root infinite or undefined.
        half = -0.5 * (one + np.where(one < 0, -root, root))
        roots = np.stack([half / two, zero / half])
    roots = roots[np.isfinite(roots) & (roots > 0)]
    return float(roots.min()) if roots.size else float("inf")


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _areas(place: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    corners = place[triangles]
    return 0.5 * _cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
