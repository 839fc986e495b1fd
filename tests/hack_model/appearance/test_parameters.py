from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hack_model.appearance.parameters import NAMES, TRAITS, Appearance
from hack_model.errors import ParameterError


def test_the_table_is_the_class() -> None:
    assert [trait.default for trait in TRAITS] == Appearance().to_array().tolist()


@given(st.integers(0, 2**31))
def test_people_of_the_population_are_possible_and_the_same_again(seed: int) -> None:
    person = Appearance.random(seed)
    assert person == Appearance.random(seed)
    assert Appearance.from_array(person.to_array(), person.seed) == person


def test_the_population_has_light_and_dark_people_with_hair_and_eyes_to_match() -> None:
    people = np.array([Appearance.random(seed).to_array() for seed in range(400)])
    melanin, hair, iris = (people[:, NAMES.index(name)] for name in ("melanin", "hair", "iris"))
    assert np.quantile(melanin, 0.1) < 0.2
    assert np.quantile(melanin, 0.9) > 0.8
    assert np.corrcoef(melanin, hair)[0, 1] > 0.5
    assert np.corrcoef(melanin, iris)[0, 1] > 0.5
    assert iris[melanin < 0.3].min() < 0.15
    assert iris[melanin > 0.8].min() > 0.4


def test_text_is_read() -> None:
    assert Appearance.parse("") == Appearance()
    assert Appearance.parse("melanin=0.5, seed=4") == Appearance(melanin=0.5, seed=4)
    changed = Appearance.parse("random:7,iris=0.2")
    assert changed.iris == 0.2
    assert changed.melanin == Appearance.random(7).melanin


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("melanine=1", "'melanine=1' is no parameter"),
        ("melanin", "melanin"),
        ("melanin=dark", "'dark' is no number"),
        ("melanin=2", "melanin: 2 lies outside 0…1"),
        ("melanin=nan", "lies outside"),
        ("seed=1.5", "no whole number"),
        ("random:x", "no whole number"),
        ("random:²", "no whole number"),
        ("seed=²", "no whole number"),
    ],
)
def test_wrong_text_is_named(text: str, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        Appearance.parse(text)


@pytest.mark.parametrize("wrong", [{"melanin": "dark"}, {"iris": None}, {"seed": -1}, {"seed": 1.5}, {"seed": "x"}])
def test_values_of_a_wrong_kind_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        Appearance(**wrong)


@pytest.mark.parametrize("seed", [-1, 0.5])
def test_a_person_has_a_whole_number(seed: Any) -> None:
    with pytest.raises(ParameterError, match="seed"):
        Appearance.random(seed)


def test_arrays_are_checked() -> None:
    with pytest.raises(ParameterError, match="wanted"):
        Appearance.from_array(np.zeros(3))
    with pytest.raises(ParameterError, match="not finite"):
        Appearance.from_array(np.full(len(TRAITS), np.nan))
    for text in (["much"] * len(TRAITS), np.full(len(TRAITS), None), [[1.0], *[0.0] * (len(TRAITS) - 1)], "melanin"):
        with pytest.raises(ParameterError, match=f"wanted {len(TRAITS)} numbers"):
            Appearance.from_array(text)  # pyright: ignore[reportArgumentType]
    assert Appearance.from_array(np.full(len(TRAITS), 99.0)).melanin == 1
