"""A clip of the model on a head: expressions, neck, eyes, larynx and, if wanted, the placement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import bpy
import numpy as np

from hack_model.kinematics import rotation_matrix
from hack_model.names import CERVICAL_JOINTS, EYE_JOINTS, SKELETON

from ..common import controls
from ..common.axes import TO_BLENDER
from ..common.rotations import quaternions
from ..common.shares import slider_values
from ..rig.drivers import property_path
from .curves import Channel, write_action

if TYPE_CHECKING:
    from jaxtyping import Float

    from hack_model.clip import Clip

    Array = np.ndarray


def apply_clip(
    rig: bpy.types.Object, clip: Clip, name: str, *, start: float, frame_rate: float, placement: bool
) -> None:
    """Sets the head to a clip of one frame, or gives it an action for a longer one, on the action units' sliders.

    ``clip`` must be of the head's model (:meth:`hack_model.clip.Clip.for_model`). Keys fall on ``start`` plus the time
    of each clip frame at the scene's ``frame_rate``, so speed is kept whatever both rates are. ``placement`` also
    moves, turns and scales the base bone as the clip places the head before its camera.
    """
    channels = [*_motion(clip), *(_placement(rig, clip) if placement else ())]
    if len(clip.expression) == 1:
        for channel in channels:
            _set(rig, channel)
        return
    frames = start + np.arange(len(clip.expression)) * (frame_rate / float(clip.fps))
    write_action(rig, name, frames, channels)


def _motion(clip: Clip) -> Iterator[Channel]:
    for key, values in slider_values(clip.expression_names, clip.expression).items():
        yield Channel(property_path(key), -1, "Face", values)
    yield Channel(property_path(controls.LARYNX_SIZE), -1, "Larynx", clip.larynx_size)
    yield Channel(property_path(controls.LARYNX_SHIFT), -1, "Larynx", clip.larynx_shift)
    yield Channel(property_path(controls.LARYNX_FORWARD), -1, "Larynx", clip.larynx_forward)
    rotations = np.concatenate([clip.pose, clip.eye_pose], axis=1)
    for joint, bone in enumerate((*CERVICAL_JOINTS, *EYE_JOINTS)):
        yield from _vector(bone, "rotation_quaternion", quaternions(rotations[:, joint]))


def _placement(rig: bpy.types.Object, clip: Clip) -> Iterator[Channel]:
    """The clip's rotation and scale about the model's origin, as the base bone sees them from its own.

    The bone's local axes are the model's: x = R s (p - o) + t' + o with o the bone's origin gives t' = R s o + t - o.
    """
    bone = rig.data.bones[SKELETON[0]]
    origin = np.array(bone.head_local) @ TO_BLENDER
    turn = quaternions(clip.global_rotation)
    scale = np.broadcast_to(np.asarray(clip.scale, np.float64), len(turn))
    turned = rotation_matrix(np.asarray(clip.global_rotation, np.float64)) @ origin
    moved = turned * scale[:, None] + clip.translation - origin
    yield from _vector(bone.name, "location", moved)
    yield from _vector(bone.name, "rotation_quaternion", turn)
    yield from _vector(bone.name, "scale", np.repeat(scale[:, None], 3, axis=1))


def _vector(bone: str, attribute: str, values: Float[Array, "F N"]) -> Iterator[Channel]:
    for index in range(values.shape[1]):
        yield Channel(f'pose.bones["{bone}"].{attribute}', index, bone, values[:, index])


def _set(rig: bpy.types.Object, channel: Channel) -> None:
    value = float(channel.values[0])
    if channel.index < 0:
        rig[bpy.utils.unescape_identifier(channel.path.removeprefix('["').removesuffix('"]'))] = value
    else:
        rig.path_resolve(channel.path)[channel.index] = value
