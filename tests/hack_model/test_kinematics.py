from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from hack_model.kinematics import axis_angle, joint_transforms, quaternion, rotation_matrix, slerp
from hack_model.names import SKELETON_PARENTS

vectors = arrays(np.float64, (5, 3), elements=st.floats(-3, 3, allow_subnormal=False))


@given(vectors)
def test_rotation_matrix_agrees_with_scipy(vector: np.ndarray) -> None:
    np.testing.assert_allclose(rotation_matrix(vector), Rotation.from_rotvec(vector).as_matrix(), atol=1e-12)


@pytest.mark.parametrize("size", [0.0, 1e-12, 1e-5, 0.00999, 0.01001, 0.3, np.pi, 7.0])
def test_rotation_matrix_is_accurate_on_both_sides_of_its_series(size: float) -> None:
    vector = size * np.array([[0.6, -0.48, 0.64]])
    np.testing.assert_allclose(rotation_matrix(vector), Rotation.from_rotvec(vector).as_matrix(), atol=2e-15)


@pytest.mark.parametrize("size", [0.0, 1e-9, 0.009, 0.011, 1.5])
def test_rotation_matrix_has_exact_first_and_second_derivatives(size: float) -> None:
    vector = (size * torch.tensor([[0.6, -0.48, 0.64]], dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(rotation_matrix, vector)
    assert torch.autograd.gradgradcheck(rotation_matrix, vector)


@given(vectors)
def test_quaternions_round_trip(vector: np.ndarray) -> None:
    back = axis_angle(quaternion(vector))
    np.testing.assert_allclose(rotation_matrix(back), rotation_matrix(vector), atol=1e-9)
    assert np.linalg.norm(back, axis=1).max() <= np.pi + 1e-9


@given(vectors, vectors, st.floats(0, 1))
def test_slerp_turns_evenly_along_the_shorter_arc(first: np.ndarray, second: np.ndarray, fraction: float) -> None:
    between = slerp(first, second, np.full(5, fraction))
    start, end = Rotation.from_rotvec(first), Rotation.from_rotvec(second)
    whole = (start.inv() * end).magnitude()
    turned = (start.inv() * Rotation.from_rotvec(between)).magnitude()
    clear = whole < np.pi - 1e-3  # at half a turn the shorter arc is ambiguous
    np.testing.assert_allclose(turned[clear], fraction * whole[clear], atol=1e-5)


def test_chain_agrees_with_homogeneous_matrices_and_inverses() -> None:
    random = np.random.default_rng(1)
    joints = random.normal(size=(10, 3))
    frames, turns = Rotation.random(10, random_state=2).as_matrix(), Rotation.random(10, random_state=3).as_matrix()
    world, rest = [np.eye(4)], [np.eye(4)]
    for joint, parent in enumerate(SKELETON_PARENTS[1:]):
        here = np.eye(4)
        here[:3, :3], here[:3, 3] = frames[joint], joints[joint]
        local = np.linalg.inv(rest[parent]) @ here
        turned = np.eye(4)
        turned[:3, :3] = turns[joint]
        rest.append(here)
        world.append(world[parent] @ local @ turned)
    expected = [pose @ np.linalg.inv(still) for pose, still in zip(world, rest, strict=True)]
    np.testing.assert_allclose(joint_transforms(joints, frames, turns), expected, atol=1e-12)


def test_chain_broadcasts_joints_against_rotations() -> None:
    random = np.random.default_rng(4)
    joints, frames = random.normal(size=(2, 1, 10, 3)), Rotation.random(10, random_state=5).as_matrix()
    turns = Rotation.random(30, random_state=6).as_matrix().reshape(3, 10, 3, 3)
    result = joint_transforms(joints, frames, turns)
    assert result.shape == (2, 3, 11, 4, 4)
    np.testing.assert_allclose(result[1, 2], joint_transforms(joints[1, 0], frames, turns[2]), atol=1e-12)
