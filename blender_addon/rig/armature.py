"""The armature object: deforming joints, the control an artist turns, and the hidden bones that pass its turn on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy
import mathutils

from .drivers import drive, property_path
from .widgets import dress

if TYPE_CHECKING:
    from ..common.blueprint import Blueprint, Bone
    from ..common.controls import ControlProperty

_PRECISION = {"NONE": 2, "ANGLE": 1, "DISTANCE": 4}
"""Decimals shown: degrees and metres, or shares of one."""
_COLLECTIONS = (("Controls", True), ("Joints", True), ("Mechanism", False))


def build_armature(blueprint: Blueprint, name: str, context: bpy.types.Context) -> bpy.types.Object:
    """An armature object, linked to the active collection, with bones, controls and the drivers between them."""
    armature = bpy.data.armatures.new(name)
    rig = bpy.data.objects.new(name, armature)
    context.collection.objects.link(rig)
    _add_bones(rig, blueprint, context)
    armature.display_type = "STICK"
    for control in blueprint.controls:
        add_control(rig, control)
    for bone in blueprint.bones:
        _set_up_pose_bone(rig, bone)
    return rig


def add_control(rig: bpy.types.Object, control: ControlProperty) -> None:
    """Makes a control an animatable id-property with limits, unit and tooltip."""
    rig[control.key] = float(control.default)
    rig.id_properties_ui(control.key).update(
        min=control.minimum,
        max=control.maximum,
        soft_min=control.soft_minimum,
        soft_max=control.soft_maximum,
        default=float(control.default),
        subtype=control.subtype,
        description=control.description,
        precision=_PRECISION[control.subtype],
    )
    rig.property_overridable_library_set(property_path(control.key), True)


def _add_bones(rig: bpy.types.Object, blueprint: Blueprint, context: bpy.types.Context) -> None:
    """Edit bones exist in edit mode only, which works on the active object of the view layer."""
    layer = context.view_layer
    previous, selected = layer.objects.active, list(context.selected_objects)
    for other in selected:
        other.select_set(False)
    layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    try:
        for bone in blueprint.bones:
            _add_bone(rig.data, bone)
    finally:
        bpy.ops.object.mode_set(mode="OBJECT")
    layer.objects.active = previous
    for other in selected:
        other.select_set(True)
    for title, visible in _COLLECTIONS:
        collection = rig.data.collections.new(title)
        collection.is_visible = visible
        for bone in blueprint.bones:
            if bone.collection == title:
                collection.assign(rig.data.bones[bone.name])


def _add_bone(armature: bpy.types.Armature, bone: Bone) -> None:
    """The bone's local axes are the joint's: y along the bone, z by its roll."""
    edit = armature.edit_bones.new(bone.name)
    edit.head = mathutils.Vector(bone.head)
    edit.tail = mathutils.Vector(bone.head + bone.frame[:, 1] * bone.length)
    edit.align_roll(mathutils.Vector(bone.frame[:, 2]))
    edit.use_deform = bone.collection == "Joints"
    if bone.parent:
        edit.parent = armature.edit_bones[bone.parent]


def _set_up_pose_bone(rig: bpy.types.Object, bone: Bone) -> None:
    pose_bone = rig.pose.bones[bone.name]
    pose_bone.rotation_mode = bone.rotation_mode
    pose_bone.lock_location = (bone.lock_location,) * 3
    pose_bone.lock_scale = (bone.lock_scale,) * 3
    if bone.drivers:
        pose_bone.lock_rotation = (True,) * 3
        pose_bone.lock_rotation_w = True
    for index, formula in enumerate(bone.drivers):
        drive(pose_bone, "rotation_axis_angle", index, formula, rig)
    if bone.follows:
        constraint = pose_bone.constraints.new("COPY_ROTATION")
        constraint.name = "Share of the head's turn"
        constraint.target, constraint.subtarget = rig, bone.follows
        constraint.mix_mode = "BEFORE"
        constraint.owner_space = constraint.target_space = "LOCAL"
    if bone.widget is not None:
        dress(pose_bone, bone.widget)
