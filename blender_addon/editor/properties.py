"""Settings of the panel. What is animated or saved as the head's state is never here, but on the armature itself."""

from __future__ import annotations

import bpy


class HackPanelSettings(bpy.types.PropertyGroup):
    """Per head, so that two heads can be worked on side by side."""

    search: bpy.props.StringProperty(  # pyright: ignore
        name="Search",
        description="Show only controls whose name, number or description holds this text",
        options={"TEXTEDIT_UPDATE"},
    )


CLASSES = (HackPanelSettings,)
