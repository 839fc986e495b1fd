"""Measures of heads, as anthropometrists take them, to compare the sampled people with real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.build.cut import edge_loop
from hack_model.build.source import BaseMesh
from hack_model.errors import FormatError
from hack_model.tables import read_table

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

SIZE_VARIATION = 0.03
"""Coefficient of variation of head size, which the model keeps as a parameter of its own: ANSUR II's head
circumference, 570 ± 17 mm."""


@dataclass(frozen=True)
class Measure:
    """A measure: the polyline of base vertices it runs along, the axis it counts (None: all), and what is known of it.

    ``mean`` and ``deviation`` in metres, of adults, women and men together.
    """

    name: str
    vertices: Int[Array, " k"]
    axis: int | None
    mean: float
    deviation: float

    def __call__(self, points: Float[Array, "*batch N 3"]) -> Float[Array, "*batch"]:
        """The measure of people given as base vertices, metres."""
        steps = np.diff(points[..., self.vertices, :], axis=-2)
        if self.axis is None:
            return np.linalg.norm(steps, axis=-1).sum(axis=-1)
        return np.abs(steps[..., self.axis].sum(axis=-1))

    @property
    def shape_deviation(self) -> float:
        """The deviation that is left when every head is brought to the same size."""
        return float(np.sqrt(max(self.deviation**2 - (SIZE_VARIATION * self.mean) ** 2, 0)))


def read_measures(path: Path, mesh: BaseMesh) -> list[Measure]:
    """The measures of a table: measure, vertex_1, vertex_2, along, mean, deviation (millimetres)."""
    measures: list[Measure] = []
    for place, row in read_table(path, FormatError, "measure", "vertex_1", "vertex_2", "along", "mean", "deviation"):
        try:
            first = int(row["vertex_1"])
            second = int(mesh.mirror[first]) if row["vertex_2"] == "mirror" else int(row["vertex_2"])
            vertices = [first, second]
            if row["along"] == "loop":
                vertices = edge_loop(mesh.faces[mesh.group_faces("body")], first, second)
            axis = {"x": 0, "y": 1, "z": 2, "all": None, "loop": None}[row["along"]]
            numbers = float(row["mean"]) / 1000, float(row["deviation"]) / 1000
        except (KeyError, ValueError, IndexError) as fault:
            raise FormatError(f"{place}: unreadable row {row} ({fault})") from fault
        measures.append(Measure(row["measure"], np.array(vertices), axis, *numbers))
    return measures


def comparison(measures: Sequence[Measure], people: Float[Array, "n N 3"]) -> dict[str, Any]:
    """Mean and deviation of each measure over people of one size, and the wanted ones, in millimetres."""
    table = {}
    for measure in measures:
        values = measure(people)
        table[measure.name] = {
            "mean": round(1000 * float(values.mean()), 1),
            "deviation": round(1000 * float(values.std()), 2),
            "adult_mean": round(1000 * measure.mean, 1),
            "adult_deviation_at_one_size": round(1000 * measure.shape_deviation, 2),
        }
    return table
