"""The mesh object: faces, UVs, vertex groups, shape keys and the drivers on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy
import numpy as np

from .drivers import drive

if TYPE_CHECKING:
    from ..common.blueprint import Blueprint, ShapeKey

KEY_RANGE = (-10.0, 10.0)
"""Blender clamps values and driver results of a shape key to its slider's range; this is the widest it allows."""


def build_mesh(blueprint: Blueprint, name: str, materials: list[bpy.types.Material]) -> bpy.types.Object:
    """A smooth-shaded mesh object with UVs, materials, vertex groups and shape keys, in no collection yet."""
    mesh = bpy.data.meshes.new(name)
    _fill(mesh, blueprint)
    for material in materials:
        mesh.materials.append(material)
    mesh.polygons.foreach_set("material_index", blueprint.face_material)
    mesh.shade_smooth()
    mesh.update()
    head = bpy.data.objects.new(name, mesh)
    for bone, weights in zip(blueprint.deform_bones, blueprint.weights.T, strict=True):
        _add_group(head, bone, weights)
    head.shape_key_add(name="Basis", from_mix=False)
    for key in blueprint.shape_keys:
        _add_shape_key(head, key, blueprint.vertices)
    return head


def drive_shape_keys(head: bpy.types.Object, armature: bpy.types.Object, blueprint: Blueprint) -> None:
    """Puts every shape key under its driver."""
    blocks = head.data.shape_keys.key_blocks
    for key in blueprint.shape_keys:
        drive(blocks[key.name], "value", -1, key.formula, armature)


def _fill(mesh: bpy.types.Mesh, blueprint: Blueprint) -> None:
    used = blueprint.faces >= 0
    sizes = used.sum(axis=1)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    mesh.vertices.add(len(blueprint.vertices))
    mesh.vertices.foreach_set("co", blueprint.vertices.astype(np.float32).ravel())
    mesh.loops.add(int(sizes.sum()))
    mesh.loops.foreach_set("vertex_index", blueprint.faces[used].astype(np.int32))
    mesh.polygons.add(len(sizes))
    mesh.polygons.foreach_set("loop_start", starts.astype(np.int32))
    mesh.update(calc_edges=True)
    layer = mesh.uv_layers.new(name="UVMap")
    layer.uv.foreach_set("vector", blueprint.uv[blueprint.face_uv[used]].astype(np.float32).ravel())


def _add_group(head: bpy.types.Object, name: str, weights: np.ndarray) -> None:
    group = head.vertex_groups.new(name=name)
    full = np.flatnonzero(weights == 1)
    group.add(full.tolist(), 1.0, "REPLACE")
    for vertex in np.flatnonzero((weights > 0) & (weights < 1)).tolist():
        group.add([vertex], float(weights[vertex]), "REPLACE")


def _add_shape_key(head: bpy.types.Object, key: ShapeKey, basis: np.ndarray) -> None:
    block = head.shape_key_add(name=key.name, from_mix=False)
    block.data.foreach_set("co", (basis + key.offsets).astype(np.float32).ravel())
    block.slider_min, block.slider_max = KEY_RANGE
    block.value = 0.0
