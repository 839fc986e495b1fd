"""The cervical chain in the neck: joints by anatomy, as means of the skin around them; frames, limits, rhythm."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hack_model.build.source import read_text
from hack_model.errors import FormatError
from hack_model.names import CERVICAL_JOINTS

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

OC1_HEIGHT, C7T1_HEIGHT = -0.0096, -0.1256
"""Heights of the ends of the chain on the template, metres: the level of the mastoid tips, where the ear lobes end, and
25 mm above the suprasternal notch, below the prominence of the seventh vertebra."""
NECK_DEPTH = 0.113
"""Depth of the template's neck from nape to throat at c6c7."""
WHOLE_NECK = {"flexion": 50.0, "extension": 80.0, "lateral": 45.0, "axial": 80.0}
"""Range of the whole neck in degrees (lateral, axial per side)."""
SKULL_SHARE = {"flexion": 40 / 122, "lateral": 13 / 80, "axial": 77 / 132}
"""What the two joints between skull and C2 carry of the whole neck's rotation (Vasavada, Li & Delp 1998)."""
_RING = 32


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
    rows = list(csv.DictReader(line for line in read_text(path).splitlines() if not line.startswith("#")))
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
    except (KeyError, IndexError, TypeError, ValueError) as fault:
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


def place_joints(skin: Float[Array, "V 3"], midline: Int[Array, " m"], table: SpineTable) -> Float[Array, "8 3"]:
    """The cervical joints on the template, metres, in the median plane, at the table's places before the nape.

    ``midline`` are the skin's vertices at x = 0.
    """
    height = C7T1_HEIGHT + table.height * (OC1_HEIGHT - C7T1_HEIGHT)
    points = skin[midline]
    nape = points[(points[:, 2] < 0) & (points[:, 1] < 0.02)]
    nape = nape[np.argsort(nape[:, 1])]
    depth = np.interp(height, nape[:, 1], nape[:, 2]) + table.depth * NECK_DEPTH
    return np.stack([np.zeros(len(height)), height, depth], axis=1)


def joint_frames(joints: Float[Array, "8 3"]) -> Float[Array, "8 3 3"]:
    """Rest frames (columns are axes): y along the spine to the next joint, x to the subject's left, z forward.

    The topmost joint takes the tilt of the one below it.
    """
    along = np.diff(joints, axis=0)
    along = np.concatenate([along, along[-1:]])
    y = along / np.linalg.norm(along, axis=1, keepdims=True)
    x = np.tile([1.0, 0.0, 0.0], (len(joints), 1))
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def regressor(
    points: Float[Array, "V 3"], candidates: Int[Array, " n"], mirror: Int[Array, " V"], joint: Float[Array, "3"]
) -> tuple[Int[Array, " k"], Float[Array, " k"]]:
    """Vertices of a ring around a joint and weights, as even as possible, whose weighted mean is the joint.

    Per direction around the joint the candidate nearest to its level is taken, together with its mirror image, so the
    joint stays in the median plane of every symmetric head.
    """
    offset = points[candidates] - joint
    turn = np.arctan2(offset[:, 0], offset[:, 2])
    chosen: list[int] = []
    for angle in np.linspace(0, np.pi, _RING // 2 + 1):
        near = np.abs(turn - angle) < np.pi / (_RING - 2)
        if not near.any():
            continue
        vertex = int(candidates[near][np.argmin(np.abs(offset[near, 1]))])
        chosen += [vertex, int(mirror[vertex])]
    ring = np.unique(chosen)
    return ring, even_weights(points[ring], joint)


def even_weights(points: Float[Array, "k 3"], wanted: Float[Array, "3"]) -> Float[Array, " k"]:
    """The weights nearest to equal ones that sum to 1 and whose weighted mean of the points is ``wanted``."""
    count = len(points)
    equations = np.column_stack([np.ones(count), points - wanted]).T
    missing = np.array([1.0, 0, 0, 0]) - equations @ np.full(count, 1 / count)
    return 1 / count + np.linalg.pinv(equations) @ missing
