"""The tab HACK in the 3D viewport's sidebar, and the entry in Add > Mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from ..common.appearance import GROUPS, MAPS, PREFIX, SEED
from ..common.controls import REGIONS
from ..common.head import SCHEMA, SCHEMA_VERSION, active_head, head_mesh
from ..common.keys import BONE_REGIONS, bone_title
from ..rig.drivers import property_path
from .rows import Row, rows

if TYPE_CHECKING:
    from collections.abc import Iterable

_CLOSED = {"tongue", "expressions"}
"""Regions folded until the artist opens them."""
_LABEL_SHARE = 0.46
"""Part of a row's width that its label takes."""


class HeadPanel(bpy.types.Panel):
    """Sliders of the active head, or the buttons that add one."""

    bl_label = "HACK Head"
    bl_idname = "HACK_PT_main"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "HACK"

    def draw(self, context: bpy.types.Context) -> None:
        """Everything of the active head."""
        layout = self.layout
        rig = active_head(context)
        if rig is None:
            _draw_add(layout)
            return
        if rig[SCHEMA] > SCHEMA_VERSION:
            layout.label(text="Made by a newer version of this add-on", icon="ERROR")
            layout.label(text="Update the add-on to edit it")
            return
        _draw_tools(layout, rig)
        search = rig.hack_panel.search.strip().lower()
        for region in REGIONS:
            matching = [row for row in rows(rig) if row.region == region and search in row.text.lower()]
            if matching or (region in BONE_REGIONS.values() and not search):
                _draw_region(layout, rig, region, matching, folds=not search)
        if not search:
            _draw_appearance(layout, rig)
            _draw_more(layout, rig)


def _draw_add(layout: bpy.types.UILayout) -> None:
    column = layout.column(align=True)
    column.scale_y = 1.3
    column.operator("hack.add_head", text="Add HACK Head", icon="USER")
    column.operator("hack.import_clip", text="Head from Clip…", icon="FILE_FOLDER")


def _draw_tools(layout: bpy.types.UILayout, rig: bpy.types.Object) -> None:
    column = layout.column(align=True)
    row = column.row(align=True)
    row.scale_y = 1.2
    row.operator("hack.key", text="Key", icon="KEY_HLT").region = "ALL"
    row.operator("hack.reset", text="Reset", icon="LOOP_BACK").region = "ALL"
    row.operator("hack.clear_keys", text="Clear", icon="KEY_DEHLT").region = "ALL"
    layout.prop(rig.hack_panel, "search", text="", icon="VIEWZOOM", placeholder="Search")
    split = layout.split(factor=_LABEL_SHARE, align=True)
    split.label(text="Action Unit")
    sides = split.row(align=True)
    sides.alignment = "EXPAND"
    sides.label(text="Left")
    sides.label(text="Right")


def _draw_region(
    layout: bpy.types.UILayout, rig: bpy.types.Object, region: str, found: Iterable[Row], *, folds: bool
) -> None:
    if folds:
        header, body = layout.panel(f"HACK_{region}", default_closed=region in _CLOSED)
    else:
        header, body = layout.row(), layout.column()
    header.label(text=REGIONS[region])
    buttons = header.row(align=True)
    buttons.emboss = "NONE"
    buttons.operator("hack.key", text="", icon="KEYFRAME").region = region
    buttons.operator("hack.reset", text="", icon="LOOP_BACK").region = region
    if body is None:
        return
    column = body.column(align=True)
    for row in found:
        _draw_row(column, rig, row)
    if folds:
        _draw_bones(body, region)
    if region == "larynx":
        column.separator()
        column.operator("hack.swallow", icon="ACTION")


def _draw_bones(layout: bpy.types.UILayout, region: str) -> None:
    """Buttons that pick the region's bones, so that they can be turned in the viewport."""
    grid = layout.grid_flow(row_major=True, columns=2, even_columns=True, align=True)
    for name, place in BONE_REGIONS.items():
        if place == region:
            grid.operator("hack.select_bone", text=bone_title(name), icon="BONE_DATA").bone = name


def _draw_row(column: bpy.types.UILayout, rig: bpy.types.Object, row: Row) -> None:
    """The label, then one slider, or the subject's left and right."""
    split = column.split(factor=_LABEL_SHARE, align=True)
    split.label(text=row.label)
    sliders = split.row(align=True)
    for side, key in row.keys:
        sliders.prop(rig, property_path(key), text=side, slider=True)


def _draw_appearance(layout: bpy.types.UILayout, rig: bpy.types.Object) -> None:
    if SEED not in rig:
        return
    header, body = layout.panel("HACK_appearance", default_closed=True)
    header.label(text="Appearance")
    if body is None:
        return
    for title, names in GROUPS.items():
        body.label(text=title)
        column = body.column(align=True)
        for name in names:
            column.prop(rig, property_path(PREFIX + name), text=name.replace("_", " ").capitalize(), slider=True)
    column = body.column(align=True)
    column.prop(rig, property_path(SEED), text="Seed")
    column.prop(rig, property_path(MAPS), text="Map Size")
    row = body.row(align=True)
    row.scale_y = 1.2
    row.operator("hack.paint", text="Paint", icon="BRUSH_DATA").random = False
    row.operator("hack.paint", text="Random", icon="FILE_REFRESH").random = True


def _draw_more(layout: bpy.types.UILayout, rig: bpy.types.Object) -> None:
    header, body = layout.panel("HACK_more", default_closed=True)
    header.label(text="Clips, Names, Removal")
    if body is None:
        return
    column = body.column(align=True)
    column.operator("hack.apply_clip", text="Motion from Clip…", icon="FILE_FOLDER")
    row = column.row(align=True)
    row.operator("hack.name_shape_keys", text="ARKit Names").naming = "ARKIT"
    row.operator("hack.name_shape_keys", text="Model Names").naming = "HACK"
    row = column.row(align=True)
    row.operator("hack.release_shape_keys", text="Release Shape Keys").release = True
    row.operator("hack.release_shape_keys", text="Back to Sliders").release = False
    column.separator()
    column.operator("hack.clear_keys", text="Clear Keys on All Frames", icon="KEY_DEHLT").everywhere = True
    column.operator("hack.remove_head", icon="TRASH")
    if head_mesh(rig) is None:
        body.label(text="The mesh was deleted", icon="ERROR")


def draw_add_menu(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
    """The entry in Add > Mesh."""
    menu.layout.separator()
    menu.layout.operator("hack.add_head", text="HACK Head", icon="USER")
    menu.layout.operator("hack.import_clip", text="HACK Head from Clip…", icon="FILE_FOLDER")


CLASSES = (HeadPanel,)
