from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hack_model.build.anthropometry import SEXES, Measures, comparison, correlation_error, read_measures
from hack_model.build.head import SCALE, Head
from hack_model.build.phenotype import People, read_modifiers
from hack_model.build.population import Person, Population, agreement
from hack_model.build.source import MakeHumanSource
from hack_model.errors import FormatError
from hack_model.resources import data_folder

TABLES = data_folder() / "hack_open"
EXPRESSIVE = (
    "mouth/mouth-angles-down-up", "mouth/mouth-laugh-lines-in-out", "mouth/mouth-dimples-in-out",
    "mouth/mouth-upperlip-ext-down-up", "mouth/mouth-lowerlip-ext-down-up", "eyes/eye-height2-decr-incr/left",
)  # fmt: skip


@pytest.fixture(scope="module")
def measures(source: MakeHumanSource) -> Measures:
    return read_measures(TABLES, source)


@pytest.fixture(scope="module")
def population(source: MakeHumanSource, measures: Measures) -> Population:
    return Population(source, read_modifiers(TABLES / "modifiers.csv", source), measures)


@pytest.fixture(scope="module")
def people(population: Population) -> list[Person]:
    random = np.random.default_rng(20)
    return [population.draw(random, sex) for sex in range(len(SEXES)) for _ in range(400)]


@pytest.fixture(scope="module")
def measured(population: Population, people: list[Person]) -> np.ndarray:
    return np.array([population.measured(person) for person in people])


def test_people_measure_as_published(measures: Measures, people: list[Person], measured: np.ndarray):
    sexes = np.array([person.sex for person in people])
    shifts = []
    for sex, table in comparison(measures, measured, sexes).items():
        for name, (mean, deviation, found, spread) in table.items():
            shifts.append(abs(found - mean) / deviation)
            assert shifts[-1] < 0.45, (sex, name)
            assert 0.8 < spread / deviation < 1.25, (sex, name)
    assert np.mean(shifts) < 0.12
    assert max(correlation_error(measures, measured, sexes).values()) < 0.14


def test_correlation_error_is_that_of_the_tables(measures: Measures):
    random = np.random.default_rng(0)
    sexes = np.repeat([0, 1], 4000)
    drawn = random.multivariate_normal(np.zeros(len(measures.list)), measures.correlation, len(sexes))
    assert max(correlation_error(measures, drawn, sexes).values()) < 0.03
    assert min(correlation_error(measures, random.permuted(drawn, axis=0), sexes).values()) > 0.2


def test_sliders_stay_within_reach_and_pairs_agree(population: Population, people: list[Person]):
    offsets = np.array([person.sliders - population.people.mean_sliders for person in people])
    relative = offsets / population.people.spreads
    assert np.abs(relative).max() <= 2.5 + 1e-9
    names = [modifier.name for modifier in population.modifiers]
    left, right = (offsets[:, names.index(f"eyes/eye-trans-in-out/{side}")] for side in ("left", "right"))
    assert np.corrcoef(left, right)[0, 1] > 0.9
    assert np.median(np.abs(left - right)) > 0.01


def test_identities_hardly_look_as_expressions_do(population: Population, people: list[Person]):
    names = [modifier.name for modifier in population.modifiers]
    positions = np.array([person.sliders - population.people.mean_sliders for person in people])
    for name in EXPRESSIVE:
        index = names.index(name)
        millimetres = 1000 * positions[:, index].std() * population.people.modifier_peaks[index]
        assert millimetres < 0.5, name


def test_draws_repeat_and_differ(population: Population):
    first, again = (population.draw(np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first.sliders, again.sliders)
    assert np.abs(population.draw(np.random.default_rng(5)).sliders - first.sliders).max() > 0.05


def test_template_is_the_average_adult(measures: Measures, head: Head):
    found = measures(head.base[measures.vertices])
    wanted = 0.5 * (measures.mean(0) + measures.mean(1))
    deviation = 0.5 * (measures.deviation(0) + measures.deviation(1))
    assert np.abs((found - wanted) / deviation).max() < 0.5


def test_attributes_keep_their_effect_where_it_is_small():
    wanted = np.diag([4.0, 9.0, 1.0])
    own = np.diag([1.0, 0.0, 5.0])
    effect, rest = agreement(own, wanted)
    np.testing.assert_allclose(effect @ own @ effect.T + rest @ rest.T, wanted, atol=1e-9)
    np.testing.assert_allclose(np.diag(effect)[:2], 1)
    assert np.diag(effect)[2] == pytest.approx(np.sqrt(0.75 / 5))


def test_measures_grow_with_the_head(measures: Measures, population: Population):
    points = population.people.vertices(replace(population.draw(np.random.default_rng(0)).macro))
    np.testing.assert_allclose(measures(1.1 * points), 1.1 * measures(points), rtol=1e-5)
    both = measures(np.stack([points, 1.1 * points]))
    np.testing.assert_allclose(both[0], measures(points), rtol=1e-6)


def test_measures_of_simple_shapes(measures: Measures, source: MakeHumanSource):
    points = SCALE * source.base.vertices[measures.vertices]
    values = dict(zip(measures.names, measures(points), strict=True))
    tragion, subnasale, pronasale = SCALE * source.base.vertices[[12189, 317, 5054]]
    assert values["nose protrusion"] == pytest.approx(np.linalg.norm(subnasale - pronasale))
    top = points[:, 1].max()
    assert values["tragion to top of head"] == pytest.approx(top - tragion[1], abs=1e-6)
    # A tape is longer than an ellipse of the head's length and breadth would be, about, and shorter than their box.
    length, breadth = values["head length"], values["head breadth"]
    assert np.pi * np.sqrt(length * breadth) * 0.97 < values["head circumference"] < 2 * (length + breadth)
    assert values["bitragion coronal arc"] > 2 * values["tragion to top of head"]


def test_mirrored_heads_measure_alike(measures: Measures, source: MakeHumanSource, population: Population):
    people = People.load(source, np.arange(len(source.base.vertices)), population.modifiers)
    person = population.draw(np.random.default_rng(1))
    points = people.vertices(person.macro, person.sliders)
    mirrored = points[source.base.mirror] * [-1, 1, 1]
    found, other = (measures(head[measures.vertices]) for head in (points, mirrored))
    assert np.abs(found - other).max() < 0.004


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("anthropometry.csv", "distance,subnasale pronasale", "distance,subnasale nowhere"),
        ("anthropometry.csv", "distance,subnasale pronasale", "leap,subnasale pronasale"),
        ("anthropometry_landmarks.csv", "pronasale,5054", "pronasale,999999"),
        ("anthropometry_correlations.csv", "head length,0.74,1.00", "head length,0.70,1.00"),
        ("anthropometry_correlations.csv", "head length,0.74,1.00", "head length,much,1.00"),
    ],
)
def test_bad_tables_are_named(source: MakeHumanSource, tmp_path: Path, file: str, old: str, new: str):
    for table in TABLES.glob("anthropometry*.csv"):
        text = table.read_text(encoding="utf-8")
        if table.name == file:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / table.name).write_text(text, encoding="utf-8")
    with pytest.raises(FormatError, match=file.replace(".", r"\.")):
        read_measures(tmp_path, source)
