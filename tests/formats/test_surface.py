"""Vertex normals."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st

from hack_model.asset import split_quads
from hack_model.formats.surface import vertex_normals
from tests.support.synthetic import synthetic_asset

ASSET = synthetic_asset()


def test_triangles_weigh_by_area() -> None:
    vertices = ASSET.template.astype(np.float64)
    mesh = trimesh.Trimesh(vertices, ASSET.triangles, process=False)
    corners = vertices[ASSET.triangles]
    areas = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    wanted = np.zeros_like(vertices)
    for triangle, area in zip(mesh.faces, areas, strict=True):
        wanted[triangle] += area
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(vertex_normals(vertices, ASSET.triangles), wanted, atol=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_mirrored_quads_have_mirrored_normals(seed: int) -> None:
    vertices = ASSET.template + np.random.default_rng(seed).normal(scale=0.002, size=ASSET.template.shape)
    flipped = np.where(ASSET.faces[:, 3:] < 0, ASSET.faces[:, [2, 1, 0, 3]], ASSET.faces[:, ::-1])
    normals = vertex_normals(vertices, ASSET.faces)
    np.testing.assert_allclose(vertex_normals(vertices * [-1, 1, 1], flipped), normals * [-1, 1, 1], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)
    agreement = np.einsum("vc,vc->v", normals, vertex_normals(vertices, split_quads(ASSET.faces)))
    assert np.median(agreement) > 0.97


def test_triangles_among_quads_count_once() -> None:
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    triangles = np.array([[0, 1, 2], [0, 3, 1]])
    padded = np.concatenate([triangles, np.full((2, 1), -1)], axis=1)
    np.testing.assert_array_equal(vertex_normals(vertices, padded), vertex_normals(vertices, triangles))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lonely_vertices_look_up_and_the_type_stays(dtype: type) -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]], dtype)
    normals = vertex_normals(vertices, np.array([[0, 1, 2]]))
    assert normals.dtype == dtype
    np.testing.assert_allclose(normals, [[0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 1, 0]])
