"""Driver expressions, evaluated as Blender would, against what they stand for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from blender_addon.common.axes import TO_BLENDER, to_blender
from blender_addon.common.formulas import (
    BoneRotation,
    Control,
    Formula,
    Turn,
    rotation_entry,
    rotation_vector,
    tent,
    weighted_sum,
)
from blender_addon.common.rotations import quaternions
from hack_model.kinematics import rotation_matrix

VECTORS = arrays(np.float64, 3, elements=st.floats(-3, 3, width=32))
LANGUAGE = {
    "abs": abs, "max": max, "min": min, "pow": pow, "sqrt": math.sqrt,
    "clamp": lambda value, low, high: min(max(value, low), high),
}  # fmt: skip


def evaluate(formula: Formula, **values: float) -> float:
    assert set(values) >= set(formula.variables)
    return eval(formula.expression, {"__builtins__": {}}, LANGUAGE | values)


@given(VECTORS)
def test_rotation_entries_are_the_models_pose_features(vector: np.ndarray) -> None:
    w, x, y, z = quaternions(vector[None])[0]
    features = rotation_matrix(vector) - np.eye(3)
    found = [[evaluate(rotation_entry("b", r, c), w=w, x=x, y=y, z=z) for c in range(3)] for r in range(3)]
    np.testing.assert_allclose(found, features, atol=1e-9)


@pytest.mark.parametrize("entry", range(9))
def test_rotation_entries_name_only_the_channels_they_read(entry: int) -> None:
    formula = rotation_entry("oc1", *divmod(entry, 3))
    for name, source in formula.variables.items():
        assert name in formula.expression
        assert source == BoneRotation("oc1", f"ROT_{name.upper()}")


@given(st.floats(-0.02, 0.03), st.floats(0, 2))
def test_tents_share_the_size_and_only_neighbours_are_up(shift: float, size: float) -> None:
    spacing, last = 0.0025, (-4, 8)
    weights = [evaluate(tent("s", "t", k, spacing, last), s=size, t=shift) for k in range(last[0], last[1] + 1)]
    assert sum(weights) == pytest.approx(size, abs=1e-9)
    place = sum(k * weight for k, weight in zip(range(last[0], last[1] + 1), weights, strict=True))
    assert place * spacing == pytest.approx(size * min(max(shift, -0.01), 0.02), abs=1e-9)
    assert sum(weight > 1e-9 for weight in weights) <= 2


@given(
    arrays(np.float64, 3, elements=st.floats(-1, 1)),
    st.permutations(range(3)),
    arrays(np.float64, 3, elements=st.floats(0, 1)),
)
def test_rotation_vectors_are_sums_of_turns(angles: np.ndarray, order: list[int], shares: np.ndarray) -> None:
    axes = np.eye(3)[list(order)] * shares[:, None]
    turns = [Turn(Formula(name, {name: Control(name)}), axis) for name, axis in zip("abc", axes, strict=True)]
    values = dict(zip("abc", angles.tolist(), strict=True))
    angle, *vector = (evaluate(formula, **values) for formula in rotation_vector(turns))
    wanted = angles @ axes
    np.testing.assert_allclose(vector, wanted, atol=1e-6)
    assert angle == pytest.approx(np.linalg.norm(wanted), abs=1e-6)


def test_no_turn_is_no_rotation() -> None:
    assert [formula.expression for formula in rotation_vector([])] == ["0", "0", "0", "0"]


def test_weighted_sum_reads_every_term() -> None:
    formula = weighted_sum([("jawOpen", 1.0), ("AU27", 0.5)], [Formula("max(0,h)", {"h": Control("gaze")})])
    assert evaluate(formula, c0=0.2, c1=0.6, h=0.1) == pytest.approx(0.6)
    assert set(formula.variables.values()) == {Control("jawOpen"), Control("AU27"), Control("gaze")}


def test_expressions_blender_would_cut_are_refused() -> None:
    with pytest.raises(ValueError, match="characters"):
        Formula("+".join("a" * 200), {"a": Control("a")})


@given(arrays(np.float64, (5, 3), elements=st.floats(-3, 3, width=32)))
def test_quaternions_are_unit_and_take_the_short_way(vectors: np.ndarray) -> None:
    found = quaternions(vectors)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-12)
    assert ((found[1:] * found[:-1]).sum(axis=1) >= -1e-12).all()
    y, z = found[:, 2:].T
    np.testing.assert_allclose(1 - 2 * (y * y + z * z), rotation_matrix(vectors)[:, 0, 0], atol=1e-9)


@given(VECTORS)
def test_axes_are_turned_not_mirrored(vector: np.ndarray) -> None:
    np.testing.assert_array_equal(to_blender(vector), TO_BLENDER @ vector)
    assert np.linalg.det(TO_BLENDER) == pytest.approx(1)
