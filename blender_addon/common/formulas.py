"""Driver expressions as data: what drives what, in Blender's simple-expression language.

Blender evaluates such expressions without Python, so they are fast and work in files opened with scripts disabled:
numbers, variables, ``+ - * /``, ``abs, min, max, clamp, pow, sqrt`` and their like, at most 255 characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    Array = np.ndarray

MAX_LENGTH = 255


@dataclass(frozen=True)
class Control:
    """A driver variable that reads a control, an id-property of the armature object, by its key."""

    key: str


@dataclass(frozen=True)
class KeyValue:
    """A driver variable that reads the value of another shape key of the same mesh, by its name."""

    name: str


@dataclass(frozen=True)
class BoneRotation:
    """A driver variable that reads a bone's own rotation, constraints included, without its parents'.

    ``channel`` is ``ROT_W``, ``ROT_X`` … of ``mode``: ``QUATERNION`` or an Euler order, in radians.
    """

    bone: str
    channel: str
    mode: str = "QUATERNION"


Source = Control | KeyValue | BoneRotation


@dataclass(frozen=True)
class Formula:
    """An expression and its variables by name."""

    expression: str
    variables: Mapping[str, Source]

    def __post_init__(self) -> None:
        if len(self.expression) > MAX_LENGTH:
            raise ValueError(f"driver expression of {len(self.expression)} characters: {self.expression}")


def weighted_sum(terms: Iterable[tuple[str, float]], extra: Iterable[Formula] = ()) -> Formula:
    """The sum of controls times their weights, plus further formulas (whose variable names must be their own)."""
    variables: dict[str, Source] = {}
    parts: list[str] = []
    for index, (key, weight) in enumerate(terms):
        name = f"c{index}"
        variables[name] = Control(key)
        parts.append(name if weight == 1 else f"{number(weight)}*{name}")
    for formula in extra:
        variables |= formula.variables
        parts.append(formula.expression)
    return Formula("+".join(parts), variables)


def rotation_entry(bone: str, row: int, column: int) -> Formula:
    """Entry of R - I of a bone's own rotation R, from its quaternion (w, x, y, z), which Blender normalises."""
    names = "xyz"
    if row == column:
        first, second = (name for name in names if name != names[row])
        expression, used = f"-2*({first}*{first}+{second}*{second})", first + second
    else:
        third = 3 - row - column
        sign = "-" if (column - row) % 3 == 1 else "+"
        a, b, c = names[row], names[column], names[third]
        expression, used = f"2*({a}*{b}{sign}w*{c})", f"w{a}{b}{c}"
    return Formula(expression, {name: BoneRotation(bone, f"ROT_{name.upper()}") for name in used})


def tent(size: str, shift: str, knot: int, spacing: float, last: tuple[int, int], full: float = 1.0) -> Formula:
    """``size`` times the tent around a knot of ``shift``: 1 at the knot, 0 at its neighbours, held beyond the ends.

    ``spacing`` is the distance of two knots in the unit of ``shift``; ``last`` the numbers of the outermost knots;
    ``full`` the size that counts as 1.
    """
    place = f"clamp(t*{number(1 / spacing)},{last[0]},{last[1]})"
    minus = f"-{knot}" if knot >= 0 else f"+{-knot}"
    factor = "s" if full == 1 else f"{number(1 / full)}*s"
    return Formula(f"{factor}*max(0,1-abs({place}{minus}))", {"s": Control(size), "t": Control(shift)})


def product_of_factors(factors: Iterable[tuple[str, float]]) -> Formula:
    """A combination's weight from the shape keys of its sources, each with its peak.

    At peak 1 a factor is the value clipped to [0, 1], below it the tent that is 1 at the peak and 0 at 0 and 1.
    """
    variables: dict[str, Source] = {}
    parts: list[str] = []
    for index, (key, peak) in enumerate(factors):
        name = "abcdefghijklmnopqrstuvwxyz"[index]
        variables[name] = KeyValue(key)
        if peak == 1:
            parts.append(f"clamp({name})")
        else:
            parts.append(f"max(0,min({name}*{number(1 / peak)},{number(1 / (1 - peak))}*(1-{name})))")
    return Formula("*".join(parts), variables)


@dataclass(frozen=True)
class Turn:
    """One angle that takes part in a rotation, in radians, and its axis in the driven bone's local frame,
    times the angle's share.
    """

    angle: Formula
    axis: Float[Array, "3"]


def rotation_vector(turns: Iterable[Turn]) -> tuple[Formula, Formula, Formula, Formula]:
    """The angle and the three components of the axis of a rotation vector that is a sum of angles times axes.

    The turns' axes must be at right angles and their variables have names of their own. For bones in axis-angle mode,
    whose axis Blender normalises; it takes the axis (0, 0, 0) for no rotation.
    """
    variables: dict[str, Source] = {}
    parts: list[list[str]] = [[], [], []]
    squares: list[str] = []
    for turn in turns:
        length = float((turn.axis**2).sum()) ** 0.5
        if length == 0:
            continue
        variables |= turn.angle.variables
        angle = f"({turn.angle.expression})"
        squares.append(f"pow({number(length)}*{angle},2)")
        for component, value in zip(parts, turn.axis.tolist(), strict=True):
            if abs(value) > 1e-9:
                component.append(f"{number(value)}*{angle}")
    total = f"sqrt({'+'.join(squares)})" if squares else "0"
    channels = [total, *("+".join(component) or "0" for component in parts)]
    first, x, y, z = (Formula(text, _used(text, variables)) for text in channels)
    return first, x, y, z


def _used(text: str, variables: Mapping[str, Source]) -> dict[str, Source]:
    names = set(re.findall(r"[a-z]\w*", text))
    return {name: variable for name, variable in variables.items() if name in names}


def number(value: float) -> str:
    """A number with all digits single precision has."""
    return f"{value:.9g}"
