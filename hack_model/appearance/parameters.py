"""`Appearance`: the parameters of how a head looks, their ranges, a plausible population, reading them from text."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hack_model.errors import ParameterError

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray


@dataclass(frozen=True)
class Trait:
    """One parameter of an appearance: its range, the value it has when nobody says, and its meaning."""

    name: str
    low: float
    high: float
    default: float
    meaning: str


TRAITS: Final = (
    Trait("melanin", 0, 1, 0.3, "of the skin, in steps that look equal: 0 the lightest, 1 the darkest people"),
    Trait("pheomelanin", 0, 1, 0.45, "share of the red-yellow kind in the skin's melanin"),
    Trait("haemoglobin", 0, 3, 1.0, "blood in the skin relative to a face at rest: 0.4 pale, 2 flushed"),
    Trait("oxygenation", 0.2, 1, 0.85, "share of the haemoglobin that carries oxygen: less is bluer"),
    Trait("lip_colour", 0, 2.5, 1.0, "how much redder the lips are than the skin, relative to the average"),
    Trait("freckles", 0, 1, 0.08, "amount of freckles"),
    Trait("moles", 0, 1, 0.2, "number of moles, 1 is about sixty on head and neck"),
    Trait("age", 0, 1, 0.25, "wrinkles at rest, coarseness and spots: 0 a child's skin, 1 that of a person of 85"),
    Trait("pores", 0, 1, 0.5, "depth of the pores"),
    Trait("sebum", 0, 1, 0.4, "oil on the skin: 0 matt, 1 shiny"),
    Trait("hair", 0, 1, 0.8, "melanin of brows, lashes and beard: 0 blond, 0.5 brown, 1 black"),
    Trait("hair_red", 0, 1, 0.1, "share of pheomelanin in it: 1 is red hair"),
    Trait("grey", 0, 1, 0.0, "share of hairs without pigment"),
    Trait("brows", 0, 1, 0.85, "density of the brows"),
    Trait("beard", 0, 1, 0.0, "stubble: 0 none or freshly shaven smooth, 0.4 a shadow, 1 dense"),
    Trait("scalp", 0, 1, 0.0, "stubble of a shaven head"),
    Trait("iris", 0, 1, 0.62, "melanin of the iris: 0 blue, 0.4 green to hazel, 0.65 brown, 1 nearly black"),
    Trait("veins", 0, 1, 0.3, "redness of the white of the eye"),
)
"""Every parameter of :class:`Appearance`, in the order of its array."""
NAMES: Final = tuple(trait.name for trait in TRAITS)
_BY_NAME: Final = {trait.name: trait for trait in TRAITS}


@dataclass(frozen=True)
class Appearance:
    """How a head looks; ranges and meanings in :data:`TRAITS`. Raises :class:`ParameterError` for a value outside.

    ``seed`` chooses where freckles, moles, hairs and blotches lie.
    """

    melanin: float = _BY_NAME["melanin"].default
    pheomelanin: float = _BY_NAME["pheomelanin"].default
    haemoglobin: float = _BY_NAME["haemoglobin"].default
    oxygenation: float = _BY_NAME["oxygenation"].default
    lip_colour: float = _BY_NAME["lip_colour"].default
    freckles: float = _BY_NAME["freckles"].default
    moles: float = _BY_NAME["moles"].default
    age: float = _BY_NAME["age"].default
    pores: float = _BY_NAME["pores"].default
    sebum: float = _BY_NAME["sebum"].default
    hair: float = _BY_NAME["hair"].default
    hair_red: float = _BY_NAME["hair_red"].default
    grey: float = _BY_NAME["grey"].default
    brows: float = _BY_NAME["brows"].default
    beard: float = _BY_NAME["beard"].default
    scalp: float = _BY_NAME["scalp"].default
    iris: float = _BY_NAME["iris"].default
    veins: float = _BY_NAME["veins"].default
    seed: int = 0

    def __post_init__(self) -> None:
        for trait in TRAITS:
            value = getattr(self, trait.name)
            if not isinstance(value, int | float | np.number):
                raise ParameterError(f"{trait.name}: {value!r} is no number")
            if not trait.low <= value <= trait.high:
                raise ParameterError(f"{trait.name}: {value:g} lies outside {trait.low:g}…{trait.high:g}")
        _require_seed(self.seed)

    @classmethod
    def parse(cls, text: str) -> Appearance:
        """Reads ``"melanin=0.3,iris=0.1"``; ``"random:7"`` is person 7 of the population, changes follow after commas.

        Raises :class:`ParameterError` for an unknown name, listing the known ones, or something that is no number.
        """
        values: dict[str, float | int] = {}
        for item in filter(None, (part.strip() for part in text.split(","))):
            name, equals, value = item.partition("=")
            if name.startswith("random:") and not equals:
                values |= dataclasses.asdict(cls.random(_integer(name.partition(":")[2], "random")))
            elif name == "seed":
                values["seed"] = _integer(value, "seed")
            elif name not in _BY_NAME or not equals:
                known = ", ".join((*NAMES, "seed"))
                raise ParameterError(f"{item!r} is no parameter of appearance; write NAME=VALUE with one of {known}")
            else:
                values[name] = _number(value, name)
        return cls(**values)  # pyright: ignore[reportArgumentType]

    @classmethod
    def random(cls, seed: int) -> Appearance:
        """Person number ``seed`` of a plausible population of adults.

        Skin from light to dark with equal chances; eyes and hair are seldom lighter than the skin lets expect, hair
        greys with age, half of the people can grow a beard. Raises :class:`ParameterError` for a seed below 0.
        """
        generator = np.random.default_rng([_require_seed(seed), 9176])
        melanin = generator.uniform(0.02, 0.98)
        age = generator.beta(1.6, 2.2)
        dark = np.clip(melanin * 1.5, 0, 1)
        beard = generator.uniform(0, 0.9) if generator.random() < 0.5 else 0.0
        hair = np.clip(generator.normal(0.45 + 0.5 * dark, 0.22 * (1 - dark) + 0.04), 0.02, 1)
        red = generator.random() < 0.06 * (1 - dark)
        values = {
            "melanin": melanin,
            "pheomelanin": generator.beta(2, 7),
            "haemoglobin": generator.lognormal(0, 0.22),
            "oxygenation": generator.normal(0.75, 0.05),
            "lip_colour": generator.lognormal(0, 0.25),
            "freckles": 0.9 * generator.beta(0.6, 3) * (1 - dark) + 0.4 * red,
            "moles": generator.beta(1.2, 3.5),
            "age": age,
            "pores": generator.beta(3, 3),
            "sebum": generator.beta(3, 4),
            "hair": 0.55 if red else hair,
            "hair_red": 0.85 if red else generator.beta(1.2, 8),
            "grey": np.clip((age - 0.45) * 2.2 + generator.normal(0, 0.15), 0, 1) if age > 0.35 else 0.0,
            "brows": generator.uniform(0.4, 0.95),
            "beard": beard,
            "iris": np.clip(generator.normal(0.32 + 0.5 * dark, 0.24 * (1 - dark) + 0.05), 0, 1),
            "veins": generator.beta(2, 4),
        }
        return cls(**{name: _limited(name, float(value)) for name, value in values.items()}, seed=seed)

    @classmethod
    def from_array(cls, values: Float[Array, " n"], seed: int = 0) -> Appearance:
        """From numbers in the order of :data:`TRAITS`, for fits; values outside their ranges are brought to the end.

        Raises :class:`ParameterError` for another shape and for what is no finite number.
        """
        try:
            array = np.asarray(values)
        except ValueError as fault:
            raise ParameterError(f"appearance: wanted {len(TRAITS)} numbers ({fault})") from fault
        if array.dtype.kind not in "fiu":
            raise ParameterError(f"appearance: wanted {len(TRAITS)} numbers, got {values!r}")
        if array.shape != (len(TRAITS),):
            raise ParameterError(f"appearance: got shape {array.shape}, wanted ({len(TRAITS)},)")
        if not np.isfinite(array).all():
            raise ParameterError("appearance: holds values that are not finite")
        return cls(**{n: _limited(n, float(v)) for n, v in zip(NAMES, array, strict=True)}, seed=seed)

    def to_array(self) -> Float[Array, " n"]:
        """The parameters but the seed as numbers in the order of :data:`TRAITS`."""
        return np.array([getattr(self, name) for name in NAMES])


def _require_seed(seed: Any) -> int:
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ParameterError(f"seed: {seed!r} is no whole number from 0 up")
    return int(seed)


def _limited(name: str, value: float) -> float:
    return float(np.clip(value, _BY_NAME[name].low, _BY_NAME[name].high))


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError as fault:
        raise ParameterError(f"{name}: {text!r} is no number") from fault


def _integer(text: str, name: str) -> int:
    if not text.strip().isdecimal():
        raise ParameterError(f"{name}: {text!r} is no whole number from 0 up")
    return int(text)
