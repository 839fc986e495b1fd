"""Action units, their sliders and the drivers behind them."""

from __future__ import annotations

import bpy
import pytest

from blender_addon.common.controls import REGIONS, controls, shown_units, unit_keys
from blender_addon.editor.rows import rows
from hack_model import HACK
from hack_model.facs.catalogue import catalogue
from tests.blender.heads import EXACT, Head, distance

SLIDERS = [(key, shapes) for unit in shown_units() for key, shapes in unit_keys(unit).items()]


def test_every_driver_is_valid_and_needs_no_python(head: Head) -> None:
    drivers = [*head.rig.animation_data.drivers, *head.keys.animation_data.drivers]
    assert len(drivers) > 150
    for curve in drivers:
        assert curve.driver.is_valid, curve.data_path
        assert curve.driver.is_simple_expression, curve.driver.expression


def test_sliders_drive_the_shapes_of_their_units_and_no_other(head: Head, model: HACK) -> None:
    others = {"Basis", *model.asset.combination_names}
    for key, shapes in SLIDERS:
        known = {name: weight for name, weight in shapes.items() if name in model.expression_names}
        assert (key in head.rig) == bool(known), key
        if known:
            head.set(**{key: 0.7})
            moved = {name: value for name, value in head.values().items() if abs(value) > 1e-6 and name not in others}
            assert moved == pytest.approx({name: 0.7 * weight for name, weight in known.items()}), key
            head.set(**{key: 0})


def test_small_values_are_not_rounded_away(head: Head) -> None:
    head.set(AU12L=5e-5, AU12R=0.99995)
    values = head.values()
    assert values["mouthSmile_L"] == pytest.approx(5e-5)
    assert values["mouthSmile_R"] == pytest.approx(0.99995, abs=1e-6)


def test_left_and_right_are_the_subjects(head: Head, model: HACK) -> None:
    head.set(AU12L=1)
    assert distance(head.vertices(), model.rig()(expression={"mouthSmile_L": 1}).vertices) < EXACT


def test_slider_and_expression_add_up_beyond_one(head: Head, model: HACK) -> None:
    head.set(AU12L=0.9, mouthSmile_L=0.6)
    assert distance(head.vertices(), model.rig()(expression={"mouthSmile_L": 1.5}).vertices) < EXACT


def test_negative_values_are_not_clamped(head: Head, model: HACK) -> None:
    head.set(mouthSmile_L=-0.5)
    assert distance(head.vertices(), model.rig()(expression={"mouthSmile_L": -0.5}).vertices) < EXACT


def test_tooltips_and_ranges(head: Head) -> None:
    for control in controls(_expressions(head)):
        settings = head.rig.id_properties_ui(control.key).as_dict()
        assert settings["description"] == control.description
        assert settings["min"] <= settings["soft_min"] < settings["soft_max"] <= settings["max"], control.key
        assert head.rig[control.key] == settings["default"] == 0.0
    assert head.rig.id_properties_ui("AU12L").as_dict()["description"].startswith("AU12, subject's left: ")
    assert head.rig.id_properties_ui("head_turn").as_dict()["subtype"] == "ANGLE"


def test_gaze_limits_are_the_eye_joints(head: Head, model: HACK) -> None:
    settings = head.rig.id_properties_ui("gaze_vertical").as_dict()
    flexion = model.asset.joint_limits[8:, 0].mean(axis=0)
    assert [settings["soft_min"], settings["soft_max"]] == pytest.approx([-flexion[1], -flexion[0]])


def test_panel_rows_hold_each_control_once_grouped_by_region(head: Head) -> None:
    found = list(rows(head.rig))
    keys = [key for row in found for _, key in row.keys]
    assert sorted(keys) == sorted({c.key for c in controls(_expressions(head))})
    regions = list(dict.fromkeys(row.region for row in found))
    assert regions == [region for region in REGIONS if region in regions]
    smile = next(row for row in found if row.label.startswith("12 "))
    assert smile.keys == (("L", "AU12L"), ("R", "AU12R"))
    assert "zygomaticus" in smile.text


def test_every_region_of_the_catalogue_has_a_title() -> None:
    assert {unit.region for unit in catalogue().values()} <= set(REGIONS)


def test_shape_keys_can_be_released_for_capture_add_ons_and_returned(head: Head) -> None:
    block = head.keys.key_blocks["jawOpen"]
    bpy.ops.hack.release_shape_keys(release=True)
    block.value = 0.4
    assert head.values()["jawOpen"] == pytest.approx(0.4)
    bpy.ops.hack.release_shape_keys(release=False)
    assert head.values()["jawOpen"] == 0


def test_released_shape_keys_leave_the_correctives_driven(head: Head, model: HACK) -> None:
    bpy.ops.hack.release_shape_keys(release=True)
    head.set(head_turn=0.6)
    assert any(name.startswith("pose ") and value for name, value in head.values().items())


def test_arkit_names_and_back(head: Head) -> None:
    before = [block.name for block in head.keys.key_blocks]
    bpy.ops.hack.name_shape_keys(naming="ARKIT")
    names = {block.name for block in head.keys.key_blocks}
    assert {"eyeBlinkLeft", "mouthSmileRight", "jawOpen", "tongueOut"} <= names
    assert "eyeBlink_L" not in names
    head.set(AU45L=1)
    assert head.values()["eyeBlinkLeft"] == 1
    bpy.ops.hack.name_shape_keys(naming="HACK")
    assert [block.name for block in head.keys.key_blocks] == before


def _expressions(head: Head) -> list[str]:
    from blender_addon.common.head import expression_names

    return expression_names(head.rig)
