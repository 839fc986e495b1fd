"""Surfaces, registration and what follows the identity."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from hack_model import HACK
from hack_model.asset import ModelAsset, split_quads
from hack_model.formats.surface import vertex_normals
from hack_model.posing import neck_pose
from hack_model.sources import transfer
from hack_model.sources.registration import Landmarks, register
from hack_model.sources.surface import Surface, SurfacePoints, connected_pieces
from tests.support.synthetic import synthetic_asset


@pytest.fixture(scope="module")
def head() -> ModelAsset:
    return synthetic_asset(0, rings=32, segments=28, correctives=True)


def skin_of(asset: ModelAsset) -> tuple[np.ndarray, np.ndarray]:
    stop = asset.part("skin").stop
    triangles = split_quads(asset.faces)
    return asset.template[:stop].astype(np.float64), triangles[(triangles < stop).all(axis=1)]


def some_landmarks(vertices: np.ndarray, moved: np.ndarray, step: int = 23) -> Landmarks:
    chosen = np.arange(0, len(vertices), step)
    weights = np.tile([1.0, 0.0, 0.0], (len(chosen), 1))
    points = SurfacePoints(np.repeat(chosen[:, None], 3, axis=1), weights, np.zeros(len(chosen)))
    return Landmarks(points, moved[chosen], np.ones(len(chosen)))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), away=st.floats(0, 0.03))
def test_nearest_points_are_the_nearest(head: ModelAsset, seed: int, away: float) -> None:
    vertices, triangles = skin_of(head)
    random = np.random.default_rng(seed)
    points = vertices[random.integers(0, len(vertices), 12)] + random.normal(size=(12, 3)) * away
    found = Surface(vertices, triangles).closest(points)
    corners = vertices[triangles]
    for point, distance, place in zip(points, found.distance, found.carry(vertices), strict=True):
        nearest = trimesh.triangles.closest_point(corners, np.broadcast_to(point, (len(corners), 3)))
        least = np.linalg.norm(nearest - point, axis=1).min()
        assert distance == pytest.approx(least, abs=1e-9)
        assert np.linalg.norm(place - point) == pytest.approx(least, abs=1e-9)


def test_normals_keep_the_sides_of_a_sheet_apart() -> None:
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float) * 0.1
    back = square - [0, 0, 0.001]
    surface = Surface(np.concatenate([square, back]), np.array([[0, 1, 2], [0, 2, 3], [4, 6, 5], [4, 7, 6]]))
    point = np.array([[0.03, 0.06, 0.001]])
    assert surface.closest(point, np.array([[0, 0, 1.0]])).distance[0] == pytest.approx(0.001)
    assert surface.closest(point, np.array([[0, 0, -1.0]])).distance[0] == pytest.approx(0.002)
    nothing = Surface(square, np.array([[0, 1, 2]])).closest(point, np.array([[0, 0, -1.0]]))
    assert not nothing.found[0]
    assert (nothing.carry(square) == 0).all()


def test_border_and_pieces(head: ModelAsset) -> None:
    vertices, triangles = skin_of(head)
    border = np.flatnonzero(Surface(vertices, triangles).boundary)
    np.testing.assert_array_equal(border, np.arange(28))  # the open ring below
    assert connected_pieces(split_quads(head.faces), head.vertex_count).max() == 2


def test_registration_finds_a_known_deformation(head: ModelAsset) -> None:
    vertices, triangles = skin_of(head)
    wave = np.sin(vertices * 25)[:, [1, 2, 0]]
    moved = vertices * [1.06, 0.97, 1.04] + 0.004 * wave + [0, 0.01, 0.005]
    marks = some_landmarks(vertices, moved)
    laid = register(vertices, triangles, Surface(moved, triangles), marks)
    error = np.linalg.norm(laid - moved, axis=1)
    assert np.linalg.norm(moved - vertices, axis=1).mean() > 0.008
    assert np.percentile(error, 90) < 0.002
    # The open border seeks nothing and stays a little off.
    assert np.percentile(Surface(moved, triangles).closest(laid).distance, 93) < 0.0003


def test_registration_leaves_vertices_that_are_not_drawn_to_their_neighbours(head: ModelAsset) -> None:
    vertices, triangles = skin_of(head)
    target = vertices.copy()
    nose = np.linalg.norm(vertices - vertices[np.argmax(vertices[:, 2])], axis=1) < 0.02
    target[nose] += [0, 0, 0.012]
    marks = some_landmarks(vertices[~nose], target[~nose])
    points = SurfacePoints(np.flatnonzero(~nose)[marks.points.vertices], marks.points.weights, marks.points.distance)
    marks = Landmarks(points, marks.targets, marks.trust)
    left = register(vertices, triangles, Surface(target, triangles), marks, ~nose)
    drawn = register(vertices, triangles, Surface(target, triangles), marks)
    tip = int(np.argmax(vertices[:, 2]))
    assert drawn[tip, 2] - left[tip, 2] > 0.004


def fitted_to(template: ModelAsset, other: ModelAsset) -> transfer.Fitted:
    stop = other.part("skin").stop
    faces = other.faces[(other.faces[:, :3] < stop).all(axis=1)]
    vertices = other.template[:stop].astype(np.float64)
    own, _ = skin_of(template)
    nearest = Surface(vertices, split_quads(faces)).closest(own)
    marks = some_landmarks(own, nearest.carry(vertices))
    return transfer.Fitted.of(template, vertices, faces, np.ones(stop, bool), marks)


def personal_template() -> ModelAsset:
    """The synthetic model whose first corrective and larynx follow the identity."""
    asset = synthetic_asset(0, rings=32, segments=28)
    random = np.random.default_rng(5)
    skin = asset.part("skin").stop
    low = np.flatnonzero(asset.template[:skin, 1] < -0.05)
    pairs = np.stack([np.zeros(len(low), int), low], axis=1)
    smooth = np.sin(asset.template[low] * 20) * 0.01
    return replace(
        asset,
        pose_features=np.array([9 + 2, *range(20, 25)]),
        larynx_identity=random.normal(size=6) * 0.2,
        personal_pose_basis=smooth[None],
        personal_pose_pairs=pairs,
        personal_pose_map=random.normal(size=(1, 6)),
    )


def carried_model(template: ModelAsset, fine: ModelAsset) -> tuple[ModelAsset, dict[str, Any]]:
    """The template's own content on a finer mesh, its identities carried over."""
    fitted = fitted_to(template, fine)
    stop = fine.part("skin").stop
    shapes = np.zeros((6, fine.vertex_count, 3))
    shapes[:, :stop] = fitted.carry(np.asarray(template.shape_basis))
    fields = transfer.transferred_fields(
        fitted, fine.template.astype(float), (fine.part("eye_left"), fine.part("eye_right"))
    )
    fields |= transfer.identity_fields(fitted, shapes[:, :stop])
    weights = fine.weights.copy()
    weights[:stop] = fields["weights"]
    return replace(fine, shape_basis=shapes, **{**fields, "weights": weights}), fields


def test_what_follows_the_identity_is_carried() -> None:
    template = personal_template()
    fine = synthetic_asset(0, rings=45, segments=36)
    model, fields = carried_model(template, fine)
    # Weak components shrink towards the mean, as they should under noise; none may turn round.
    assert np.corrcoef(fields["larynx_identity"], template.larynx_identity)[0, 1] > 0.95
    assert fields["direction_names"].tolist() == list(template.direction_names)
    assert np.corrcoef(fields["directions"].ravel(), template.directions.ravel())[0, 1] > 0.9
    shape = np.array([1.0, -1, 0.5, 0, 0, 0])
    bent = {}
    for name, asset in (("template", template), ("model", model)):
        rig = HACK.from_asset(asset).rig(shape)
        pose = neck_pose(asset, axial=0.9)
        plain = replace(asset, personal_pose_basis=asset.personal_pose_basis * 0)
        change = np.asarray(rig(pose=pose).vertices) - np.asarray(HACK.from_asset(plain).rig(shape)(pose=pose).vertices)
        bent[name] = np.linalg.norm(change, axis=1).max()
    assert bent["template"] > 2e-4
    assert bent["model"] == pytest.approx(bent["template"], rel=0.25)


def test_likeliest_coefficients() -> None:
    random = np.random.default_rng(0)
    basis = random.normal(size=(4, 4000, 3)) * 0.01
    wanted = random.normal(size=(3, 4))
    found = transfer.likeliest(basis, np.tensordot(wanted, basis, 1))
    np.testing.assert_allclose(found, wanted, atol=0.01)
    np.testing.assert_allclose(transfer.likeliest(basis, np.zeros((1, 4000, 3))), 0, atol=1e-12)
    faint = basis * 1e-5  # what cannot be told apart from noise stays at the mean
    assert np.abs(transfer.likeliest(faint, np.tensordot(wanted, faint, 1))).max() < 0.01


def test_larynx_direction_is_outward(head: ModelAsset) -> None:
    fitted = fitted_to(head, synthetic_asset(0, rings=40, segments=30))
    normals = vertex_normals(fitted.vertices, split_quads(fitted.faces))
    front = (fitted.vertices[:, 1] < -0.1) & (fitted.vertices[:, 2] > 0.04)
    direction = transfer.averaged_direction(fitted, front.astype(float))
    assert np.linalg.norm(direction) == pytest.approx(1)
    assert direction @ normals[front].mean(axis=0) > 0.9
    assert direction[0] == 0
