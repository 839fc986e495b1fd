"""Shapes that bones show instead of sticks; one mesh each in a file, shared by all heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy
import numpy as np

if TYPE_CHECKING:
    from ..common.blueprint import Widget

_RING = "WGT-hack_ring"
_SEGMENTS = 48


def dress(pose_bone: bpy.types.PoseBone, widget: Widget) -> None:
    """Shows the bone as a ring: its radius and centre in metres in the bone's frame, its plane across ``axis``."""
    pose_bone.custom_shape = _ring()
    pose_bone.use_custom_shape_bone_size = False
    pose_bone.custom_shape_scale_xyz = (widget.radius,) * 3
    pose_bone.custom_shape_translation = widget.centre
    pose_bone.custom_shape_rotation_euler = (np.pi / 2 if widget.axis == "z" else 0.0, 0.0, 0.0)
    pose_bone.color.palette = widget.palette
    if hasattr(pose_bone, "custom_shape_wire_width"):  # new in 4.2
        pose_bone.custom_shape_wire_width = 2.0


def _ring() -> bpy.types.Object:
    """A unit circle across y. In no collection: its bones keep it alive and it saves with them."""
    existing = bpy.data.objects.get(_RING)
    if existing is not None:
        return existing
    mesh = bpy.data.meshes.new(_RING)
    angles = np.linspace(0, 2 * np.pi, _SEGMENTS, endpoint=False)
    points = np.stack([np.cos(angles), np.zeros_like(angles), np.sin(angles)], axis=1)
    edges = [(i, (i + 1) % _SEGMENTS) for i in range(_SEGMENTS)]
    mesh.from_pydata(points.tolist(), edges, [])
    return bpy.data.objects.new(_RING, mesh)
