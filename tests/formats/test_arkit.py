from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hack_model.errors import ParameterError
from hack_model.formats.arkit import arkit_table, from_arkit, to_arkit
from hack_model.names import HACK_EXPRESSIONS

NAMES = (*HACK_EXPRESSIONS, "tongueOut")


def test_table_covers_every_expression_but_the_cheek_raisers() -> None:
    members = [member for members in arkit_table().values() for member in members]
    assert len(arkit_table()) == 52
    assert len(set(members)) == len(members)
    assert set(NAMES) - set(members) == {"cheekRaiser_L", "cheekRaiser_R"}
    assert set(members) <= set(NAMES)


def test_left_is_left() -> None:
    for arkit, members in arkit_table().items():
        if len(members) == 2:
            assert [member[-2:] for member in members] == ["_L", "_R"]
        elif arkit.endswith("Left") and members[0].endswith("_L"):
            assert members == (arkit.removesuffix("Left") + "_L",)
        elif members[0].endswith("_R"):
            assert members == (arkit.removesuffix("Right") + "_R",)
        else:
            assert members == (arkit,)


@given(st.lists(st.floats(0, 1, width=32), min_size=52, max_size=52))
def test_arkit_values_survive_the_round_trip(values: list[float]) -> None:
    recorded = np.array(values, np.float32)
    expression = from_arkit(list(arkit_table()), recorded, NAMES)
    np.testing.assert_array_equal(to_arkit(NAMES, expression), recorded)


def test_two_sided_names_give_the_mean_and_set_both() -> None:
    expression = np.zeros((3, len(NAMES)), np.float32)
    expression[:, NAMES.index("browInnerUp_L")] = 0.75
    expression[:, NAMES.index("browInnerUp_R")] = 0.25
    column = list(arkit_table()).index("browInnerUp")
    np.testing.assert_array_equal(to_arkit(NAMES, expression)[:, column], 0.5)
    back = from_arkit(["BrowInnerUp"], np.array([[0.5]]), NAMES)
    assert {NAMES[i] for i in np.flatnonzero(back[0])} == {"browInnerUp_L", "browInnerUp_R"}


def test_wrong_names_and_shapes_are_refused() -> None:
    with pytest.raises(ParameterError, match="eyeblink"):
        from_arkit(["eyeblink"], np.zeros(1), NAMES)
    with pytest.raises(ParameterError, match="3 names"):
        from_arkit(["jawOpen"] * 3, np.zeros((5, 2)), NAMES)
