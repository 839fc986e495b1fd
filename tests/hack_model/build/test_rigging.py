"""Joints, weights, larynx, regions and landmarks of the model as it is shipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hack_model
from hack_model import posing
from hack_model.build.head import Head
from hack_model.build.landmarks import mesh_digest, nearest_points, read_points
from hack_model.build.skeleton import even_weights
from hack_model.build.symmetry import mirror_of
from hack_model.errors import FormatError
from hack_model.formats.surface import vertex_normals
from hack_model.model import HACK
from hack_model.names import CERVICAL_JOINTS, SKELETON
from hack_model.resources import data_folder
from hack_model.spine import joint_limits, read_spine


@pytest.fixture(scope="module")
def model() -> HACK:
    return hack_model.load()


def skin(model: HACK) -> slice:
    return model.asset.part("skin")


def test_rhythm_is_the_published_one():
    table = read_spine(data_folder() / "hack_open" / "cervical_spine.csv")
    np.testing.assert_allclose(table.rhythm.sum(axis=0), 1)
    upper = [CERVICAL_JOINTS.index(name) for name in ("c1c2", "oc1")]
    np.testing.assert_allclose(table.rhythm[upper].sum(axis=0), [40 / 122, 77 / 132, 13 / 80])
    assert table.rhythm[CERVICAL_JOINTS.index("c1c2"), 1] == pytest.approx(0.889 * 77 / 132)


def test_whole_neck_reaches_its_range_within_the_limits():
    table = read_spine(data_folder() / "hack_open" / "cervical_spine.csv")
    limits = np.degrees(joint_limits(table))
    for axis, (low, high) in enumerate(((-80, 50), (-80, 80), (-45, 45))):
        assert (table.rhythm[:, axis] * high <= limits[:, axis, 1] + 1e-9).all()
        assert (table.rhythm[:, axis] * low >= limits[:, axis, 0] - 1e-9).all()
        assert limits[:, axis, 1].sum() < 1.5 * high


def test_spine_without_a_joint_is_an_error(tmp_path: Path):
    lines = (data_folder() / "hack_open" / "cervical_spine.csv").read_text().splitlines()
    path = tmp_path / "spine.csv"
    path.write_text("\n".join(line for line in lines if not line.startswith("c5c6")))
    with pytest.raises(FormatError, match=r"spine\.csv.*c5c6"):
        read_spine(path)


@given(st.integers(4, 30), st.integers(0, 2**32 - 1))
def test_even_weights_make_the_wanted_mean(count: int, seed: int):
    random = np.random.default_rng(seed)
    points = random.normal(size=(count, 3))
    wanted = random.normal(size=3) * 0.1
    weights = even_weights(points, wanted)
    np.testing.assert_allclose(weights.sum(), 1, atol=1e-6)
    np.testing.assert_allclose(weights @ points, wanted, atol=1e-6)


def test_joints_lie_inside_the_neck_in_order(model: HACK):
    joints = model.joint_template[:8]
    assert (np.diff(joints[:, 1]) > 0.008).all()
    np.testing.assert_allclose(joints[:, 0], 0, atol=1e-6)
    template = model.asset.template[skin(model)]
    neck = template[np.abs(template[:, 0]) < 0.004]
    for joint in joints:
        level = neck[np.abs(neck[:, 1] - joint[1]) < 0.006]
        assert level[:, 2].min() + 0.03 < joint[2] < level[:, 2].max() - 0.02


def test_ends_of_the_chain_agree_with_hacks_frame(model: HACK):
    published = np.array([[0, -0.1226, -0.0152], [0, -0.0125, -0.0027]])
    np.testing.assert_allclose(model.joint_template[[0, 7]], published, atol=0.006)


def test_joints_follow_the_identity(model: HACK):
    random = np.random.default_rng(5)
    for _ in range(5):
        shape = random.normal(size=len(model.asset.shape_basis))
        out = model(shape=shape)
        moved = np.einsum(
            "gn,gnx->gx", model.asset.joint_regressor_weights, out.vertices[model.asset.joint_regressor_vertices]
        )
        np.testing.assert_allclose(out.joints, moved, atol=1e-6)
        assert (np.diff(out.joints[:8, 1]) > 0.005).all()
        for side in ("left", "right"):
            ball = out.vertices[model.asset.part(f"eye_{side}")]
            centre = out.joints[8 if side == "left" else 9]
            distance = np.linalg.norm(ball - centre, axis=1)
            assert np.median(distance) == pytest.approx(0.012, abs=0.002)


def test_pupils_stand_apart_as_adults_do(model: HACK):
    assert np.linalg.norm(model.joint_template[8] - model.joint_template[9]) == pytest.approx(0.063, abs=0.003)


def test_frames_tilt_about_x_only(model: HACK):
    frames = model.asset.joint_frames
    np.testing.assert_allclose(frames[:, :, 0], np.tile([1, 0, 0], (10, 1)), atol=1e-6)
    along = np.diff(model.joint_template[:8], axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    np.testing.assert_allclose(frames[:7, :, 1], along, atol=1e-4)


def test_weights_are_local_and_sum_to_one(model: HACK):
    weights = model.asset.weights
    assert (np.count_nonzero(weights, axis=1) <= 4).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    used = np.sort(np.argsort(-weights, axis=1)[:, :4], axis=1)
    columns = np.where(np.take_along_axis(weights, used, 1) > 0, used, -1)
    first = np.where(columns < 0, 99, columns).min(axis=1)
    assert (columns.max(axis=1) - first <= 3).all()


def test_head_is_rigid_with_the_skull_and_shoulders_with_the_base(model: HACK):
    asset = model.asset
    regions = dict(zip(asset.region_names, asset.region_weights, strict=True))
    skull = SKELETON.index("oc1")
    face = (regions["face"] > 0.99) & (asset.template[:, 1] > -0.03)
    assert asset.weights[face, skull].min() > 0.99
    assert asset.weights[regions["ears"] > 0.9, skull].min() > 0.9
    border = np.abs(asset.template[:, 0]) > 0.13
    assert asset.weights[border, 0].min() > 0.999
    for name in ("teeth_upper", "teeth_lower", "tongue", "lashes_left"):
        assert (asset.weights[asset.part(name), skull] == 1).all()
    assert (asset.weights[asset.part("eye_left"), SKELETON.index("eye_left")] == 1).all()


def test_weights_change_gently_over_the_skin(model: HACK):
    faces = model.asset.faces[(model.asset.faces < skin(model).stop).all(axis=1)]
    step = np.abs(model.asset.weights[faces] - np.roll(model.asset.weights[faces], 1, axis=1)).sum(axis=-1)
    length = np.linalg.norm(model.asset.template[faces] - np.roll(model.asset.template[faces], 1, axis=1), axis=-1)
    assert (step / (length + 0.002)).max() < 170


@pytest.mark.parametrize(
    ("flexion", "axial", "lateral"), [(50, 0, 0), (-80, 0, 0), (0, 80, 0), (0, -80, 0), (0, 0, 45), (-40, 60, 20)]
)
def test_no_dent_or_fold_in_front_and_sides_at_the_limits(model: HACK, flexion: float, axial: float, lateral: float):
    pose = posing.neck_pose(model.asset, *np.radians([flexion, axial, lateral]))
    posed = model(pose=pose).vertices[skin(model)]
    faces = model.asset.faces[(model.asset.faces < skin(model).stop).all(axis=1)]
    rest = model.asset.template[skin(model)]
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    stretch = np.linalg.norm(posed[edges[:, 0]] - posed[edges[:, 1]], axis=1) / np.linalg.norm(
        rest[edges[:, 0]] - rest[edges[:, 1]], axis=1
    )
    assert stretch.max() < 3.5
    assert stretch.min() > 0.15
    normals = vertex_normals(posed, faces)
    turn = (normals[edges[:, 0]] * normals[edges[:, 1]]).sum(axis=1)
    before = vertex_normals(rest, faces)
    flat = (before[edges[:, 0]] * before[edges[:, 1]]).sum(axis=1) > 0.9
    assert np.mean(turn[flat] < 0) < 0.002


def test_model_is_symmetric(model: HACK):
    asset = model.asset
    mirror = asset.mirror_vertices
    np.testing.assert_array_equal(mirror[mirror], np.arange(len(mirror)))
    np.testing.assert_allclose(asset.template[mirror] * [-1, 1, 1], asset.template, atol=2e-6)
    basis = asset.shape_basis.dense()
    flipped = basis[:, mirror] * np.float32([-1, 1, 1])
    sign = np.sign((flipped * basis).sum(axis=(1, 2)))
    np.testing.assert_allclose(flipped, basis * sign[:, None, None], atol=3e-6)
    swapped = asset.weights[:, [*range(9), 10, 9]]
    np.testing.assert_allclose(swapped[mirror], asset.weights, atol=1e-4)


def test_larynx_of_size_one_rises_nearly_nine_millimetres_in_the_midline(model: HACK):
    lift = model(larynx_size=1.0).vertices - model.asset.template
    height = np.linalg.norm(lift, axis=1)
    assert height.max() == pytest.approx(0.0089, abs=0.0006)
    top = model.asset.template[height.argmax()]
    assert abs(top[0]) < 1e-6
    c5 = model.joint_template[CERVICAL_JOINTS.index("c4c5"), 1], model.joint_template[CERVICAL_JOINTS.index("c6c7"), 1]
    assert c5[1] < top[1] < c5[0]
    assert height[model.asset.part("eye_left")].max() == 0
    np.testing.assert_allclose(height[model.asset.mirror_vertices], height, atol=1e-6)


@pytest.mark.parametrize("shift", [-0.015, -0.005, 0.01, 0.015])
def test_larynx_slides_by_what_is_asked(model: HACK, shift: float):
    rest = model.asset.template

    def crest(slide: float) -> float:
        lift = np.linalg.norm(model(larynx_size=1.0, larynx_shift=slide).vertices - rest, axis=1)
        up = np.cross(model.asset.larynx_direction, [1, 0, 0])
        return float((lift**4 @ (rest @ up)) / (lift**4).sum())

    assert crest(shift) - crest(0.0) == pytest.approx(shift, abs=0.0025)


def test_regions_share_out_the_skin(model: HACK):
    regions = dict(zip(model.asset.region_names, model.asset.region_weights, strict=True))
    parts = ("face", "scalp", "ears", "neck", "shoulders", "mouth_interior", "eye_sockets")
    total = sum(regions[name][skin(model)] for name in parts)
    np.testing.assert_allclose(total, 1, atol=1e-5)
    template = model.asset.template
    assert template[regions["lips"] > 0.5][:, 1].mean() == pytest.approx(-0.034, abs=0.006)
    assert np.abs(template[regions["ears"] > 0.5][:, 0]).min() > 0.06
    assert (regions["lids"] > 0.5).sum() > 200


def test_landmarks_of_multipie_are_where_their_names_say(model: HACK):
    points = model.landmarks(model.asset.template, "multipie68")
    jaw, nose, left_eye, mouth = points[:17], points[27:36], points[42:48], points[48:68]
    assert (np.diff(jaw[:, 0]) > 0).all()
    assert jaw[8, 1] == jaw[:, 1].min()
    assert nose[3, 2] == points[:, 2].max()
    assert left_eye[:, 0].min() > 0
    assert left_eye[3, 0] > left_eye[0, 0] + 0.02
    pairs = [(0, 16), (17, 26), (36, 45), (39, 42), (48, 54), (60, 64), (31, 35)]
    for right, left in pairs:
        np.testing.assert_allclose(points[right] * [-1, 1, 1], points[left], atol=1e-6)
    opened = model.landmarks(model(expression={"jawOpen": 1.0}).vertices, "multipie68")[48:68] - mouth
    assert np.abs(opened[[13, 14, 15], 1]).max() < 0.006  # inner upper lip
    assert opened[[17, 18, 19], 1].max() < -0.02  # inner lower lip


def test_nearest_point_of_a_triangle():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]], float)
    found, weights = nearest_points(vertices, np.array([[0, 1, 2], [1, 2, 3]]), np.array([[0.25, 0.25, -2.0]]))
    assert found.tolist() == [[0, 1, 2]]
    np.testing.assert_allclose(weights, [[0.5, 0.25, 0.25]], atol=1e-9)


def test_table_of_points_must_be_in_order(tmp_path: Path):
    header = "landmark,vertex_1,vertex_2,vertex_3,weight_1,weight_2,weight_3"
    path = tmp_path / "points.csv"
    path.write_text(f"# by hand\n{header}\n0,4,5,6,.2,.3,.5\n1,4,5,6,1,0,0\n")
    vertices, weights = read_points(path)
    assert vertices.tolist() == [[4, 5, 6], [4, 5, 6]]
    np.testing.assert_allclose(weights[0], [0.2, 0.3, 0.5])
    path.write_text(f"{header}\n1,4,5,6,.2,.3,.5\n")
    with pytest.raises(FormatError, match="in order"):
        read_points(path)


def test_shipped_478_points_belong_to_the_shipped_mesh(model: HACK):
    asset = model.asset
    table = (data_folder() / "hack_open" / "landmarks478.csv").read_text()
    assert f"# Mesh: {mesh_digest(asset.faces, asset.part_names, asset.part_vertices)}" in table
    assert len(asset.landmarks478_vertices) == 478


def test_mirror_pairs_vertices_that_share_a_place():
    points = np.array([[1, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 2, 0], [-1, 0, 0], [0, 2, 0]], float)
    assert mirror_of(points).tolist() == [2, 4, 0, 3, 1, 5]
    with pytest.raises(ValueError, match="not symmetric"):
        mirror_of(points[:4])


def test_skin_follows_every_target_through_one_matrix(head: Head):
    sums = np.asarray(head.skin.embedding.sum(axis=1)).ravel()
    np.testing.assert_allclose(sums, 1, atol=1e-9)
    moved = head.base + np.array([0.1, 0.2, 0.3])
    np.testing.assert_allclose(
        head.skin.embedding @ moved - head.skin.vertices, np.tile([0.1, 0.2, 0.3], (len(sums), 1))
    )
