"""Brings heads that an older version of the add-on made up to date when their file is opened."""

from __future__ import annotations

from collections.abc import Callable

import bpy

from .common.head import SCHEMA, SCHEMA_VERSION, heads

STEPS: dict[int, Callable[[bpy.types.Object], None]] = {}
"""For each version of the layout that was ever released, the function that turns its heads into the next version's.
Version 1 is the first."""


@bpy.app.handlers.persistent
def migrate_all(*_: object) -> None:
    """Migrates every head of the file just opened; heads of newer versions are left alone, and the panel says so."""
    for rig in list(heads()):
        migrate(rig)


def migrate(rig: bpy.types.Object) -> None:
    """Applies the steps a head lacks, one version at a time."""
    while rig[SCHEMA] < SCHEMA_VERSION:
        STEPS[rig[SCHEMA]](rig)
        rig[SCHEMA] += 1
