"""A keyed head leaves Blender and lives on where the extension is not: other files, other formats, linked files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from scipy.spatial import cKDTree

from hack_model import HACK
from hack_model.posing import neck_pose
from tests.blender.heads import Head

TOLERANCE = 1e-5

# Runs in a Blender that has never heard of the add-on; writes the vertices of frame 10.
READER = """
import sys
import bpy
import numpy as np
path, how, output = sys.argv[1:]
bpy.ops.wm.read_factory_settings(use_empty=True)
if how == "open":
    bpy.ops.wm.open_mainfile(filepath=path)
elif how == "link":
    with bpy.data.libraries.load(path, link=True) as (held, wanted):
        wanted.objects = held.objects
    for item in wanted.objects:
        bpy.context.scene.collection.objects.link(item)
elif how == "fbx":
    bpy.ops.import_scene.fbx(filepath=path)
elif how == "abc":
    bpy.ops.wm.alembic_import(filepath=path)
elif how == "usdc":
    bpy.ops.wm.usd_import(filepath=path)
elif how == "glb":
    bpy.ops.import_scene.gltf(filepath=path)
    # Blender's importer sets a key's range by its first weight, which cuts the negative weights of correctives.
    for keys in bpy.data.shape_keys:
        for key in keys.key_blocks:
            key.slider_min, key.slider_max = -10, 10
bpy.context.scene.frame_set(10)
graph = bpy.context.evaluated_depsgraph_get()
head = max((i for i in bpy.context.scene.objects if i.type == "MESH"), key=lambda i: len(i.data.vertices))
evaluated = head.evaluated_get(graph)
mesh = evaluated.to_mesh()
found = np.empty(len(mesh.vertices) * 3, np.float32)
mesh.vertices.foreach_get("co", found)
world = np.array(evaluated.matrix_world)
np.save(output, found.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3])
"""


@pytest.fixture
def keyed(head: Head) -> Head:
    """A head that opens its jaw and turns from frame 1 to frame 10."""
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, 10
    for frame, values in ((1, {"jawOpen": 0.0, "head_turn": 0.0}), (10, {"jawOpen": 0.7, "head_turn": 0.6})):
        scene.frame_set(frame)
        head.set(**values)
        bpy.ops.hack.key()
    return head


def _read_elsewhere(path: Path, how: str) -> np.ndarray:
    """Model-space vertices at frame 10 as a Blender without the add-on has them."""
    output = path.with_suffix(".npy")
    subprocess.run([sys.executable, "-c", READER, str(path), how, str(output)], check=True, capture_output=True)
    x, y, z = np.load(output).T
    return np.stack([x, z, -y], axis=-1)


@pytest.mark.parametrize("how", ["open", "link"])
def test_file_plays_without_the_add_on(keyed: Head, model: HACK, tmp_path: Path, how: str) -> None:
    path = tmp_path / "head.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True)
    wanted = model.rig()(expression={"jawOpen": 0.7}, pose=neck_pose(model.asset, axial=0.6)).vertices
    found = _read_elsewhere(path, how)
    assert np.abs(found - wanted).max() < TOLERANCE


@pytest.mark.parametrize("how", ["glb", "fbx", "abc", "usdc"])
def test_blenders_exporters_keep_the_motion(keyed: Head, model: HACK, tmp_path: Path, how: str) -> None:
    path = tmp_path / f"head.{how}"
    if how == "glb":
        bpy.ops.export_scene.gltf(filepath=str(path))
    elif how == "fbx":
        bpy.ops.export_scene.fbx(filepath=str(path), bake_anim=True, bake_anim_simplify_factor=0)
    elif how == "abc":
        bpy.ops.wm.alembic_export(filepath=str(path), start=1, end=10)
    else:
        # With armatures and shape keys Blender's USD loses keys that drivers move; as a cache of vertices it is exact.
        bpy.ops.wm.usd_export(filepath=str(path), export_animation=True, export_armatures=False, export_shapekeys=False)
    wanted = model.rig()(expression={"jawOpen": 0.7}, pose=neck_pose(model.asset, axial=0.6)).vertices
    found = _read_elsewhere(path, how)
    # glTF keeps a vertex once for each of its texture coordinates, so vertices are matched by place.
    missed = cKDTree(found).query(wanted)[0].max() if how == "glb" else np.abs(found - wanted).max()
    assert missed < 10 * TOLERANCE
