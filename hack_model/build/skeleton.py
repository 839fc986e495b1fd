"""The cervical chain in the neck: joints by anatomy, as means of the skin around them, and their frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hack_model.spine import SpineTable

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

OC1_HEIGHT, C7T1_HEIGHT = -0.0096, -0.1256
"""Heights of the ends of the chain on the template, metres: the level of the mastoid tips, where the ear lobes end, and
25 mm above the suprasternal notch, below the prominence of the seventh vertebra."""
NECK_DEPTH = 0.113
"""Depth of the template's neck from nape to throat at c6c7."""
_RING = 32


def place_joints(skin: Float[Array, "V 3"], midline: Int[Array, " m"], table: SpineTable) -> Float[Array, "8 3"]:
    """The cervical joints on the template, metres, in the median plane, at the table's places before the nape.

    ``midline`` are the skin's vertices at x = 0.
    """
    height = C7T1_HEIGHT + table.height * (OC1_HEIGHT - C7T1_HEIGHT)
    points = skin[midline]
    nape = points[(points[:, 2] < 0) & (points[:, 1] < 0.02)]
    nape = nape[np.argsort(nape[:, 1])]
    depth = np.interp(height, nape[:, 1], nape[:, 2]) + table.depth * NECK_DEPTH
    return np.stack([np.zeros(len(height)), height, depth], axis=1)


def joint_frames(joints: Float[Array, "8 3"]) -> Float[Array, "8 3 3"]:
    """Rest frames (columns are axes): y along the spine to the next joint, x to the subject's left, z forward.

    The topmost joint takes the tilt of the one below it.
    """
    along = np.diff(joints, axis=0)
    along = np.concatenate([along, along[-1:]])
    y = along / np.linalg.norm(along, axis=1, keepdims=True)
    x = np.tile([1.0, 0.0, 0.0], (len(joints), 1))
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def regressor(
    points: Float[Array, "V 3"], candidates: Int[Array, " n"], mirror: Int[Array, " V"], joint: Float[Array, "3"]
) -> tuple[Int[Array, " k"], Float[Array, " k"]]:
    """Vertices of a ring around a joint and weights, as even as possible, whose weighted mean is the joint.

    Per direction around the joint the candidate nearest to its level is taken, together with its mirror image, so the
    joint stays in the median plane of every symmetric head.
    """
    offset = points[candidates] - joint
    turn = np.arctan2(offset[:, 0], offset[:, 2])
    chosen: list[int] = []
    for angle in np.linspace(0, np.pi, _RING // 2 + 1):
        near = np.abs(turn - angle) < np.pi / (_RING - 2)
        if not near.any():
            continue
        vertex = int(candidates[near][np.argmin(np.abs(offset[near, 1]))])
        chosen += [vertex, int(mirror[vertex])]
    ring = np.unique(chosen)
    return ring, even_weights(points[ring], joint)


def even_weights(points: Float[Array, "k 3"], wanted: Float[Array, "3"]) -> Float[Array, " k"]:
    """The weights nearest to equal ones that sum to 1 and whose weighted mean of the points is ``wanted``."""
    count = len(points)
    equations = np.column_stack([np.ones(count), points - wanted]).T
    missing = np.array([1.0, 0, 0, 0]) - equations @ np.full(count, 1 / count)
    return 1 / count + np.linalg.pinv(equations) @ missing
