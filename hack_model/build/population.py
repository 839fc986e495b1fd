"""A population of heads that measures like people do.

A person is drawn in two steps. Broad attributes (age, ancestry, weight, muscle) and every slider are drawn from what
MakeHuman offers; then sliders and size are moved, by as little as their spreads make likely, until the head has the
measurements of a random person of its sex: the normal distribution of published means, deviations and correlations.
The move is that of conditional simulation (Matheron 1973; Chilès & Delfiner 1999, ch. 7): with sliders x of covariance
S, response J of the measurements to them and tolerance R, x ← x + S Jᵀ (J S Jᵀ + R)⁻¹ (wanted − measured). Where no
measurement sees a difference between heads, the first draw's difference remains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hack_model.build.anthropometry import SEXES, Measures
from hack_model.build.head import SCALE, TEMPLATE
from hack_model.build.phenotype import Macro, Modifier, People, sample_macro
from hack_model.build.source import MakeHumanSource

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

SIZE_DEVIATION = 0.03
"""Deviation of head size as a whole: ANSUR II's head circumference, 570 ± 17 mm."""
_TOLERANCE = 0.5
"""Measurements are met to about this share of their deviation: what only extreme sliders could meet is not forced."""
_RESIDUAL = 0.65
"""Share of the sliders' spread that the first draw has. The rest comes from the measurements."""
_TRIALS, _TRIAL_ROUNDS = 300, 4
"""People of each sex drawn to see by how much the tolerance moves means and narrows deviations, and how often."""
_WIDEST = 1.35
"""No measurement's deviation is asked for more than this much wider."""
_RAREST = 2.2
"""Chance is cut at this many deviations along each axis, which keeps the rarest faces out."""
_KEPT = 0.75
"""Share of a measurement's variance that attributes may make by themselves, through :func:`agreement`."""
_ROUNDS = 4
_MOST = 2.5
"""No slider goes further than this many spreads from its mean."""
_ATTRIBUTES = 400
"""Draws of attributes from which their effect on measurements is known."""


@dataclass(frozen=True)
class Person:
    """One drawn person: sex (index into ``SEXES``), attributes, slider positions, and size, 1 the template's."""

    sex: int
    macro: Macro
    sliders: Float[Array, " Q"]
    size: float


class Population:
    """Draws people; see the module. ``modifiers`` are the table's with the means that make the average adult."""

    def __init__(self, source: MakeHumanSource, modifiers: Sequence[Modifier], measures: Measures) -> None:
        self.measures = measures
        people = People.load(source, measures.vertices, modifiers)
        template = _Sliders(people, TEMPLATE, measures)
        wanted = 0.5 * (measures.mean(0) + measures.mean(1))
        tolerance = _TOLERANCE * 0.5 * (measures.deviation(0) + measures.deviation(1))
        moved = template.solve(people.mean_sliders, 1.0, wanted, tolerance, sized=False)[0]
        self.modifiers = tuple(
            replace(modifier, mean=float(position * peak))
            for modifier, position, peak in zip(modifiers, moved, people.modifier_peaks, strict=True)
        )
        self.people = replace(people, modifiers=self.modifiers)

    def draw(self, random: np.random.Generator, sex: int | None = None) -> Person:
        """A random adult, of either sex alike when none is given."""
        sex = int(random.integers(2)) if sex is None else sex
        return self._draw(random, sex, *self._corrections[sex])

    def _draw(self, random: np.random.Generator, sex: int, shift: np.ndarray, widening: np.ndarray) -> Person:
        macro = sample_macro(random, sex)
        own = self.people.mean_sliders + _RESIDUAL * self.people.sample_offset(random)
        size = 1 + _RESIDUAL * SIZE_DEVIATION * float(random.standard_normal())
        mean = self.measures.mean(sex)
        wanted = mean + shift + widening * (self._wanted(random, sex, macro) - mean)
        tolerance = _TOLERANCE * self.measures.deviation(sex)
        sliders, size = self._responses[sex].at(macro).solve(own, size, wanted, tolerance)
        return Person(sex, macro, sliders, size)

    def measured(self, person: Person) -> Float[Array, " M"]:
        """A person's measurements, metres."""
        return self.measures(SCALE * person.size * self.people.vertices(person.macro, person.sliders))

    def _wanted(self, random: np.random.Generator, sex: int, macro: Macro) -> Float[Array, " M"]:
        """Measurements of a random person of a sex, given the attributes: what they make of the average, and chance."""
        mean, effect, rest = self._agreements[sex]
        seen = self.measures(SCALE * self.people.vertices(macro)) - mean
        chance = np.clip(random.standard_normal(len(rest)), -_RAREST, _RAREST)
        return self.measures.mean(sex) + effect @ seen + rest @ chance

    @cached_property
    def _corrections(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """What to add to the wanted means, and to multiply the wanted differences by, for people to come out right."""
        result = []
        for sex in range(len(SEXES)):
            shift, widening = np.zeros(len(self.measures.list)), np.ones(len(self.measures.list))
            for _ in range(_TRIAL_ROUNDS):
                random = np.random.default_rng(sex)
                people = [self._draw(random, sex, shift, widening) for _ in range(_TRIALS)]
                values = np.array([self.measured(person) for person in people])
                shift = shift + 1.4 * (self.measures.mean(sex) - values.mean(axis=0))
                widening = np.clip(widening * self.measures.deviation(sex) / values.std(axis=0), 1, _WIDEST)
            result.append((shift, widening))
        return result

    @cached_property
    def _responses(self) -> list[_Sliders]:
        return [_Sliders(self.people, replace(TEMPLATE, sex=float(sex)), self.measures) for sex in range(len(SEXES))]

    @cached_property
    def _agreements(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        random = np.random.default_rng(0)
        result = []
        for sex in range(len(SEXES)):
            drawn = np.stack([self.people.vertices(sample_macro(random, sex)) for _ in range(_ATTRIBUTES)])
            values = self.measures(SCALE * drawn)
            effect, rest = agreement(np.cov(values, rowvar=False), self.measures.covariance(sex))
            result.append((values.mean(axis=0), effect, rest))
        return result


class _Sliders:
    """How sliders and size move a person's measurements, about the average of one sex."""

    def __init__(self, people: People, macro: Macro, measures: Measures) -> None:
        self.people, self.macro, self.measures = people, macro, measures

    def at(self, macro: Macro) -> _Sliders:
        """The same response, for a person of other attributes."""
        other = _Sliders(self.people, macro, self.measures)
        other.__dict__["response"] = self.response
        return other

    @cached_property
    def response(self) -> Float[Array, "M Q+1"]:
        """Change of the measurements, metres, per spread of each slider and of the size; sides move together."""
        middle, people = self.people.mean_sliders, self.people
        steps = people.common_steps
        ends = [
            self.measures(SCALE * np.stack([people.vertices(self.macro, middle + sign * step) for step in steps]))
            for sign in (1, -1)
        ]
        average = self.measures(SCALE * people.vertices(self.macro, middle))
        return np.vstack([0.5 * (ends[0] - ends[1]), SIZE_DEVIATION * average]).T

    def solve(
        self, sliders: np.ndarray, size: float, wanted: np.ndarray, tolerance: np.ndarray, *, sized: bool = True
    ) -> tuple[np.ndarray, float]:
        """Sliders and size nearest to the given ones, in units of spread, that meet the wanted measurements."""
        people = self.people
        response = self.response if sized else self.response[:, :-1] * 1.0
        gain = response.T @ np.linalg.inv(response @ response.T + np.diag(tolerance**2))
        middle, reach = people.mean_sliders, _MOST * people.spreads
        for _ in range(_ROUNDS):
            miss = wanted - self.measures(SCALE * size * people.vertices(self.macro, sliders))
            step = gain @ miss
            sliders = sliders + step[: len(people.common_steps)] @ people.common_steps
            if sized:
                sliders = np.clip(sliders, middle - reach, middle + reach)
                size = size + SIZE_DEVIATION * float(step[-1])
        return sliders, size


def agreement(own: Float[Array, "M M"], wanted: Float[Array, "M M"]) -> tuple[np.ndarray, np.ndarray]:
    """How much of the attributes' effects a population keeps, and the root of the covariance that chance must add.

    ``effect @ own @ effectᵀ + rest @ restᵀ = wanted``, with ``effect`` the identity wherever the attributes make no
    more than :data:`_KEPT` of the wanted variance, and less elsewhere.
    """
    values, vectors = np.linalg.eigh(wanted)
    root, inverse = (vectors * values**0.5) @ vectors.T, (vectors * values**-0.5) @ vectors.T
    share, axes = np.linalg.eigh(inverse @ own @ inverse)
    kept = np.sqrt(np.minimum(1, _KEPT / np.maximum(share, 1e-12)))
    effect = root @ (axes * kept) @ axes.T @ inverse
    rest = root @ (axes * np.sqrt(np.maximum(1 - kept**2 * share, 0)))
    return effect, rest
