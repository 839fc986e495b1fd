from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hack_model import HACK, ModelAsset, ParameterError
from hack_model.posing import convert_pose, from_anatomical, limit, neck_pose, to_anatomical
from tests.support.synthetic import synthetic_asset

RELEASE_OC1 = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


@pytest.fixture(scope="module")
def asset() -> ModelAsset:
    return synthetic_asset()


@pytest.fixture(scope="module")
def turned_oc1(asset: ModelAsset) -> ModelAsset:
    """The same model with oc1 framed as in the official release: its y is the neck's z, its z the neck's -y."""
    frames, axes = asset.joint_frames.copy(), asset.joint_axes.copy()
    frames[7] = frames[7] @ RELEASE_OC1
    axes[7] = RELEASE_OC1
    return replace(asset, joint_frames=frames, joint_axes=axes)


def head_turn(asset: ModelAsset, pose: np.ndarray) -> np.ndarray:
    """Rotation vector of the skull in model space."""
    transforms = HACK.from_asset(asset, dtype="float64")(pose=pose).joint_transforms
    return Rotation.from_matrix(np.asarray(transforms)[8, :3, :3]).as_rotvec()


@pytest.mark.parametrize(
    ("angles", "axis"), [((0.4, 0, 0), 0), ((0, 0.5, 0), 1), ((0, 0, 0.3), 2), ((-0.6, 0, 0), 0), ((0, -0.7, 0), 1)]
)
def test_shares_add_up_to_the_whole_angle(asset: ModelAsset, angles: tuple[float, ...], axis: int) -> None:
    pose = neck_pose(asset, *angles)
    np.testing.assert_allclose(pose.sum(axis=0), angles, atol=1e-6)
    turn = head_turn(asset, pose)
    assert turn[axis] == pytest.approx(angles[axis], abs=0.03 * abs(angles[axis]) + 1e-9)


def test_directions_are_those_a_person_sees(asset: ModelAsset) -> None:
    model = HACK.from_asset(asset)
    nose = asset.template[:, 2].argmax()
    crown = asset.template[:, 1].argmax()

    def moved(**angles: float) -> np.ndarray:
        return model(pose=neck_pose(asset, **angles)).vertices - asset.template

    assert moved(flexion=0.3)[nose, 1] < -0.01, "chin down"
    assert moved(axial=0.3)[nose, 0] > 0.01, "to the subject's left"
    assert moved(lateral=0.3)[crown, 0] < -0.01, "towards the subject's right shoulder"


@pytest.mark.parametrize("angle", [0.4, -0.3])
def test_protraction_carries_a_level_head(asset: ModelAsset, angle: float) -> None:
    pose = neck_pose(asset, protraction=angle)
    np.testing.assert_allclose(pose.sum(axis=0), 0, atol=1e-7)
    assert (np.sign(angle) * pose[:5, 0] > 0).all()
    assert (np.sign(angle) * pose[5:, 0] < 0).all()
    assert pose[:5, 0].sum() == pytest.approx(angle)
    np.testing.assert_allclose(head_turn(asset, pose), 0, atol=1e-6)
    model = HACK.from_asset(asset)
    skull = model(pose=pose).joints[7] - model().joints[7]
    assert np.sign(angle) * skull[2] > 0.01
    assert abs(skull[0]) < 1e-6
    np.testing.assert_allclose(
        neck_pose(asset, 0.1, 0.2, 0.3, angle), neck_pose(asset, 0.1, 0.2, 0.3) + pose, atol=1e-7
    )


def test_limits_stop_each_joint(asset: ModelAsset) -> None:
    free, stopped = neck_pose(asset, flexion=9.0), neck_pose(asset, flexion=9.0, limited=True)
    assert free.max() > 1
    np.testing.assert_allclose(stopped[1:, 0], 0.25, atol=1e-6)
    np.testing.assert_allclose(neck_pose(asset, axial=-9.0, limited=True).min(), -0.4, atol=1e-6)
    np.testing.assert_array_equal(neck_pose(asset, 0.1, 0.1, limited=True), neck_pose(asset, 0.1, 0.1))
    np.testing.assert_allclose(limit(asset, np.full((2, 8, 3), -9.0))[1, 4], [-0.25, -0.4, -0.2], atol=1e-6)


def test_batches_and_torch_gradients(asset: ModelAsset) -> None:
    flexion = torch.tensor([0.1, 0.2, 0.9], dtype=torch.float64, requires_grad=True)
    pose = neck_pose(asset, flexion, lateral=torch.full((3,), 0.1, dtype=torch.float64), limited=True)
    assert pose.shape == (3, 8, 3)
    assert pose.dtype == torch.float64
    np.testing.assert_allclose(pose.detach()[1], neck_pose(asset, 0.2, 0, 0.1), atol=1e-9)
    pose[..., 0].sum().backward()
    assert flexion.grad is not None
    np.testing.assert_allclose(flexion.grad, [1, 1, 1], atol=1e-6)
    assert neck_pose(asset, np.zeros((2, 1)), np.zeros(4)).shape == (2, 4, 8, 3)


def test_converted_poses_move_the_head_alike(asset: ModelAsset, turned_oc1: ModelAsset) -> None:
    pose = np.random.default_rng(0).normal(scale=0.2, size=(2, 8, 3))
    converted = convert_pose(pose, asset, turned_oc1)
    np.testing.assert_allclose(converted[:, :7], pose[:, :7], atol=1e-7)
    np.testing.assert_allclose(converted[:, 7], np.stack([pose[:, 7, 0], pose[:, 7, 2], -pose[:, 7, 1]], 1), atol=1e-7)
    first = HACK.from_asset(replace(asset, pose_basis=asset.pose_basis.dense() * 0))(pose=pose)
    second = HACK.from_asset(replace(turned_oc1, pose_basis=asset.pose_basis.dense() * 0))(pose=converted)
    np.testing.assert_allclose(first.vertices, second.vertices, atol=1e-6)
    np.testing.assert_allclose(convert_pose(converted, turned_oc1, asset), pose, atol=1e-7)


def test_turning_the_head_of_a_model_with_other_frames(asset: ModelAsset, turned_oc1: ModelAsset) -> None:
    for angles in ((0.3, 0, 0), (0, 0.3, 0), (0, 0, 0.3)):
        pose = neck_pose(turned_oc1, *angles)
        np.testing.assert_allclose(head_turn(turned_oc1, pose), head_turn(asset, neck_pose(asset, *angles)), atol=1e-6)


def test_anatomical_parts_round_trip(turned_oc1: ModelAsset) -> None:
    pose = np.random.default_rng(1).normal(size=(5, 8, 3))
    np.testing.assert_allclose(from_anatomical(turned_oc1, to_anatomical(turned_oc1, pose)), pose, atol=1e-7)
    with pytest.raises(ParameterError, match=r"wanted shape \(\*batch, 8, 3\), got \(8,\)"):
        to_anatomical(turned_oc1, np.zeros(8))


def test_angles_of_any_kind(asset: ModelAsset) -> None:
    wanted = neck_pose(asset, 1.0, -1.0)
    np.testing.assert_array_equal(neck_pose(asset, np.array(1), -1), wanted)
    np.testing.assert_array_equal(neck_pose(asset, [1, 1], np.float32(-1.0))[1], wanted)
    np.testing.assert_allclose(neck_pose(asset, np.float64(1.0), torch.tensor(-1.0)), wanted, atol=1e-6)
    whole = np.ones((8, 3), int)
    np.testing.assert_array_equal(to_anatomical(asset, whole), to_anatomical(asset, whole.astype(float)))
    np.testing.assert_array_equal(limit(asset, whole), limit(asset, whole.astype(float)))


def test_wrong_angles_are_refused(asset: ModelAsset) -> None:
    with pytest.raises(ParameterError, match=r"do not broadcast: flexion \(4,\), axial \(3,\)"):
        neck_pose(asset, np.zeros(4), np.zeros(3))
    with pytest.raises(ParameterError, match="axial: wanted numbers in radians, got str"):
        neck_pose(asset, axial="left")  # pyright: ignore[reportArgumentType]
    for function in (to_anatomical, from_anatomical, limit):
        with pytest.raises(ParameterError, match=r"pose: wanted shape \(\*batch, 8, 3\), got \(7, 3\)"):
            function(asset, np.zeros((7, 3)))
