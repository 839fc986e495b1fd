"""The default model's pose correctives: what they promise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import KDTree

from hack_model.errors import AssetError
from hack_model.formats.surface import vertex_normals
from hack_model.kinematics import rotation_matrix
from hack_model.model import HACK
from hack_model.posing import neck_pose
from hack_model.simulation.body import NeckBody
from hack_model.simulation.correctives import Correctives, with_correctives
from hack_model.simulation.ease import eased, skin_triangles
from hack_model.simulation.learn import learn
from hack_model.simulation.measure import crossings, volume_change
from hack_model.simulation.neck import NeckSimulation
from hack_model.simulation.people import held_out_people
from hack_model.simulation.poses import combined, mirrored, whole_neck
from hack_model.simulation.registration import ControlNeck
from hack_model.training.dataset import Dataset, DatasetWriter
from hack_model.training.spaces import generic, uncorrected
from tests.hack_model.simulation.conftest import CORRECTIVES


@pytest.fixture(scope="module")
def correctives(model: HACK) -> Correctives:
    return Correctives.load(CORRECTIVES, model.asset.faces)


@pytest.fixture(scope="module")
def corrected(bare: HACK, correctives: Correctives) -> HACK:
    return HACK.from_asset(with_correctives(bare.asset, correctives))


def test_the_default_model_has_them(model: HACK, corrected: HACK) -> None:
    pose = neck_pose(model.asset, 0.4, 0.5, 0.2)
    for shape in (None, held_out_people(model)["random 1"]):
        own, read = (np.asarray(made(shape=shape, pose=pose).vertices) for made in (model, corrected))
        assert np.abs(own - read).max() < 2e-5


def test_they_move_the_neck_alone_and_nothing_at_rest(bare: HACK, corrected: HACK) -> None:
    assert np.array_equal(np.asarray(bare().vertices), np.asarray(corrected().vertices))
    pose = neck_pose(bare.asset, 0.5, 0.8, 0.3)
    moved = np.linalg.norm(np.asarray(corrected(pose=pose).vertices) - np.asarray(bare(pose=pose).vertices), axis=1)
    names = list(bare.asset.region_names)
    for region in ("lips", "lids", "ears", "mouth_interior", "eye_sockets"):
        assert moved[bare.asset.region_weights[names.index(region)] > 0.9].max() < 2e-4
    assert moved[bare.asset.part_vertices[0, 1] :].max() == 0
    assert moved.max() > 0.005


def test_small_movements_change_little_and_smoothly(bare: HACK, corrected: HACK) -> None:
    def correction(degrees: float) -> np.ndarray:
        pose = neck_pose(bare.asset, 0.0, np.radians(degrees))
        return np.asarray(corrected(pose=pose).vertices) - np.asarray(bare(pose=pose).vertices)

    assert np.abs(correction(1.0)).max() < 1e-3
    assert np.abs(correction(2.0) - 2 * correction(1.0)).max() < 2e-4


@pytest.mark.parametrize("person", ["mean", "random 1", "random 2"])
def test_the_neck_keeps_its_volume(bare: HACK, corrected: HACK, body: NeckBody, person: str) -> None:
    shape = {"mean": None, **held_out_people(bare)}[person]
    before, after = volume_change(bare, body, shape), volume_change(corrected, body, shape)
    assert max(map(abs, after.values())) < 0.03
    assert sum(map(abs, after.values())) < 0.6 * sum(map(abs, before.values()))


def _flexed(model: HACK, shape: np.ndarray | None = None) -> np.ndarray:
    return np.asarray(model(shape=shape, pose=neck_pose(model.asset, np.radians(50))).vertices)


def _outer_triangles(model: HACK) -> np.ndarray:
    """Below the lips, which lie on each other at rest."""
    asset = model.asset
    inner = np.sum(
        [asset.region_weights[list(asset.region_names).index(name)] for name in ("mouth_interior", "ears")], 0
    )
    outer = (np.arange(asset.vertex_count) < asset.part_vertices[0, 1]) & (inner < 0.1) & (asset.template[:, 1] < -0.05)
    return asset.triangles[outer[asset.triangles].all(axis=1)]


def test_chin_and_neck_do_not_go_through_each_other_at_full_flexion(corrected: HACK) -> None:
    assert not len(crossings(_flexed(corrected), _outer_triangles(corrected)))


def test_a_turn_does_not_fold_skin_through_skin(bare: HACK, corrected: HACK) -> None:
    """Behind the jaw of the side one turns to, where skinning alone does."""
    asset = corrected.asset
    region = dict(zip(asset.region_names, asset.region_weights, strict=True))
    low = (asset.template[:, 1] < -0.02) & ~((asset.template[:, 2] > 0.085) & (asset.template[:, 1] > -0.06))
    outer = low & (np.arange(asset.vertex_count) < asset.part_vertices[0, 1])
    outer &= region["mouth_interior"] + region["ears"] < 0.1
    triangles = asset.triangles[outer[asset.triangles].all(axis=1)]
    pose = neck_pose(asset, 0.0, np.radians(60))
    assert len(crossings(np.asarray(bare(pose=pose).vertices), triangles)) > 20
    assert not len(crossings(np.asarray(corrected(pose=pose).vertices), triangles))


def test_turning_left_shows_the_right_sternocleidomastoid(corrected: HACK, bare: HACK, body: NeckBody) -> None:
    """The muscle of the side one turns away from stands out, against the skin beside it and its own twin."""
    asset = corrected.asset
    skin = body.volume.skin
    pose = neck_pose(asset, 0.0, np.radians(70))
    moved = np.asarray(corrected(pose=pose).vertices)
    outward = vertex_normals(moved, asset.triangles)[skin]
    height = ((moved - np.asarray(bare(pose=pose).vertices))[skin] * outward).sum(axis=1)
    relief = {}
    for course in body.anatomy.of("sternocleidomastoid_sternal"):
        distance = KDTree(course.points[16:60]).query(asset.template[skin])[0]
        relief[course.side] = height[distance < 0.014].mean() - height[(distance > 0.022) & (distance < 0.036)].mean()
    assert relief["right"] > 0.0008
    assert relief["right"] > relief["left"] + 0.0008


def test_sides_are_alike(corrected: HACK) -> None:
    asset = corrected.asset
    for path in combined(asset, 3, 5):
        pose = path.poses[-1]
        there = np.asarray(corrected(pose=pose).vertices)
        back = np.asarray(corrected(pose=mirrored(asset, pose)).vertices)[asset.mirror_vertices] * [-1, 1, 1]
        assert np.abs(there - back).max() < 5e-4


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("direction", ["sex", "weight"])
def test_nor_do_those_of_other_people(corrected: HACK, direction: str, side: float) -> None:
    asset = corrected.asset
    step = asset.directions[list(asset.direction_names).index(direction)].astype(float)
    shape = 3 * side * step / np.linalg.norm(step)
    assert not len(crossings(_flexed(corrected, shape), _outer_triangles(corrected)))


def test_easing_parts_what_crosses_and_leaves_other_poses_alone(
    bare: HACK, correctives: Correctives, body: NeckBody
) -> None:
    asset = bare.asset
    neck = ControlNeck.of(asset, body.volume.skin)
    triangles = skin_triangles(asset, neck, correctives.vertices)
    heavy = replace(correctives, basis=1.4 * correctives.basis)
    before = HACK.from_asset(with_correctives(asset, heavy))
    assert len(crossings(_flexed(before), triangles))
    paths = [*combined(asset, 20, 2), *whole_neck(asset)]
    poses = np.concatenate([path.poses for path in paths])
    rotations = rotation_matrix(poses) - np.eye(3)
    features = rotations.reshape(len(poses), -1)[:, correctives.features]
    light = eased(asset, heavy, neck, features, [np.zeros(len(bare.shape_basis))])
    after = HACK.from_asset(with_correctives(asset, light))
    assert not len(crossings(_flexed(after), triangles))
    turn = neck_pose(asset, 0.0, np.radians(60))
    pose = {"turn": turn, "extension": neck_pose(asset, np.radians(-50))}
    for moved in pose.values():
        change = np.asarray(after(pose=moved).vertices) - np.asarray(before(pose=moved).vertices)
        assert np.abs(change).max() < 1e-3
    assert np.abs(_flexed(after) - _flexed(before)).max() > 1e-3
    same = eased(asset, light, neck, features, [np.zeros(len(bare.shape_basis))])
    assert np.array_equal(same.basis, light.basis)


def test_people_have_correctives_of_their_own(corrected: HACK) -> None:
    shared = HACK.from_asset(generic(corrected.asset, "pose"))
    pose = neck_pose(corrected.asset, 0.2, 0.8)
    assert np.array_equal(np.asarray(corrected(pose=pose).vertices), np.asarray(shared(pose=pose).vertices))
    shape = held_out_people(corrected)["random 1"]
    own = np.asarray(corrected(shape=shape, pose=pose).vertices) - np.asarray(shared(shape=shape, pose=pose).vertices)
    assert 5e-4 < np.linalg.norm(own, axis=1).max() < 0.015
    assert np.array_equal(np.asarray(corrected(shape=shape).vertices), np.asarray(shared(shape=shape).vertices))


@pytest.mark.slow
def test_the_error_against_simulated_necks_halves(bare: HACK, corrected: HACK, body: NeckBody) -> None:
    """Poses and a person that were not learned from, simulated here; what is the person's own helps."""
    shared = HACK.from_asset(generic(corrected.asset, "pose"))
    shape = held_out_people(bare, count=1, seed=23)["random 1"]
    simulation = NeckSimulation(bare, body, shape)
    free = np.isnan(body.bone[: len(body.volume.skin)])
    skin = body.volume.skin[free]
    before, common, after = [], [], []
    for degrees in ((40, 0, 0), (-50, 0, 0), (0, 60, 0), (0, 0, -35), (15, -40, 12)):
        pose = neck_pose(bare.asset, *np.radians(degrees))
        found = simulation.follow(pose[None])[0]
        assert found is not None
        for errors, model in ((before, bare), (common, shared), (after, corrected)):
            errors.append(np.asarray(model(shape=shape, pose=pose).vertices)[skin] - found[: len(free)][free])
    rms = [float(np.sqrt((np.array(errors) ** 2).sum(axis=2).mean())) for errors in (before, common, after)]
    assert rms[1] < 0.5 * rms[0]
    assert rms[2] < 0.95 * rms[1]


@pytest.mark.slow
def test_learning_finds_known_correctives(bare: HACK, body: NeckBody, correctives: Correctives, tmp_path: Path) -> None:
    """Meshes posed with twice the shipped correctives teach twice the shipped correctives."""
    known = replace(correctives, basis=2 * correctives.basis)
    teacher = HACK.from_asset(with_correctives(bare.asset, known))
    with DatasetWriter(tmp_path, licence="CC0-1.0") as writer:
        writer.add(np.asarray(bare().vertices), subject="mean")
        for path in combined(bare.asset, 8, 3):
            for pose in path.poses:
                writer.add(np.asarray(teacher(pose=pose).vertices), subject="mean", pose=pose)
    found = learn(bare.asset, Dataset.open(tmp_path), body.volume, lambda *_: None, noise=1e-5)
    pupil = HACK.from_asset(with_correctives(bare.asset, found))
    pose = combined(bare.asset, 8, 3)[1].poses[-1]
    wanted, got, plain = (np.asarray(model(pose=pose).vertices) for model in (teacher, pupil, bare))
    assert np.linalg.norm(got - wanted) < 0.1 * np.linalg.norm(plain - wanted)


def test_a_file_for_other_faces_is_refused(model: HACK, correctives: Correctives, tmp_path: Path) -> None:
    correctives.save(tmp_path / "own.npz")
    again = Correctives.load(tmp_path / "own.npz", model.asset.faces)
    assert np.abs(again.basis - correctives.basis).max() < 1e-6
    assert again.personal is not None
    assert correctives.personal is not None
    assert np.abs(again.personal.basis - correctives.personal.basis).max() < 1e-6
    assert np.array_equal(again.personal.pairs, correctives.personal.pairs)
    assert again.personal.map == pytest.approx(correctives.personal.map)
    with pytest.raises(AssetError, match="other faces"):
        Correctives.load(tmp_path / "own.npz", model.asset.faces[:, [1, 2, 3, 0]])
    common = replace(correctives, personal=None, shape_marks=np.zeros(0))
    common.save(tmp_path / "common.npz")
    assert Correctives.load(tmp_path / "common.npz", model.asset.faces).personal is None
    with np.load(tmp_path / "own.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "cut.npz", **{**arrays, "values": arrays["values"][:-1]})
    with pytest.raises(AssetError, match="field values"):
        Correctives.load(tmp_path / "cut.npz", model.asset.faces)
    np.savez(tmp_path / "half.npz", **{name: array for name, array in arrays.items() if name != "shape_marks"})
    with pytest.raises(AssetError, match="correctives have"):
        Correctives.load(tmp_path / "half.npz", model.asset.faces)


def test_a_personal_part_of_other_shapes_is_refused(bare: HACK, correctives: Correctives) -> None:
    basis = bare.asset.shape_basis
    values = basis.values.copy()
    values[[0, 1]] = values[[1, 0]]
    other = replace(bare.asset, shape_basis=replace(basis, values=values))
    with pytest.raises(AssetError, match="other shapes"):
        with_correctives(other, correctives)
    common = with_correctives(other, replace(correctives, personal=None))
    assert np.array_equal(common.pose_features, correctives.features)
    assert len(common.pose_basis) == len(correctives.features)
    assert not common.personal_pose_basis.size
    values = basis.values.copy()
    face = np.setdiff1d(np.arange(values.shape[1]), correctives.vertices)[:300]
    values[:, face] += 1e-3  # the lips may change
    with_correctives(replace(bare.asset, shape_basis=replace(basis, values=values)), correctives)


def test_a_model_without_a_control_mesh_is_refused(model: HACK, body: NeckBody) -> None:
    plain = uncorrected(model.asset)
    plain = replace(plain, shape_basis=plain.shape_basis.dense())
    with pytest.raises(AssetError, match="control mesh"):
        ControlNeck.of(plain, body.volume.skin)
