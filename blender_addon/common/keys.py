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
    **dict.fromkeys(reversed(CERVICAL_JOINTS), "neck"),
    **dict.fromkeys(EYE_JOINTS, "gaze"),
}
"""Region of each bone an artist turns."""
_TITLES = {
    SKELETON[0]: "Base",
    HEAD_CONTROL: "Whole Neck",
    "oc1": "Skull on C1",
    "c1c2": "C1 on C2",
    "c2c3": "C2 on C3",
    "c3c4": "C3 on C4",
    "c4c5": "C4 on C5",
    "c5c6": "C5 on C6",
    "c6c7": "C6 on C7",
    "c7t1": "C7 on T1",
    "eye_left": "Left Eye",
    "eye_right": "Right Eye",
}


def bone_title(name: str) -> str:
    """A bone in words."""
    return _TITLES[name]


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
