"""Action units of FACS, read from ``data/facs``: their names, and the expressions that show them.

Where authors disagree which shape shows which unit, the tables hold every reading with its source; only one is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, cast

from hack_model.errors import AssetError
from hack_model.resources import data_folder
from hack_model.tables import read_table

Side = Literal["left", "right", "both"]
Kind = Literal["shape", "eyes", "head", "larynx", "none"]
SIDES: tuple[Side, ...] = ("left", "right")


@dataclass(frozen=True)
class ShapeReading:
    """One author's reading: at AU intensity 1 on ``side``, ``expression`` is at ``weight``.

    ``used`` is false for readings this project knows of and does not follow; ``dispute`` says what others hold.
    """

    expression: str
    side: Side
    weight: float
    used: bool
    source: str
    dispute: str


@dataclass(frozen=True)
class ActionUnit:
    """One action unit.

    ``two_sided`` tells whether FACS scores left and right apart; ``kind`` what moves in this model (``"none"``: it has
    no counterpart yet).
    """

    code: str
    name: str
    region: str
    two_sided: bool
    kind: Kind
    muscles: str
    description: str
    readings: tuple[ShapeReading, ...]

    def shapes(self, side: Side | None = None) -> dict[str, float]:
        """Weights of the expressions that show this unit, on one side or (``None``) on both."""
        return {
            reading.expression: reading.weight
            for reading in self.readings
            if reading.used and (side is None or reading.side in (side, "both"))
        }


@cache
def catalogue() -> Mapping[str, ActionUnit]:
    """Every action unit by code (``"AU12"``), in the order of the table. Raises :class:`AssetError` for a bad table."""
    folder = data_folder() / "facs"
    readings: dict[str, list[ShapeReading]] = {}
    for place, row in read_table(folder / "action_unit_shapes.csv", AssetError):
        readings.setdefault(row["code"], []).append(_reading(row, place))
    units: dict[str, ActionUnit] = {}
    for place, row in read_table(folder / "action_units.csv", AssetError):
        if row["code"] in units:
            raise AssetError(f"{place}: action unit {row['code']} is listed twice")
        units[row["code"]] = ActionUnit(
            code=row["code"],
            name=row["name"],
            region=row["region"],
            two_sided=_choice(row["sides"], ("LR", "one"), place) == "LR",
            kind=cast(Kind, _choice(row["kind"], ("shape", "eyes", "head", "larynx", "none"), place)),
            muscles=row["muscles"],
            description=row["description"],
            readings=tuple(readings.pop(row["code"], ())),
        )
    if readings:
        raise AssetError(f"{folder / 'action_unit_shapes.csv'}: unknown action units {', '.join(readings)}")
    return units


def action_units(expression: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Intensities in [0, 1] per action unit and side from activations by expression name.

    ``{"AU12": {"left": 0.8, "right": 0.75}, "AU27": {"both": 0.1}}``. A unit shown by several shapes has the mean of
    their activations over weights; one whose shapes are all absent from ``expression`` is left out.
    """
    result: dict[str, dict[str, float]] = {}
    for unit in catalogue().values():
        values = {side: _intensity(unit, side, expression) for side in (SIDES if unit.two_sided else ("both",))}
        known = {side: value for side, value in values.items() if value is not None}
        if known:
            result[unit.code] = known
    return result


def _intensity(unit: ActionUnit, side: str, expression: Mapping[str, float]) -> float | None:
    shapes = unit.shapes(None if side == "both" else cast(Side, side))
    ratios = [expression[name] / weight for name, weight in shapes.items() if name in expression]
    return min(max(sum(ratios) / len(ratios), 0.0), 1.0) if ratios else None


def _reading(row: Mapping[str, str], place: str) -> ShapeReading:
    try:
        weight = float(row["weight"])
    except ValueError as fault:
        raise AssetError(f"{place}: weight {row['weight']!r} is no number") from fault
    if not 0 < weight <= 1:
        raise AssetError(f"{place}: weight {weight} lies outside (0, 1]")
    side = cast(Side, _choice(row["side"], ("left", "right", "both"), place))
    used = _choice(row["used"], ("yes", "no"), place) == "yes"
    return ShapeReading(row["expression"], side, weight, used, row["source"], row["dispute"])


def _choice(value: str, allowed: tuple[str, ...], place: str) -> str:
    if value not in allowed:
        raise AssetError(f"{place}: {value!r} is none of {', '.join(allowed)}")
    return value
