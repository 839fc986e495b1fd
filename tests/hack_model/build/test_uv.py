from __future__ import annotations

import cv2
import numpy as np
import pytest

from hack_model.asset import split_quads
from hack_model.build.head import Head
from hack_model.build.unwrap import flatten, tutte
from hack_model.build.uv import PART_STRIP

from .test_refine import grid


def areas(place: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = (place[triangles[:, corner]] for corner in range(3))
    return 0.5 * ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])


def square() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of a flat 6 × 6 grid, its triangles and its border, counter-clockwise."""
    points = np.array([[x, y, 0] for y in range(7) for x in range(7)], float)
    index = np.arange(49).reshape(7, 7)
    border = np.concatenate([index[0, :-1], index[:-1, -1], index[-1, :0:-1], index[:0:-1, 0]])
    return points, split_quads(grid(6, 6)), border


def test_flat_surface_is_flattened_without_distortion():
    points, triangles, border = square()
    flat = flatten(tutte(triangles, border, points), triangles, points, np.ones(len(triangles)), 200)
    edges = triangles[:, [0, 1]]
    lengths = np.linalg.norm(flat[edges[:, 0]] - flat[edges[:, 1]], axis=1)
    np.testing.assert_allclose(lengths, np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1), rtol=0.02)


def test_wanted_size_is_reached():
    points, triangles, border = square()
    flat = flatten(tutte(triangles, border, points), triangles, points, np.full(len(triangles), 3.0), 200)
    assert areas(flat, triangles).sum() == pytest.approx(9 * 36, rel=0.03)


def test_bowl_is_flattened_without_a_flip():
    points, triangles, border = square()
    points[:, 2] = -0.3 * ((points[:, :2] - 3) ** 2).sum(axis=1)
    start = tutte(triangles, border, points)
    assert areas(start, triangles).min() > 0
    assert areas(flatten(start, triangles, points, np.ones(len(triangles))), triangles).min() > 0


def test_skin_fills_the_square_above_the_parts(head: Head):
    uv = head.skin.uv
    assert uv.min() >= 0
    assert uv.max() <= 1
    assert uv[:, 1].min() > PART_STRIP
    triangles = split_quads(head.skin.face_uv)
    assert areas(uv, triangles).sum() > 0.55


def test_no_face_of_the_skin_is_flipped_or_overlaps(head: Head):
    triangles = split_quads(head.skin.face_uv)
    assert areas(head.skin.uv, triangles).min() > 0
    size = 1024
    painted = np.zeros((size, size), np.uint8)
    pixels = head.skin.uv * size
    for face in head.skin.face_uv:
        low = np.floor(pixels[face].min(axis=0)).astype(int) - 2
        box = np.ceil(pixels[face].max(axis=0)).astype(int) + 3 - low
        stencil = np.zeros((box[1], box[0]), np.uint8)
        cv2.fillConvexPoly(stencil, np.round((pixels[face] - low - 0.5) * 256).astype(np.int32), 1, cv2.LINE_8, 8)
        inside = cv2.erode(stencil, np.ones((3, 3), np.uint8), borderValue=0)
        view = painted[low[1] : low[1] + box[1], low[0] : low[0] + box[0]]
        view += inside[: view.shape[0], : view.shape[1]]
    assert painted.max() == 1


def test_layout_is_symmetric_and_cut_at_the_back(head: Head):
    corners = head.skin.face_uv.reshape(-1)
    vertex = head.skin.faces.reshape(-1)
    first, last = np.full(len(head.skin.vertices), 2.0), np.full(len(head.skin.vertices), -1.0)
    np.minimum.at(first, vertex, head.skin.uv[corners, 0])
    np.maximum.at(last, vertex, head.skin.uv[corners, 0])
    split = (last - first > 1e-6) & ~np.any(list(head.inner.values()), axis=0)
    at_lids_or_lips = np.any([np.isin(np.arange(len(first)), head.skin.faces[inner[head.skin.faces].any(axis=1)])
                              for inner in head.inner.values()], axis=0)  # fmt: skip
    whole = ~np.any(list(head.inner.values()), axis=0) & ~at_lids_or_lips
    np.testing.assert_allclose((first + last[head.skin_mirror])[whole], 1, atol=1e-10)
    seam = head.skin.vertices[split & ~at_lids_or_lips]
    assert len(seam) > 20
    assert np.abs(seam[:, 0]).max() < 1e-6
    assert (seam[:, 1] > 0.04).all() or (seam[seam[:, 1] < 0.04, 2] < 0).all()
