"""The one place where classes, menus, properties and handlers are registered."""

from __future__ import annotations

import bpy

from . import migration
from .animation import ops as animation_ops
from .editor import panel, properties
from .rig import ops as rig_ops

_CLASSES = (*properties.CLASSES, *rig_ops.CLASSES, *animation_ops.CLASSES, *panel.CLASSES)


def register() -> None:
    """Registers everything."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Object.hack_panel = bpy.props.PointerProperty(type=properties.HackPanelSettings)
    bpy.types.VIEW3D_MT_mesh_add.append(panel.draw_add_menu)
    bpy.app.handlers.load_post.append(migration.migrate_all)


def unregister() -> None:
    """Leaves nothing behind but what heads keep on their own objects."""
    bpy.app.handlers.load_post.remove(migration.migrate_all)
    bpy.types.VIEW3D_MT_mesh_add.remove(panel.draw_add_menu)
    del bpy.types.Object.hack_panel
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
