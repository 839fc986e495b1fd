"""The formula: every term, both array libraries, gradients, rigid motions, the larynx, the chain of joints."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hack_model import HACK, ModelAsset
from hack_model.names import CERVICAL_JOINTS
from hack_model.parameters import PARAMETERS
from tests.support.synthetic import (
    COMBINATIONS,
    LARYNX_METRES_PER_V,
    all_parameters,
    random_parameters,
    synthetic_asset,
)


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_numpy_and_torch_agree(asset: ModelAsset, model: HACK, tensors: HACK, batch: tuple[int, ...]) -> None:
    parameters = all_parameters(asset, batch)
    single = HACK.from_asset(asset, backend="torch")
    expected = tensors(**parameters)
    assert expected.vertices.shape == (*batch, asset.vertex_count, 3)
    assert expected.joints.shape == (*batch, 10, 3)
    for other in (model(**parameters), single(**parameters)):
        assert np.abs(np.asarray(other.vertices) - expected.vertices.numpy()).max() < 1e-6
        assert np.abs(np.asarray(other.joints) - expected.joints.numpy()).max() < 1e-6


def test_single_frame_equals_its_place_in_a_batch(asset: ModelAsset, exact: HACK) -> None:
    parameters = all_parameters(asset, (4,))
    batch = exact(**parameters)
    for frame in range(4):
        one = exact(**{name: value[frame] for name, value in parameters.items()})
        np.testing.assert_allclose(batch.vertices[frame], one.vertices, atol=1e-14)
        np.testing.assert_allclose(batch.joints[frame], one.joints, atol=1e-14)


def test_parameters_broadcast_against_each_other(asset: ModelAsset, exact: HACK) -> None:
    parameters = all_parameters(asset)
    for name in PARAMETERS:
        spread = {**parameters, name: np.stack([parameters[name]] * 2)}
        assert exact(**spread).vertices.shape == (2, asset.vertex_count, 3)
        np.testing.assert_allclose(exact(**spread).vertices[1], exact(**parameters).vertices, atol=1e-14)
    outer = {**parameters, "shape": np.stack([parameters["shape"]] * 3)[:, None], "pose": np.zeros((2, 8, 3))}
    assert exact(**outer).vertices.shape == (3, 2, asset.vertex_count, 3)


def test_neutral_is_the_template(asset: ModelAsset, model: HACK) -> None:
    assert np.array_equal(model().vertices, asset.template)
    zeros = {name: np.zeros([len(asset.shape_basis) if d == "S" else len(asset.expression_names) if d == "E" else d
                             for d in p.dims]) for name, p in PARAMETERS.items() if name != "scale"}  # fmt: skip
    np.testing.assert_allclose(model(**zeros, scale=1.0).vertices, asset.template, atol=1e-7)


@pytest.mark.parametrize("absent", [(name,) for name in PARAMETERS] + [("expression", "shape"), ("pose", "eye_pose")])
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_absent_parameters_are_neutral(asset: ModelAsset, backend: str, absent: tuple[str, ...]) -> None:
    model = HACK.from_asset(asset, backend=backend, dtype="float64")
    parameters: dict[str, Any] = all_parameters(asset, (2,), seed=4)
    for name in absent:
        parameters[name] = np.full_like(parameters[name], PARAMETERS[name].neutral)
    present = {name: value for name, value in parameters.items() if name not in absent}
    expected, result = model(**parameters), model(**present)
    np.testing.assert_allclose(result.vertices, expected.vertices, atol=1e-12)
    np.testing.assert_allclose(result.joints, expected.joints, atol=1e-12)


def test_formula_term_by_term(asset: ModelAsset, exact: HACK) -> None:
    """An independent evaluation, one vertex and one joint at a time."""
    given = all_parameters(asset, seed=5)
    features = (Rotation.from_rotvec(given["pose"]).as_matrix() - np.eye(3)).reshape(72)[asset.pose_features]
    shaped = asset.template + np.tensordot(given["shape"], asset.shape_basis.dense().astype(float), 1)
    own = np.concatenate([asset.expression_basis, asset.combination_basis, asset.pose_basis]).astype(float)
    for kind, first in (("expression", 0), ("pose", 59)):
        basis, pairs, into = (getattr(asset, f"personal_{kind}_{part}") for part in ("basis", "pairs", "map"))
        for pair, (row, vertex) in enumerate(pairs):
            own[first + row, vertex] += into.astype(float) @ given["shape"] @ basis[:, pair].astype(float)
    joints = asset.joint_offsets + np.einsum(
        "gn,gnc->gc", asset.joint_regressor_weights.astype(float), shaped[asset.joint_regressor_vertices]
    )
    rest = shaped + np.tensordot(given["expression"], own[:56], 1)
    for combination, row in zip(COMBINATIONS.values(), own[56:-6], strict=True):
        weight = 1.0
        for name, peak in combination.items():
            value = given["expression"][asset.expression_names.index(name)]
            weight *= np.clip(value, 0, 1) if peak == 1 else np.interp(value, [0, peak, 1], [0, 1, 0])
        rest = rest + weight * row
    rest = rest + np.tensordot(features, own[-6:], 1)
    size = given["larynx_size"] * np.exp(given["shape"] @ asset.larynx_identity.astype(float))
    for name, value in {"larynx_size": size, "larynx_forward": given["larynx_forward"]}.items():
        rest = rest + exact(**{name: value}, larynx_shift=given["larynx_shift"]).rest - asset.template
    turns = Rotation.from_rotvec(np.concatenate([given["pose"], given["eye_pose"]])).as_matrix()
    parents = [-1, 0, 1, 2, 3, 4, 5, 6, 7, 7]
    maps: list[Any] = []
    for joint, parent in enumerate(parents):
        frame = asset.joint_frames[joint].astype(float)
        turn = frame @ turns[joint] @ frame.T
        before = maps[parent] if parent >= 0 else lambda point: point
        maps.append(lambda p, turn=turn, o=joints[joint], before=before: before(turn @ (p - o) + o))
    maps.insert(0, lambda point: point)
    spin = Rotation.from_rotvec(given["global_rotation"]).as_matrix()
    weights = asset.weights.astype(float) / asset.weights.astype(float).sum(1, keepdims=True)
    result = exact(**given)
    for vertex in range(0, asset.vertex_count, 7):
        blended = sum(w * move(rest[vertex]) for w, move in zip(weights[vertex], maps, strict=True) if w)
        expected = spin @ (given["scale"] * blended) + given["translation"]
        np.testing.assert_allclose(result.vertices[vertex], expected, atol=2e-8)  # frames are float32
    for joint in range(10):
        expected = spin @ (given["scale"] * maps[joint + 1](joints[joint])) + given["translation"]
        np.testing.assert_allclose(result.joints[joint], expected, atol=2e-8)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_moving_the_whole_head_is_a_rigid_motion(seed: int) -> None:
    asset = synthetic_asset()
    model = HACK.from_asset(asset, dtype="float64")
    parameters = all_parameters(asset, seed=seed)
    turn, move = parameters.pop("global_rotation"), parameters.pop("translation")
    still, moved = model(**parameters), model(**parameters, global_rotation=turn, translation=move)
    matrix = Rotation.from_rotvec(turn).as_matrix()
    np.testing.assert_allclose(moved.vertices, still.vertices @ matrix.T + move, atol=1e-12)
    np.testing.assert_allclose(moved.joints, still.joints @ matrix.T + move, atol=1e-12)


def test_scale_grows_the_head_about_the_origin_before_it_is_placed(asset: ModelAsset, exact: HACK) -> None:
    move = np.array([0.1, 0.2, -0.6])
    result = exact(scale=1.1, translation=move, pose=np.full((8, 3), 0.05))
    small = exact(pose=np.full((8, 3), 0.05))
    np.testing.assert_allclose(result.vertices, 1.1 * small.vertices + move, atol=1e-14)
    np.testing.assert_allclose(result.joints, 1.1 * small.joints + move, atol=1e-14)


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("resting", [False, True])
def test_gradients_equal_finite_differences(asset: ModelAsset, tensors: HACK, name: str, resting: bool) -> None:
    """At random values, and with rotations at exactly zero, where the exponential map is singular."""
    start = all_parameters(asset, (2,), seed=3)
    if resting:
        start |= {key: np.zeros_like(start[key]) for key in ("pose", "eye_pose", "global_rotation", "larynx_shift")}
        start["larynx_shift"] += 1e-4  # between two texels: a bilinear map has a kink at each
    values = {key: torch.tensor(value) for key, value in start.items()}
    larynx = np.argsort(np.abs(asset.larynx_uv - 0.5).sum(axis=1))[:2]
    few = tensors.restricted(np.concatenate([np.linspace(0, asset.vertex_count - 1, 8).astype(int), larynx]))

    def evaluate(value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        output = few(**{**values, name: value})
        return output.vertices, output.joints

    assert torch.autograd.gradcheck(evaluate, values[name].requires_grad_(), atol=1e-9, fast_mode=True)


def test_gradient_of_the_larynx_is_not_zero(tensors: HACK) -> None:
    size = torch.tensor(0.9, dtype=torch.float64, requires_grad=True)
    shift = torch.tensor(0.0012, dtype=torch.float64, requires_grad=True)
    tensors(larynx_size=size, larynx_shift=shift).vertices.pow(2).sum().backward()
    assert size.grad is not None
    assert shift.grad is not None
    assert abs(size.grad) > 1e-6
    assert abs(shift.grad) > 1e-6


def test_torch_transforms_pass_when_finiteness_is_not_checked(asset: ModelAsset) -> None:
    model = HACK.from_asset(asset, backend="torch", dtype="float64", check_finite=False)
    pose = torch.tensor(random_parameters(asset, (3,))["pose"])
    mapped = torch.func.vmap(lambda p: model(pose=p, larynx_size=1.0, larynx_shift=0.002).vertices)(pose)
    assert torch.allclose(mapped, model(pose=pose, larynx_size=1.0, larynx_shift=0.002).vertices)
    jacobian = torch.func.jacfwd(lambda p: model(pose=p).joints)(pose[0])
    assert jacobian.shape == (10, 3, 8, 3)


def test_larynx_of_size_zero_is_no_bump_and_slides_up(asset: ModelAsset, exact: HACK) -> None:
    assert np.array_equal(exact(larynx_size=0.0, larynx_shift=0.005).vertices, exact().vertices)

    def bump(shift: float) -> np.ndarray:
        return (exact(larynx_size=1.0, larynx_shift=shift).vertices - exact().vertices) @ asset.larynx_direction

    def height(shift: float) -> float:
        return bump(shift) @ asset.template[:, 1] / bump(shift).sum()

    assert bump(0).max() > 0.004
    assert bump(0).min() > -1e-9
    assert height(0.01) > height(0.0) + 0.004
    assert height(-0.01) < height(0.0) - 0.004


def test_larynx_is_the_chart_read_below_by_the_slide(asset: ModelAsset, exact: HACK) -> None:
    """A ramp chart makes the bilinear rule visible: height proportional to v inside, zero outside."""
    ramp = np.zeros((11, 11))
    ramp[1:-1, 1:-1] = np.arange(1, 10)[:, None] * 1e-4
    model = HACK.from_asset(replace(asset, larynx_map=ramp, larynx_forward_map=np.zeros((0, 0))), dtype="float64")
    for shift in (0.0, 0.0071, -0.02, 0.5, 1e6):
        moved = (model(larynx_size=2.0, larynx_shift=shift).rest - asset.template) @ asset.larynx_direction / 2
        for vertex in np.flatnonzero(asset.larynx_uv[:, 0] >= 0):
            u, v = asset.larynx_uv[vertex].astype(float)
            row = (v - shift / LARYNX_METRES_PER_V) * 10
            if 0.1 < u < 0.9 and 0 <= v <= 1 and not 9 < row < 10:
                expected = row * 1e-4 if 0 <= row <= 9 else 0.0
                assert moved[vertex] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("beyond", "share"), [(-0.1, 1.0), (0.0, 1.0), (0.5, 0.5), (1.0, 0.0), (2.0, 0.0), (9.0, 0.0)])
def test_larynx_ends_one_texel_beyond_its_chart(asset: ModelAsset, beyond: float, share: float) -> None:
    model = HACK.from_asset(
        replace(asset, larynx_map=np.full((5, 5), 1e-3), larynx_forward_map=np.zeros((0, 0))), dtype="float64"
    )
    vertex = int(np.argmin(np.abs(asset.larynx_uv - 0.5).sum(axis=1)))
    row = 4 * float(asset.larynx_uv[vertex, 1])
    for shift in (-(4 + beyond - row), row + beyond):
        moved = model(larynx_size=1.0, larynx_shift=shift / 4 * LARYNX_METRES_PER_V).rest[vertex] - model().rest[vertex]
        assert moved @ asset.larynx_direction == pytest.approx(share * 1e-3, abs=1e-8)


def test_vertices_outside_the_chart_never_move(asset: ModelAsset, exact: HACK) -> None:
    outside = asset.larynx_uv[:, 0] < 0
    for shift in (0.0, 1.2, -1.2, 1.19):
        moved = exact(larynx_size=1.0, larynx_shift=shift).vertices - exact().vertices
        assert not moved[outside].any()


@pytest.mark.parametrize("joint", range(8))
def test_a_joint_turns_what_lies_above_it_and_leaves_what_lies_below(
    asset: ModelAsset, model: HACK, joint: int
) -> None:
    pose = np.zeros((8, 3))
    pose[joint] = [0.2, 0, 0]
    moved = np.linalg.norm(model(pose=pose).vertices - model(pose=np.zeros((8, 3))).vertices, axis=1)
    crown = asset.template[:, 1].argmax()
    assert moved[crown] > 0.01, CERVICAL_JOINTS[joint]
    untouched = asset.weights[:, : joint + 1].sum(1) > 1 - 1e-6
    correctives = np.abs(asset.pose_basis).max(axis=(0, 2)) < 1e-9 if len(asset.pose_basis) else True
    assert moved[untouched & correctives].max(initial=0) < 1e-6
    front = asset.template[:, 2].argmax()
    lowered = model(pose=pose).vertices[front, 1] - asset.template[front, 1]
    assert lowered < -0.005, "positive flexion brings the face down"
