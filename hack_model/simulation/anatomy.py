"""Bones, cartilages and superficial muscles of the neck: their courses from tables, placed in the template."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

from hack_model.errors import FormatError
from hack_model.names import CERVICAL_JOINTS
from hack_model.tables import read_table

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

_SAMPLES = 80
_MOVES = ("turn_away", "tilt_towards", "flexion", "extension")
MUSCLES = ("sternocleidomastoid_sternal", "sternocleidomastoid_clavicular", "trapezius")


@dataclass(frozen=True)
class Tissue:
    """A row of ``tissues.csv``: stiffnesses in pascal, sizes in metres."""

    young: float
    half_width: float
    half_thickness: float
    fibre: float
    active: float


@dataclass(frozen=True)
class Course:
    """A structure's centre line: ``points`` (n, 3), unit ``tangents`` and ``outward`` normals of the skin above."""

    structure: str
    side: str
    points: Float[Array, "n 3"]
    tangents: Float[Array, "n 3"]
    outward: Float[Array, "n 3"]

    @property
    def name(self) -> str:
        """Structure and side, ``trapezius_left``; unpaired structures have no side."""
        return f"{self.structure}_{self.side}" if self.side else self.structure

    def nearness(
        self, places: Float[Array, "m 3"], half_width: float, half_thickness: float
    ) -> tuple[Float[Array, " m"], Float[Array, "m 3"], Float[Array, " m"]]:
        """Distance from the line, 1 on the surface of its elliptic section, direction of the line nearby, and the place
        along it from 0 to 1."""
        near = KDTree(self.points).query(places)[1]
        offset = places - self.points[near]
        tangent = self.tangents[near]
        outward = self.outward[near] - (self.outward[near] * tangent).sum(axis=1, keepdims=True) * tangent
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        depth = (offset * outward).sum(axis=1)
        along = (offset * tangent).sum(axis=1)
        across = np.sqrt(np.maximum((offset**2).sum(axis=1) - depth**2 - along**2, 0))
        # Within the line's span next to nothing is left along it; beyond its ends that counts in full.
        distance = np.sqrt((depth / half_thickness) ** 2 + (across / half_width) ** 2 + (along / half_width) ** 2)
        return distance, tangent, np.asarray(near, float) / (len(self.points) - 1)


@dataclass(frozen=True)
class Anatomy:
    """Everything the tables say, placed in the template."""

    courses: tuple[Course, ...]
    tissues: dict[str, Tissue]
    activation: dict[str, Float[Array, "4"]]

    @classmethod
    def read(
        cls, folder: Path, skin: Float[Array, "n 3"], normals: Float[Array, "n 3"], joints: Float[Array, "8 3"]
    ) -> Anatomy:
        """Reads ``paths.csv``, ``tissues.csv`` and ``activation.csv`` and places the courses under the outer ``skin``.

        Raises :class:`FormatError` for tables that cannot be read or name unknown joints and structures.
        """
        tissues = _tissues(folder / "tissues.csv")
        courses = _courses(folder / "paths.csv", skin, normals, joints)
        unknown = {course.structure for course in courses} - set(tissues)
        if unknown:
            raise FormatError(f"{folder / 'tissues.csv'}: lacks a row for {', '.join(sorted(unknown))}")
        rows = read_table(folder / "activation.csv", FormatError, "muscle", *_MOVES)
        activation = {row["muscle"]: np.array([_number(row[move], place) for move in _MOVES]) for place, row in rows}
        if set(activation) != set(MUSCLES):
            raise FormatError(f"{folder / 'activation.csv'}: wanted one row for each of {', '.join(MUSCLES)}")
        return cls(courses, tissues, activation)

    def of(self, *structures: str) -> list[Course]:
        """The courses of structures, both sides."""
        return [course for course in self.courses if course.structure in structures]


def _number(text: str, place: str) -> float:
    try:
        return float(text)
    except ValueError as fault:
        raise FormatError(f"{place}: wanted a number, got {text!r}") from fault


def _tissues(path: Path) -> dict[str, Tissue]:
    columns = ("young", "half_width", "half_thickness", "fibre", "active")
    units = np.array([1e3, 1e-3, 1e-3, 1e3, 1e3])
    rows = read_table(path, FormatError, "tissue", *columns)
    return {
        row["tissue"]: Tissue(*(unit * _number(row[name], place) for name, unit in zip(columns, units, strict=True)))
        for place, row in rows
    }


def _courses(path: Path, skin: np.ndarray, normals: np.ndarray, joints: np.ndarray) -> tuple[Course, ...]:
    rows = read_table(path, FormatError, "structure", "paired", "reference", "x", "y", "z", "depth")
    tree = KDTree(skin)
    points: dict[str, list[np.ndarray]] = {}
    outward: dict[str, list[np.ndarray]] = {}
    paired: dict[str, bool] = {}
    for place, row in rows:
        if row["reference"] not in CERVICAL_JOINTS:
            raise FormatError(f"{place}: {row['reference']!r} is not a cervical joint")
        joint = joints[CERVICAL_JOINTS.index(row["reference"])]
        point = joint + 1e-3 * np.array([_number(row[axis], place) for axis in "xyz"])
        near = tree.query(point)[1]
        if row["depth"]:
            point = skin[near] - 1e-3 * _number(row["depth"], place) * normals[near]
        points.setdefault(row["structure"], []).append(point)
        outward.setdefault(row["structure"], []).append(normals[near])
        paired[row["structure"]] = row["paired"] == "1"
    courses: list[Course] = []
    for name, line in points.items():
        left = _resampled(np.array(line), np.array(outward[name]))
        if not paired[name]:
            left = [array * [0, 1, 1] for array in left]
        courses.append(Course(name, "left" if paired[name] else "", *left))
        if paired[name]:
            courses.append(Course(name, "right", *(array * [-1, 1, 1] for array in left)))
    return tuple(courses)


def _resampled(points: np.ndarray, outward: np.ndarray) -> list[np.ndarray]:
    """Points at equal steps along a smooth curve, its tangents and the normals over it."""
    from scipy.interpolate import PchipInterpolator

    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    steps = np.linspace(0, length[-1], _SAMPLES)
    curve = PchipInterpolator(length, points)
    tangent, normal = curve(steps, 1), PchipInterpolator(length, outward)(steps)
    return [curve(steps), *(array / np.linalg.norm(array, axis=1, keepdims=True) for array in (tangent, normal))]
