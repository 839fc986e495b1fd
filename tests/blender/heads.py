"""A head in Blender as tests handle it: parameters in, evaluated vertices out, in the model's axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hack_model.names import CERVICAL_JOINTS, EYE_JOINTS

EXACT = 1e-5
"""Metres by which Blender may differ from the model."""


@dataclass
class Head:
    """The armature object; everything else is found from it."""

    rig: Any

    @classmethod
    def add(cls, **options: Any) -> Head:
        import bpy

        assert bpy.ops.hack.add_head(**options) == {"FINISHED"}
        return cls(bpy.context.object)

    @property
    def mesh(self) -> Any:
        return self.rig.children[0]

    @property
    def keys(self) -> Any:
        return self.mesh.data.shape_keys

    def set(self, **controls: float) -> None:
        for key, value in controls.items():
            assert key in self.rig, key
            self.rig[key] = float(value)
        self.rig.update_tag()

    def pose(
        self,
        expression: Mapping[str, float] | None = None,
        pose: np.ndarray | None = None,
        eye_pose: np.ndarray | None = None,
        larynx_size: float = 0.0,
        larynx_shift: float = 0.0,
        larynx_forward: float = 0.0,
    ) -> None:
        """The model's parameters, bone rotations by way of mathutils' own exponential map."""
        import mathutils

        larynx = {"larynx_size": larynx_size, "larynx_shift": larynx_shift, "larynx_forward": larynx_forward}
        self.set(**(expression or {}), **larynx)
        vectors = [*(np.zeros((8, 3)) if pose is None else pose), *(np.zeros((2, 3)) if eye_pose is None else eye_pose)]
        for name, vector in zip((*CERVICAL_JOINTS, *EYE_JOINTS), vectors, strict=True):
            self.rig.pose.bones[name].rotation_quaternion = mathutils.Quaternion(mathutils.Vector(vector))

    def vertices(self) -> np.ndarray:
        """What Blender shows, relative to the armature, turned back to the model's axes."""
        import bpy

        bpy.context.view_layer.update()
        mesh = self.mesh.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        points = np.empty(len(mesh.vertices) * 3, np.float32)
        mesh.vertices.foreach_get("co", points)
        x, y, z = points.reshape(-1, 3).T
        return np.stack([x, z, -y], axis=1)

    def values(self) -> dict[str, float]:
        """Evaluated shape key values."""
        import bpy

        bpy.context.view_layer.update()
        mesh = self.mesh.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        return {block.name: block.value for block in mesh.shape_keys.key_blocks}


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest distance of two vertices of the same index."""
    assert a.shape == b.shape
    return float(np.linalg.norm(a.astype(np.float64) - b, axis=1).max())
