"""The default model's neck as a solid, and a small block of tissue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import Delaunay

import hack_model
from hack_model.model import HACK
from hack_model.simulation.anatomy import Anatomy, Tissue
from hack_model.simulation.body import Fibres, NeckBody
from hack_model.simulation.run import neck_body
from hack_model.simulation.volume import NeckVolume, signed_volumes
from hack_model.training.spaces import uncorrected

CORRECTIVES = Path(__file__).parents[3] / "data" / "hack_open" / "correctives.npz"


@pytest.fixture(scope="session")
def model() -> HACK:
    return HACK.from_asset(hack_model.load().asset)


@pytest.fixture(scope="session")
def bare(model: HACK) -> HACK:
    return HACK.from_asset(uncorrected(model.asset))


@pytest.fixture(scope="session")
def body(bare: HACK) -> NeckBody:
    pytest.importorskip("tetgen")
    return neck_body(bare)


@pytest.fixture
def block() -> NeckBody:
    """A cube of 5 cm with skin on four of its nodes and a muscle that runs up through all of it."""
    random = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.linspace(0, 0.05, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    inner = ((grid > 0.001) & (grid < 0.049)).all(axis=1)
    grid[inner] += random.normal(size=(inner.sum(), 3)) * 1e-3
    top = np.flatnonzero(grid[:, 1] > 0.049)[[0, 3, 15, 12]]
    order = np.concatenate([top, np.setdiff1d(np.arange(len(grid)), top)])
    nodes = grid[order]
    tetrahedra = Delaunay(nodes).simplices.astype(np.int64)
    turned = signed_volumes(nodes, tetrahedra) < 0
    tetrahedra[turned] = tetrahedra[turned][:, [1, 0, 2, 3]]
    tetrahedra = tetrahedra[np.abs(signed_volumes(nodes, tetrahedra)) > 1e-9]
    none = np.zeros(len(nodes), bool)
    volume = NeckVolume(
        nodes, tetrahedra, np.arange(4), np.array([[0, 1, 2, 3]]), none, none, np.array([[0, 1, 2], [0, 2, 3]])
    )
    anatomy = Anatomy((), {"skin": Tissue(1e5, 0, 2e-3, 0, 0)}, {})
    count = len(tetrahedra)
    up = np.tile([0.0, 1.0, 0.0], (count, 1))
    muscle = Fibres("muscle", "", np.arange(count), np.ones(count), up, 5e4, np.full(count, 1e4))
    return NeckBody(volume, anatomy, np.full(len(nodes), np.nan), np.full(count, 1e4), (muscle,))
