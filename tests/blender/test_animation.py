"""Keys, clips, files, copies, undo and removal."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest

from blender_addon import migration
from blender_addon.animation.curves import object_curves
from blender_addon.common.head import SCHEMA, SCHEMA_VERSION, heads
from blender_addon.common.keys import bone_names, bone_title
from hack_model import HACK
from hack_model.clip import Clip
from hack_model.larynx import swallow
from hack_model.posing import neck_pose
from tests.blender.heads import EXACT, Head, distance

FRAMES = 6


@pytest.fixture
def clip(model: HACK) -> Clip:
    random = np.random.default_rng(11)
    expressions = len(model.expression_names)
    return Clip(
        model.asset.name,
        model.asset.version,
        model.expression_names,
        expression=random.uniform(0, 1, (FRAMES, expressions)),
        shape=random.normal(0, 1, len(model.shape_basis)),
        pose=random.normal(0, 0.2, (FRAMES, 8, 3)),
        eye_pose=random.normal(0, 0.2, (FRAMES, 2, 3)),
        larynx_size=np.linspace(0.5, 1.5, FRAMES),
        larynx_shift=np.arange(FRAMES) * 0.0025,
        larynx_forward=np.linspace(0, 0.01, FRAMES),
        global_rotation=random.normal(0, 0.4, (FRAMES, 3)),
        translation=random.normal(0, 0.5, (FRAMES, 3)),
        scale=1.1,
        fps=12.0,
    )


def _curves(head: Head) -> dict[tuple[str, int], list[float]]:
    return {(c.data_path, c.array_index): [p.co[0] for p in c.keyframe_points] for c in object_curves(head.rig)}


def test_key_all_keys_sliders_and_bones(head: Head) -> None:
    bpy.context.scene.frame_set(7)
    bpy.ops.hack.key()
    curves = _curves(head)
    for path in ('["AU12L"]', '["jawOpen"]', '["head_turn"]', '["larynx_shift"]', '["gaze_vertical"]'):
        assert curves[path, 0] == [7]
    for bone in ("c7t1", "c4c5", "oc1", "eye_left", "base"):
        assert curves[f'pose.bones["{bone}"].rotation_quaternion', 3] == [7]
    assert curves['pose.bones["head"].rotation_euler', 1] == [7]
    assert curves['pose.bones["base"].location', 0] == [7]


def test_key_one_region(head: Head) -> None:
    bpy.ops.hack.key(region="larynx")
    assert {path for path, _ in _curves(head)} == {
        '["larynx_size"]', '["larynx_shift"]', '["larynx_forward"]'
    }  # fmt: skip


def test_keys_survive_saving_without_the_add_on(head: Head, model: HACK, tmp_path: Path) -> None:
    scene = bpy.context.scene
    for frame, turn, smile in ((1, 0.0, 0.0), (11, 0.8, 1.0)):
        scene.frame_set(frame)
        head.set(head_turn=turn, AU12L=smile)
        bpy.ops.hack.key()
    scene.frame_set(11)
    before = head.vertices()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "head.blend"))
    import blender_addon

    blender_addon.unregister()
    try:
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "head.blend"))
        again = Head(next(o for o in bpy.data.objects if o.type == "ARMATURE"))
        bpy.context.scene.frame_set(1)
        assert distance(again.vertices(), model.template) < EXACT
        bpy.context.scene.frame_set(11)
        assert distance(again.vertices(), before) < 1e-7
    finally:
        blender_addon.register()
    wanted = model.rig()(expression={"mouthSmile_L": 1}, pose=neck_pose(model.asset, axial=0.8)).vertices
    assert distance(before, wanted) < EXACT


def test_reset_all(head: Head, model: HACK) -> None:
    head.pose(expression={"jawOpen": 1}, pose=np.full((8, 3), 0.1), larynx_size=1)
    head.set(AU1L=1, head_nod=0.3)
    head.rig.pose.bones["head"].rotation_euler = (0.1, 0.2, 0.3)
    head.rig.pose.bones["base"].location = (0.1, 0, 0)
    bpy.ops.hack.reset()
    assert distance(head.vertices(), model.template) < EXACT


def test_reset_one_region_leaves_the_others(head: Head) -> None:
    head.set(AU1L=1, AU12L=1)
    bpy.ops.hack.reset(region="brows")
    assert (head.rig["AU1L"], head.rig["AU12L"]) == (0, 1)


def test_clear_keys_at_this_frame(head: Head) -> None:
    for frame in (1, 5, 9):
        bpy.context.scene.frame_set(frame)
        bpy.ops.hack.key()
    bpy.context.scene.frame_set(5)
    bpy.ops.hack.clear_keys()
    assert {tuple(frames) for frames in _curves(head).values()} == {(1.0, 9.0)}
    bpy.ops.hack.clear_keys(everywhere=True)
    assert not any(_curves(head).values())


def test_clear_keys_leaves_foreign_keys(head: Head) -> None:
    head.rig.keyframe_insert("location", frame=1)
    bpy.ops.hack.key()
    bpy.ops.hack.clear_keys(everywhere=True)
    assert {path for path, frames in ((p, f) for (p, _), f in _curves(head).items()) if frames} == {"location"}


@pytest.mark.parametrize("moving", [False, True])
def test_swallow_is_the_models(head: Head, moving: bool) -> None:
    """Also where the larynx comes up from a lower key into the swallow."""
    scene = bpy.context.scene
    if moving:
        head.rig["larynx_shift"] = -0.01
        head.rig.keyframe_insert('["larynx_shift"]', frame=1)
    scene.frame_set(10)
    head.set(larynx_size=0.8, larynx_shift=0.001)
    bpy.ops.hack.swallow(height=0.01, forward=0.006, seconds=1.5)
    curves = {curve.data_path: curve for curve in object_curves(head.rig)}
    assert set(curves) == {'["larynx_size"]', '["larynx_shift"]', '["larynx_forward"]'}
    times = np.linspace(0 if moving else -0.2, 1.7, 77)
    wanted = swallow(times, duration=1.5, rise=0.01, forward=0.006)
    keyed = {path: [curve.evaluate(10 + time * scene.render.fps) for time in times] for path, curve in curves.items()}
    np.testing.assert_allclose(keyed['["larynx_shift"]'], 0.001 + wanted.shift, atol=2e-6)
    np.testing.assert_allclose(keyed['["larynx_forward"]'], wanted.forward, atol=2e-6)
    np.testing.assert_allclose(keyed['["larynx_size"]'], 0.8, atol=1e-6)


def test_a_second_swallow_leaves_the_first(head: Head) -> None:
    scene = bpy.context.scene
    for start in (1, 60):
        scene.frame_set(start)
        bpy.ops.hack.swallow(seconds=1.0)
    curve = next(curve for curve in object_curves(head.rig) if curve.data_path == '["larynx_forward"]')
    for start in (1, 60):
        times = np.linspace(0, 1, 25)
        keyed = [curve.evaluate(start + time * scene.render.fps) for time in times]
        np.testing.assert_allclose(keyed, swallow(times, duration=1.0).forward, atol=2e-6)
    assert curve.evaluate(45) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("scene_rate", [12, 30])
def test_clip_plays_at_its_speed(
    scene: bpy.types.Scene, clip: Clip, model: HACK, asset_path: Path, tmp_path: Path, scene_rate: int
) -> None:
    scene.render.fps = scene_rate
    clip.save(tmp_path / "clip.npz")
    head = Head.add(model=str(asset_path), filepath=str(tmp_path / "clip.npz"))
    rig = model.rig(clip.shape)
    for frame in range(FRAMES):
        position = 1 + frame * scene_rate / clip.fps
        scene.frame_set(int(position), subframe=position % 1)
        parameters = clip.motion(frame)
        del parameters["global_rotation"], parameters["translation"]
        assert distance(head.vertices(), rig(**parameters).vertices) < EXACT, frame


def test_clip_with_its_placement(
    scene: bpy.types.Scene, clip: Clip, model: HACK, asset_path: Path, tmp_path: Path
) -> None:
    scene.render.fps = 12
    clip.save(tmp_path / "clip.npz")
    head = Head.add(model=str(asset_path), filepath=str(tmp_path / "clip.npz"), placement=True)
    for frame in range(FRAMES):
        scene.frame_set(1 + frame)
        assert distance(head.vertices(), model(**clip.parameters(frame)).vertices) < EXACT, frame


def test_clip_of_one_frame_sets_no_keys(
    scene: object, clip: Clip, model: HACK, asset_path: Path, tmp_path: Path
) -> None:
    clip[2].save(tmp_path / "clip.npz")
    head = Head.add(model=str(asset_path), filepath=str(tmp_path / "clip.npz"), placement=True)
    assert head.rig.animation_data.action is None
    assert distance(head.vertices(), model(**clip.parameters(2)).vertices) < EXACT


def test_a_clip_arrives_on_the_action_units(scene: object, model: HACK, asset_path: Path, tmp_path: Path) -> None:
    values = {"mouthSmile_L": 0.8, "jawOpen": 1.25, "mouthRollLower": 0.5, "mouthRollUpper": 0.2, "browDown_R": -0.1}
    expression = model.expression_vector(values)[None]
    Clip(model.asset.name, model.asset.version, model.expression_names, expression).save(tmp_path / "clip.npz")
    head = Head.add(model=str(asset_path), filepath=str(tmp_path / "clip.npz"))
    wanted = {"AU12L": 0.8, "AU12R": 0, "AU27": 1, "jawOpen": 0.25, "AU28": 0.2, "mouthRollLower": 0.3, "AU4R": 0}
    assert {key: head.rig[key] for key in wanted} == pytest.approx(wanted)
    assert distance(head.vertices(), model.rig()(expression=values).vertices) < EXACT


def test_motion_on_another_person(head: Head, clip: Clip, model: HACK, asset_path: Path, tmp_path: Path) -> None:
    clip.save(tmp_path / "clip.npz")
    bpy.context.scene.render.fps = 12
    bpy.ops.hack.apply_clip(filepath=str(tmp_path / "clip.npz"), model=str(asset_path))
    bpy.context.scene.frame_set(4)
    parameters = clip.motion(3)
    del parameters["global_rotation"], parameters["translation"]
    assert distance(head.vertices(), model.rig()(**parameters).vertices) < EXACT


def test_texture_beside_the_clip_is_packed(scene: object, clip: Clip, asset_path: Path, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8), (200, 10, 20)).save(tmp_path / "texture.png")
    clip.save(tmp_path / "clip.npz")
    head = Head.add(model=str(asset_path), filepath=str(tmp_path / "clip.npz"))
    nodes = head.mesh.data.materials[0].node_tree.nodes
    image = next(node.image for node in nodes if node.type == "TEX_IMAGE")
    (tmp_path / "texture.png").unlink()
    assert image.packed_file is not None
    assert image.pixels[0] == pytest.approx(200 / 255, abs=1e-3)


def test_the_models_colour_map_is_the_right_way_up(head: Head, model: HACK) -> None:
    nodes = head.mesh.data.materials[0].node_tree.nodes
    image = next(node.image for node in nodes if node.type == "TEX_IMAGE")
    pixels = np.array(image.pixels[:]).reshape(16, 16, 4)[::-1, :, :3]
    assert np.abs(pixels - model.asset.albedo / 255).max() < 1e-3


def test_uv_faces_and_materials_are_the_models(head: Head, model: HACK) -> None:
    mesh, asset = head.mesh.data, model.asset
    assert [tuple(p.vertices) for p in mesh.polygons] == [tuple(int(v) for v in f if v >= 0) for f in asset.faces]
    uv = np.array([tuple(item.vector) for item in mesh.uv_layers[0].uv])
    np.testing.assert_allclose(uv, asset.uv[asset.face_uv[asset.face_uv >= 0]], atol=1e-7)
    assert [p.material_index for p in mesh.polygons] == asset.face_material.tolist()
    assert all(p.use_smooth for p in mesh.polygons)


@pytest.mark.parametrize("option", ["filepath", "texture", "model"])
def test_missing_files_are_named_and_nothing_is_added(scene: object, asset_path: Path, option: str) -> None:
    with pytest.raises(RuntimeError, match=r"gone\.npz"):
        bpy.ops.hack.add_head(**{"model": str(asset_path), option: "/nowhere/gone.npz"})
    assert not bpy.data.objects


def test_clip_of_another_model_is_refused(scene: object, asset_path: Path, tmp_path: Path) -> None:
    Clip("other", "1", ("jawOpen",), np.ones((1, 1)), np.ones(3)).save(tmp_path / "clip.npz")
    with pytest.raises(RuntimeError, match="other"):
        bpy.ops.hack.add_head(model=str(asset_path), filepath=str(tmp_path / "clip.npz"))


def test_two_heads_and_a_duplicate_are_independent(head: Head, model: HACK, asset_path: Path) -> None:
    second = Head.add(model=str(asset_path))
    second.set(jawOpen=1)
    bpy.ops.object.select_all(action="DESELECT")
    for item in (head.rig, head.mesh):
        item.select_set(True)
    bpy.context.view_layer.objects.active = head.rig
    head.set(AU12L=1)
    bpy.ops.object.duplicate()
    copy = Head(bpy.context.object)
    assert copy.rig != head.rig
    assert copy.mesh.data != head.mesh.data
    copy.set(head_turn=0.5)
    smile = {"mouthSmile_L": 1}
    assert distance(head.vertices(), model.rig()(expression=smile).vertices) < EXACT
    assert distance(second.vertices(), model.rig()(expression={"jawOpen": 1}).vertices) < EXACT
    turned = model.rig()(expression=smile, pose=neck_pose(model.asset, axial=0.5)).vertices
    assert distance(copy.vertices(), turned) < EXACT


def test_duplicates_are_keyed_apart(head: Head) -> None:
    bpy.ops.hack.key(region="mouth")
    bpy.ops.object.select_all(action="DESELECT")
    for item in (head.rig, head.mesh):
        item.select_set(True)
    bpy.context.view_layer.objects.active = head.rig
    bpy.ops.object.duplicate()
    bpy.context.scene.frame_set(20)
    bpy.context.object["AU12L"] = 1.0
    bpy.ops.hack.key(region="mouth")
    assert _curves(head)['["AU12L"]', 0] == [1]
    head.rig.update_tag()
    assert head.values()["mouthSmile_L"] == 0


def test_remove_leaves_nothing(head: Head) -> None:
    bpy.ops.hack.key()
    bpy.ops.hack.remove_head()
    for kind in ("objects", "meshes", "armatures", "shape_keys", "materials", "images", "actions"):
        assert not len(getattr(bpy.data, kind)), kind


def test_remove_keeps_what_another_head_uses(head: Head, model: HACK, asset_path: Path) -> None:
    second = Head.add(model=str(asset_path))
    bpy.ops.hack.remove_head()
    assert len(list(heads())) == 1
    assert head.rig.pose.bones["head"].custom_shape is not None
    assert distance(head.vertices(), model.template) < EXACT
    del second


def test_undo_takes_the_head_away_and_redo_brings_it_back(scene: object, asset_path: Path, model: HACK) -> None:
    bpy.ops.ed.undo_push(message="before")
    Head.add(model=str(asset_path))
    bpy.ops.ed.undo_push(message="head")
    bpy.ops.ed.undo()
    assert not bpy.data.objects
    bpy.ops.ed.redo()
    again = Head(next(heads()))
    again.set(head_turn=0.5)
    assert distance(again.vertices(), model.rig()(pose=neck_pose(model.asset, axial=0.5)).vertices) < EXACT


def test_works_from_pose_mode(head: Head, asset_path: Path) -> None:
    bpy.ops.object.mode_set(mode="POSE")
    Head.add(model=str(asset_path))
    assert len(list(heads())) == 2


@pytest.mark.parametrize("active", ["rig", "mesh"])
def test_a_bone_is_picked_from_the_panel(head: Head, active: str) -> None:
    bpy.context.view_layer.objects.active = getattr(head, active)
    bpy.ops.hack.select_bone(bone="c4c5")
    assert bpy.context.mode == "POSE"
    assert [bone.name for bone in bpy.context.selected_pose_bones] == ["c4c5"]
    assert bpy.context.active_pose_bone.name == "c4c5"


def test_every_bone_to_turn_has_a_title(head: Head) -> None:
    names = set(bone_names(head.rig))
    assert names == {bone.name for bone in head.rig.pose.bones if not bone.name.endswith("_share")}
    assert len({bone_title(name) for name in names}) == len(names)


def test_operators_need_a_head(scene: object) -> None:
    assert not bpy.ops.hack.key.poll()
    assert not bpy.ops.hack.remove_head.poll()


def test_old_heads_are_migrated_when_their_file_opens(
    head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head.rig[SCHEMA] = SCHEMA_VERSION - 1
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "old.blend"))
    monkeypatch.setitem(
        migration.STEPS, SCHEMA_VERSION - 1, lambda rig: rig.update_tag() or rig.__setitem__("new", 1.0)
    )
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "old.blend"))
    rig = next(heads())
    assert (rig[SCHEMA], rig["new"]) == (SCHEMA_VERSION, 1.0)
