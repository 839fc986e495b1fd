"""What calls take, refuse and give back: names, batches, landmarks, dtypes, copies."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from hack_model import HACK, Clip, ModelAsset, ParameterError
from tests.support.synthetic import (
    all_parameters,
    random_parameters,
    synthetic_asset,
)


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
