"""Runs inside a Python that sees only bpy and numpy: installs the extension, uses it, and writes what it found.

Arguments: folder with extension.zip, clip.npz; results go to results.npz and head.blend in the same folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import bpy
import numpy as np


def evaluated() -> np.ndarray:
    """Vertices of the first head's mesh as shown, Blender's axes."""
    bpy.context.view_layer.update()
    head = next(o for o in bpy.data.objects if o.type == "MESH" and o.parent is not None)
    mesh = head.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    points = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", points)
    return points.reshape(-1, 3)


def main(folder: Path) -> None:
    """Install, add, key, save, open again, remove, disable."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.extensions.package_install_files(
        filepath=str(folder / "extension.zip"), repo="user_default", enable_on_install=True
    )
    loaded = set(sys.modules)
    bpy.ops.hack.add_head()
    rig = bpy.context.object
    results = {"neutral": evaluated()}
    rig["AU12L"], rig["head_turn"], rig["larynx_size"] = 1.0, 0.6, 1.0
    bpy.context.scene.frame_set(5)
    bpy.ops.hack.key()
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "head.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(folder / "head.blend"))
    bpy.context.scene.frame_set(5)
    results["keyed"] = evaluated()
    bpy.context.view_layer.objects.active = next(o for o in bpy.data.objects if o.type == "ARMATURE")
    bpy.ops.hack.remove_head()
    results["objects_left"] = np.array(len(bpy.data.objects))
    bpy.ops.hack.add_head(filepath=str(folder / "clip.npz"))
    results["clip"] = evaluated()
    import hack_model

    results["hack_model"] = np.array(hack_model.__file__)
    results["modules"] = np.array(sorted(loaded | set(sys.modules)))
    bpy.ops.preferences.addon_disable(module="bl_ext.user_default.hack_head")
    results["unregistered"] = np.array(not hasattr(bpy.types.Object, "hack_panel"))
    np.savez(folder / "results.npz", **results)


main(Path(sys.argv[-1]))
