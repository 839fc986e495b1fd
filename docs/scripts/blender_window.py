"""Shows the extension in a Blender window, for docs/pictures/blender.jpg.

Run by Blender itself: ``HACK_ZIP=/path/to/hack.zip blender --python docs/scripts/blender_window.py``, then take a
screenshot of the window.
"""

import os

import bpy
import mathutils

SLIDERS = {
    "AU12L": 0.8, "AU12R": 0.8, "AU6L": 0.6, "AU6R": 0.6, "AU1L": 0.4, "AU1R": 0.4,
    "head_turn": 0.45, "head_tilt": 0.15,
}  # fmt: skip
"""What the head does: a smile, raised inner brows, the head turned and tilted (radians)."""


def show() -> None:
    for thing in list(bpy.data.objects):
        bpy.data.objects.remove(thing)
    bpy.ops.extensions.package_install_files(
        filepath=os.environ.get("HACK_ZIP", "/mnt/hack.zip"), repo="user_default", enable_on_install=True
    )
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.hack.add_head()
        rig = bpy.context.object
        for name, value in SLIDERS.items():
            rig[name] = value
        rig.update_tag()
        bpy.ops.hack.key()
        space = area.spaces[0]
        space.show_region_ui = True
        space.shading.type = "MATERIAL"
        space.lens = 80
        view = space.region_3d
        view.view_location = (0, 0, -0.02)
        view.view_distance = 1.0
        view.view_rotation = mathutils.Euler((1.52, 0, 0)).to_quaternion()
        view.view_perspective = "PERSP"

    def open_tab() -> None:
        for part in area.regions:
            if part.type == "UI":
                part.active_panel_category = "HACK"
                part.tag_redraw()

    bpy.app.timers.register(open_tab, first_interval=1.5)


bpy.context.preferences.view.show_splash = False
bpy.app.timers.register(show, first_interval=2)
