"""The detector's 478 points as a table: group, mirror image, opposite point; read from ``data/landmarks``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from hack_model.errors import AssetError
from hack_model.resources import data_folder
from hack_model.tables import read_table

if TYPE_CHECKING:
    from jaxtyping import Int

    Array = np.ndarray

POINT_COUNT = 478
GROUPS = ("skin", "oval", "brows", "eyes", "iris", "nose", "lips")
OUTER_EYE_CORNERS = (33, 263)
"""Subject's right and left outer eye corner; their distance is the unit of landmark errors."""

NOSE_TIP, NOSE_BASE = 1, 2
"""The tip of the nose, and where its septum meets the upper lip."""

IRIS_RIGHT, IRIS_LEFT = slice(468, 473), slice(473, 478)
"""Centre and four edge points of the subject's right and left iris."""


@dataclass(frozen=True)
class Points:
    """``mirror`` is each point's mirror image; ``opposite`` (O, 2) pairs points across an opening of eye or mouth."""

    groups: tuple[str, ...]
    mirror: Int[Array, "478"]
    opposite: Int[Array, "O 2"]

    def of_group(self, name: str) -> Int[Array, " n"]:
        """Indices of the points of a group."""
        return np.flatnonzero(np.array(self.groups) == name)


@cache
def points() -> Points:
    """The table. Raises :class:`AssetError` when it is damaged."""
    path = data_folder() / "landmarks" / "mediapipe478.csv"
    rows = [row for _, row in read_table(path, AssetError, "point", "group", "mirror", "opposite")]
    try:
        groups = tuple(row["group"] for row in rows)
        mirror = np.array([int(row["mirror"]) for row in rows])
        opposite = np.array([(int(row["point"]), int(row["opposite"])) for row in rows if row["opposite"]])
    except ValueError as fault:
        raise AssetError(f"{path}: damaged ({fault}); install hack-model again") from fault
    if len(rows) != POINT_COUNT or set(groups) != set(GROUPS) or (mirror[mirror] != np.arange(POINT_COUNT)).any():
        raise AssetError(f"{path}: damaged; install hack-model again")
    return Points(groups, mirror, opposite)
