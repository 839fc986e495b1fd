from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hack_model.build.phenotype import Macro, People, macro_shares, macro_steps, read_modifiers, sample_macro
from hack_model.build.shape_space import align, generalisation, principal_components
from hack_model.build.source import MakeHumanSource
from hack_model.errors import FormatError
from hack_model.resources import data_folder

MIRROR = np.array([1, 0, 2, 4, 3])


def synthetic_samples(count: int, seed: int = 0) -> np.ndarray:
    """Displacements of five points along three known directions, the second of them antisymmetric."""
    random = np.random.default_rng(seed)
    directions = np.zeros((3, 5, 3), np.float32)
    directions[0, [0, 1], 0] = [1, -1]
    directions[1, [0, 1], 1] = [1, -1]
    directions[2, 2, 2] = 1
    return np.tensordot(random.normal(size=(count, 3)) * [3, 2, 1], directions, axes=1).astype(np.float32)


def test_shares_of_each_group_of_targets_sum_to_one():
    random = np.random.default_rng(0)
    for _ in range(50):
        shares = macro_shares(sample_macro(random, int(random.integers(2))))
        assert shares[:12].sum() == pytest.approx(1, abs=1e-6)
        assert shares[12:].sum() == pytest.approx(1, abs=1e-6)


def test_ends_of_the_macros_are_single_targets():
    shares = macro_shares(Macro(sex=1, age=90, muscle=1, weight=0, ancestry=(0, 0, 1)))
    assert np.count_nonzero(shares > 1e-6) == 2
    assert shares[11] == pytest.approx(1)  # caucasian-male-old
    assert shares[12 + 33] == pytest.approx(1)  # male-old-maxmuscle-minweight


def test_the_sexes_differ_in_the_mean():
    random = np.random.default_rng(0)
    women, men = ([sample_macro(random, sex).sex for _ in range(300)] for sex in range(2))
    assert np.mean(women) < 0.25 < 0.75 < np.mean(men)


def test_macro_steps_name_the_directions():
    assert list(macro_steps()) == ["sex", "age", "weight", "muscle", "african", "asian", "caucasian"]


def test_sampled_sliders_follow_the_table(source: MakeHumanSource):
    modifiers = read_modifiers(data_folder() / "hack_open" / "modifiers.csv", source)
    people = People.load(source, np.arange(0, 13380, 10), modifiers)
    random = np.random.default_rng(0)
    drawn = np.array([people.sample_offset(random) for _ in range(800)]) * people.modifier_peaks
    spread = np.array([modifier.spread for modifier in modifiers])
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=0.15 * spread.max())
    np.testing.assert_allclose(drawn.std(axis=0), 0.96 * spread, rtol=0.1)
    names = [modifier.name for modifier in modifiers]
    left, right = (names.index(f"eyes/eye-trans-in-out/{side}") for side in ("left", "right"))
    assert np.corrcoef(drawn[:, left], drawn[:, right])[0, 1] > 0.9
    other = names.index("nose/nose-hump-decr-incr")
    assert abs(np.corrcoef(drawn[:, left], drawn[:, other])[0, 1]) < 0.15


@pytest.mark.parametrize("row", ["nose,nose-of-another,0,1,0", "nose,nose-hump-decr-incr,0,far,0", "nose"])
def test_bad_row_of_modifiers_is_named(source: MakeHumanSource, tmp_path: Path, row: str):
    table = tmp_path / "modifiers.csv"
    table.write_text(f"# comment\ngroup,modifier,mean_mm,spread_mm,asymmetry\n{row}\n")
    with pytest.raises(FormatError, match=r"modifiers\.csv:3"):
        read_modifiers(table, source)


def test_alignment_takes_out_any_similarity():
    random = np.random.default_rng(3)
    target = random.normal(size=(20, 3))
    weight = random.uniform(0.1, 1, 20)
    moved = 1.7 * Rotation.random(rng=np.random.default_rng(1)).apply(target) + [1, 2, 3]
    np.testing.assert_allclose(align(moved, target, weight), target, atol=1e-9)


def test_alignment_never_mirrors():
    target = np.random.default_rng(3).normal(size=(20, 3))
    mirrored = align(target * [-1, 1, 1], target, np.ones(20))
    assert np.linalg.norm(mirrored - target, axis=1).mean() > 0.3


def test_components_are_the_known_directions():
    space = principal_components(synthetic_samples(1500), MIRROR, np.ones(5), 3)
    assert space.variance.sum() == pytest.approx(1, abs=1e-4)
    deviation = np.linalg.norm(space.basis.reshape(3, -1), axis=1)
    np.testing.assert_allclose(deviation, [3 * np.sqrt(2), 2 * np.sqrt(2), 1], rtol=0.06)
    flipped = space.basis[:, MIRROR] * [-1, 1, 1]
    np.testing.assert_allclose(flipped, space.basis * np.array([1, -1, 1])[:, None, None], atol=1e-5)


def test_coefficients_undo_the_basis():
    space = principal_components(synthetic_samples(200), MIRROR, np.array([1, 1, 2, 0.5, 0.5]), 3)
    wanted = np.random.default_rng(1).normal(size=(4, 3))
    np.testing.assert_allclose(space.coefficients(np.tensordot(wanted, space.basis, axes=1)), wanted, atol=1e-4)


def test_generalisation_falls_to_nothing_inside_the_space():
    space = principal_components(synthetic_samples(300), MIRROR, np.ones(5), 3)
    error = generalisation(space, synthetic_samples(50, seed=9), (1, 3))
    assert error[3] < 1e-5 < error[1]
