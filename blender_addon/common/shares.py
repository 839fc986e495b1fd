"""Expressions as action units, so that a clip arrives on the sliders an artist works with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .controls import shown_units, unit_keys

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray


def slider_values(names: Sequence[str], expression: Float[Array, "F E"]) -> dict[str, Float[Array, " F"]]:
    """Values of the action units' and the expressions' sliders that together give ``expression``, by key.

    An action unit takes what all its shapes have in common, within [0, 1]; what is left stays on the expressions'
    own sliders, which add up with the units. So the face is the same to the last digit.
    """
    rest = {name: np.array(expression[:, column], np.float64) for column, name in enumerate(names)}
    values: dict[str, Float[Array, " F"]] = {}
    for unit in shown_units():
        for key, shapes in unit_keys(unit).items():
            known = {name: weight for name, weight in shapes.items() if name in rest}
            if not known:
                continue
            common = np.min([rest[name] / weight for name, weight in known.items()], axis=0)
            values[key] = np.clip(common, 0.0, 1.0)
            for name, weight in known.items():
                rest[name] -= weight * values[key]
    return values | rest
