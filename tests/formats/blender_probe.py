"""Run with bpy: imports a GLB or USD and saves what it evaluates: python blender_probe.py FILE OUT.npz FPS FRAME..."""

from __future__ import annotations

import sys
from pathlib import Path

import bpy
import numpy as np


def evaluated(obj: bpy.types.Object) -> np.ndarray:
    """World-space vertices after shape keys and armature, turned back to Y up."""
    result = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    vertices = np.empty(len(result.data.vertices) * 3, np.float32)
    result.data.vertices.foreach_get("co", vertices)
    matrix = np.array(result.matrix_world)
    world = vertices.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]
    return world[:, [0, 2, 1]] * [1, 1, -1]


def main(source: str, output: str, fps: int, frames: list[int]) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.fps = fps
    if source.endswith(".glb"):
        bpy.ops.import_scene.gltf(filepath=source)
    else:
        bpy.ops.wm.usd_import(filepath=source)
    meshes = [obj for obj in scene.objects if obj.type == "MESH" and obj.find_armature()]
    (head,) = meshes
    positions = []
    for frame in frames or [0]:
        scene.frame_set(frame)
        positions.append(evaluated(head))
    index = np.arange(len(head.data.vertices), dtype=np.float32)
    if source.endswith(".glb"):
        head.data.attributes["_HACK_VERTEX"].data.foreach_get("value", index)
    np.savez(
        output,
        vertices=np.stack(positions),
        index=np.rint(index).astype(int),
        shape_keys=[key.name for key in head.data.shape_keys.key_blocks],
        bones=[bone.name for bone in head.find_armature().data.bones],
        materials=[slot.material.name for slot in head.material_slots],
        images=[image.name for image in bpy.data.images if image.size[0]],
        textured=[
            slot.material.name
            for slot in head.material_slots
            if any(node.type == "TEX_IMAGE" for node in slot.material.node_tree.nodes)
        ],
        face_material=[polygon.material_index for polygon in head.data.polygons],
        uv=[loop.uv[:] for loop in head.data.uv_layers.active.data],
        polygons=len(head.data.polygons),
        frame_end=max((int(action.frame_range[1]) for action in bpy.data.actions), default=0),
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), [int(frame) for frame in sys.argv[4:]])
    Path(sys.argv[2]).stat()
