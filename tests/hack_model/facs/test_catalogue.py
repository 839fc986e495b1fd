"""The tables of action units: complete, consistent with the shared names, and read with clear errors."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hack_model.build.expressions import NAMES as EXPRESSIONS
from hack_model.errors import AssetError
from hack_model.facs import catalogue as module
from hack_model.facs.catalogue import action_units, catalogue
from hack_model.resources import data_folder


def test_every_reading_names_an_expression_and_a_source():
    for unit in catalogue().values():
        for reading in unit.readings:
            assert reading.expression in EXPRESSIONS
            assert reading.source in {"ICT", "muscle", "ours"}


def test_units_of_kind_shape_have_shapes_and_others_of_no_kind_have_none():
    for unit in catalogue().values():
        assert bool(unit.shapes()) == (unit.kind in {"shape", "eyes"} and unit.code not in {"AU65", "AU66"}), unit.code


def test_sides_match_the_names():
    for unit in catalogue().values():
        for reading in unit.readings:
            suffix = {"left": "_L", "right": "_R"}.get(reading.side)
            if suffix and unit.code != "AU30":
                assert reading.expression.endswith(suffix)


def test_no_expression_shows_two_units():
    used = [name for unit in catalogue().values() for name in unit.shapes()]
    assert len(used) == len(set(used))


def test_smile_is_unit_12_of_each_side():
    units = action_units({"mouthSmile_L": 0.8, "mouthSmile_R": 0.25})
    assert units == {"AU12": {"left": 0.8, "right": 0.25}}


@pytest.mark.parametrize(
    ("code", "name"), [("AU21", "neckTighten"), ("AU38", "nostrilDilate"), ("AU39", "nostrilCompress")]
)
def test_units_of_neck_and_nostrils_have_a_shape_a_side(code, name):
    assert catalogue()[code].shapes("left") == {f"{name}_L": 1.0}
    assert action_units({f"{name}_L": 0.7, f"{name}_R": 0.0})[code] == {"left": 0.7, "right": 0.0}


def test_every_expression_but_those_of_combined_use_shows_a_unit():
    shown = {name for unit in catalogue().values() for name in (reading.expression for reading in unit.readings)}
    assert set(EXPRESSIONS) - shown == {"mouthClose", "mouthLeft", "mouthRight"}


def test_unit_of_two_shapes_takes_their_mean():
    assert action_units({"mouthRollLower": 0.5, "mouthRollUpper": 0.1}) == {"AU28": {"both": pytest.approx(0.3)}}


@given(st.dictionaries(st.sampled_from(EXPRESSIONS), st.floats(-1, 2)))
def test_intensities_stay_in_the_unit_interval(expression):
    for sides in action_units(expression).values():
        assert all(0 <= value <= 1 for value in sides.values())


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("weight", "much", "is no number"),
        ("weight", "1.5", "outside"),
        ("side", "top", "none of"),
        ("used", "?", "none"),
    ],
)
def test_bad_rows_are_named_with_file_and_line(tmp_path, monkeypatch, column, value, message):
    folder = tmp_path / "facs"
    folder.mkdir()
    source = data_folder() / "facs"
    (folder / "action_units.csv").write_bytes((source / "action_units.csv").read_bytes())
    lines = (source / "action_unit_shapes.csv").read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("AU"))
    header = next(csv.reader([lines[first - 1]]))
    row = next(csv.reader([lines[first]]))
    row[header.index(column)] = value
    lines[first] = ",".join(row)
    (folder / "action_unit_shapes.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(module, "data_folder", lambda: tmp_path)
    with pytest.raises(AssetError, match=rf"action_unit_shapes\.csv:{first + 1}: .*{message}"):
        catalogue.__wrapped__()
