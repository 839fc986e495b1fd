"""Rows that differ between identities, and the weights of combinations, with their derivatives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fitting.own_rows import Activation, OwnRows
from hack_model import HACK
from hack_model.names import HACK_EXPRESSIONS
from tests.support.synthetic import synthetic_asset

COUNT = len(HACK_EXPRESSIONS) + 1  # and tongueOut


@pytest.fixture(scope="module")
def model() -> HACK:
    return HACK.from_asset(synthetic_asset(all_correctives=True), dtype="float64")


@pytest.fixture(scope="module")
def rows(model: HACK) -> dict[str, OwnRows]:
    asset = model.asset
    vertices, factors = np.arange(0, model.vertex_count, 3)[:, None] + [0, 1, 2], np.array([0.5, 0.2, 0.3])
    vertices = np.minimum(vertices, model.vertex_count - 1)
    shared = {
        "expression": np.concatenate([asset.expression_basis.dense(), asset.combination_basis.dense()]),
        "pose": asset.pose_basis.dense(),
    }
    return {
        kind: OwnRows.of(
            asset, kind, np.einsum("c,rpcx->pxr", factors, value[:, vertices]), vertices,
            np.tile(factors, (len(vertices), 1)),
        )
        for kind, value in shared.items()
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["expression", "pose"])
def test_rows_are_the_rigs(model: HACK, rows: dict[str, OwnRows], kind: str):
    shape = np.random.default_rng(0).normal(size=len(model.asset.shape_basis))
    rig = model.rig(shape)
    whole = rig.pose_basis if kind == "pose" else np.concatenate([rig.expression_basis, rig.combination_basis])
    vertices = np.minimum(np.arange(0, model.vertex_count, 3)[:, None] + [0, 1, 2], model.vertex_count - 1)
    wanted = np.einsum("c,rpcx->pxr", [0.5, 0.2, 0.3], np.asarray(whole)[:, vertices])
    own = rows[kind].basis(shape)
    assert np.abs(own - rows[kind].shared).max() > 1e-4
    np.testing.assert_allclose(own, wanted, atol=1e-9)


@pytest.mark.parametrize("kind", ["expression", "pose"])
def test_displacement_is_bilinear_with_these_derivatives(rows: dict[str, OwnRows], kind: str):
    random, own = np.random.default_rng(1), rows[kind]
    shape, weights = random.normal(size=own.map.shape[1]), random.normal(size=own.shared.shape[2])
    weights[::3] = 0
    moved = own.displacement(shape, weights)
    np.testing.assert_allclose(moved, own.basis(shape) @ weights, atol=1e-12)
    np.testing.assert_allclose(
        moved - own.displacement(0 * shape, weights), own.by_shape(weights) @ shape, atol=1e-12
    )  # fmt: skip


def test_mean_identity_has_the_shared_rows(rows: dict[str, OwnRows]):
    np.testing.assert_array_equal(rows["expression"].basis(np.zeros(6)), rows["expression"].shared)


@settings(max_examples=40, deadline=None)
@given(expression=arrays.arrays(np.float64, COUNT, elements=st.floats(-0.25, 1.25)))
def test_weights_are_the_models(model: HACK, expression: np.ndarray):
    activation = Activation.of(model.combinations, COUNT)
    np.testing.assert_allclose(
        activation.weights(expression), np.asarray(model.expression_coefficients(expression)), atol=1e-12
    )


@pytest.mark.parametrize("seed", range(5))
def test_derivative_of_the_weights(model: HACK, seed: int):
    activation = Activation.of(model.combinations, COUNT)
    expression = np.random.default_rng(seed).uniform(0.01, 0.99, COUNT)
    step = 1e-6 * np.eye(COUNT)
    numeric = np.stack(
        [(activation.weights(expression + h) - activation.weights(expression - h)) / 2e-6 for h in step], 1
    )
    np.testing.assert_allclose(activation.derivative(expression), numeric, atol=1e-7)
    assert np.abs(numeric[COUNT:]).max() > 0.1


def test_derivative_at_the_bounds_is_that_from_within(model: HACK):
    activation = Activation.of(model.combinations, COUNT)
    names = model.expression_names
    one, other = names.index("jawOpen"), names.index("mouthClose")
    for bound, inward in ((0.0, 1e-6), (1.0, -1e-6)):
        expression = np.full(COUNT, 0.7)
        expression[one] = bound
        near = expression.copy()
        near[one] += inward
        numeric = (activation.weights(near) - activation.weights(expression)) / inward
        np.testing.assert_allclose(activation.derivative(expression)[:, one], numeric, atol=1e-6)
        assert activation.derivative(expression)[COUNT, one] == pytest.approx(expression[other])


def test_models_without_combinations_weigh_expressions_alone():
    activation = Activation.of(None, 3)
    np.testing.assert_array_equal(activation.weights(np.array([0.1, 0.2, 0.3])), [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(activation.derivative(np.zeros(3)), np.eye(3))


def test_rows_that_no_identity_changes_are_shared(model: HACK):
    asset = model.asset
    kept = asset.personal_expression_pairs[:, 0] != 0
    asset = replace(
        asset,
        personal_expression_pairs=asset.personal_expression_pairs[kept],
        personal_expression_basis=asset.personal_expression_basis[:, kept],
    )
    vertices = np.repeat(np.arange(model.vertex_count)[:, None], 3, axis=1)
    shared = np.concatenate([asset.expression_basis.dense(), asset.combination_basis.dense()]).transpose(1, 2, 0)
    own = OwnRows.of(asset, "expression", shared, vertices, np.tile([1.0, 0.0, 0.0], (len(vertices), 1)))
    found = own.basis(np.random.default_rng(2).normal(size=len(asset.shape_basis)))
    np.testing.assert_array_equal(found[..., 0], shared[..., 0])
    assert np.abs(found - shared).max() > 1e-4
