"""What the detector's scores let expect of the expressions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitting import expectation
from fitting.expectation import expected_expression, rules
from hack_model.errors import AssetError
from hack_model.formats.arkit import arkit_table

NAMES = (
    "browDown_L", "browInnerUp_L", "browInnerUp_R", "mouthSmile_L", "mouthSmile_R", "cheekRaiser_L", "neckTighten_L",
    "nostrilDilate_R", "nostrilCompress_L", "somebodysOwn",
)  # fmt: skip


def expected(**scores: float) -> dict[str, tuple[float, float]]:
    mean, spread = expected_expression(scores, NAMES)
    return {name: (mean[i], spread[i]) for i, name in enumerate(NAMES)}


def test_low_scores_of_the_mouth_count_as_rest():
    rule = rules()["mouthSmile"]
    assert expected(mouthSmileLeft=rule.threshold - 0.01)["mouthSmile_L"][0] == 0
    assert expected(mouthSmileLeft=rule.threshold + 0.01)["mouthSmile_L"][0] > 0
    assert expected(mouthSmileLeft=1.0)["mouthSmile_L"][0] == pytest.approx(rule.gain)
    assert expected(browDownLeft=0.1)["browDown_L"][0] == pytest.approx(0.1 * rules()["browDown"].gain)


def test_a_score_is_for_its_side_alone_and_a_common_one_for_both():
    found = expected(mouthSmileLeft=0.8, mouthSmileRight=0.0, browInnerUp=0.6)
    assert found["mouthSmile_L"][0] > 0.5
    assert found["mouthSmile_R"][0] == 0
    assert found["browInnerUp_L"] == found["browInnerUp_R"]
    assert found["browInnerUp_L"][0] == pytest.approx(0.6 * rules()["browInnerUp"].gain)


def test_a_face_scored_at_rest_is_believed_more_than_a_smile():
    resting, smiling = expected(mouthSmileLeft=0.0), expected(mouthSmileLeft=0.9)
    assert smiling["mouthSmile_L"][1] > 2 * resting["mouthSmile_L"][1] > 0


def test_what_landmarks_cannot_show_is_held_at_rest():
    found = expected(mouthSmileLeft=0.5)
    for name in ("neckTighten_L", "nostrilDilate_R", "nostrilCompress_L"):
        assert found[name] == (0, 0)


def test_expressions_without_score_are_expected_at_rest_but_free():
    found = expected(mouthSmileLeft=0.5)
    for name in ("cheekRaiser_L", "somebodysOwn", "browDown_L"):
        assert found[name][0] == 0
        assert 0 < found[name][1] < found["mouthSmile_L"][1]


@pytest.mark.parametrize("row", ["mouthSmile,x,0,0.1,0", "mouthSmile,2,0,0.1,0", "mouthSmile,1,1,0.1,0"])
def test_a_damaged_table_is_named(monkeypatch, tmp_path, row):
    (tmp_path / "landmarks").mkdir()
    (tmp_path / "landmarks" / "expression_scores.csv").write_text(f"expression,gain,threshold,spread,growth\n{row}\n")
    monkeypatch.setattr(expectation, "data_folder", lambda: tmp_path)
    rules.cache_clear()
    with pytest.raises(AssetError, match=r"expression_scores\.csv:2: damaged"):
        rules()


def test_every_score_has_its_rule():
    told = {name.removesuffix("_L").removesuffix("_R") for names in arkit_table().values() for name in names}
    assert told - set(rules()) == {"tongueOut"}  # the detector has no score of it


@given(st.dictionaries(st.sampled_from(sorted(arkit_table())), st.floats(0, 1), min_size=1))
def test_expectations_stay_in_their_range_and_rise_with_the_score(scores):
    names = [name for members in arkit_table().values() for name in members]
    mean, spread = expected_expression(scores, names)
    more, _ = expected_expression({name: min(1.2 * value, 1.0) for name, value in scores.items()}, names)
    assert (mean >= 0).all()
    assert (mean <= 1).all()
    assert (spread > 0).all()
    assert (more >= mean).all()
    assert np.isfinite(spread).all()
