from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from hack_model import HACK, FormatError
from hack_model.formats.obj import write_obj
from hack_model.formats.ply import write_ply
from tests.support.synthetic import random_parameters


def read_obj(path: Path) -> dict[str, list]:
    """Vertices, texture coordinates and, per face, (material, object, corners) as the file states them."""
    found: dict[str, list] = {"v": [], "vt": [], "f": [], "mtllib": []}
    material = part = ""
    for line in path.read_text().splitlines():
        key, *words = line.split()
        if key in ("v", "vt"):
            found[key].append([float(word) for word in words])
        elif key == "o":
            part = words[0]
        elif key == "usemtl":
            material = words[0]
        elif key == "f":
            found["f"].append((material, part, [tuple(int(i) - 1 for i in word.split("/")) for word in words]))
        elif key == "mtllib":
            found["mtllib"] += words
    return found


def moved(model: HACK) -> np.ndarray:
    return np.asarray(model(**random_parameters(model.asset)).vertices)


def test_obj_holds_vertices_quads_and_uv(model: HACK, tmp_path: Path) -> None:
    asset, vertices = model.asset, moved(model)
    write_obj(tmp_path / "head.obj", asset, vertices)
    found = read_obj(tmp_path / "head.obj")
    np.testing.assert_allclose(found["v"], vertices, atol=1e-7)
    np.testing.assert_allclose(found["vt"], asset.uv, atol=1e-6)
    part = np.searchsorted(asset.part_vertices[:, 1], asset.faces[:, 0], side="right")
    wanted = [
        (
            asset.material_names[m],
            asset.part_names[p],
            [c for c in zip(f.tolist(), u.tolist(), strict=True) if c[0] >= 0],
        )
        for f, u, m, p in zip(asset.faces, asset.face_uv, asset.face_material, part, strict=True)
    ]
    assert sorted(found["f"]) == sorted(wanted)


def test_obj_brings_its_material_and_texture(synthetic: HACK, tmp_path: Path) -> None:
    files = write_obj(tmp_path / "head.obj", synthetic.asset, synthetic.asset.template)
    assert [file.name for file in files] == ["head.obj", "head.mtl", "head.png"]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "head.png")), synthetic.asset.albedo)
    scene = trimesh.load_scene(tmp_path / "head.obj", group_material=True)
    skin = next(m for m in scene.geometry.values() if m.visual.material.name == "skin")
    assert skin.visual.material.image.size == (16, 16)
    np.testing.assert_array_equal(skin.visual.material.diffuse[:3], 255)
    photo = tmp_path / "photo.jpg"
    Image.new("RGB", (8, 8)).save(photo)
    write_obj(tmp_path / "b.obj", synthetic.asset, synthetic.asset.template, texture=photo)
    assert (tmp_path / "b.jpg").read_bytes() == photo.read_bytes()
    assert "map_Kd b.jpg" in (tmp_path / "b.mtl").read_text()


def test_obj_opens_in_blender_with_every_quad(model: HACK, tmp_path: Path) -> None:
    bpy = pytest.importorskip("bpy", exc_type=ImportError)
    vertices = moved(model)
    write_obj(tmp_path / "head.obj", model.asset, vertices)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.obj_import(filepath=str(tmp_path / "head.obj"), forward_axis="Y", up_axis="Z")
    faces = sum(len(o.data.polygons) for o in bpy.data.objects)
    assert faces == len(model.asset.faces)
    found = np.concatenate([[v.co[:] for v in o.data.vertices] for o in sorted(bpy.data.objects, key=lambda o: o.name)])
    assert len(found) == model.vertex_count
    np.testing.assert_allclose([found.min(0), found.max(0)], [vertices.min(0), vertices.max(0)], atol=1e-6)


def test_ply_reads_back(model: HACK, tmp_path: Path) -> None:
    vertices = moved(model)
    found = trimesh.load_mesh(write_ply(tmp_path / "head.ply", model.asset, vertices), process=False)
    np.testing.assert_array_equal(found.vertices, vertices.astype(np.float32))
    np.testing.assert_array_equal(found.faces, model.asset.triangles)
    raw = found.metadata["_ply_raw"]["vertex"]["data"]
    normals = np.stack([raw[name].ravel() for name in ("nx", "ny", "nz")], axis=1)
    agreement = (normals * trimesh.Trimesh(vertices, found.faces, process=False).vertex_normals).sum(axis=1)
    assert np.percentile(agreement, 5) > 0.95  # trimesh weights normals by angle, the file by area


def test_ply_colors_are_srgb(synthetic: HACK, tmp_path: Path) -> None:
    color = np.array([[0.2140, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.5]])
    asset = dataclasses.replace(synthetic.asset, material_color=color)
    found = trimesh.load_mesh(write_ply(tmp_path / "head.ply", asset, asset.template), process=False)
    skin = found.visual.vertex_colors[asset.part("skin")]
    assert (skin == [127, 255, 0, 255]).all()
    assert (found.visual.vertex_colors[asset.part("eye_left")] == [0, 0, 0, 128]).all()


@pytest.mark.parametrize("write", [write_obj, write_ply])
def test_wrong_vertices_are_refused(synthetic: HACK, write, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="shape"):
        write(tmp_path / "a.x", synthetic.asset, synthetic.asset.template[:-1])
    broken = synthetic.asset.template.copy()
    broken[3, 1] = np.nan
    with pytest.raises(FormatError, match="finite"):
        write(tmp_path / "a.x", synthetic.asset, broken)
    assert list(tmp_path.iterdir()) == []
