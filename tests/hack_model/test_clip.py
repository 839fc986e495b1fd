from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from hack_model import HACK, Clip, FormatError, ModelAsset, ParameterError
from hack_model.arrayfile import write_arrays
from hack_model.larynx import swallow
from tests.support.synthetic import random_parameters, synthetic_asset

MOTION = (
    "expression",
    "pose",
    "eye_pose",
    "larynx_size",
    "larynx_shift",
    "larynx_forward",
    "global_rotation",
    "translation",
)


@pytest.fixture(scope="module")
def asset() -> ModelAsset:
    return synthetic_asset()


def moving(asset: ModelAsset, frames: int, fps: float = 25.0) -> Clip:
    values = random_parameters(asset, (frames,))
    return replace(Clip.neutral(asset, frames, fps), **{**values, "shape": values["shape"][0]}, scale=1.05)


@pytest.fixture
def clip(asset: ModelAsset) -> Clip:
    return moving(asset, 6)


def equal(first: Clip, second: Clip) -> None:
    for field in fields(Clip):
        assert np.array_equal(getattr(first, field.name), getattr(second, field.name)), field.name


def test_neutral_clip_is_the_models_mean_head(asset: ModelAsset) -> None:
    model = HACK.from_asset(asset)
    vertices = model(**Clip.neutral(model, 2).parameters()).vertices
    np.testing.assert_allclose(vertices, np.stack([asset.template] * 2), atol=1e-7)


@pytest.mark.parametrize("camera", [None, {"focal": 1500.5, "centre": [320, 240.5], "width": 640}])
def test_save_and_load_round_trip(clip: Clip, tmp_path: Path, camera: dict[str, Any] | None) -> None:
    clip = replace(clip, camera=camera)
    path = clip.save(tmp_path / "clip.npz")
    loaded = Clip.load(path)
    equal(clip, loaded)
    assert loaded.save(tmp_path / "again.npz").read_bytes() == path.read_bytes()
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["expression"].dtype == np.float32
        assert arrays["model_name"] == "synthetic"


def test_files_without_forward_glide_are_read(clip: Clip, tmp_path: Path) -> None:
    with np.load(clip.save(tmp_path / "clip.npz"), allow_pickle=False) as file:
        arrays = dict(file)
    del arrays["larynx_forward"]
    with pytest.raises(FormatError, match="missing fields: larynx_forward"):
        Clip.load(write_arrays(tmp_path / "new.npz", arrays))
    arrays["clip_version"] = np.asarray(1)
    equal(Clip.load(write_arrays(tmp_path / "old.npz", arrays)), replace(clip, larynx_forward=np.zeros(len(clip))))


def test_forward_glide_needs_a_model_that_has_it(asset: ModelAsset, clip: Clip) -> None:
    without = replace(asset, larynx_forward_map=np.zeros((0, 0)))
    with pytest.raises(ParameterError, match="model synthetic has no forward glide of the larynx, which frame 2 uses"):
        replace(clip, larynx_forward=[0, 0, 0.001, 0, 0, 0]).for_model(without)
    still = replace(clip, larynx_forward=np.zeros(6))
    vertices = HACK.from_asset(without)(**still.for_model(without).parameters()).vertices
    np.testing.assert_allclose(vertices, HACK.from_asset(asset)(**still.parameters()).vertices, atol=1e-7)


def test_a_swallow_adds_to_the_clip(asset: ModelAsset) -> None:
    clip = replace(Clip.neutral(asset, 60, 30.0), larynx_shift=np.full(60, 0.001), larynx_size=np.ones(60))
    swallowing = clip.with_swallow(0.5, rise=0.008)
    moved = swallow(np.arange(60) / 30 - 0.5, rise=0.008)
    np.testing.assert_allclose(swallowing.larynx_shift, 0.001 + moved.shift, atol=1e-9)
    np.testing.assert_allclose(swallowing.larynx_forward, moved.forward, atol=1e-9)
    assert not swallowing.larynx_forward[:15].any()
    assert swallowing.larynx_shift.max() == pytest.approx(0.009, abs=1e-6)
    equal(replace(swallowing, larynx_shift=clip.larynx_shift, larynx_forward=clip.larynx_forward), clip)


def test_left_out_fields_are_neutral_and_arrays_read_only() -> None:
    clip = Clip("m", "1", ("jawOpen",), np.zeros((3, 1)))
    assert clip.pose.shape == (3, 8, 3)
    assert not clip.larynx_size.any()
    assert len(clip) == 3
    with pytest.raises(ValueError, match="read-only"):
        clip.expression[0] = 1


def test_parameters_and_motion_feed_model_and_rig(asset: ModelAsset, clip: Clip) -> None:
    model = HACK.from_asset(asset)
    whole = model(**clip.parameters()).vertices
    rig = model.rig(clip.shape, clip.scale)
    for frame in (0, 5, -1):
        np.testing.assert_allclose(rig(**clip.motion(frame)).vertices, whole[frame], atol=1e-6)
        np.testing.assert_allclose(model(**clip[frame].parameters()).vertices[0], whole[frame], atol=1e-6)


def test_slicing_and_concatenation_are_inverse(clip: Clip) -> None:
    equal(Clip.concatenate([clip[:2], clip[2], clip[3:]]), clip)
    assert len(clip[::2]) == 3
    np.testing.assert_array_equal(clip[-1].pose[0], clip.pose[5])
    with pytest.raises(IndexError, match="frame 6 of a clip of 6 frames"):
        clip[6]
    with pytest.raises(ParameterError, match="at least one frame"):
        clip[3:3]


@pytest.mark.parametrize("change", [{"fps": 30.0}, {"scale": 1.0}, {"shape": np.ones(6)}, {"model_name": "other"}])
def test_concatenating_what_does_not_belong_together(clip: Clip, change: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=f"clip 1 differs from the first in {next(iter(change))}"):
        Clip.concatenate([clip, replace(clip, **change)])
    with pytest.raises(ParameterError, match="at least one"):
        Clip.concatenate([])


def test_expressions_are_matched_by_name(asset: ModelAsset, clip: Clip) -> None:
    order = np.random.default_rng(0).permutation(len(asset.expression_names))
    names = tuple(asset.expression_names[i] for i in order)
    shuffled = replace(clip, expression_names=names, expression=clip.expression[:, order])
    equal(shuffled.for_model(asset), clip)
    equal(shuffled.for_model(HACK.from_asset(asset)), clip)
    few = replace(clip, expression_names=("jawOpen",), expression=clip.expression[:, :1])
    matched = few.for_model(asset)
    column = asset.expression_names.index("jawOpen")
    np.testing.assert_array_equal(matched.expression[:, column], clip.expression[:, 0])
    assert np.count_nonzero(matched.expression.any(axis=0)) == 1


def test_unknown_expressions_raise_unless_they_do_nothing(asset: ModelAsset, clip: Clip) -> None:
    values = np.zeros((6, 57), np.float32)
    values[:, :56] = clip.expression
    wider = replace(clip, expression_names=(*clip.expression_names, "earWiggle_L"), expression=values)
    equal(wider.for_model(asset), clip)
    values[4, 56] = 0.1
    with pytest.raises(ParameterError, match="'earWiggle_L', which frame 4 uses"):
        replace(wider, expression=values).for_model(asset)


def test_identity_belongs_to_its_model(asset: ModelAsset, clip: Clip) -> None:
    for foreign in (replace(clip, model_name="other"), replace(clip, model_version="2")):
        named = f"belongs to model {foreign.model_name} {foreign.model_version}, not synthetic {asset.version}"
        with pytest.raises(ParameterError, match=f"{named}; .*identity=False"):
            foreign.for_model(asset)
        equal(replace(foreign, shape=clip.shape * 0).for_model(asset), replace(clip, shape=clip.shape * 0))
    moved = foreign.for_model(asset, identity=False)
    assert not moved.shape.any()
    np.testing.assert_array_equal(moved.pose, clip.pose)
    longer = replace(clip, shape=np.append(clip.shape, 0.0))
    equal(longer.for_model(asset), clip)
    with pytest.raises(ParameterError, match="uses 7 components, model synthetic has 6"):
        replace(clip, shape=np.append(clip.shape, 0.5)).for_model(asset)
    assert replace(clip, shape=clip.shape[:2]).for_model(asset).shape.shape == (6,)


def test_resampling_keeps_given_frames_and_slerps_rotations(asset: ModelAsset) -> None:
    clip = moving(asset, 5, fps=10)
    finer = clip.resampled(40)
    assert (len(finer), finer.fps) == (17, 40)
    for name in MOTION:
        np.testing.assert_allclose(getattr(finer, name)[::4], getattr(clip, name), atol=2e-6)
    times = np.arange(17) / 4
    expected = Slerp(np.arange(5), Rotation.from_rotvec(clip.global_rotation))(times)
    turned = Rotation.from_rotvec(finer.global_rotation)
    assert (turned.inv() * expected).magnitude().max() < 1e-5
    joint = Slerp(np.arange(5), Rotation.from_rotvec(clip.pose[:, 3]))(times)
    assert (Rotation.from_rotvec(finer.pose[:, 3]).inv() * joint).magnitude().max() < 1e-5
    linear = np.stack([np.interp(times, np.arange(5), clip.translation[:, axis]) for axis in range(3)], 1)
    np.testing.assert_allclose(finer.translation, linear, atol=1e-6)
    assert len(clip[0].resampled(60)) == 1


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.floats(5, 120), st.floats(5, 120))
def test_resampling_never_reaches_beyond_the_last_frame(frames: int, old: float, new: float) -> None:
    clip = replace(Clip("m", "1", ("jawOpen",), np.linspace(0, 1, frames)[:, None]), fps=old)
    result = clip.resampled(new)
    assert (len(result) - 1) / new <= (frames - 1) / old + 1e-6
    assert len(result) / new > (frames - 1) / old - 1e-6
    assert result.expression.max() <= clip.expression.max() + 1e-6
    assert (np.diff(result.expression[:, 0]) >= -1e-6).all()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"pose": np.zeros((5, 8, 3))}, r"pose: wanted shape \(6, 8, 3\), got \(5, 8, 3\)"),
    ({"expression": np.zeros((6, 3))}, r"expression: wanted shape \(6, 56\), got \(6, 3\)"),
    ({"expression": np.zeros(6)}, "expression: wanted shape"),
    ({"translation": np.array([[0.0] * 3] * 4 + [[0, np.nan, 0]] * 2)}, "translation, frame 4: .* not finite"),
    ({"shape": np.array([1e300])}, "shape: holds values that are not finite"),
    ({"fps": 0.0}, "fps and scale: wanted more than zero"),
    ({"scale": -1.0}, "fps and scale: wanted more than zero"),
    ({"fps": np.nan}, "fps: holds values that are not finite"),
    ({"larynx_size": np.array(["a"] * 6)}, "larynx_size: wanted numbers"),
    ({"expression_names": ("jawOpen",) * 56}, "a name is repeated"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_wrong_values_name_field_and_frame(clip: Clip, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        replace(clip, **change)


def test_resampling_to_no_rate(clip: Clip) -> None:
    with pytest.raises(ParameterError, match="fps: wanted more than zero"):
        clip.resampled(0)


FILES: list[tuple[dict[str, Any], str]] = [
    ({"pose": None}, "missing fields: pose"),
    ({"posture": np.zeros(3)}, "unknown fields: posture"),
    ({"clip_version": None}, "no clip_version"),
    ({"clip_version": np.array(9)}, "clip version 9, this program reads 1"),
    ({"model_name": np.array(4)}, "field model_name holds int64"),
    ({"expression_names": np.arange(56)}, "field expression_names holds int64"),
    ({"camera": np.array("{")}, "field camera is not JSON"),
    ({"camera": np.array("[" * 100_000)}, "field camera is not JSON"),
    ({"camera": np.array("[1]")}, "field camera is no JSON object"),
    ({"eye_pose": np.full((6, 2, 3), np.inf)}, "eye_pose, frame 0"),
    ({"fps": np.ones(3)}, r"fps: wanted shape \(\), got \(3,\)"),
]


@pytest.mark.parametrize(("change", "message"), FILES)
def test_wrong_files_name_file_and_field(clip: Clip, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    arrays: dict[str, Any] = {**dict(np.load(clip.save(tmp_path / "good.npz"))), **change}
    path = write_arrays(tmp_path / "bad.npz", {name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(FormatError, match=message) as caught:
        Clip.load(path)
    assert "bad.npz" in str(caught.value)


def test_truncated_and_foreign_files(clip: Clip, asset: ModelAsset, tmp_path: Path) -> None:
    content = clip.save(tmp_path / "clip.npz").read_bytes()
    for size in (0, 10, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.npz").write_bytes(content[:size])
        with pytest.raises(FormatError, match=r"cut\.npz"):
            Clip.load(tmp_path / "cut.npz")
    with pytest.raises(FormatError, match="not a clip"):
        Clip.load(asset.save(tmp_path / "model.npz"))
    with pytest.raises(FormatError, match="no such file"):
        Clip.load(tmp_path / "absent.npz")
