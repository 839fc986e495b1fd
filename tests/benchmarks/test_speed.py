"""Speed and memory of the model at the size of the official release. Run with ``--benchmark-enable`` for figures."""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hack_model import HACK, ModelAsset
from hack_model.basis import Basis
from hack_model.kinematics import joint_transforms, rotation_matrix
from hack_model.resources import default_model_path
from tests.support.synthetic import random_parameters, synthetic_asset


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """As numpy's side of the comparisons has; with two, a busy machine waits at every barrier."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def asset() -> ModelAsset:
    """14,101 vertices, 56 expressions, 72 correctives; the release has 14,062."""
    return synthetic_asset(rings=125, segments=112, all_correctives=True, shape=50, personal=False)


@pytest.fixture(scope="module")
def parameters(asset: ModelAsset) -> dict[str, np.ndarray]:
    values = random_parameters(asset)
    values.pop("shape")
    return values


def per_term(
    asset: ModelAsset, bases: tuple[np.ndarray, np.ndarray], parameters: dict[str, Any], bump: np.ndarray
) -> np.ndarray:
    """The formula as it is written down: one term after another, a 4x4 matrix per vertex."""
    turns = rotation_matrix(np.concatenate([parameters["pose"], parameters["eye_pose"]]))
    features = (turns[:8] - np.eye(3)).reshape(72)[asset.pose_features]
    rest = asset.template + (bases[0] * parameters["expression"][:, None, None]).sum(0)
    rest = rest + (bases[1] * features[:, None, None]).sum(0) + bump
    regressed = (asset.template[asset.joint_regressor_vertices] * asset.joint_regressor_weights[..., None]).sum(1)
    transforms = joint_transforms(regressed + asset.joint_offsets, asset.joint_frames, turns)
    blended = (transforms * asset.weights[:, :, None, None]).sum(1)
    posed = (blended @ np.concatenate([rest, np.ones((len(rest), 1))], 1)[..., None])[:, :3, 0]
    return posed @ rotation_matrix(parameters["global_rotation"]).T + parameters["translation"]


def throat(asset: ModelAsset, parameters: dict[str, Any]) -> np.ndarray:
    """What the larynx adds to a frame's rest shape."""
    given = {name: value for name, value in parameters.items() if name.startswith("larynx")}
    return HACK.from_asset(asset)(**given).rest - asset.template


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_one_frame_of_a_rig(asset: ModelAsset, parameters: dict[str, Any], backend: str, benchmark: Any) -> None:
    rig = HACK.from_asset(asset, backend=backend).rig()
    if backend == "torch":
        parameters = {name: torch.tensor(value, dtype=torch.float32) for name, value in parameters.items()}
    output = benchmark(lambda: rig(**parameters))
    assert output.vertices.shape == (asset.vertex_count, 3)


def test_one_frame_term_by_term(asset: ModelAsset, parameters: dict[str, Any], benchmark: Any) -> None:
    """What the rig is compared to; it must also give the same vertices."""
    model = HACK.from_asset(asset)
    bump = throat(asset, parameters)
    single = {name: value.astype(np.float32) for name, value in parameters.items()}
    bases = asset.expression_basis.dense(), asset.pose_basis.dense()
    expected = benchmark(lambda: per_term(asset, bases, single, bump))
    np.testing.assert_allclose(model.rig()(**parameters).vertices, expected, atol=2e-6)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_batch_of_frames(asset: ModelAsset, backend: str, benchmark: Any) -> None:
    """64 frames at once; ``times_per_term`` is the throughput over that of the formula term by term, in this very run.

    Each side's fastest of several runs counts, so that other work on the machine favours neither.
    """
    values = random_parameters(asset, (64,))
    values.pop("shape")
    rig = HACK.from_asset(asset, backend=backend).rig()
    if backend == "torch":
        values = {name: torch.tensor(value, dtype=torch.float32) for name, value in values.items()}
    assert benchmark(lambda: rig(**values)).vertices.shape == (64, asset.vertex_count, 3)
    single = {name: np.asarray(value[0], np.float32) for name, value in values.items()}
    bases = asset.expression_basis.dense(), asset.pose_basis.dense()
    bump = throat(asset, single)
    frame = fastest(lambda: per_term(asset, bases, single, bump), 10)
    batch = fastest(lambda: rig(**values), 10)
    benchmark.extra_info["per_term_ms_a_frame"] = round(frame * 1e3, 1)
    benchmark.extra_info["ms_a_frame"] = round(batch / 64 * 1e3, 2)
    benchmark.extra_info["times_per_term"] = round(frame / (batch / 64), 1)


def fastest(run: Callable[[], Any], rounds: int) -> float:
    """Seconds of the fastest of some runs."""
    seconds: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def test_gradient_of_one_frame(asset: ModelAsset, parameters: dict[str, Any], benchmark: Any) -> None:
    rig = HACK.from_asset(asset, backend="torch").rig()
    tensors = {name: torch.tensor(v, dtype=torch.float32, requires_grad=True) for name, v in parameters.items()}

    def step() -> torch.Tensor:
        return torch.autograd.grad(rig(**tensors).vertices.square().sum(), list(tensors.values()))[0]

    assert bool(benchmark(step).any())


def test_fixing_an_identity(asset: ModelAsset, benchmark: Any) -> None:
    model = HACK.from_asset(asset)
    shape = np.random.default_rng(0).normal(size=50)
    assert benchmark(lambda: model.rig(shape)).template.shape == (3, asset.vertex_count)


@pytest.fixture(scope="module")
def whole() -> ModelAsset:
    """hack-open with correctives and with personalised expressions of the size its file has room for: 38,000 pairs."""
    asset = ModelAsset.load(default_model_path())
    assert asset.refinement is not None
    random = np.random.default_rng(0)
    moving = random.uniform(size=(63, asset.control_count, 1)) < 0.4
    control = random.normal(scale=1e-3, size=(63, asset.control_count, 3)) * moving
    rows = len(asset.expression_names) + len(asset.combination_names)
    pairs = np.argwhere(random.uniform(size=(rows, asset.control_count)) < 38_000 / rows / asset.control_count)
    return replace(
        asset,
        pose_basis=Basis.on_control(control, asset.refinement),
        pose_features=np.arange(9, 72),
        personal_expression_basis=random.normal(scale=1e-4, size=(16, len(pairs), 3)),
        personal_expression_pairs=pairs,
        personal_expression_map=random.normal(scale=0.1, size=(16, len(asset.shape_basis))),
    )


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_personalising_an_identity(whole: ModelAsset, backend: str, benchmark: Any) -> None:
    model = HACK.from_asset(whole, backend=backend)
    shape = np.random.default_rng(0).normal(size=len(whole.shape_basis))
    rig = benchmark(lambda: model.rig(shape))
    assert np.abs(np.asarray(rig.expression_basis) - np.asarray(model.expression_basis)).max() > 1e-4
    benchmark.extra_info["asset_MB"] = round(whole.nbytes / 1e6, 1)


def test_one_frame_of_a_personalised_rig(whole: ModelAsset, benchmark: Any) -> None:
    rig = HACK.from_asset(whole).rig(np.random.default_rng(0).normal(size=len(whole.shape_basis)))
    values = {name: value for name, value in random_parameters(whole).items() if name != "shape"}
    assert benchmark(lambda: rig(**values)).vertices.shape == (whole.vertex_count, 3)


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


def test_loading_and_memory_of_hack_open(benchmark: Any) -> None:
    loaded: ModelAsset = benchmark(lambda: ModelAsset.load(default_model_path()))
    benchmark.extra_info["asset_MB"] = round(loaded.nbytes / 1e6, 1)
    benchmark.extra_info["held_MB"] = round(allocated(lambda: ModelAsset.load(default_model_path())) / 1e6, 1)
    benchmark.extra_info["file_MB"] = round(default_model_path().stat().st_size / 1e6, 2)
    benchmark.extra_info["numpy_model_beyond_asset_MB"] = round(allocated(lambda: HACK.from_asset(loaded)) / 1e6, 1)


def allocated(make: Callable[[], Any]) -> int:
    tracemalloc.start()
    kept = make()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del kept
    return size
