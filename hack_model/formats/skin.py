"""Skeleton and skin as exchange formats want them: local transforms over time, four influences a vertex."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hack_model.kinematics import rotation_matrix
from hack_model.names import SKELETON, SKELETON_PARENTS

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from hack_model.clip import Clip
    from hack_model.rig import Rig

    Array = np.ndarray

INFLUENCES = 4


@dataclass(frozen=True)
class SkeletonMotion:
    """Local translation, rotation (x, y, z, w) and scale of the skeleton's nodes per frame."""

    translation: Float[Array, "F 11 3"]
    rotation: Float[Array, "F 11 4"]
    scale: Float[Array, "F 11 3"]


def skin_influences(weights: Float[Array, "V J"]) -> tuple[Int[Array, "V 4"], Float[Array, "V 4"]]:
    """The four strongest joints of each vertex and their weights, which sum to one in float32; unused ones are 0, 0."""
    joints = np.argsort(-weights, axis=1, kind="stable")[:, :INFLUENCES]
    strongest = np.take_along_axis(weights, joints, axis=1).astype(np.float64)
    strongest = (strongest / strongest.sum(axis=1, keepdims=True)).astype(np.float32)
    return np.where(strongest > 0, joints, 0), strongest


def quaternions(rotations: Float[Array, "*batch 3 3"]) -> Float[Array, "*batch 4"]:
    """Unit quaternions (x, y, z, w) of rotation matrices, by the largest of the four components (Shepperd 1978)."""
    m = np.asarray(rotations, np.float64)
    trace = np.trace(m, axis1=-2, axis2=-1)
    squared = np.concatenate([1 + 2 * np.diagonal(m, axis1=-2, axis2=-1) - trace[..., None], 1 + trace[..., None]], -1)
    antisymmetric = (m - m.swapaxes(-1, -2))[..., [2, 0, 1], [1, 2, 0]]
    products = np.zeros((*m.shape[:-2], 4, 4))
    products[..., :3, :3] = m + m.swapaxes(-1, -2)
    products[..., 3, :3] = products[..., :3, 3] = antisymmetric
    products[..., range(4), range(4)] = squared
    largest = squared.argmax(axis=-1)[..., None, None]
    row = np.take_along_axis(products, largest, axis=-2)[..., 0, :]
    return row / np.linalg.norm(row, axis=-1, keepdims=True)


def rest_transforms(rig: Rig) -> Float[Array, "11 4 4"]:
    """Rest frame of each skeleton joint in model space; the base stands in the origin."""
    rest = np.tile(np.eye(4), (len(SKELETON), 1, 1))
    rest[1:, :3, :3] = rig.model.asset.joint_frames
    rest[1:, :3, 3] = np.asarray(rig.joints)
    return rest


def skeleton_motion(rig: Rig, clip: Clip, rest: Float[Array, "11 4 4"], placement: bool) -> SkeletonMotion:
    """The skeleton over a clip; the base carries rotation, translation and the rig's scale unless ``placement`` is off.

    ``rest`` is what :func:`rest_transforms` gives. Rotations follow each other the short way round.
    """
    parameters = {name: np.asarray(value, np.float64) for name, value in clip.motion().items()}
    frames = len(clip)
    to_parent = np.array([
        matrix if parent < 0 else np.linalg.solve(rest[parent], matrix)
        for matrix, parent in zip(rest, SKELETON_PARENTS, strict=True)
    ])  # fmt: skip
    turns = np.tile(np.eye(3), (frames, len(SKELETON), 1, 1))
    turns[:, 1:] = rotation_matrix(np.concatenate([parameters["pose"], parameters["eye_pose"]], axis=1))
    translation = np.tile(to_parent[:, :3, 3], (frames, 1, 1))
    scale = np.ones((frames, len(SKELETON), 3))
    if placement:
        turns[:, 0] = rotation_matrix(parameters["global_rotation"])
        translation[:, 0] = parameters["translation"]
        scale[:, 0] = 1 if rig.scale is None else np.asarray(rig.scale)
    return SkeletonMotion(translation, _continuous(quaternions(to_parent[:, :3, :3] @ turns)), scale)


def _continuous(rotation: Float[Array, "F J 4"]) -> Float[Array, "F J 4"]:
    """The same rotations with signs such that neighbouring frames blend the short way round."""
    flips = np.where((rotation[1:] * rotation[:-1]).sum(axis=-1) < 0, -1.0, 1.0)
    return np.concatenate([rotation[:1], rotation[1:] * np.cumprod(flips, axis=0)[..., None]])
