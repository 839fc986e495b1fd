"""Poses of the neck to simulate: each joint alone, the whole neck in its rhythm, turns combined, joints at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hack_model.asset import ModelAsset
from hack_model.names import CERVICAL_JOINTS
from hack_model.posing import from_anatomical, limit, neck_pose, to_anatomical
from hack_model.spine import WHOLE_NECK

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

FLEXION, AXIAL, LATERAL = range(3)


@dataclass(frozen=True)
class Path:
    """Poses (p, 8, 3) that follow each other from rest, and what kind of movement they are."""

    kind: str
    poses: Float[Array, "p 8 3"]


def single_joints(asset: ModelAsset) -> list[Path]:
    """Every joint alone: to its limits of flexion and extension, of turning and bending to one side, and halfway.

    The other sides are the mirror images of these.
    """
    paths: list[Path] = []
    for joint in range(len(CERVICAL_JOINTS)):
        for axis, side in ((FLEXION, 0), (FLEXION, 1), (AXIAL, 1), (LATERAL, 1)):
            angles = np.zeros((len(CERVICAL_JOINTS), 3))
            angles[joint, axis] = asset.joint_limits[joint, axis, side]
            wide = abs(angles[joint, axis]) > np.radians(15)
            paths.append(
                Path(
                    "single",
                    np.stack([share * from_anatomical(asset, angles) for share in ((0.5, 1) if wide else (1,))]),
                )
            )
    return paths


def whole_neck(asset: ModelAsset, shares: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)) -> list[Path]:
    """The whole neck by its spinal rhythm to each limit, in the given shares of it."""
    limits = {"flexion": (WHOLE_NECK["flexion"], 0, 0), "extension": (-WHOLE_NECK["extension"], 0, 0)}
    limits |= {"turn": (0, WHOLE_NECK["axial"], 0), "tilt": (0, 0, WHOLE_NECK["lateral"])}
    return [
        Path(kind, np.stack([neck_pose(asset, *(share * np.radians(angles))) for share in shares]))
        for kind, angles in limits.items()
    ]  # fmt: skip


def combined(asset: ModelAsset, count: int, seed: int, steps: int = 2) -> list[Path]:
    """Whole necks flexed, turned and tilted at once, in random directions, up to somewhat beyond one movement's limit.

    A third each follow the rhythm alone, depart from it joint by joint, and move every joint for itself.
    """
    random = np.random.default_rng(seed)
    paths: list[Path] = []
    for number in range(count):
        direction = random.normal(size=3)
        direction *= random.uniform(0.8, 1.2) / np.linalg.norm(direction)
        flexion = direction[0] * (WHOLE_NECK["flexion"] if direction[0] > 0 else WHOLE_NECK["extension"])
        whole = np.radians([flexion, direction[1] * WHOLE_NECK["axial"], direction[2] * WHOLE_NECK["lateral"]])
        angles = to_anatomical(asset, neck_pose(asset, *whole))
        if number % 3 == 1:
            angles *= random.uniform(0.4, 1.6, size=angles.shape)
        elif number % 3 == 2:
            low, high = np.moveaxis(asset.joint_limits[: len(CERVICAL_JOINTS)], -1, 0)
            angles = 0.7 * random.uniform(low, high)
        end = from_anatomical(asset, limit(asset, angles))
        paths.append(Path("combined", np.stack([share * end for share in np.arange(1, steps + 1) / steps])))
    return paths


def mirrored(asset: ModelAsset, pose: Float[Array, "8 3"]) -> Float[Array, "8 3"]:
    """The pose's mirror image: turns and tilts to the other side."""
    return from_anatomical(asset, to_anatomical(asset, pose) * [1.0, -1.0, -1.0])
