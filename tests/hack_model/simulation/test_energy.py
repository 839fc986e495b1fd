from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from hack_model.simulation.body import NeckBody
from hack_model.simulation.energy import POISSON, Assembly, Elastic

REST, ACTIVE = np.zeros(1), np.ones(1)


@pytest.fixture
def elastic(block: NeckBody) -> Elastic:
    return Elastic(block, block.volume.nodes)


def _matrix(elastic: Elastic, nodes: np.ndarray, activation: np.ndarray) -> np.ndarray:
    blocks = elastic.derivatives(nodes, activation)[1]
    assembly = Assembly([item[0] for item in blocks], np.arange(nodes.size))
    return assembly.matrix([item[1] for item in blocks]).toarray()


def test_rest_is_an_equilibrium(elastic: Elastic) -> None:
    assert elastic.energy(elastic.rest, REST) == pytest.approx(0, abs=1e-12)
    assert np.abs(elastic.derivatives(elastic.rest, REST)[0]).max() < 1e-12


@pytest.mark.parametrize("activation", [REST, ACTIVE])
def test_gradient_is_the_slope_of_the_energy(elastic: Elastic, activation: np.ndarray) -> None:
    random = np.random.default_rng(1)
    nodes = elastic.rest + random.normal(size=elastic.rest.shape) * 2e-3
    gradient = elastic.derivatives(nodes, activation)[0]
    way = random.normal(size=nodes.shape)
    slope = (elastic.energy(nodes + 1e-6 * way, activation) - elastic.energy(nodes - 1e-6 * way, activation)) / 2e-6
    assert (gradient * way).sum() == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("swelling", [1.0, 1.5])
def test_hessian_is_the_slope_of_the_gradient(elastic: Elastic, swelling: float) -> None:
    """Swollen until its pressure is nought, or a little tension, no eigenvalue is negative, so nothing is cut off."""
    random = np.random.default_rng(2)
    nodes = elastic.rest * np.cbrt(1 + swelling * (1 - 2 * POISSON) / (2 * POISSON))
    way = random.normal(size=nodes.shape)
    slope = (
        elastic.derivatives(nodes + 1e-8 * way, ACTIVE)[0] - elastic.derivatives(nodes - 1e-8 * way, ACTIVE)[0]
    ) / 2e-8
    found = _matrix(elastic, nodes, ACTIVE) @ way.ravel()
    assert np.abs(found - slope.ravel()).max() < 1e-4 * np.abs(slope).max()


def test_hessian_has_no_negative_eigenvalue_even_inside_out(elastic: Elastic) -> None:
    nodes = elastic.rest + np.random.default_rng(3).normal(size=elastic.rest.shape) * 8e-3
    values = np.linalg.eigvalsh(_matrix(elastic, nodes, ACTIVE))
    assert values[0] > -1e-9 * values[-1]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays(float, 3, elements=st.floats(-3, 3)), arrays(float, 3, elements=st.floats(-1, 1)))
def test_rigid_motion_costs_nothing(elastic: Elastic, turn: np.ndarray, shift: np.ndarray) -> None:
    moved = elastic.rest @ Rotation.from_rotvec(turn).as_matrix().T + shift
    assert abs(elastic.energy(moved, REST)) < 1e-9
    assert np.abs(elastic.derivatives(moved, REST)[0]).max() < 1e-8


def test_swelling_costs_far_more_than_shear(elastic: Elastic) -> None:
    """Nearly incompressible: a tenth of volume against a shear of the same size, Poisson's ratio near 1/2."""
    swollen = elastic.energy(elastic.rest * 1.0328, REST)
    sheared = elastic.energy(elastic.rest @ np.array([[1, 0, 0], [0.1, 1, 0], [0, 0, 1.0]]), REST)
    assert swollen > 20 * sheared


def test_active_fibres_pull_along_themselves(elastic: Elastic) -> None:
    force = -elastic.derivatives(elastic.rest, ACTIVE)[0]
    upper, lower = elastic.rest[:, 1] > 0.049, elastic.rest[:, 1] < 0.001
    section = 0.05**2 * 1e4  # newton: area times active stress
    assert force[upper, 1].sum() == pytest.approx(-section, rel=1e-6)
    assert force[lower, 1].sum() == pytest.approx(section, rel=1e-6)
    assert np.abs(force[upper][:, [0, 2]].sum(axis=0)).max() < 1e-9
