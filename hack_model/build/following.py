"""How a generated part follows the MakeHuman base mesh: rows that carry base displacements to its vertices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray


def spread_anchors(
    points: Float[Array, "n 3"], candidates: Int[Array, " n"], count: int, centre_line: bool = False
) -> Int[Array, " k"]:
    """``count`` of the candidates that lie far from one another (farthest-point order, deterministic).

    With ``centre_line`` each chosen point's mirror image about x = 0 is chosen too, so that followers stay symmetric.
    """
    chosen: list[int] = []
    distance = np.linalg.norm(points - points.mean(axis=0), axis=1)
    while len(chosen) < count:
        best = int(np.argmax(np.round(distance, 9)))
        new = [best]
        if centre_line:
            new.append(int(np.argmin(np.linalg.norm(points - points[best] * [-1, 1, 1], axis=1))))
        for index in new:
            if index not in chosen:
                chosen.append(index)
                away = np.linalg.norm(points - points[index], axis=1)
                distance = away if len(chosen) == 1 else np.minimum(distance, away)
    return candidates[np.array(chosen)]


def affine_rows(points: Float[Array, "n 3"], base: Float[Array, "N 3"], anchors: Int[Array, " k"]) -> sp.csr_matrix:
    """Rows (n, N) by which the points follow the best affine motion of the anchors; each row sums to 1.

    Of all weights that reproduce affine maps of the anchors exactly, these have the least squares (pseudo-inverse), so
    the motion of a single anchor moves the part little.
    """
    frame = np.column_stack([np.ones(len(anchors)), base[anchors]])
    middle = base[anchors].mean(axis=0)
    frame[:, 1:] -= middle
    weights = np.column_stack([np.ones(len(points)), points - middle]) @ np.linalg.pinv(frame)
    rows = np.repeat(np.arange(len(points)), len(anchors))
    columns = np.tile(anchors, len(points))
    return sp.csr_matrix((weights.reshape(-1), (rows, columns)), (len(points), len(base)))


def flip(faces: np.ndarray) -> np.ndarray:
    """Faces with the opposite winding; a triangle's -1 stays last."""
    quads = faces[:, [0, 3, 2, 1]]
    triangles = np.column_stack([faces[:, [0, 2, 1]], faces[:, 3]])
    return np.where(faces[:, 3:] < 0, triangles, quads)
