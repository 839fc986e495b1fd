"""Shapes that bones show instead of sticks; one mesh each in a file, shared by all heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy
import numpy as np

if TYPE_CHECKING:
    from ..common.blueprint import Widget

_SPANS = {"ring": 360.0, "arc": 100.0}
"""Degrees of a circle that each shape covers."""
_SEGMENTS = 48


def dress(pose_bone: bpy.types.PoseBone, widget: Widget) -> None:
    """Shows the bone as its widget instead of a stick."""
    pose_bone.custom_shape = _curve(widget.shape)
    pose_bone.use_custom_shape_bone_size = False
    pose_bone.custom_shape_scale_xyz = (widget.radius,) * 3
    pose_bone.custom_shape_translation = widget.centre
    pose_bone.custom_shape_rotation_euler = (np.pi / 2 if widget.axis == "z" else 0.0, 0.0, 0.0)
    pose_bone.color.palette = "CUSTOM"
    colors = pose_bone.color.custom
    colors.normal, colors.select, colors.active = widget.color, _lightened(widget.color, 0.5), (1.0, 1.0, 1.0)
    pose_bone.custom_shape_wire_width = 2.0


def _curve(shape: str) -> bpy.types.Object:
    """A unit circle across y, or the part of it around -z. In no collection: its bones keep it alive and it saves."""
    name = f"WGT-hack_{shape}"
    existing = bpy.data.objects.get(name)
    if existing is not None:
        return existing
    span, closed = np.radians(_SPANS[shape]), shape == "ring"
    angles = np.linspace(-span / 2, span / 2, _SEGMENTS, endpoint=not closed)
    points = np.stack([np.sin(angles), np.zeros_like(angles), -np.cos(angles)], axis=1)
    edges = [(i, (i + 1) % _SEGMENTS) for i in range(_SEGMENTS if closed else _SEGMENTS - 1)]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(points.tolist(), edges, [])
    return bpy.data.objects.new(name, mesh)


def _lightened(color: tuple[float, float, float], share: float) -> tuple[float, float, float]:
    red, green, blue = (value + (1 - value) * share for value in color)
    return red, green, blue
