"""HACK Head: a parametric head and neck for Blender, keyframed by facial action units."""

from __future__ import annotations

from . import registration


def register() -> None:
    """Called by Blender when the extension is enabled."""
    registration.register()


def unregister() -> None:
    """Called by Blender when the extension is disabled."""
    registration.unregister()
