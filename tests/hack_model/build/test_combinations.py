"""Combination shapes: their table, how they are made, and what they mend in the default model."""

from __future__ import annotations

import numpy as np
import pytest

from hack_model.build import combinations
from hack_model.build.combinations import Rule, read_rules
from hack_model.errors import AssetError
from hack_model.model import HACK
from hack_model.training.spaces import summed
from tests.hack_model.build.test_face import EYES, Face, both

MOUTH = ("teeth", "gums", "tongue")


@pytest.fixture(scope="module")
def face() -> Face:
    return Face()


@pytest.fixture(scope="module")
def sums(face: Face) -> Face:
    """The same face without its combinations: expressions merely add up."""
    result = Face()
    result.model = HACK.from_asset(summed(face.asset))
    return result


def test_model_has_the_tables_combinations(face):
    rules = read_rules()
    names = face.asset.expression_names
    assert face.asset.combination_names == tuple(rule.name for rule in rules)
    for rule, sources, peaks in zip(rules, face.asset.combination_sources, face.asset.combination_peaks, strict=True):
        assert tuple(names[index] for index in sources if index >= 0) == rule.sources
        np.testing.assert_allclose(peaks[sources >= 0], rule.peaks)


def test_both_sides_have_the_same_combinations():
    names = {frozenset(rule.sources) for rule in read_rules()}
    assert {frozenset(rule.twin.sources) for rule in read_rules()} == names


def test_twin_combinations_are_mirror_images(face):
    basis = np.asarray(face.asset.combination_basis.dense())
    rows = {(frozenset(rule.sources), rule.peaks): row for row, rule in enumerate(read_rules())}
    for rule in read_rules():
        row, twin = (rows[frozenset(item.sources), item.peaks] for item in (rule, rule.twin))
        mirrored = basis[row][face.asset.mirror_vertices] * [-1, 1, 1]
        np.testing.assert_allclose(basis[twin], mirrored, atol=5e-5, err_msg=rule.name)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("jawOpen,1 1,apart,", "a peak per source"),
        ("jawOpen+mouthLeft,1 1,glue,", "repair"),
        ("jawOpen+mouthLeft,1 one,lids,", "not numbers"),
    ],
)
def test_damaged_table_is_named(tmp_path, monkeypatch, row, message):
    (tmp_path / "hack_open").mkdir()
    table = tmp_path / "hack_open" / "combinations.csv"
    table.write_text(f"sources,peaks,repair,share\n{row}\n")
    monkeypatch.setattr(combinations, "data_folder", lambda: tmp_path)
    with pytest.raises(AssetError, match=message) as caught:
        read_rules()
    assert "combinations.csv:2" in str(caught.value)


def test_name_of_an_in_between_tells_its_peak():
    assert Rule(("jawOpen",), (0.5,), "arc").name == "jawOpen@50"


@pytest.mark.parametrize("other", ["eyeWide", "eyeLookUp"])
def test_blink_closes_lids_that_another_expression_holds_open(face, sums, other):
    expression = both(eyeBlink=1.0, **{other: 1.0})
    assert sums.lid_gap(sums.posed(expression), "eye_left") > 0.3
    assert face.lid_gap(face.posed(expression), "eye_left") < 0.1


@pytest.mark.parametrize("other", ["cheekRaiser", "eyeLookDown", "eyeSquint"])
def test_blinking_lids_meet_where_the_blink_alone_lets_them(face, sums, other):
    """Skin of the lids may bulge otherwise, but their margins stay in place."""
    lids = [index for index in range(36, 48) if index not in (36, 39, 42, 45)]

    def margins(which: Face, expression: dict[str, float]) -> np.ndarray:
        return np.asarray(which.model.landmarks(which.posed(expression), "multipie68"))[lids, 1]

    blink, total = both(eyeBlink=1.0), both(eyeBlink=1.0, **{other: 1.0})
    assert np.abs(margins(face, total) - margins(face, blink)).max() < 0.0006
    assert np.abs(margins(sums, total) - margins(sums, blink)).max() > 0.001
    assert face.visible(face.posed(total), EYES) < 0.5


def test_full_smile_shows_the_upper_teeth_and_a_slight_one_does_not(face):
    seen = {share: face.visible(face.posed(both(mouthSmile=share)), ("teeth",)) for share in (0.2, 0.6, 1.0)}
    assert seen[0.2] < 15 < 40 < seen[0.6] < seen[1.0]
    assert seen[1.0] > 150
    assert face.visible(face.posed({"mouthSmile_L": 1.0}), MOUTH) < 2


def test_rolled_lips_meet(face, sums):
    roll = {"mouthRollLower": 1.0, "mouthRollUpper": 1.0}
    for degrees in (0, 50):
        assert face.visible(face.posed(roll), MOUTH, degrees) < 0.3
    assert sums.visible(sums.posed(roll), MOUTH, 50) > 0.5


def test_half_open_jaw_keeps_its_size(face, sums):
    """The chord of a turn shortens what turns; the in-between puts it back on the arc."""
    ends = face.edges("teeth_lower")

    def stretch(which: Face) -> float:
        before, after = (
            np.linalg.norm(np.diff(which.posed(expression)[ends], axis=1)[:, 0], axis=1)
            for expression in ({}, {"jawOpen": 0.5})
        )
        long = before > 0.0006
        return float(np.abs(after[long] / before[long] - 1).max())

    assert stretch(face) < 0.005
    assert stretch(sums) > 0.02
