"""What the detector's scores let expect of the expressions, before the landmarks speak.

MediaPipe's scores come from a network that saw many people, so they know better than one photo's landmarks what is a
smile and what a mouth's own form; but they are not the model's activations. ``data/landmarks/expression_scores.csv``
says for every expression how they translate, how far they are to be believed, and which expressions the landmarks
cannot show at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from hack_model.errors import AssetError
from hack_model.formats.arkit import arkit_table, from_arkit
from hack_model.resources import data_folder
from hack_model.tables import read_table

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

_UNSCORED_SPREAD = 0.05
_COLUMNS = ("gain", "threshold", "spread", "growth")


@dataclass(frozen=True)
class Rule:
    """How one expression's score is read; see the table's first lines."""

    gain: float
    threshold: float
    spread: float
    growth: float

    def expected(self, score: float) -> float:
        """The activation to expect, in [0, 1]."""
        return self.gain * max(score - self.threshold, 0.0) / (1 - self.threshold)

    def spread_at(self, score: float) -> float:
        """How far the activation may be from what is expected; 0 where the fit must leave it at rest."""
        return float(np.hypot(self.spread, self.growth * score))


@cache
def rules() -> dict[str, Rule]:
    """The table, by expression without its side. Raises :class:`AssetError` when it is damaged."""
    path = data_folder() / "landmarks" / "expression_scores.csv"
    table: dict[str, Rule] = {}
    for place, row in read_table(path, AssetError, "expression", *_COLUMNS):
        try:
            rule = Rule(*(float(row[column]) for column in _COLUMNS))
        except ValueError as fault:
            raise AssetError(f"{place}: damaged ({fault}); install hack-model again") from fault
        if not (0 < rule.gain <= 1 and 0 <= rule.threshold < 1 and rule.spread >= 0 and rule.growth >= 0):
            raise AssetError(f"{place}: damaged (a number out of its range); install hack-model again")
        table[row["expression"]] = rule
    return table


def expected_expression(
    scores: Mapping[str, float], expression_names: Sequence[str]
) -> tuple[Float[Array, " E"], Float[Array, " E"]]:
    """Expected activations in [0, 1] and their spreads, in the order of ``expression_names``.

    ``scores`` are the detector's, by ARKit name. A spread of 0 holds the expression at rest.
    """
    names = [name for name in scores if name in arkit_table()]
    given = from_arkit(names, np.array([scores[name] for name in names]), expression_names)
    scored = from_arkit(names, np.ones(len(names)), expression_names) > 0
    mean, spread = np.zeros(len(given)), np.full(len(given), _UNSCORED_SPREAD)
    for index, name in enumerate(expression_names):
        rule = rules().get(name.removesuffix("_L").removesuffix("_R"))
        if rule and (scored[index] or not rule.spread):
            mean[index] = rule.expected(float(given[index])) if rule.spread else 0.0
            spread[index] = rule.spread_at(float(given[index]))
    return mean, spread
