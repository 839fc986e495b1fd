"""The numerical parts, each against what defines it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from hack_model import HACK
from hack_model.training.components import streamed_components
from hack_model.training.skinning import edge_laplacian, project_to_simplex, solve_weights
from hack_model.training.static import _sampling  # pyright: ignore[reportPrivateUsage]
from tests.support.synthetic import synthetic_asset


@pytest.mark.parametrize("count", [12, 300])
def test_streamed_components_are_the_principal_components(count: int) -> None:
    random = np.random.default_rng(0)
    data = random.normal(size=(count, 40)) * 0.6 ** np.arange(40) @ random.normal(size=(40, 90)) + 3
    data = data.astype(np.float32)
    found = streamed_components(lambda: np.array_split(data, 5), count, 8)
    _, values, right = np.linalg.svd(data - data.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(found.mean, data.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(found.variance, values[:8] ** 2 / (count - 1), rtol=1e-4)
    np.testing.assert_allclose(found.total_variance, (values**2).sum() / (count - 1), rtol=1e-5)
    expected = right[:8] * values[:8, None] / np.sqrt(count - 1)
    sign = np.sign((found.basis * expected).sum(axis=1))[:, None]
    np.testing.assert_allclose(found.basis * sign, expected, atol=2e-3 * values[0] / np.sqrt(count))
    assert (np.take_along_axis(found.basis, np.abs(found.basis).argmax(1)[:, None], 1) > 0).all()


def test_components_without_variance_are_left_out() -> None:
    data = np.outer(np.arange(6.0), np.ones(7)).astype(np.float32)
    assert len(streamed_components(lambda: [data], 6, 4).basis) == 1
    assert len(streamed_components(lambda: [data * 0], 6, 4).basis) == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=5, max_size=5), st.integers(1, 5))
def test_projection_is_the_nearest_sparse_convex_row(values: list[float], bones: int) -> None:
    row = np.array(values)
    found = project_to_simplex(row[None], bones)[0]
    assert found.min() >= 0
    assert np.isclose(found.sum(), 1)
    assert (found > 0).sum() <= bones
    random = np.random.default_rng(0)
    for _ in range(50):
        other = np.zeros(5)
        other[random.permutation(5)[:bones]] = random.dirichlet(np.ones(bones))
        assert np.linalg.norm(row - found) <= np.linalg.norm(row - other) + 1e-9


def test_laplacian_is_the_sum_of_squared_slopes() -> None:
    asset = synthetic_asset(rings=6, segments=5)
    field = np.random.default_rng(0).normal(size=asset.vertex_count)
    laplacian = edge_laplacian(asset.faces, asset.template)
    edges = set()
    for face in asset.faces:
        corners = [int(v) for v in face if v >= 0]
        edges |= {tuple(sorted((a, b))) for a, b in zip(corners, corners[1:] + corners[:1], strict=True)}
    length = {edge: np.linalg.norm(asset.template[edge[0]] - asset.template[edge[1]]) for edge in edges}
    expected = sum(((field[a] - field[b]) / max(length[a, b], 1e-4)) ** 2 for a, b in edges)
    np.testing.assert_allclose(field @ laplacian @ field, expected, rtol=1e-5)


def test_weights_reach_the_constrained_minimum() -> None:
    """Against a general solver, on two coupled vertices whose four bones are all there are."""
    random = np.random.default_rng(0)
    factors = random.normal(size=(2, 6, 4))
    normal, right = np.matmul(factors.swapaxes(1, 2), factors), random.normal(size=(2, 4))
    from scipy.sparse import csr_matrix

    smooth = csr_matrix(np.array([[3.0, -3.0], [-3.0, 3.0]]))

    def objective(flat: np.ndarray) -> float:
        weights = flat.reshape(2, 4)
        quadratic = 0.5 * np.einsum("vi,vij,vj->", weights, normal, weights) - (weights * right).sum()
        return quadratic + 0.5 * np.einsum("vj,vu,uj->", weights, smooth.toarray(), weights)

    found = solve_weights(normal, right, smooth, np.full((2, 4), 0.25))
    sums = [{"type": "eq", "fun": lambda flat, v=v: flat.reshape(2, 4)[v].sum() - 1} for v in range(2)]
    best = minimize(objective, np.full(8, 0.25), bounds=[(0, 1)] * 8, constraints=sums, tol=1e-12)
    assert objective(found.reshape(-1)) <= best.fun + 1e-6


@pytest.mark.parametrize("shift", [-0.02, 0.0, 0.013])
def test_larynx_is_sampled_as_the_model_does(shift: float) -> None:
    asset = synthetic_asset()
    region = np.flatnonzero(((asset.larynx_uv >= 0) & (asset.larynx_uv <= 1)).all(axis=1))
    expected = np.asarray(HACK.from_asset(asset, dtype="float64").larynx.height(np.array(shift)))[region]
    assert expected.max() > 1e-3
    np.testing.assert_allclose(_sampling(asset, region, shift) @ asset.larynx_map.reshape(-1), expected, atol=1e-9)
