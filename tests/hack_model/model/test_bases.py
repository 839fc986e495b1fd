"""What a model can be made of: rigs, parts of the mesh, control meshes, personalised bases, combinations, halves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hack_model import HACK, ModelAsset, ParameterError
from hack_model.basis import Basis, Refinement
from hack_model.kinematics import rotation_matrix
from hack_model.packing import BASES
from tests.support.synthetic import (
    all_parameters,
    random_parameters,
    synthetic_asset,
)


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
