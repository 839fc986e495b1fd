"""Speed and memory of the model at the size of the official release. Run with ``--benchmark-enable`` for figures."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hack_model import HACK, ModelAsset
from hack_model.kinematics import joint_transforms, rotation_matrix
from tests.support.synthetic import random_parameters, synthetic_asset


@pytest.fixture(scope="module")
def asset() -> ModelAsset:
    """14,101 vertices, 56 expressions, 72 correctives; the release has 14,062."""
    return synthetic_asset(rings=125, segments=112, all_correctives=True, shape=50, personal=False)


@pytest.fixture(scope="module")
def parameters(asset: ModelAsset) -> dict[str, np.ndarray]:
    values = random_parameters(asset)
    values.pop("shape")
    return values


def per_term(asset: ModelAsset, parameters: dict[str, Any], bump: np.ndarray) -> np.ndarray:
    """The formula as it is written down: one term after another, a 4x4 matrix per vertex."""
    turns = rotation_matrix(np.concatenate([parameters["pose"], parameters["eye_pose"]]))
    features = (turns[:8] - np.eye(3)).reshape(72)[asset.pose_features]
    rest = asset.template + (asset.expression_basis.dense() * parameters["expression"][:, None, None]).sum(0)
    rest = rest + (asset.pose_basis.dense() * features[:, None, None]).sum(0) + bump * parameters["larynx_size"]
    regressed = (asset.template[asset.joint_regressor_vertices] * asset.joint_regressor_weights[..., None]).sum(1)
    transforms = joint_transforms(regressed + asset.joint_offsets, asset.joint_frames, turns)
    blended = (transforms * asset.weights[:, :, None, None]).sum(1)
    posed = (blended @ np.concatenate([rest, np.ones((len(rest), 1))], 1)[..., None])[:, :3, 0]
    return posed @ rotation_matrix(parameters["global_rotation"]).T + parameters["translation"]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_one_frame_of_a_rig(asset: ModelAsset, parameters: dict[str, Any], backend: str, benchmark: Any) -> None:
    torch.set_num_threads(2)
    rig = HACK.from_asset(asset, backend=backend).rig()
    if backend == "torch":
        parameters = {name: torch.tensor(value, dtype=torch.float32) for name, value in parameters.items()}
    output = benchmark(lambda: rig(**parameters))
    assert output.vertices.shape == (asset.vertex_count, 3)


def test_one_frame_term_by_term(asset: ModelAsset, parameters: dict[str, Any], benchmark: Any) -> None:
    """What the rig is compared to; it must also give the same vertices."""
    model = HACK.from_asset(asset)
    bump = model(larynx_size=1.0, larynx_shift=parameters["larynx_shift"]).rest - asset.template
    single = {name: value.astype(np.float32) for name, value in parameters.items()}
    expected = benchmark(lambda: per_term(asset, single, bump))
    np.testing.assert_allclose(model.rig()(**parameters).vertices, expected, atol=2e-6)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_batch_of_frames(asset: ModelAsset, backend: str, benchmark: Any) -> None:
    torch.set_num_threads(2)
    values = random_parameters(asset, (32,))
    values.pop("shape")
    rig = HACK.from_asset(asset, backend=backend).rig()
    assert benchmark(lambda: rig(**values)).vertices.shape == (32, asset.vertex_count, 3)


def test_gradient_of_one_frame(asset: ModelAsset, parameters: dict[str, Any], benchmark: Any) -> None:
    torch.set_num_threads(2)
    rig = HACK.from_asset(asset, backend="torch").rig()
    tensors = {name: torch.tensor(v, dtype=torch.float32, requires_grad=True) for name, v in parameters.items()}

    def step() -> torch.Tensor:
        return torch.autograd.grad(rig(**tensors).vertices.square().sum(), list(tensors.values()))[0]

    assert bool(benchmark(step).any())


def test_fixing_an_identity(asset: ModelAsset, benchmark: Any) -> None:
    model = HACK.from_asset(asset)
    shape = np.random.default_rng(0).normal(size=50)
    assert benchmark(lambda: model.rig(shape)).template.shape == (3, asset.vertex_count)


def test_import_time(benchmark: Any) -> None:
    command = [sys.executable, "-c", "import hack_model"]
    benchmark.pedantic(lambda: subprocess.run(command, check=True), rounds=5)


def test_loading_and_memory_of_an_asset(asset: ModelAsset, tmp_path: Path, benchmark: Any) -> None:
    path = asset.save(tmp_path / "model.npz")
    loaded: ModelAsset = benchmark(lambda: ModelAsset.load(path))
    arrays = sum(array.nbytes for array in loaded.to_arrays().values())
    benchmark.extra_info["asset_MiB"] = round(arrays / 2**20, 1)
    extra = allocated(lambda: HACK.from_asset(loaded))
    benchmark.extra_info["numpy_model_beyond_asset_MiB"] = round(extra / 2**20, 1)
    assert extra < 2 * arrays, "a numpy model shares the shape basis with its asset"


def allocated(make: Callable[[], Any]) -> int:
    tracemalloc.start()
    kept = make()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del kept
    return size
