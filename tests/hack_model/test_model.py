from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hack_model import HACK, Clip, ModelAsset, ParameterError
from hack_model.basis import Basis, Refinement
from hack_model.kinematics import rotation_matrix
from hack_model.names import CERVICAL_JOINTS
from hack_model.packing import BASES
from hack_model.parameters import PARAMETERS
from tests.support.synthetic import COMBINATIONS, LARYNX_METRES_PER_V, random_parameters, synthetic_asset


@pytest.fixture(scope="module")
def asset() -> ModelAsset:
    return synthetic_asset()


@pytest.fixture(scope="module")
def model(asset: ModelAsset) -> HACK:
    return HACK.from_asset(asset)


@pytest.fixture(scope="module")
def exact(asset: ModelAsset) -> HACK:
    return HACK.from_asset(asset, dtype="float64")


@pytest.fixture(scope="module")
def tensors(asset: ModelAsset) -> HACK:
    return HACK.from_asset(asset, backend="torch", dtype="float64")


def all_parameters(asset: ModelAsset, batch: tuple[int, ...] = (), seed: int = 0) -> dict[str, np.ndarray]:
    scale = np.random.default_rng(seed + 100).uniform(0.8, 1.2, batch)
    return {**random_parameters(asset, batch, seed), "scale": scale}


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


def test_rig_equals_model(asset: ModelAsset, model: HACK) -> None:
    parameters = all_parameters(asset, (3,), seed=8)
    shape, scale = parameters.pop("shape")[0], parameters.pop("scale")[0]
    rig = model.rig(shape, scale)
    expected = model(shape=shape, scale=scale, **parameters)
    np.testing.assert_allclose(rig(**parameters).vertices, expected.vertices, atol=1e-7)
    assert rig.asset is asset


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_restricted_model_equals_the_subset_with_the_same_joints(asset: ModelAsset, backend: str) -> None:
    model = HACK.from_asset(asset, backend=backend)
    parameters = all_parameters(asset, (2,), seed=9)
    chosen = np.random.default_rng(0).permutation(asset.vertex_count)[:50]
    few, whole = model.restricted(chosen)(**parameters), model(**parameters)
    np.testing.assert_allclose(few.vertices, whole.vertices[:, chosen], atol=1e-6)
    np.testing.assert_allclose(few.joints, whole.joints, atol=1e-7)
    assert model.restricted(np.array([3])).shape_basis.shape == (len(asset.shape_basis), 1, 3)
    assert model.restricted(np.zeros(0, int))(**parameters).vertices.shape == (2, 0, 3)


def refined(asset: ModelAsset) -> tuple[ModelAsset, ModelAsset]:
    """The asset with all bases on a coarser control mesh, and the same model with dense bases and no control mesh."""
    random, count = np.random.default_rng(4), 60
    refinement = Refinement(
        random.integers(0, count, (asset.vertex_count, 3)), random.dirichlet(np.ones(3), asset.vertex_count), count
    )
    bases = {
        name: Basis.on_control(random.normal(scale=2e-3, size=(len(getattr(asset, name)), count, 3)), refinement)
        for name in BASES
    }
    bases["expression_basis"] = asset.expression_basis  # one that was shaped on the refined mesh
    personal: dict[str, Any] = {}
    fine: dict[str, Any] = {}
    for kind, rows in (("expression", 59), ("pose", 6)):
        chosen = random.uniform(size=(rows, count)) < 0.3
        values = random.normal(scale=1e-3, size=(3, rows, count, 3)) * chosen[..., None]
        into = random.normal(size=(3, len(asset.shape_basis)))
        for target, field, kept in ((personal, values, chosen), (fine, refinement.apply(values), None)):
            pairs = np.argwhere(np.ones(field.shape[1:3], bool) if kept is None else kept)
            target |= {
                f"personal_{kind}_pairs": pairs,
                f"personal_{kind}_basis": field[:, pairs[:, 0], pairs[:, 1]],
                f"personal_{kind}_map": into,
            }
    dense = {name: basis.dense() for name, basis in bases.items()}
    return (
        replace(asset, **bases, **personal, refinement=refinement),
        replace(asset, **dense, **fine, refinement=None),
    )


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_a_model_on_its_control_mesh_is_the_model(asset: ModelAsset, backend: str) -> None:
    """Whole and restricted to many and to few vertices; one identity, baked and not, and several."""
    coarse, fine = (HACK.from_asset(made, backend=backend, dtype="float64") for made in refined(asset))
    chosen = np.random.default_rng(0).permutation(asset.vertex_count)
    for first, second in ((coarse, fine), *((coarse.restricted(c), fine.restricted(c)) for c in (chosen, chosen[:7]))):
        np.testing.assert_allclose(first.shape_basis, second.shape_basis, atol=1e-8)
        for batch in ((), (3,), (2, 3)):
            parameters = all_parameters(asset, batch, seed=6)
            wanted = second(**parameters)
            result = first(**parameters)
            np.testing.assert_allclose(result.vertices, wanted.vertices, atol=3e-8)
            np.testing.assert_allclose(result.joints, wanted.joints, atol=3e-8)
        parameters = all_parameters(asset, seed=6)
        rigs = [m.rig(parameters["shape"], parameters["scale"]) for m in (first, second)]
        motion = {name: value for name, value in parameters.items() if name not in ("shape", "scale")}
        np.testing.assert_allclose(rigs[0](**motion).vertices, second(**parameters).vertices, atol=3e-8)
        np.testing.assert_allclose(rigs[0].pose_basis, rigs[1].pose_basis, atol=3e-8)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_identities_have_expressions_and_correctives_of_their_own(asset: ModelAsset, backend: str) -> None:
    model = HACK.from_asset(asset, backend=backend, dtype="float64")
    motion = {key: value for key, value in random_parameters(asset, (12,)).items() if key in ("expression", "pose")}
    shapes = np.random.default_rng(2).normal(size=(12, len(asset.shape_basis)))
    several = model.rig(shapes)
    for number in range(12):
        one = {name: value[number] for name, value in motion.items()}
        alone = model.rig(shapes[number])(**one).rest
        np.testing.assert_allclose(several(**motion).rest[number], alone, atol=1e-12)
        generic = model.rig(shapes[number], personalised=False)(**one).rest
        assert np.abs(np.asarray(generic - alone)).max() > 1e-4
    frames = {name: np.broadcast_to(value[0], value.shape) for name, value in motion.items()}
    np.testing.assert_allclose(model(shapes[0], **frames).rest[5], model(shapes[0], **_first(motion)).rest, atol=1e-12)
    mean = model.rig(np.zeros(6))(**motion).rest
    np.testing.assert_allclose(mean, model.rig(personalised=False)(**motion).rest, atol=1e-15)
    with pytest.raises(ParameterError, match="several identities"):
        _ = several.expression_basis


def _first(motion: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: value[0] for name, value in motion.items()}


def test_personalising_is_linear_in_shape_and_leaves_the_joints(asset: ModelAsset, exact: HACK) -> None:
    shape = np.random.default_rng(3).normal(size=6)
    one, two = exact.rig(shape), exact.rig(2 * shape)
    for name in ("expression_basis", "combination_basis", "pose_basis"):
        generic = np.asarray(getattr(exact, name))
        np.testing.assert_allclose(
            getattr(two, name) - generic, 2 * (np.asarray(getattr(one, name)) - generic), atol=1e-15
        )
    np.testing.assert_array_equal(one.joints, exact.rig(shape, personalised=False).joints)


@pytest.mark.parametrize("baked", [False, True])
def test_gradient_by_shape_reaches_expressions_and_correctives(asset: ModelAsset, tensors: HACK, baked: bool) -> None:
    """Of the own part alone: what a moving shape changes in the difference between two expressions."""
    motion = {name: torch.tensor(value) for name, value in random_parameters(asset, (2,), 1).items() if name != "shape"}
    few = tensors.restricted(np.arange(0, asset.vertex_count, 60))

    def change(shape: torch.Tensor) -> torch.Tensor:
        rig = few.rig(shape if baked else shape[None])
        return rig(expression=motion["expression"], pose=motion["pose"]).rest - rig().rest

    shape = torch.tensor(np.random.default_rng(1).normal(size=6), requires_grad=True)
    assert torch.autograd.gradcheck(change, shape)
    gradient = torch.autograd.grad(change(shape).square().sum(), shape)[0]
    assert gradient.abs().min() > 1e-9


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(-0.5, 1.6), min_size=4, max_size=4), st.floats(0.05, 1.0))
def test_combination_weights_follow_their_rule(values: list[float], peak: float) -> None:
    asset = synthetic_asset()
    peaks = asset.combination_peaks.copy()
    peaks[1, 0] = peak
    names = ("jawOpen", "mouthClose", "eyeBlink_L", "mouthSmile_L")
    expression: dict[str, float] = dict(zip(names, values, strict=True))
    expression["mouthPucker"] = values[0]

    def factor(name: str, top: float) -> float:
        w = expression[name]
        if top == 1:
            return min(max(w, 0), 1)
        return float(np.interp(w, [0, top, 1], [0, 1, 0]))

    rows = replace(asset, combination_peaks=peaks).combinations
    wanted = [np.prod([factor(name, top) for name, top in row.items()]) for row in rows]
    for backend in ("numpy", "torch"):
        model = HACK.from_asset(replace(asset, combination_peaks=peaks), backend=backend, dtype="float64")
        assert model.combinations is not None
        found = model.combinations.weights(model.expression_vector(expression))
        np.testing.assert_allclose(found, wanted, atol=1e-6)
        moved = model.rig()(expression=expression).rest - model.rig()(expression={}).rest
        linear = np.tensordot(model.expression_vector(expression), np.asarray(model.expression_basis), 1)
        np.testing.assert_allclose(moved - linear, np.tensordot(wanted, model.combination_basis, 1), atol=1e-8)


@pytest.mark.parametrize("kind", ["multipie68", "mediapipe478"])
def test_landmarks_are_barycentric_and_need_their_vertices(asset: ModelAsset, model: HACK, kind: Any) -> None:
    vertices = model(**random_parameters(asset, (2,))).vertices
    field = "landmarks68" if kind == "multipie68" else "landmarks478"
    corners, weights = getattr(asset, f"{field}_vertices"), getattr(asset, f"{field}_weights")
    expected = np.einsum("lk,blkc->blc", weights, vertices[:, corners])
    np.testing.assert_allclose(model.landmarks(vertices, kind), expected, atol=1e-6)
    few = model.landmark_model(kind)
    points = few.landmarks(few(**random_parameters(asset, (2,))).vertices, kind)
    np.testing.assert_allclose(points, expected, atol=1e-6)
    with pytest.raises(ParameterError, match="landmark_model"):
        model.restricted(np.arange(5)).landmarks(vertices[:, :5], kind)
    with pytest.raises(ParameterError, match=r"wanted shape \(\*batch, 485, 3\), got \(4, 3\)"):
        model.landmarks(vertices[0, :4], kind)
    np.testing.assert_array_equal(model.landmarks(vertices.tolist(), kind), model.landmarks(vertices, kind))


def test_unknown_or_absent_landmarks_are_named(asset: ModelAsset, model: HACK) -> None:
    with pytest.raises(ParameterError, match="multipie68, mediapipe478"):
        model.landmarks(model().vertices, "ibug300")  # pyright: ignore[reportArgumentType]
    without = HACK.from_asset(synthetic_asset(landmarks=False))
    with pytest.raises(ParameterError, match="landmarks478_vertices is empty"):
        without.landmark_model("mediapipe478")


def test_bases_are_public_in_the_assets_layout(asset: ModelAsset, model: HACK) -> None:
    for name in ("template", "shape_basis", "expression_basis", "combination_basis", "pose_basis"):
        np.testing.assert_array_equal(getattr(model, name), getattr(asset, name))
    shape = np.random.default_rng(1).normal(size=len(asset.shape_basis))
    joints = model.joint_template + np.tensordot(shape, model.joint_basis, 1)
    np.testing.assert_allclose(joints, model(shape=shape).joints, atol=1e-7)


@pytest.mark.parametrize("correctives", [False, True])
def test_models_without_correctives_or_pose_basis(correctives: bool) -> None:
    asset = synthetic_asset(correctives=correctives)
    if not correctives:
        asset = replace(asset, pose_basis=np.zeros((0, 0, 3)), pose_features=np.zeros(0, int))
    model = HACK.from_asset(asset)
    rest = model(pose=np.full((8, 3), 0.2)).rest
    assert (np.abs(rest - asset.template).max() > 1e-5) == correctives
    assert model.restricted(np.arange(4)).pose_basis.shape == (len(asset.pose_features), 4, 3)


def test_fewer_shape_coefficients_are_padded(asset: ModelAsset, model: HACK) -> None:
    padded = np.zeros((2, len(asset.shape_basis)))
    padded[:, :3] = np.random.default_rng(3).normal(size=(2, 3))
    np.testing.assert_array_equal(model(shape=padded[:, :3]).vertices, model(shape=padded).vertices)


def test_expressions_by_name(asset: ModelAsset, model: HACK) -> None:
    values = np.zeros((2, len(asset.expression_names)))
    values[:, asset.expression_names.index("jawOpen")] = [0.2, 0.7]
    values[:, asset.expression_names.index("mouthSmile_L")] = 0.4
    named = {"jawOpen": np.array([0.2, 0.7]), "mouthSmile_L": 0.4}
    np.testing.assert_array_equal(model(expression=named).vertices, model(expression=values).vertices)
    np.testing.assert_array_equal(model(expression={}).vertices, model().vertices)
    with pytest.raises(ParameterError, match="no expression 'mouthSmil_L'; it has mouthSmile_L"):
        model(expression={"mouthSmil_L": 1.0})
    with pytest.raises(ParameterError, match="no expression 3; it has browDown_L"):
        model(expression={3: 1.0})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_a_batch_may_be_empty(asset: ModelAsset, backend: str) -> None:
    model = HACK.from_asset(asset, backend=backend)
    every = all_parameters(asset, (0,))
    assert model(**every).vertices.shape == (0, asset.vertex_count, 3)
    for name, value in every.items():
        output = model(**{name: value})
        assert output.vertices.shape == (0, asset.vertex_count, 3)
        assert output.joints.shape == (0, 10, 3)
    assert model.landmarks(model(**every).vertices, "multipie68").shape == (0, 68, 3)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"shape": np.zeros(7)}, r"shape: wanted shape \(\*batch, 6\), got \(7,\)"),
    ({"expression": np.zeros(55)}, r"expression: wanted shape \(\*batch, 56\), got \(55,\)"),
    ({"pose": np.zeros((3, 8))}, r"pose: wanted shape \(\*batch, 8, 3\), got \(3, 8\)"),
    ({"pose": np.zeros(3)}, r"pose: wanted shape \(\*batch, 8, 3\), got \(3,\)"),
    ({"shape": 1.0}, r"shape: wanted shape \(\*batch, 6\), got \(\)"),
    ({"translation": [0, np.nan, 0]}, "translation: holds values that are not finite"),
    ({"larynx_size": np.inf}, "larynx_size: holds values that are not finite"),
    ({"eye_pose": "left"}, "eye_pose: wanted an array of numbers, got str"),
    ({"scale": None, "shape": [[1.0], [1.0, 2.0]]}, "shape: wanted an array of numbers, got list"),
    ({"pose": np.zeros((2, 8, 3)), "shape": np.zeros((3, 6))}, r"do not broadcast: .*pose \(2,\)"),
    ({"expression": {"jawOpen": np.zeros(4), "jawLeft": np.zeros(3)}}, r"broadcast: jawOpen \(4,\), jawLeft \(3,\)"),
    ({"expression": {"jawOpen": "wide"}}, "jawOpen: wanted an array of numbers, got str"),
]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_wrong_parameters_say_what_was_wanted(
    asset: ModelAsset, backend: str, wrong: dict[str, Any], message: str
) -> None:
    model = HACK.from_asset(asset, backend=backend)
    with pytest.raises(ParameterError, match=message):
        model(**wrong)


def test_wrong_backends_devices_and_vertices_are_refused(asset: ModelAsset, model: HACK) -> None:
    for options in (
        {"backend": "jax"},
        {"dtype": "float16"},
        {"dtype": "int8", "backend": "torch"},
        {"device": "cuda"},
    ):
        with pytest.raises(ParameterError):
            HACK.from_asset(asset, **options)
    with pytest.raises(ParameterError, match="torch cannot use device"):
        HACK.from_asset(asset, backend="torch", device="nowhere")
    for wrong in ([-1], [asset.vertex_count], [[0]], [0.5]):
        with pytest.raises(ParameterError, match="vertices"):
            model.restricted(np.array(wrong))


@pytest.mark.parametrize(("dtype", "unit"), [("float16", 2**-11), ("bfloat16", 2**-8)])
def test_half_precision_errs_by_its_bases_rounding_alone(asset: ModelAsset, dtype: str, unit: float) -> None:
    """Coefficient, basis and result are each rounded once, relative to the sum of their terms' sizes."""
    half = HACK.from_asset(asset, backend="torch", dtype=dtype)
    exact = HACK.from_asset(asset, dtype="float64")
    assert f"torch {dtype} on cpu" in repr(half)
    for seed in range(5):
        parameters = all_parameters(asset, (3,), seed)
        shape, expression = np.abs(parameters["shape"]), np.abs(parameters["expression"])
        output, wanted = half(**parameters), exact(**parameters)
        assert output.vertices.dtype == torch.float32
        rotations = rotation_matrix(np.concatenate([parameters["pose"], parameters["eye_pose"]], axis=1))
        features = np.abs(exact.pose_coefficients(rotations))
        weights = exact.expression_coefficients(expression)
        terms = np.tensordot(shape, np.abs(exact.shape_basis), 1) + np.tensordot(features, np.abs(exact.pose_basis), 1)
        terms = terms + np.tensordot(
            weights, np.abs(np.concatenate([exact.expression_basis, exact.combination_basis])), 1
        )
        own = sum(
            np.abs(np.asarray(exact.rig(one)._rows(kind, slice(None)) - exact.rig()._rows(kind, slice(None)))).max()
            for kind in ("expression", "pose")
            for one in parameters["shape"]
        )
        bound = 4 * unit * (terms + 20 * own) + 1e-7
        error = np.abs(output.rest.numpy() - wanted.rest)
        assert (error < bound).all()
        assert 1e-8 < np.sqrt(np.mean(error**2)) < 0.7 * unit * np.sqrt(np.mean(terms**2))
        np.testing.assert_allclose(output.joints, wanted.joints, atol=1e-6)
    shape = torch.tensor(parameters["shape"][0], dtype=torch.float32, requires_grad=True)
    half.rig(shape)(parameters["expression"], parameters["pose"]).vertices.square().sum().backward()
    assert shape.grad is not None
    assert shape.grad.abs().min() > 0


def test_torch_keeps_device_dtype_and_takes_any_array(asset: ModelAsset) -> None:
    model = HACK.from_asset(asset, backend="torch")
    output = model(pose=torch.zeros(8, 3, dtype=torch.float64), larynx_size=1, shape=[0.5, 1])
    assert output.vertices.dtype == torch.float32
    assert output.vertices.device == torch.device("cpu")
    with pytest.raises(ParameterError, match="translation: wanted an array of numbers"):
        HACK.from_asset(asset)(translation=torch.zeros(3, requires_grad=True))


def test_calls_change_neither_asset_nor_earlier_results(asset: ModelAsset, model: HACK) -> None:
    parameters = all_parameters(asset, seed=11)
    copies = {name: value.copy() for name, value in parameters.items()}
    first = model(**parameters).vertices.copy()
    model(**all_parameters(asset, seed=12))
    np.testing.assert_array_equal(model(**parameters).vertices, first)
    for name, value in copies.items():
        np.testing.assert_array_equal(parameters[name], value)


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


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_models_can_be_copied_and_sent_to_other_processes(asset: ModelAsset, backend: str) -> None:
    model = HACK.from_asset(asset, backend=backend, dtype="float64")
    parameters = all_parameters(asset)
    wanted = np.asarray(model(**parameters).vertices)
    for twin in (
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model.rig())).model,
    ):
        np.testing.assert_array_equal(twin(**parameters).vertices, wanted)
        assert type(twin().vertices) is type(model().vertices)


def test_results_may_be_written_to_and_constants_may_not(asset: ModelAsset, model: HACK) -> None:
    result = model()
    result.vertices[:] = 0
    np.testing.assert_array_equal(model().vertices, asset.template)
    for array in (result.rest, result.joints, model.template, model.weights, model.joint_frames):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0


def test_values_are_shown_in_a_line_and_compared_by_identity(asset: ModelAsset, model: HACK) -> None:
    assert repr(asset) == "ModelAsset(synthetic 0: 485 vertices, 6 shapes, 56 expressions)"
    assert repr(model) == f"HACK({asset!r}, numpy float32 on cpu, 485 vertices)"
    assert repr(model.rig()) == f"Rig of {model!r}"
    assert repr(Clip.neutral(asset, 2)) == "Clip(synthetic 0: 2 frames at 30 per second)"
    for value in (asset, model.rig(), model(), Clip.neutral(asset)):
        assert value == value
        assert value != copy.copy(value)
        assert hash(value) == hash(value)
