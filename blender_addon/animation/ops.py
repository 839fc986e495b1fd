"""Operators that key, reset and clear the controls of the active head."""

from __future__ import annotations

from typing import ClassVar

import bpy

from hack_model.larynx import SWALLOW_DURATION, SWALLOW_FORWARD, SWALLOW_KNOTS, SWALLOW_RISE
from hack_model.names import SKELETON

from ..common.blueprint import HEAD_CONTROL
from ..common.controls import LARYNX_FORWARD, LARYNX_SHIFT, LARYNX_SIZE, REGIONS
from ..common.head import active_head, expression_names, head_mesh, required_head
from ..common.keys import bone_names, control_keys, rotation_path
from ..rig.drivers import property_path
from .curves import ease, object_curves

_REGION_ITEMS = [("ALL", "Whole Head", "Every control and bone"), *((key, title, "") for key, title in REGIONS.items())]


class HeadOperator(bpy.types.Operator):
    """An operator on the active head."""

    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """A head's armature or mesh must be active."""
        return active_head(context) is not None


class RegionOperator(HeadOperator):
    """An operator on one region's controls, or on all."""

    region: bpy.props.EnumProperty(name="Region", items=_REGION_ITEMS, default="ALL")  # pyright: ignore

    @property
    def place(self) -> str:
        """The region, empty for all of them."""
        return "" if self.region == "ALL" else self.region


class KeyControls(RegionOperator):
    """Insert a keyframe for every control and bone of the head, or of one region, at the current frame."""

    bl_idname = "hack.key"
    bl_label = "Key Controls"

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Keys controls as they are now."""
        rig = required_head(context)
        for key in control_keys(rig, self.place):
            rig.keyframe_insert(property_path(key), group=REGIONS.get(self.place, "HACK"))
        for name in bone_names(rig, self.place):
            for path in _bone_paths(rig.pose.bones[name]):
                rig.pose.bones[name].keyframe_insert(path, group=name)
        return {"FINISHED"}


class ResetControls(RegionOperator):
    """Set every control and bone of the head, or of one region, to its neutral value; keys stay as they are."""

    bl_idname = "hack.reset"
    bl_label = "Reset Controls"

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Neutral values; nothing is keyed."""
        rig = required_head(context)
        for key in control_keys(rig, self.place):
            rig[key] = float(rig.id_properties_ui(key).as_dict()["default"])
        for name in bone_names(rig, self.place):
            bone = rig.pose.bones[name]
            bone.location, bone.scale = (0, 0, 0), (1, 1, 1)
            bone.rotation_euler, bone.rotation_quaternion = (0, 0, 0), (1, 0, 0, 0)
        _refresh(rig)
        return {"FINISHED"}


class ClearKeys(RegionOperator):
    """Remove the keyframes of the head's controls and bones, or of one region, at the current frame or everywhere."""

    bl_idname = "hack.clear_keys"
    bl_label = "Clear Keys"

    everywhere: bpy.props.BoolProperty(name="All Frames", description="Not only those at the current frame")  # pyright: ignore

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Removes keys; reports when there were none."""
        rig = required_head(context)
        paths = {property_path(key) for key in control_keys(rig, self.place)}
        for name in bone_names(rig, self.place):
            paths |= {f'pose.bones["{name}"].{path}' for path in _bone_paths(rig.pose.bones[name])}
        removed = 0
        for path, index, frame in _keys(rig, paths, None if self.everywhere else context.scene.frame_current_final):
            removed += rig.keyframe_delete(path, frame=frame, **({} if index is None else {"index": index}))
        if not removed:
            self.report({"WARNING"}, "There were no keys of these controls to clear")
        _refresh(rig)
        return {"FINISHED"}


class KeySwallow(HeadOperator):
    """Key one swallow (AU80) from the current frame: the larynx rises, glides forwards and returns."""

    bl_idname = "hack.swallow"
    bl_label = "Key a Swallow"

    height: bpy.props.FloatProperty(  # pyright: ignore
        name="Height",
        description="How far the larynx rises",
        default=SWALLOW_RISE,
        min=0,
        max=0.02,
        unit="LENGTH",
        precision=4,
    )
    forward: bpy.props.FloatProperty(  # pyright: ignore
        name="Forward",
        description="How far the risen larynx glides forwards",
        default=SWALLOW_FORWARD,
        min=0,
        max=0.02,
        unit="LENGTH",
        precision=4,
    )
    seconds: bpy.props.FloatProperty(  # pyright: ignore
        name="Duration", default=SWALLOW_DURATION, min=0.1, max=10, unit="TIME_ABSOLUTE"
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Keys slide and forward glide from their present values, and the size, which stays."""
        rig, scene = required_head(context), context.scene
        frames = self.seconds * scene.render.fps / scene.render.fps_base
        movements = {
            LARYNX_SHIFT: (self.height, SWALLOW_KNOTS["shift"]),
            LARYNX_FORWARD: (self.forward, SWALLOW_KNOTS["forward"]),
            LARYNX_SIZE: (0.0, ((0.0, 0.0), (1.0, 0.0))),
        }
        for key, (distance, knots) in movements.items():
            if key not in rig:
                continue
            rest, path, times = rig[key], property_path(key), []
            for time, share in knots:
                rig[key] = rest + share * distance
                times.append(scene.frame_current_final + time * frames)
                rig.keyframe_insert(path, frame=times[-1], group=REGIONS["larynx"])
            ease(next(curve for curve in object_curves(rig) if curve.data_path == path), times)
        _refresh(rig)
        return {"FINISHED"}


class SelectBone(HeadOperator):
    """Select a bone of the head in pose mode, to turn it with R or with the gizmo."""

    bl_idname = "hack.select_bone"
    bl_label = "Select Bone"

    bone: bpy.props.StringProperty(name="Bone", default=HEAD_CONTROL)  # pyright: ignore

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Enters pose mode with this bone alone selected and active."""
        rig = required_head(context)
        if self.bone not in rig.pose.bones:
            self.report({"ERROR"}, f"{rig.name} has no bone {self.bone!r}")
            return {"CANCELLED"}
        if context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        rig.select_set(True)
        context.view_layer.objects.active = rig
        bpy.ops.object.mode_set(mode="POSE")
        for bone in rig.pose.bones:
            selectable = bone if hasattr(bone, "select") else bone.bone  # the pose bone's own from 5.0
            selectable.select = bone.name == self.bone
        rig.data.bones.active = rig.data.bones[self.bone]
        return {"FINISHED"}


class ReleaseShapeKeys(HeadOperator):
    """Let expression shape keys be keyed by themselves, as face capture add-ons do, or return them to the sliders."""

    bl_idname = "hack.release_shape_keys"
    bl_label = "Release Shape Keys"

    release: bpy.props.BoolProperty(name="Release", default=True)  # pyright: ignore

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Mutes or unmutes the drivers of the expressions."""
        rig = required_head(context)
        mesh = head_mesh(rig)
        if mesh is None:
            self.report({"ERROR"}, f"The mesh of {rig.name} was deleted; add the head again")
            return {"CANCELLED"}
        expressions = {property_path(name) for name in expression_names(rig)}
        for curve in mesh.data.shape_keys.animation_data.drivers:
            if any(variable.targets[0].data_path in expressions for variable in curve.driver.variables):
                curve.mute = self.release
        return {"FINISHED"}


def _bone_paths(bone: bpy.types.PoseBone) -> tuple[str, ...]:
    """The base also moves and grows: it carries the head's placement."""
    rotation = rotation_path(bone)
    return ("location", rotation, "scale") if bone.name == SKELETON[0] else (rotation,)


def _keys(rig: bpy.types.Object, paths: set[str], frame: float | None) -> list[tuple[str, int | None, float]]:
    """Path, index (None for a slider, which is no array) and frame of these paths' keys, all or those at one frame."""
    return [
        (curve.data_path, None if curve.data_path.startswith("[") else curve.array_index, point.co[0])
        for curve in object_curves(rig)
        if curve.data_path in paths
        for point in curve.keyframe_points
        if frame is None or abs(point.co[0] - frame) < 0.01
    ]


def _refresh(rig: bpy.types.Object) -> None:
    """An id-property set from Python tells Blender nothing by itself."""
    rig.update_tag()


CLASSES = (KeyControls, ResetControls, ClearKeys, KeySwallow, SelectBone, ReleaseShapeKeys)
