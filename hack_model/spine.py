"""The cervical spine in numbers: where its joints lie, how far each turns, and how they share a turn of the neck."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hack_model.errors import FormatError
from hack_model.names import CERVICAL_JOINTS
from hack_model.tables import read_table

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

WHOLE_NECK = {"flexion": 50.0, "extension": 80.0, "lateral": 45.0, "axial": 80.0}
"""Range of the whole neck in degrees (lateral, axial per side)."""
SKULL_SHARE = {"flexion": 40 / 122, "lateral": 13 / 80, "axial": 77 / 132}
"""What the two joints between skull and C2 carry of the whole neck's rotation (Vasavada, Li & Delp 1998)."""


@dataclass(frozen=True)
class SpineTable:
    """The rows of ``cervical_spine.csv``: places and ranges in degrees (8,), rhythm (8, 3) flexion, axial, lateral."""

    height: Float[Array, "8"]
    depth: Float[Array, "8"]
    flexion_extension: Float[Array, "8"]
    lateral: Float[Array, "8"]
    axial: Float[Array, "8"]
    rhythm: Float[Array, "8 3"]


def read_spine(path: Path) -> SpineTable:
    """The table of cervical joints. Raises :class:`FormatError` when a joint or a number is missing."""
    rows = [row for _, row in read_table(path, FormatError, "joint")]
    try:
        names = tuple(row["joint"] for row in rows)
        columns = {name: np.array([float(row[name]) for row in rows]) for name in rows[0] if name != "joint"}
        if names != CERVICAL_JOINTS:
            raise ValueError(f"joints {', '.join(names)}")
        rhythm = np.stack(
            [_rhythm(columns[f"rhythm_{axis}"], axis) for axis in ("flexion", "axial", "lateral")], axis=1
        )
        places = (columns["height"], columns["depth"])
        return SpineTable(*places, columns["flexion_extension"], columns["lateral"], columns["axial"], rhythm)
    except (KeyError, IndexError, ValueError) as fault:
        raise FormatError(f"{path}: wanted one row per joint, {', '.join(CERVICAL_JOINTS)} ({fault})") from fault


def _rhythm(share: np.ndarray, axis: str) -> np.ndarray:
    """Shares of the whole neck, summing to 1, from shares inside its lower and its upper part."""
    skull = np.array([name in ("c1c2", "oc1") for name in CERVICAL_JOINTS])
    lower = share * ~skull / share[~skull].sum() * (1 - SKULL_SHARE[axis])
    return lower + share * skull / share[skull].sum() * SKULL_SHARE[axis]


def joint_limits(table: SpineTable) -> Float[Array, "8 3 2"]:
    """Limits in radians of flexion, axial, lateral: (8, 3, 2) lower and upper.

    A joint's flexion–extension range is divided as the whole neck's is, 50 to 80. No limit is tighter than what the
    joint's share of the whole neck's range asks of it.
    """
    whole = WHOLE_NECK["flexion"] + WHOLE_NECK["extension"]
    ranges = {"flexion": table.flexion_extension, "extension": table.flexion_extension}
    upper = {
        name: np.maximum(total * WHOLE_NECK[name] / whole, table.rhythm[:, 0] * WHOLE_NECK[name])
        for name, total in ranges.items()
    }
    axial = np.maximum(table.axial, table.rhythm[:, 1] * WHOLE_NECK["axial"])
    lateral = np.maximum(table.lateral, table.rhythm[:, 2] * WHOLE_NECK["lateral"])
    high = np.stack([upper["flexion"], axial, lateral], axis=1)
    low = np.stack([-upper["extension"], -axial, -lateral], axis=1)
    return np.radians(np.stack([low, high], axis=-1))
