"""People sampled from MakeHuman's macro targets and modifiers.

The macro targets combine by products, as ``mpfb2/targets/macrodetails/macro.json`` lays down: every target of a
group (ancestry × sex × age; sex × age × muscle × weight) counts with the product of its attributes' shares. Height,
proportion and bust targets are left out: a head's size is not part of its shape here.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hack_model.build.source import MakeHumanSource, read_text
from hack_model.errors import FormatError
from hack_model.tables import read_table

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

ANCESTRIES = ("african", "asian", "caucasian")
SEXES = ("female", "male")
AGES = ("young", "old")
MUSCLES = ("minmuscle", "averagemuscle", "maxmuscle")
WEIGHTS = ("minweight", "averageweight", "maxweight")
YOUNG_YEARS, OLD_YEARS = 25.0, 90.0
"""Ages MakeHuman's targets ``young`` and ``old`` stand for."""


@dataclass(frozen=True)
class Macro:
    """The broad attributes of a person. Ancestry shares sum to 1; sex 0 is female, 1 male; muscle and weight in [0, 1]
    with 0.5 the average; age in years, 18 to 90."""

    sex: float = 0.5
    age: float = 30.0
    muscle: float = 0.5
    weight: float = 0.5
    ancestry: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)


@dataclass(frozen=True)
class Modifier:
    """A shape slider: displacements towards its two ends, and how far people vary along it.

    ``mean`` and ``spread`` are the mean and the standard deviation over people, in metres of the vertex that the slider
    displaces most (the mean is the template's); ``asymmetry`` the share of that spread that differs between the sides,
    0 for sliders that act on both at once.
    """

    name: str
    negative: tuple[str, ...]
    positive: tuple[str, ...]
    mean: float
    spread: float
    asymmetry: float


@dataclass(frozen=True)
class People:
    """Targets cut to the vertices of interest, ready to blend. Arrays (count, 3·n), metres.

    ``modifier_peaks`` is the largest displacement of any vertex by each full slider, of its two ends the larger.
    """

    base: Float[Array, "M"]
    macro_names: tuple[str, ...]
    macro_targets: Float[Array, "T M"]
    modifiers: tuple[Modifier, ...]
    modifier_negative: Float[Array, "Q M"]
    modifier_positive: Float[Array, "Q M"]
    modifier_peaks: Float[Array, " Q"]

    @classmethod
    def load(cls, source: MakeHumanSource, vertices: Int[Array, " n"], modifiers: Sequence[Modifier]) -> People:
        """Reads every target that macros and ``modifiers`` need, at ``vertices``."""
        names = tuple(_macro_names())

        def whole(targets: Iterable[str]) -> np.ndarray:
            return sum((source.target(target) for target in targets), np.zeros(source.base.vertices.shape, np.float32))

        macro = np.stack([source.target(f"macrodetails/{name}")[vertices] for name in names])
        ends = np.zeros((2, len(modifiers), len(vertices), 3), np.float32)
        peaks = np.zeros(len(modifiers))
        for index, modifier in enumerate(modifiers):
            for end, targets in enumerate((modifier.negative, modifier.positive)):
                moved = whole(targets)
                ends[end, index] = moved[vertices]
                peaks[index] = max(peaks[index], np.linalg.norm(moved, axis=1).max())
        return cls(
            base=source.base.vertices[vertices].astype(np.float32).reshape(-1),
            macro_names=names,
            macro_targets=macro.reshape(len(names), -1),
            modifiers=tuple(modifiers),
            modifier_negative=ends[0].reshape(len(modifiers), -1),
            modifier_positive=ends[1].reshape(len(modifiers), -1),
            modifier_peaks=peaks,
        )

    def vertices(self, macro: Macro, sliders: Float[Array, " Q"] | None = None) -> Float[Array, "n 3"]:
        """A person's vertices in metres, in MakeHuman's placement and size; sliders at their mean by default."""
        sliders = self.mean_sliders if sliders is None else sliders
        points = self.base + macro_shares(macro) @ self.macro_targets
        points = points + np.clip(-sliders, 0, None).astype(np.float32) @ self.modifier_negative
        points = points + np.clip(sliders, 0, None).astype(np.float32) @ self.modifier_positive
        return points.reshape(-1, 3)

    def sample_offset(self, random: np.random.Generator) -> Float[Array, " Q"]:
        """Random distances of the slider positions from their means.

        Normal, cut at two deviations; both sides of a pair share most of their value.
        """
        shared: dict[str, float] = {}
        offset = np.empty(len(self.modifiers))
        for index, modifier in enumerate(self.modifiers):
            key = _pair(modifier.name)
            common = shared.setdefault(key, float(random.standard_normal()))
            own = float(random.standard_normal())
            share = modifier.asymmetry if key != modifier.name else 0.0
            offset[index] = np.clip(np.sqrt(1 - share**2) * common + share * own, -2, 2)
        return offset * self.spreads

    @cached_property
    def spreads(self) -> Float[Array, " Q"]:
        """The sliders' standard deviations, in slider positions."""
        return np.array([modifier.spread for modifier in self.modifiers]) / self.modifier_peaks

    @cached_property
    def common_steps(self) -> Float[Array, "P Q"]:
        """Steps of one spread along the sliders that act on both sides alike: pairs move together, asymmetries not."""
        steps: dict[str, np.ndarray] = {}
        for index, modifier in enumerate(self.modifiers):
            if modifier.asymmetry < 1:
                steps.setdefault(_pair(modifier.name), np.zeros(len(self.modifiers)))[index] = self.spreads[index]
        return np.stack(list(steps.values()))

    @cached_property
    def mean_sliders(self) -> Float[Array, " Q"]:
        """The average person's slider positions."""
        return np.array([modifier.mean for modifier in self.modifiers]) / self.modifier_peaks


def sample_macro(random: np.random.Generator, sex: int) -> Macro:
    """A random adult of a sex, 0 female or 1 male: 18 to 80 years with more young than old, ancestry blended.

    Attributes are drawn independently; the look of a sex comes near its end in most and half-way to the other in few.
    """
    mixed = float(random.beta(1.0, 8.0))
    age = 18 + 62 * float(random.beta(1.2, 2.2))
    muscle, weight = (float(np.clip(random.normal(0.5, 0.17), 0, 1)) for _ in range(2))
    ancestry = random.dirichlet((0.6, 0.6, 0.6))
    shares = float(ancestry[0]), float(ancestry[1]), float(ancestry[2])
    return Macro(1 - mixed if sex else mixed, age, muscle, weight, shares)


def macro_shares(macro: Macro) -> Float[Array, " T"]:
    """The factor of each macro target, in the order of :attr:`People.macro_names`. Raises nothing; see :class:`Macro`.

    Below 25 years the age share goes on along the line from old to young, as far as 18.
    """
    old = (macro.age - YOUNG_YEARS) / (OLD_YEARS - YOUNG_YEARS)
    age = (1 - old, old)
    sex = (1 - macro.sex, macro.sex)
    muscle, weight = _three_shares(macro.muscle), _three_shares(macro.weight)
    first = [a * b * c for a, b, c in itertools.product(macro.ancestry, sex, age)]
    second = [a * b * c * d for a, b, c, d in itertools.product(sex, age, muscle, weight)]
    return np.array(first + second, np.float32)


def macro_steps() -> dict[str, tuple[Macro, Macro]]:
    """Semantic directions as pairs of persons one step apart.

    One step of sex is half the way from female to male, of age 20 years, of weight and muscle half the way from least
    to most, of an ancestry the way from an equal blend to that one alone.
    """
    average = Macro()
    steps = {
        "sex": (replace(average, sex=0.25), replace(average, sex=0.75)),
        "age": (replace(average, age=30.0), replace(average, age=50.0)),
        "weight": (replace(average, weight=0.25), replace(average, weight=0.75)),
        "muscle": (replace(average, muscle=0.25), replace(average, muscle=0.75)),
    }
    for index, name in enumerate(ANCESTRIES):
        alone = tuple(float(index == other) for other in range(3))
        steps[name] = (average, replace(average, ancestry=(alone[0], alone[1], alone[2])))
    return steps


def read_modifiers(path: Path, source: MakeHumanSource) -> list[Modifier]:
    """The sliders of a table (group, modifier, mean_mm, spread_mm, asymmetry) with their targets by the catalogue.

    Sliders with a left and a right side become two, named ``…/left`` and ``…/right``. Raises :class:`FormatError`.
    """
    catalogue = _catalogue(source)
    modifiers: list[Modifier] = []
    for place, row in read_table(path, FormatError, "group", "modifier", "mean_mm", "spread_mm", "asymmetry"):
        group, name = row["group"], row["modifier"]
        try:
            mean, spread = float(row["mean_mm"]) / 1000, float(row["spread_mm"]) / 1000
            asymmetry = float(row["asymmetry"])
        except ValueError as fault:
            raise FormatError(f"{place}: wanted numbers for mean_mm, spread_mm, asymmetry ({fault})") from fault
        if group == "asym":
            ends = {"": ((f"asym/{name}-l",), (f"asym/{name}-r",))}
        elif (group, name) in catalogue:
            ends = catalogue[group, name]
        else:
            raise FormatError(f"{place}: the MakeHuman data has no modifier {group}/{name}")
        for side, (negative, positive) in ends.items():
            modifiers.append(Modifier(f"{group}/{name}{side}", negative, positive, mean, spread, asymmetry))
    return modifiers


def _macro_names() -> Iterable[str]:
    yield from ("-".join(parts) for parts in itertools.product(ANCESTRIES, SEXES, AGES))
    yield from ("universal-" + "-".join(parts) for parts in itertools.product(SEXES, AGES, MUSCLES, WEIGHTS))


def _three_shares(value: float) -> tuple[float, float, float]:
    return max(0.0, 1 - 2 * value), 1 - abs(2 * value - 1), max(0.0, 2 * value - 1)


def _pair(name: str) -> str:
    return name.removesuffix("/left").removesuffix("/right")


Ends = dict[str, tuple[tuple[str, ...], tuple[str, ...]]]


def _catalogue(source: MakeHumanSource) -> dict[tuple[str, str], Ends]:
    path = source.root / "mpfb2/targets/target.json"
    try:
        groups = json.loads(read_text(path))
        entries = [(group, entry) for group, value in groups.items() for entry in value["categories"]]
        return {(group, entry["name"]): _ends(group, entry) for group, entry in entries}
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise FormatError(f"{path}: not MakeHuman's catalogue of targets ({fault})") from fault


def _ends(group: str, entry: dict) -> Ends:
    opposites = entry.get("opposites") or {}
    sides = ("left", "right") if entry["has_left_and_right"] else ("unsided",)
    ends: Ends = {}
    for side in sides:
        negative, positive = (
            tuple(f"{group}/{name}" for name in [opposites.get(f"{sign}-{side}")] if name)
            for sign in ("negative", "positive")
        )
        if not negative and not positive:
            positive = tuple(f"{group}/{target}" for target in entry["targets"])
        ends["" if side == "unsided" else f"/{side}"] = (negative, positive)
    return ends
