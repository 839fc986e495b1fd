"""Adds a whole head to the scene."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import bpy

from ..common.head import EXPRESSIONS, IDENTITY, MODEL, SCHEMA, SCHEMA_VERSION
from .armature import build_armature
from .materials import build_materials
from .mesh import build_mesh, drive_shape_keys
from .wrinkles import add_masks

if TYPE_CHECKING:
    import numpy as np

    from hack_model.asset import ModelAsset

    from ..common.blueprint import Blueprint


def build_head(
    blueprint: Blueprint,
    asset: ModelAsset,
    shape: np.ndarray,
    name: str,
    context: bpy.types.Context,
    texture: Path | None = None,
) -> bpy.types.Object:
    """Armature and mesh in the active collection, the armature active and selected. Returns the armature object.

    What the add-on needs to know later (schema, model, identity) lies on the armature as id-properties.
    """
    rig = build_armature(blueprint, name, context)
    mesh = build_mesh(blueprint, f"{name} mesh", build_materials(blueprint, name, texture, rig))
    add_masks(mesh.data, blueprint.looks)
    context.collection.objects.link(mesh)
    mesh.parent = rig
    modifier = mesh.modifiers.new("Armature", "ARMATURE")
    modifier.object = rig
    drive_shape_keys(mesh, rig, blueprint)
    rig[SCHEMA] = SCHEMA_VERSION
    rig[MODEL] = f"{asset.name} {asset.version}"
    rig[IDENTITY] = json.dumps([round(float(value), 6) for value in shape])
    rig[EXPRESSIONS] = json.dumps(list(asset.expression_names))
    for other in context.selected_objects:
        other.select_set(False)
    rig.select_set(True)
    context.view_layer.objects.active = rig
    return rig
