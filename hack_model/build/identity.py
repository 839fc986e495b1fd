"""From MakeHuman's people to the model's identity: shape basis, semantic directions, and how good they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.build.anthropometry import comparison, correlation_error
from hack_model.build.assemble import Control
from hack_model.build.contact import rest_contact
from hack_model.build.head import SCALE, Head
from hack_model.build.mouth_seat import mouth_seats
from hack_model.build.parts import Part
from hack_model.build.phenotype import People, macro_steps
from hack_model.build.population import Person, Population
from hack_model.build.shape_space import (
    align,
    generalisation,
    principal_components,
    sample_displacements,
)
from hack_model.build.symmetry import mirror_of

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

COMPONENTS = 200
HELD_OUT = 0.1
"""People sampled beside the shape space's own, as a share of them, to measure how well it fits strangers."""
_COUNTS = (25, 50, 100, 150, 200)
_ALIGNMENT_TOLERANCE = 1e-5

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Identity:
    """``basis`` (S, C, 3) on the control mesh, ``directions`` by name (S,), ``figures`` for the provenance."""

    basis: Float[Array, "S C 3"]
    directions: dict[str, Float[Array, " S"]]
    figures: dict[str, Any]


def make_identity(
    head: Head,
    parts: Sequence[Part],
    control: Control,
    population: Population,
    regions: dict[str, Float[Array, " V"]],
    *,
    seed: int,
    count: int,
    report: Progress,
) -> Identity:
    """Samples ``count`` people, and a tenth more to test, and learns the shape space from them."""
    needed = np.unique(control.rows.indices)
    rows = control.rows[:, needed].astype(np.float32)
    people = People.load(head.source, needed, population.modifiers)
    template = rows @ head.base[needed].astype(np.float32)
    everywhere, skull = _weights(regions, control, len(template))
    random = np.random.default_rng(seed)
    drawn: list[Person] = []

    def person() -> np.ndarray:
        drawn.append(population.draw(random))
        return rows @ (np.float32(SCALE * drawn[-1].size) * people.vertices(drawn[-1].macro, drawn[-1].sliders))

    seats = rest_contact(head, control, parts)

    def seated(displacement: np.ndarray) -> np.ndarray:
        for seat in seats:
            displacement = seat(displacement).astype(np.float32)
        return displacement

    samples = seated(sample_displacements(person, template, skull, count, report))
    report("principal components", 0, 1)
    mirror = mirror_of(template, tolerance=_ALIGNMENT_TOLERANCE)
    space = principal_components(samples, mirror, everywhere, min(COMPONENTS, count - 1))
    mean = samples.mean(axis=0)
    strangers = seated(sample_displacements(person, template, skull, max(2, int(count * HELD_OUT)))) - mean
    counts = tuple(number for number in _COUNTS if number <= len(space.basis))
    errors = generalisation(space, strangers, counts)
    figures = {
        "variance": {str(number): round(float(space.variance[:number].sum()), 5) for number in counts},
        "generalisation_rmse_mm": {str(number): round(1000 * error, 4) for number, error in errors.items()},
        **_measurements(population, drawn[:count]),
    }
    directions = {}
    for name, ends in macro_steps().items():
        before, after = (align(rows @ (np.float32(SCALE) * people.vertices(end)), template, skull) for end in ends)
        directions[name] = space.coefficients(seated(after - before))
    basis = space.basis
    for seat in mouth_seats(head, control, parts):  # linear, so it does not matter that components come first
        basis = seat(basis).astype(np.float32)
    return Identity(basis, directions, figures)


def _measurements(population: Population, people: list[Person]) -> dict[str, Any]:
    """How the sampled people measure, for the provenance."""
    values = np.array([population.measured(person) for person in people])
    sexes = np.array([person.sex for person in people])
    table = {
        sex: {
            name: f"{mean} ± {deviation} → {found} ± {spread}"
            for name, (mean, deviation, found, spread) in rows.items()
        }
        for sex, rows in comparison(population.measures, values, sexes).items()
    }
    return {
        "measures_mm_published_and_sampled": table,
        "measures_correlation_rmse": correlation_error(population.measures, values, sexes),
    }


def _weights(
    regions: dict[str, np.ndarray], control: Control, control_count: int
) -> tuple[Float[Array, " C"], Float[Array, " C"]]:
    """Weights of the control vertices in the components' inner product, and in the alignment of the samples.

    Each skin vertex of the refined mesh counts alike in the first, ears and hidden skin a fifth; other parts follow and
    do not count. The second is the face and scalp without ears, lips and lids.
    """
    hidden = regions["mouth_interior"] + regions["eye_sockets"]
    visible = np.clip(1 - 0.8 * regions["ears"] - 0.8 * hidden, 0, 1)
    skull = (regions["face"] + regions["scalp"]) * (1 - regions["lips"]) * (1 - regions["lids"])
    count = len(visible)
    columns, shares = control.columns[:count].reshape(-1), control.weights[:count]
    everywhere, of_skull = (
        np.bincount(columns, (shares * values[:, None]).reshape(-1), minlength=control_count)
        for values in (visible, skull)
    )
    return everywhere, of_skull
