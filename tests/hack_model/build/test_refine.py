from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hack_model.build.refine import catmull_clark

CUBE = np.array([[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]])


def grid(rows: int, columns: int) -> np.ndarray:
    index = np.arange((rows + 1) * (columns + 1)).reshape(rows + 1, columns + 1)
    return np.stack([index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], axis=-1).reshape(-1, 4)


def naive(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Catmull and Clark's rules vertex by vertex, as the paper words them."""
    faces_at, edges = defaultdict(list), defaultdict(list)
    centres = [points[face].mean(axis=0) for face in faces]
    for number, face in enumerate(faces.tolist()):
        for corner in range(4):
            faces_at[face[corner]].append(number)
            edges[tuple(sorted((face[corner], face[(corner + 1) % 4])))].append(number)
    result = []
    for vertex, point in enumerate(points):
        own = [edge for edge in edges if vertex in edge]
        border = [edge for edge in own if len(edges[edge]) == 1]
        if not own:
            result.append(point)
        elif border:
            ends = [points[a if b == vertex else b] for a, b in border]
            result.append(0.75 * point + 0.125 * sum(ends))
        else:
            n = len(own)
            q = np.mean([centres[face] for face in faces_at[vertex]], axis=0)
            r = np.mean([points[list(edge)].mean(axis=0) for edge in own], axis=0)
            result.append((q + 2 * r + (n - 3) * point) / n)
    for edge in sorted(edges):
        middle = points[list(edge)].mean(axis=0)
        beside = [centres[face] for face in edges[edge]]
        result.append(middle if len(beside) == 1 else 0.5 * middle + 0.5 * np.mean(beside, axis=0))
    return np.array(result + centres)


@pytest.mark.parametrize("faces", [CUBE, grid(1, 1), grid(3, 4)], ids=["cube", "quad", "grid"])
def test_matrix_equals_the_rules(faces: np.ndarray):
    points = np.random.default_rng(1).normal(size=(faces.max() + 1, 3))
    matrix, _ = catmull_clark(faces, len(points))
    np.testing.assert_allclose(matrix @ points, naive(points, faces), atol=1e-12)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_rows_sum_to_one_and_never_overshoot(rows: int, columns: int, seed: int):
    faces = grid(rows, columns)
    matrix, refined = catmull_clark(faces, faces.max() + 1)
    np.testing.assert_allclose(np.asarray(matrix.sum(axis=1)).ravel(), 1)
    assert matrix.data.min() >= 0
    points = np.random.default_rng(seed).normal(size=(faces.max() + 1, 3))
    new = matrix @ points
    assert (new.min(axis=0) >= points.min(axis=0) - 1e-12).all()
    assert len(refined) == 4 * len(faces)


def test_refined_faces_keep_their_winding():
    faces = grid(2, 2)
    points = np.array([[x, y] for y in range(3) for x in range(3)], float)
    matrix, refined = catmull_clark(faces, 9)
    corners = (matrix @ points)[refined]
    first, second = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    assert (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0] > 0).all()


def test_unused_vertices_stay():
    matrix, _ = catmull_clark(grid(1, 1), 6)
    np.testing.assert_array_equal(matrix[5].toarray(), np.eye(6)[5:])
