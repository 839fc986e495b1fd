"""Finds heads in a scene and what belongs to them. All state lies on the objects, so copies are heads of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import bpy

from hack_model.errors import HackError

SCHEMA, MODEL, IDENTITY, EXPRESSIONS = "hack_schema", "hack_model", "hack_identity", "hack_expressions"
"""Id-properties of the armature object: version of this layout, the model's name and version, the identity's shape
coefficients and the expressions' names (both as JSON)."""
SCHEMA_VERSION = 1


def is_head(candidate: bpy.types.Object | None) -> bool:
    """Whether an object is the armature of a head."""
    return candidate is not None and candidate.type == "ARMATURE" and SCHEMA in candidate


def active_head(context: bpy.types.Context) -> bpy.types.Object | None:
    """The armature of the active head, whether its armature or its mesh is active; ``None`` if neither is."""
    candidate = context.object
    if candidate is not None and candidate.type == "MESH":
        candidate = next((m.object for m in candidate.modifiers if m.type == "ARMATURE" and is_head(m.object)), None)
    return candidate if candidate is not None and is_head(candidate) else None


def required_head(context: bpy.types.Context) -> bpy.types.Object:
    """The armature of the active head. Raises :class:`HackError` when none is; the operators' polls rule that out."""
    rig = active_head(context)
    if rig is None:
        raise HackError("no head is active; click on a head's mesh or armature")
    return rig


def heads() -> Iterator[bpy.types.Object]:
    """Every head of the file."""
    return (candidate for candidate in bpy.data.objects if is_head(candidate))


def head_mesh(rig: bpy.types.Object) -> bpy.types.Object | None:
    """The mesh object the armature deforms, ``None`` if it was deleted."""
    for child in rig.children:
        if child.type == "MESH" and any(m.type == "ARMATURE" and m.object == rig for m in child.modifiers):
            return child
    return None


def expression_names(rig: bpy.types.Object) -> list[str]:
    """The expressions of the head's model."""
    return json.loads(rig[EXPRESSIONS])
