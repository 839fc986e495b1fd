"""The same numbers give the same mesh in Blender and in the model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import bpy  # first, it brings mathutils
import mathutils
import numpy as np
import pytest

from blender_addon.common.controls import LARYNX_KNOTS, LARYNX_SPACING
from hack_model import HACK, ModelAsset, load
from hack_model.clip import Clip
from hack_model.kinematics import rotation_matrix
from hack_model.names import CERVICAL_JOINTS
from hack_model.posing import neck_pose
from tests.blender.heads import EXACT, Head, distance

BETWEEN_KNOTS = 2e-4
"""Metres by which the skin over the sliding larynx may differ between two of its shape keys. The asset's bump is a
coarse chart with steep sides; the real one's differs by 1e-4."""


def _random(model: HACK, seed: int) -> dict[str, object]:
    random = np.random.default_rng(seed)
    return {
        "expression": dict(zip(model.expression_names, random.uniform(0, 1, 60), strict=False)),
        "pose": random.normal(0, 0.25, (8, 3)),
        "eye_pose": random.normal(0, 0.25, (2, 3)),
        "larynx_size": float(random.uniform(0, 2)),
        "larynx_shift": float(random.integers(*LARYNX_KNOTS)) * LARYNX_SPACING,
        "larynx_forward": float(random.uniform(-0.01, 0.02)) if model.asset.larynx_forward_map.size else 0.0,
    }


def test_neutral_head_is_the_template(head: Head, model: HACK) -> None:
    assert distance(head.vertices(), model.template) < 1e-7


@pytest.mark.parametrize("seed", range(4))
def test_everything_at_once(head: Head, model: HACK, seed: int) -> None:
    parameters = _random(model, seed)
    head.pose(**parameters)
    assert distance(head.vertices(), model.rig()(**parameters).vertices) < EXACT


@pytest.mark.parametrize("name", ["expression", "pose", "eye_pose", "larynx_size", "larynx_forward"])
def test_each_parameter_alone_moves_the_skin(head: Head, model: HACK, name: str) -> None:
    parameters = {name: _random(model, 9)[name]}
    head.pose(**parameters)
    wanted = model.rig()(**parameters).vertices
    assert distance(head.vertices(), wanted) < EXACT
    assert distance(wanted, model.template) > 1e-3


def test_a_person_of_their_own(scene: object, model: HACK, asset_path: Path, tmp_path: Path) -> None:
    shape = np.random.default_rng(5).normal(0, 1, len(model.shape_basis))
    assert abs(shape @ model.asset.larynx_identity) > 0.05, "the larynx follows the identity"
    dataclasses.replace(Clip.neutral(model), shape=shape).save(tmp_path / "clip.npz")
    head = Head.add(model=str(asset_path), filepath=str(tmp_path / "clip.npz"))
    parameters = _random(model, 1)
    head.pose(**parameters)
    assert distance(head.vertices(), model.rig(shape)(**parameters).vertices) < EXACT


COMBINED = {"jawOpen": 0.7, "mouthClose": 0.6, "eyeBlink_L": 0.3, "mouthSmile_L": 0.8, "mouthPucker": 0.9}


def test_combinations_are_driven_by_their_sources(head: Head, model: HACK) -> None:
    """Also beyond 1 and below 0, where their factors are clipped, under other names, and with a released source."""
    assert model.combinations is not None
    for expression in (COMBINED, {**COMBINED, "jawOpen": 1.4, "eyeBlink_L": 0.8}, {**COMBINED, "mouthClose": -0.5}):
        head.pose(expression=expression)
        wanted = model.rig()(expression=expression).vertices
        assert distance(head.vertices(), wanted) < EXACT
        weights = model.combinations.weights(model.expression_vector(expression))
        values = head.values()
        found = [values[name] for name in model.asset.combination_names]
        np.testing.assert_allclose(found, weights, atol=1e-6)
    head.pose(expression=COMBINED)
    before = head.vertices()
    bpy.ops.hack.name_shape_keys(naming="ARKIT")
    head.pose(expression={**COMBINED, "eyeBlink_L": 0.45})
    moved = model.rig()(expression={**COMBINED, "eyeBlink_L": 0.45}).vertices
    assert distance(head.vertices(), moved) < EXACT
    assert distance(before, moved) > 1e-4
    bpy.ops.hack.release_shape_keys(release=True)
    head.keys.key_blocks["eyeBlinkLeft"].value = 0.5
    head.keys.key_blocks["jawOpen"].value = 0.7
    assert head.values()["eyeBlink_L@50"] == pytest.approx(1.0, abs=1e-6)


def test_larynx_between_its_keys(head: Head, model: HACK) -> None:
    worst = {}
    for shift in np.linspace(LARYNX_KNOTS[0], LARYNX_KNOTS[1], 29) * LARYNX_SPACING:
        head.pose(larynx_size=1.0, larynx_shift=shift)
        wanted = model.rig()(larynx_size=1.0, larynx_shift=shift).vertices
        worst[shift] = distance(head.vertices(), wanted)
    assert max(worst.values()) < BETWEEN_KNOTS


def test_larynx_stays_beyond_its_last_key(head: Head, model: HACK) -> None:
    top = LARYNX_KNOTS[1] * LARYNX_SPACING
    head.pose(larynx_size=1.0, larynx_shift=top + 0.01)
    assert distance(head.vertices(), model.rig()(larynx_size=1.0, larynx_shift=top).vertices) < EXACT


def test_neck_sliders_are_the_models_neck_pose(head: Head, model: HACK) -> None:
    head.set(head_nod=0.4, head_turn=-0.9, head_tilt=0.3)
    wanted = model.rig()(pose=neck_pose(model.asset, 0.4, -0.9, 0.3)).vertices
    assert distance(head.vertices(), wanted) < EXACT


def test_head_moves_forward_as_the_models_neck_pose(head: Head, model: HACK) -> None:
    head.set(head_forward=0.4, head_nod=0.2, head_turn=-0.6)
    wanted = model.rig()(pose=neck_pose(model.asset, 0.2, -0.6, 0.0, 0.4)).vertices
    assert distance(head.vertices(), wanted) < EXACT
    head.set(head_forward=0.0)
    assert distance(head.vertices(), wanted) > 1e-3


@pytest.mark.parametrize(("axis", "angles"), [(0, (0.5, 0, 0)), (1, (0, 0.5, 0)), (2, (0, 0, 0.5))])
def test_head_bone_turns_the_neck_as_its_slider_does(
    head: Head, model: HACK, axis: int, angles: tuple[float, float, float]
) -> None:
    head.rig.pose.bones["head"].rotation_euler[axis] = 0.5
    wanted = model.rig()(pose=neck_pose(model.asset, *angles)).vertices
    assert distance(head.vertices(), wanted) < EXACT


def test_a_joint_turned_by_hand_adds_to_the_slider(head: Head, model: HACK) -> None:
    own, joint = mathutils.Quaternion((0.2, -0.3, 0.25), 0.5), CERVICAL_JOINTS.index("c4c5")
    head.set(head_turn=0.8, head_nod=-0.2)
    head.rig.pose.bones["c4c5"].rotation_quaternion = own
    pose = neck_pose(model.asset, -0.2, 0.8, 0.0)
    shared = mathutils.Quaternion(mathutils.Vector(pose[joint]))
    pose[joint] = (shared @ own).to_exponential_map()
    assert distance(head.vertices(), model.rig()(pose=pose).vertices) < EXACT


def test_joint_frames_and_axes_may_lie_any_way(scene: object, asset: ModelAsset, tmp_path: Path) -> None:
    """As in the official release, whose oc1 has its axes permuted."""
    random = np.random.default_rng(8)
    turned = dataclasses.replace(
        asset,
        joint_frames=rotation_matrix(random.uniform(-1.5, 1.5, (10, 3))),
        joint_axes=rotation_matrix(random.uniform(-1.5, 1.5, (10, 3))),
    )
    head, model = Head.add(model=str(turned.save(tmp_path / "turned.npz"))), HACK.from_asset(turned)
    parameters = _random(model, 2)
    head.pose(**parameters)
    assert distance(head.vertices(), model.rig()(**parameters).vertices) < EXACT
    head.pose(**{name: value * 0 for name, value in parameters.items() if name != "expression"})
    head.set(head_nod=0.4, head_turn=-0.9, head_tilt=0.3)
    wanted = model.rig()(expression=parameters["expression"], pose=neck_pose(turned, 0.4, -0.9, 0.3)).vertices
    assert distance(head.vertices(), wanted) < EXACT


def test_gaze_turns_eyes_and_lids(head: Head, model: HACK) -> None:
    horizontal, vertical, convergence = 0.3, 0.2, 0.05
    limits = np.abs(model.asset.joint_limits[8:]).mean(axis=0)
    head.set(gaze_horizontal=horizontal, gaze_vertical=vertical, gaze_convergence=convergence)
    eye_pose = np.zeros((2, 3))
    for eye, inward in enumerate((-1, 1)):
        turn = np.array([-vertical, horizontal + inward * convergence, 0])
        eye_pose[eye] = turn @ model.asset.joint_axes[8 + eye]
    expression = dict.fromkeys(("eyeLookOut_L", "eyeLookIn_R"), horizontal / limits[1, 1])
    expression |= dict.fromkeys(("eyeLookUp_L", "eyeLookUp_R"), vertical / limits[0, 0])
    assert distance(head.vertices(), model.rig()(expression=expression, eye_pose=eye_pose).vertices) < EXACT


def test_scene_transform_moves_the_head_as_a_whole(head: Head, model: HACK) -> None:
    head.rig.location, head.rig.rotation_euler, head.rig.scale = (1, 2, 3), (0.3, 0.2, 0.1), (2, 2, 2)
    head.set(head_turn=0.5)
    assert distance(head.vertices(), model.rig()(pose=neck_pose(model.asset, axial=0.5)).vertices) < EXACT


def test_traits_are_the_models_directions(scene: object, asset: ModelAsset, tmp_path: Path) -> None:
    directions = np.random.default_rng(2).normal(0, 1, (2, len(asset.shape_basis)))
    named = dataclasses.replace(asset, direction_names=("age", "sex"), directions=directions)
    head = Head.add(model=str(named.save(tmp_path / "named.npz")), sex=-0.5, age=1.5)
    assert (
        distance(head.vertices(), HACK.from_asset(asset)(shape=1.5 * directions[0] - 0.5 * directions[1]).vertices)
        < EXACT
    )


def test_unknown_traits_are_refused(scene: object, asset: ModelAsset, tmp_path: Path) -> None:
    plain = dataclasses.replace(asset, direction_names=(), directions=np.zeros((0, len(asset.shape_basis))))
    with pytest.raises(RuntimeError, match="no direction 'muscle'"):
        Head.add(model=str(plain.save(tmp_path / "plain.npz")), muscle=1.0)


def test_a_number_is_a_person(scene: object, asset_path: Path) -> None:
    heads = [Head.add(model=str(asset_path), seed=seed).vertices() for seed in (0, 5, 5, 6)]
    assert distance(heads[1], heads[2]) == 0
    assert min(distance(heads[0], heads[1]), distance(heads[1], heads[3])) > 1e-3


def test_default_head(scene: object) -> None:
    """The head the extension ships, with its own bases, joints and larynx."""
    model = load()
    head = Head.add()
    assert head.mesh.data.validate() is False, "Blender found faces to mend"
    for seed in range(2):
        parameters = _random(model, seed)
        head.pose(**parameters)
        assert distance(head.vertices(), model.rig()(**parameters).vertices) < EXACT
    between = {"larynx_size": 1.0, "larynx_shift": 1.5 * LARYNX_SPACING}
    head.pose(expression=dict.fromkeys(model.expression_names, 0.0), **between)
    assert distance(head.vertices(), model.rig()(**between).vertices) < 1.2e-4
