"""Formulas as Blender drivers."""

from __future__ import annotations

import bpy

from ..common.formulas import Control, Formula, KeyValue, Source


def drive(owner: bpy.types.bpy_struct, path: str, index: int, formula: Formula, armature: bpy.types.Object) -> None:
    """Drives one property of ``owner``; index -1 for a property that is no array. A driver already there goes."""
    owner.driver_remove(path, index)
    curve = owner.driver_add(path, index)
    # The two keys Blender gives a new driver map values within 1e-4 of 0 or 1 to 0 or 1; without keys they pass as is.
    curve.keyframe_points.clear()
    driver = curve.driver
    driver.type = "SCRIPTED"
    for name, source in formula.variables.items():
        _add_variable(driver, name, source, owner, armature)
    driver.expression = formula.expression


def _add_variable(
    driver: bpy.types.Driver, name: str, source: Source, owner: bpy.types.bpy_struct, armature: bpy.types.Object
) -> None:
    variable = driver.variables.new()
    variable.name = name
    if isinstance(source, Control):
        variable.type = "SINGLE_PROP"
        variable.targets[0].id = armature
        variable.targets[0].data_path = property_path(source.key)
        return
    if isinstance(source, KeyValue):
        variable.type = "SINGLE_PROP"
        variable.targets[0].id_type = "KEY"
        variable.targets[0].id = owner.id_data
        variable.targets[0].data_path = f'key_blocks["{bpy.utils.escape_identifier(source.name)}"].value'
        return
    variable.type = "TRANSFORMS"
    target = variable.targets[0]
    target.id = armature
    target.bone_target = source.bone
    target.transform_type = source.channel
    target.transform_space = "LOCAL_SPACE"
    target.rotation_mode = source.mode


def property_path(key: str) -> str:
    """The data path of a custom property."""
    return f'["{bpy.utils.escape_identifier(key)}"]'
