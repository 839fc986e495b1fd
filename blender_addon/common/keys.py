"""What an artist animates on a head: the data paths of its controls and bones, by region."""

from __future__ import annotations

from collections.abc import Iterator

import bpy

from hack_model.names import CERVICAL_JOINTS, EYE_JOINTS, SKELETON

from .blueprint import HEAD_CONTROL
from .controls import controls
from .head import expression_names

BONE_REGIONS = {
    SKELETON[0]: "head",
    HEAD_CONTROL: "head",
    **dict.fromkeys(CERVICAL_JOINTS, "neck"),
    **dict.fromkeys(EYE_JOINTS, "gaze"),
}
"""Region of each bone an artist turns."""


def control_keys(rig: bpy.types.Object, region: str = "") -> Iterator[str]:
    """Keys of the head's controls in a region, or in all of them."""
    for control in controls(expression_names(rig)):
        if control.key in rig and region in ("", control.region):
            yield control.key


def bone_names(rig: bpy.types.Object, region: str = "") -> Iterator[str]:
    """Names of the bones to turn in a region, or in all of them."""
    return (name for name, place in BONE_REGIONS.items() if name in rig.pose.bones and region in ("", place))


def rotation_path(bone: bpy.types.PoseBone) -> str:
    """The property that holds a bone's rotation in its present mode."""
    modes = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}
    return modes.get(bone.rotation_mode, "rotation_euler")
