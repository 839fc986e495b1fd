from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hack_model import ModelAsset
from hack_model.appearance.texels import Chart, Texels, texels_of
from hack_model.formats.surface import vertex_normals


@pytest.fixture(scope="module")
def texels(asset: ModelAsset) -> Texels:
    return texels_of(asset, 200)


def test_each_texel_lies_where_its_weights_say(asset: ModelAsset, texels: Texels) -> None:
    found = texels.carry(asset.uv)
    assert np.abs(found - texels.uv).max() < 1e-5


def test_all_skin_is_covered(asset: ModelAsset, texels: Texels) -> None:
    covered = np.zeros(200 * 200, bool)
    covered[texels.index] = True
    inside = asset.uv[texels.chart.triangles].mean(axis=1)
    row, column = ((1 - inside[:, 1]) * 200).astype(int), (inside[:, 0] * 200).astype(int)
    grown = covered.reshape(200, 200)
    near = grown | np.roll(grown, 1, 0) | np.roll(grown, -1, 0) | np.roll(grown, 1, 1) | np.roll(grown, -1, 1)
    assert near[row, column].all()


def test_area_of_the_texels_is_the_skins(asset: ModelAsset, texels: Texels) -> None:
    a, _, d = texels.frame.T
    points = asset.template.astype(np.float64)[texels.chart.vertices[texels.chart.triangles]]
    area = np.linalg.norm(np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]), axis=1).sum() / 2
    assert (a * d).sum() / 200**2 == pytest.approx(area, rel=0.03)


def test_tangents_are_an_orthonormal_frame_along_the_layout(asset: ModelAsset) -> None:
    chart = Chart.of(asset)
    used = np.unique(chart.triangles)
    normals = vertex_normals(asset.template, asset.triangles)[chart.vertices[used]]
    tangents = chart.tangents[used, :3]
    assert np.abs(np.linalg.norm(tangents, axis=1) - 1).max() < 1e-4
    assert np.abs((normals * tangents).sum(axis=1)).max() < 1e-4
    points, uv = asset.template.astype(np.float64), asset.uv.astype(np.float64)
    corners = chart.triangles
    edge = points[chart.vertices[corners[:, 1]]] - points[chart.vertices[corners[:, 0]]]
    du = uv[corners[:, 1], 0] - uv[corners[:, 0], 0]
    along = (edge * chart.tangents[corners[:, 0], :3]).sum(axis=1)
    level = np.abs(uv[corners[:, 1], 1] - uv[corners[:, 0], 1]) < 0.2 * np.abs(du)
    assert (np.sign(along[level]) == np.sign(du[level])).mean() > 0.98


@pytest.mark.parametrize("axis", range(3))
def test_slopes_of_a_plane_across_the_skin(asset: ModelAsset, axis: int) -> None:
    """A relief whose height is a place's distance along an axis slopes as the axis leans on the tangent plane."""
    texels = texels_of(asset, 400)
    position = texels.carry_vertices(asset.template)
    slopes = texels.slopes(texels.filled(position[:, axis]))
    normal = texels.carry_vertices(vertex_normals(asset.template, asset.triangles))
    tangent = texels.carry(texels.chart.tangents[:, :3])
    bitangent = np.cross(normal, tangent)
    for place in ((0.045, -0.01, 0.085), (0.02, 0.09, 0.1)):
        near = np.linalg.norm(position - place, axis=1) < 0.012
        assert near.sum() > 100
        assert np.abs(slopes[near, 0] - tangent[near, axis]).mean() < 0.05
        assert np.abs(slopes[near, 1] - bitangent[near, axis]).mean() < 0.05


def test_filling_goes_on_from_the_border(texels: Texels) -> None:
    values = np.linspace(1, 2, len(texels.index), dtype=np.float32)
    picture = texels.filled(values)
    assert picture.min() >= 1 - 1e-6
    assert picture.max() <= 2 + 1e-6
    np.testing.assert_array_equal(picture.reshape(-1)[texels.index], values)


@pytest.mark.parametrize("far", [3.0, 1e9, 1e30])
def test_a_layout_that_leaves_the_map_costs_no_more_than_the_map(asset: ModelAsset, far: float) -> None:
    uv = asset.uv.copy()
    moved = asset.face_uv[np.flatnonzero(asset.face_material == asset.material_names.index("skin"))[:40]]
    uv[moved[moved >= 0], 1] += np.float32(far)
    texels = texels_of(dataclasses.replace(asset, uv=uv), 64)
    assert texels.index.min() >= 0
    assert texels.index.max() < 64**2
    assert len(np.unique(texels.index)) == len(texels.index)
