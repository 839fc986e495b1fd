"""Measurements of heads, taken as anthropometrists take them, and what is known of them: means, spread, correlations.

Tables: ``anthropometry.csv`` (what is measured, and how adults measure), ``anthropometry_landmarks.csv`` (between which
vertices) and ``anthropometry_correlations.csv``, all in ``data/hack_open``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.spatial import ConvexHull

from hack_model.build.cut import edge_loop, head_faces
from hack_model.build.refine import Edges
from hack_model.build.regions import EARS
from hack_model.build.source import BaseMesh, MakeHumanSource
from hack_model.errors import FormatError
from hack_model.tables import read_table

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

SEXES = ("women", "men")
"""Order of the sexes wherever figures are kept by sex."""
_ABOVE_TRAGION = 0.02
"""The cranium, for its top, back and breadth, begins this far above the tragion, metres."""
_BEYOND = 0.003
"""A tape may leave its middle landmark behind by this much."""

Place = dict[int, float]
"""A place on the base mesh: vertices and their weights, which sum to 1."""


@dataclass(frozen=True)
class Measure:
    """A measurement: the way it is taken, the rows of :attr:`Measures.places` it uses, and how adults measure.

    ``mean`` and ``deviation`` (2,) in metres, in the order of :data:`SEXES`; ``source`` names the survey.
    """

    name: str
    kind: str
    rows: Int[Array, " k"]
    mean: Float[Array, "2"]
    deviation: Float[Array, "2"]
    source: str


@dataclass(frozen=True)
class Measures:
    """All measurements: ``vertices`` (n,) of the base mesh they need, ``places`` (P, n) on them, of which ``cranium``
    are the skull's, and ``correlation`` (M, M) within a sex."""

    vertices: Int[Array, " n"]
    places: sp.csr_matrix
    cranium: Int[Array, " c"]
    list: tuple[Measure, ...]
    correlation: Float[Array, "M M"]

    def __call__(self, points: Float[Array, "*batch n 3"]) -> Float[Array, "*batch M"]:
        """The measurements in metres of people given by their :attr:`vertices`."""
        people = points.reshape(-1, *points.shape[-2:])
        columns = np.moveaxis(people, 0, 1).reshape(len(self.vertices), -1)
        places = np.moveaxis(np.asarray(self.places @ columns).reshape(-1, len(people), 3), 1, 0)
        cranium = places[:, self.cranium]
        values = [_TAKEN[measure.kind](places[:, measure.rows], cranium) for measure in self.list]
        return np.stack(values, axis=-1).reshape(*points.shape[:-2], len(values))

    @property
    def names(self) -> list[str]:
        """Names of the measurements."""
        return [measure.name for measure in self.list]

    def mean(self, sex: int) -> Float[Array, " M"]:
        """Means of a sex (index into :data:`SEXES`), metres."""
        return np.array([measure.mean[sex] for measure in self.list])

    def deviation(self, sex: int) -> Float[Array, " M"]:
        """Standard deviations of a sex, metres."""
        return np.array([measure.deviation[sex] for measure in self.list])

    def covariance(self, sex: int) -> Float[Array, "M M"]:
        """Covariance of a sex, square metres."""
        return self.correlation * np.outer(self.deviation(sex), self.deviation(sex))


def read_measures(folder: Path, source: MakeHumanSource) -> Measures:
    """The measurements of the tables in ``folder``. Raises :class:`FormatError` that names file and line."""
    mesh = source.base
    landmarks = _read_landmarks(folder / "anthropometry_landmarks.csv", mesh)
    tape = _Tape(source)
    places: list[Place] = [{int(vertex): 1.0} for vertex in _cranium(tape.skin, mesh, landmarks["tragion"][0])]
    cranium = np.arange(len(places))
    measures: list[Measure] = []
    columns = ("measure", "kind", "landmarks", "men_mean", "men_deviation", "women_mean", "women_deviation", "source")
    for place, row in read_table(folder / "anthropometry.csv", FormatError, *columns):
        try:
            kind, own = _places(row["kind"], [landmarks[name] for name in row["landmarks"].split()], tape, mesh)
            mean, deviation = (
                np.array([float(row[f"{sex}_{figure}"]) for sex in SEXES]) / 1000 for figure in ("mean", "deviation")
            )
        except (KeyError, ValueError, IndexError) as fault:
            raise FormatError(f"{place}: unreadable row {row} ({fault})") from fault
        rows = len(places) + np.arange(len(own))
        places += own
        measures.append(Measure(row["measure"], kind, rows, mean, deviation, row["source"]))
    matrix = sp.lil_matrix((len(places), len(mesh.vertices)))
    for index, spots in enumerate(places):
        for vertex, weight in spots.items():
            matrix[index, vertex] = weight
    vertices = np.unique(matrix.nonzero()[1])
    correlation = _read_correlation(folder / "anthropometry_correlations.csv", [measure.name for measure in measures])
    return Measures(vertices, sp.csr_matrix(matrix.tocsc()[:, vertices]), cranium, tuple(measures), correlation)


def comparison(
    measures: Measures, people: Float[Array, "n M"], sexes: Int[Array, " n"]
) -> dict[str, dict[str, list[float]]]:
    """How measured people (metres) compare with the tables, by sex and measurement, in millimetres.

    Each entry is [wanted mean, wanted deviation, mean, deviation].
    """
    return {
        sex: {
            name: [round(1000 * float(value), 1) for value in figures]
            for name, *figures in zip(
                measures.names,
                measures.mean(index),
                measures.deviation(index),
                people[sexes == index].mean(axis=0),
                people[sexes == index].std(axis=0),
                strict=True,
            )
        }
        for index, sex in enumerate(SEXES)
    }


def correlation_error(measures: Measures, people: Float[Array, "n M"], sexes: Int[Array, " n"]) -> dict[str, float]:
    """Root mean square over all pairs, by sex, of the difference between people's correlations and the table's."""
    above = np.triu_indices(len(measures.list), 1)
    return {
        sex: round(
            float(
                np.sqrt(((np.corrcoef(people[sexes == index], rowvar=False) - measures.correlation)[above] ** 2).mean())
            ),
            3,
        )
        for index, sex in enumerate(SEXES)
    }


def _polyline(places: np.ndarray, cranium: np.ndarray) -> np.ndarray:
    del cranium
    return np.linalg.norm(np.diff(places, axis=1), axis=-1).sum(axis=-1)


def _extent(axis: int):
    def extent(places: np.ndarray, cranium: np.ndarray) -> np.ndarray:
        del cranium
        return np.abs(places[:, -1, axis] - places[:, 0, axis])

    return extent


def _length(places: np.ndarray, cranium: np.ndarray) -> np.ndarray:
    return np.linalg.norm(cranium - places[:, :1], axis=-1).max(axis=-1)


def _below_top(places: np.ndarray, cranium: np.ndarray) -> np.ndarray:
    return cranium[:, :, 1].max(axis=-1) - places[:, 0, 1]


def _before_back(places: np.ndarray, cranium: np.ndarray) -> np.ndarray:
    return places[:, 0, 2] - cranium[:, :, 2].min(axis=-1)


def _cranium_breadth(places: np.ndarray, cranium: np.ndarray) -> np.ndarray:
    del places
    return np.ptp(cranium[:, :, 0], axis=-1)


_TAKEN = {
    "polyline": _polyline,
    "width": _extent(0),
    "depth": _extent(2),
    "length": _length,
    "top": _below_top,
    "back": _before_back,
    "cranium": _cranium_breadth,
}


def _places(
    kind: str, landmarks: Sequence[tuple[Place, Place]], tape: _Tape, mesh: BaseMesh
) -> tuple[str, list[Place]]:
    """The way a row of the table is taken, and the places it needs; landmarks come with their mirror images."""
    if kind == "breadth" and not landmarks[0][0]:
        return "cranium", [{}]
    if kind == "breadth":
        return "width", list(landmarks[0])
    if kind == "arc":
        return "polyline", tape.arc(landmarks[0], landmarks[1][0])
    if kind == "girth":
        return "polyline", tape.girth(landmarks[0][0], landmarks[1][0])
    own = [own for own, _ in landmarks]
    if kind == "loop":
        loop = edge_loop(mesh.faces[mesh.group_faces("body")], *(next(iter(place)) for place in own))
        return "polyline", [{vertex: 1.0} for vertex in loop]
    if kind == "distance":
        return "polyline", own
    if kind not in _TAKEN:
        raise ValueError(f"no kind of measurement {kind!r}")
    return kind, own


class _Tape:
    """Where a tape runs over the head, stretched over hollows, in a plane; ears are out of its way."""

    def __init__(self, source: MakeHumanSource) -> None:
        mesh = source.base
        ears = np.sum([np.abs(source.target(f"ears/{name}")).sum(axis=1) for name in EARS], axis=0) > 0
        faces = mesh.faces[head_faces(mesh)]
        edges = Edges.of(faces).vertices
        self.points = mesh.vertices
        self.edges = edges[~ears[edges].any(axis=1)]
        self.skin = np.setdiff1d(np.unique(faces), np.flatnonzero(ears))

    def arc(self, ends: tuple[Place, Place], middle: Place) -> list[Place]:
        """From one end over the middle to the other."""
        first, last, peak = (self.at(place) for place in (*ends, middle))
        origin = 0.5 * (first + last)
        ahead = peak - origin
        places, flat = self._section(origin, np.cross(last - first, ahead), ahead)
        inside = (flat[:, 1] > 0) & (flat[:, 1] < np.linalg.norm(ahead) + _BEYOND)
        places = [place for place, keep in zip(places, inside, strict=True) if keep] + list(ends)
        side = 0.5 * np.linalg.norm(last - first)
        left = np.sign(first[0])
        flat = np.concatenate([flat[inside], [[left * side, 0], [-left * side, 0]]])
        around = np.roll(order := ConvexHull(flat).vertices, -int(np.flatnonzero(order == len(flat) - 2)[0]))
        around = around if around[-1] == len(flat) - 1 else np.roll(around[::-1], 1)
        return [places[index] for index in around]

    def girth(self, front: Place, back: Place) -> list[Place]:
        """All around, through two places of the middle; closed."""
        first, last = self.at(front), self.at(back)
        places, flat = self._section(first, np.cross(last - first, [1, 0, 0]), first - last)
        around = ConvexHull(flat).vertices
        return [places[index] for index in (*around, around[0])]

    def at(self, place: Place) -> Float[Array, "3"]:
        """Where a place lies on the base mesh."""
        return sum((weight * self.points[vertex] for vertex, weight in place.items()), np.zeros(3))

    def _section(self, origin: np.ndarray, normal: np.ndarray, ahead: np.ndarray) -> tuple[list[Place], np.ndarray]:
        """Edges' crossings with a plane that holds the x axis' direction, and their places in it (x, ahead)."""
        height = (self.points[self.edges] - origin) @ normal
        crossing = height[:, 0] * height[:, 1] < 0
        edges, height = self.edges[crossing], height[crossing]
        share = height[:, 0] / (height[:, 0] - height[:, 1])
        points = (1 - share)[:, None] * self.points[edges[:, 0]] + share[:, None] * self.points[edges[:, 1]] - origin
        places = [{int(i): 1 - float(t), int(j): float(t)} for (i, j), t in zip(edges, share, strict=True)]
        return places, np.column_stack([points[:, 0], points @ (ahead / np.linalg.norm(ahead))])


def _cranium(skin: np.ndarray, mesh: BaseMesh, tragion: Place) -> np.ndarray:
    height = mesh.vertices[next(iter(tragion)), 1] + _ABOVE_TRAGION
    return skin[mesh.vertices[skin, 1] > height]


def _read_landmarks(path: Path, mesh: BaseMesh) -> dict[str, tuple[Place, Place]]:
    """Places by name, each with its mirror image; ``cranium`` is nowhere in particular."""
    result: dict[str, tuple[Place, Place]] = {"cranium": ({}, {})}
    for place, row in read_table(path, FormatError, "landmark", "vertex"):
        name = row["vertex"]
        if name in mesh.groups:
            groups = [mesh.groups[name], mesh.groups[name.replace("-l-", "-r-")]]
            sides = tuple({int(vertex): 1 / len(group) for vertex in group} for group in groups)
        elif name.isdecimal() and int(name) < len(mesh.vertices):
            sides = ({int(name): 1.0}, {int(mesh.mirror[int(name)]): 1.0})
        else:
            raise FormatError(f"{place}: wanted a vertex of the base mesh or the name of a group, got {name!r}")
        result[row["landmark"]] = (sides[0], sides[1])
    return result


def _read_correlation(path: Path, names: list[str]) -> Float[Array, "M M"]:
    rows = read_table(path, FormatError, "measure", *names)
    try:
        matrix = np.array([[float(row[name]) for name in names] for _, row in rows])
    except ValueError as fault:
        raise FormatError(f"{path}: wanted numbers ({fault})") from fault
    if [row["measure"] for _, row in rows] != names:
        raise FormatError(f"{path}: wanted one row for each measure of anthropometry.csv, in its order")
    if not np.allclose(matrix, matrix.T) or (np.diag(matrix) != 1).any() or np.linalg.eigvalsh(matrix)[0] <= 0:
        raise FormatError(f"{path}: not a matrix of correlations (symmetric, 1 on the diagonal, positive definite)")
    return matrix
