"""Folds of the skin: where they run, what folds them, and how far they are folded in a frame."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from hack_model.appearance.anatomy import Anatomy, smoothstep
from hack_model.appearance.noise import solid
from hack_model.errors import AssetError, ParameterError
from hack_model.facs.catalogue import SIDES, action_units, catalogue
from hack_model.resources import data_folder
from hack_model.tables import read_table

if TYPE_CHECKING:
    from jaxtyping import Float

    from hack_model.appearance.texels import Texels
    from hack_model.asset import ModelAsset
    from hack_model.clip import Clip

    Array = np.ndarray

MAPS: Final = 2
"""Lines that cross each other lie in different maps."""
NECK_FLEXION: Final = "neck_flexion"
FULL_FLEXION: Final = float(np.radians(40))
"""Flexion of the whole neck at which its rings are full."""
_FACE_AXIS, _FACE_RADIUS = 0.020, 0.095
"""Axis (z) and radius in metres of the cylinder the face is unrolled from."""
_SPREAD: Final = 0.007
"""Metres beyond its lines that a layer reaches."""
_MIDLINE: Final = 0.006
_WAVER: Final = 0.0015
_CHARTS: Final = ("face", "neck")
_HOLLOW: Final = 0.0006
"""Depth in metres of a fold that is quite dark inside."""


@dataclass(frozen=True)
class Line:
    """One fold of the left half; see ``data/appearance/wrinkles.csv``. Metres."""

    layer: str
    driver: str
    map: int
    chart: str
    place: int
    points: Float[Array, "k 2"]
    depth: float
    width: float
    rest: float


@dataclass(frozen=True)
class Layer:
    """Folds that move together on one side: ``terms`` are the shares of action units (or :data:`NECK_FLEXION`) that
    fold them, ``side`` the subject's, ``map`` which of the maps holds them."""

    name: str
    side: str
    map: int
    terms: Mapping[str, float]


@cache
def lines() -> tuple[Line, ...]:
    """The table of lines. Raises :class:`AssetError` naming a line that cannot be read."""
    return tuple(_line(place, row) for place, row in read_table(_table(), AssetError, "layer", "driver", "points"))


@cache
def layers() -> tuple[Layer, ...]:
    """All layers, the left and the right of each; the order is that of masks and weights."""
    result: dict[str, Layer] = {}
    for line in lines():
        for part, driver, _ in _parts(line):
            for side in SIDES:
                name = f"{line.layer}{part}_{side[0].upper()}"
                result.setdefault(name, Layer(name, side, line.map, _terms(driver)))
    return tuple(result.values())


def masks(anatomy: Anatomy) -> Float[Array, "L V"]:
    """How much of each layer (of :func:`layers`) there is at each vertex; those of one map sum to at most 1."""
    found: dict[str, np.ndarray] = {}
    left = left_share(anatomy)
    allowed = {chart: _allowed(anatomy, chart) for chart in _CHARTS}
    for line in lines():
        across, up = _place(anatomy, line.chart, anatomy.template)
        distance = _distance(np.stack([np.abs(across), up], axis=1), _course(anatomy, line), 3.5 * _SPREAD)[0]
        near = np.exp(-((np.maximum(distance - 0.4 * _SPREAD, 0) / _SPREAD) ** 2)) * allowed[line.chart]
        for part, _, share in _parts(line):
            for side, sign in zip(SIDES, (1, -1), strict=True):
                name = f"{line.layer}{part}_{side[0].upper()}"
                value = near * share(np.abs(across)) * (left if sign > 0 else 1 - left)
                found[name] = np.maximum(found.get(name, 0.0), value)
    stacked = np.stack([found[layer.name] for layer in layers()])
    owner = np.array([layer.map for layer in layers()])
    for number in range(MAPS):
        stacked[owner == number] /= np.maximum(stacked[owner == number].sum(axis=0), 1)
    return stacked.astype(np.float32)


def left_share(anatomy: Anatomy) -> Float[Array, " V"]:
    """How much each vertex belongs to the subject's left side."""
    return smoothstep(anatomy.template[:, 0], -_MIDLINE, _MIDLINE)


def heights(anatomy: Anatomy, texels: Texels, seed: int) -> tuple[Float[Array, "M n"], Float[Array, " n"]]:
    """Height in metres at the texels of each map's folds at full strength, and of those an old face shows at rest."""
    position = texels.carry_vertices(anatomy.template).astype(np.float64)
    folded = np.zeros((MAPS, len(position)), np.float32)
    rest = np.zeros(len(position), np.float32)
    places = {chart: np.stack(_place(anatomy, chart, position), axis=1) for chart in _CHARTS}
    allowed = {chart: texels.carry_vertices(_allowed(anatomy, chart)) for chart in _CHARTS}
    side = np.sign(position[:, 0])
    for number, line in enumerate(lines()):
        course = _course(anatomy, line)
        flat = places[line.chart]
        reach = 5 * line.width
        aside = np.abs(flat[:, 0])
        near = allowed[line.chart] > 0
        near &= (aside > course[:, 0].min() - reach) & (aside < course[:, 0].max() + reach)
        near &= (flat[:, 1] > course[:, 1].min() - reach) & (flat[:, 1] < course[:, 1].max() + reach)
        near = np.flatnonzero(near)
        if not len(near):
            continue
        rough_distance = _distance(np.column_stack([aside[near], flat[near, 1]]), course, reach + _WAVER)[0]
        near = near[rough_distance < reach + _WAVER]
        # Each side's lines waver in their own way.
        own = np.column_stack([flat[near], 0.05 * side[near] + 0.01 * number])
        bent = np.stack([solid(own, 0.009, seed + key) for key in (71, 72)], axis=1) * 0.0011
        bent += np.stack([solid(own, 0.003, seed + key) for key in (73, 74)], axis=1) * 0.0003
        distance, along = _distance(np.column_stack([aside[near], flat[near, 1]]) + bent, course, reach)
        taper = smoothstep(1 - along, 0.0, 0.25) * (smoothstep(along, 0.0, 0.22) if course[0, 0] > 0 else 1.0)
        strength = np.clip(0.85 + 0.45 * solid(own, 0.012, seed + 75), 0.1, 1.2) * taper
        strength *= allowed[line.chart][near]
        groove = np.exp(-((distance / line.width) ** 2)) - 0.32 * np.exp(-((distance / (2.8 * line.width)) ** 2))
        height = -line.depth * strength * groove
        folded[line.map, near] += height
        rest[near] += line.rest * height
    return folded, rest


def hollows(height: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """How dark folds of this height are, 0…1."""
    return np.clip(-height / _HOLLOW, 0, 1)


def weights(
    expression: Mapping[str, float], flexion: float = 0.0, units: Mapping[str, Mapping[str, float]] | None = None
) -> dict[str, float]:
    """How far each layer is folded, in [0, 1], by expressions' activations by name and the neck's flexion in radians.

    ``units`` are the action units by code and side, as :func:`hack_model.facs.catalogue.action_units` gives them, for
    callers that know them better than by their expressions.
    """
    active = action_units(expression) if units is None else units
    result: dict[str, float] = {}
    for layer in layers():
        total = 0.0
        for term, share in layer.terms.items():
            if term == NECK_FLEXION:
                total += share * flexion / FULL_FLEXION
            else:
                sides = active.get(term, {})
                total += share * sides.get(layer.side, sides.get("both", 0.0))
        result[layer.name] = float(np.clip(total, 0, 1))
    return result


def clip_weights(clip: Clip, asset: ModelAsset, frame: int = 0) -> dict[str, float]:
    """:func:`weights` in a frame of a clip. Raises :class:`ParameterError` for a frame the clip does not have."""
    from hack_model.posing import to_anatomical

    if not -len(clip) <= frame < len(clip):
        raise ParameterError(f"frame {frame}: the clip has {len(clip)} frames, 0 to {len(clip) - 1}")
    expression = dict(zip(clip.expression_names, clip.expression[frame].tolist(), strict=True))
    angles = to_anatomical(asset, clip.pose[frame])
    return weights(expression, float(np.asarray(angles)[:8, 0].sum()))


def _terms(driver: str) -> dict[str, float]:
    terms: dict[str, float] = {}
    for term in driver.split("+"):
        name, _, share = term.strip().partition("*")
        if name != NECK_FLEXION and name not in catalogue():
            raise AssetError(f"{_table()}: unknown driver {name!r}")
        terms[name] = float(share or 1)
    return terms


def _parts(line: Line):
    """Suffix, driver and share across (a function of the distance from the midline) of a line's one or two layers."""
    found = re.fullmatch(r"(.+)\|(.+)@([\d.]+)", line.driver)
    if not found:
        return [("", line.driver, np.ones_like)]
    border = float(found[3]) / 1000

    def outer(across: np.ndarray) -> np.ndarray:
        return smoothstep(across, border - 0.008, border + 0.008)

    return [("_inner", found[1], lambda across: 1 - outer(across)), ("_outer", found[2], outer)]


def _line(place: str, row: Mapping[str, str]) -> Line:
    try:
        points = np.array([[float(value) for value in point.split()] for point in row["points"].split(";")]) / 1000
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 2 or row["chart"] not in _CHARTS:
            raise ValueError("wanted points of two numbers and chart face or neck")
        depth, width = float(row["depth"]) / 1000, float(row["width"]) / 1000
        return Line(
            row["layer"], row["driver"], int(row["map"]), row["chart"], int(row["place"]), points, depth, width,
            float(row["rest"]),
        )  # fmt: skip
    except (ValueError, KeyError) as fault:
        raise AssetError(f"{place}: {fault}") from fault


def _table():
    return data_folder() / "appearance" / "wrinkles.csv"


def _place(anatomy: Anatomy, chart: str, points: Float[Array, "n 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Unrolled place of points: metres across from the midline and up."""
    axis, radius = (_FACE_AXIS, _FACE_RADIUS) if chart == "face" else _neck(anatomy)
    return radius * np.arctan2(points[:, 0], points[:, 2] - axis), points[:, 1]


def _neck(anatomy: Anatomy) -> tuple[float, float]:
    """Axis (z) and radius of the neck below the chin."""
    height = anatomy.template[:, 1] - anatomy.landmark(8)[1]
    ring = (anatomy.regions["neck"] > 0.5) & (height < -0.03) & (height > -0.06)
    depth, breadth = anatomy.template[ring, 2], anatomy.template[ring, 0]
    return float(depth.max() + depth.min()) / 2, float(np.ptp(depth) + np.ptp(breadth)) / 4


def _allowed(anatomy: Anatomy, chart: str) -> Float[Array, " V"]:
    """Skin the lines of a chart may lie on: seen from before, on its side of the jaw, outside of mouth and eyes."""
    regions = anatomy.regions
    if chart == "neck":
        front = smoothstep(anatomy.template[:, 2], _neck(anatomy)[0] - 0.03, _neck(anatomy)[0] - 0.01)
        return np.clip(regions["neck"] + regions["shoulders"], 0, 1) * front
    return np.clip(regions["face"], 0, 1) * np.clip(1 - regions["mouth_interior"] - regions["eye_sockets"], 0, 1)


def _course(anatomy: Anatomy, line: Line) -> Float[Array, "k 2"]:
    """The line as a smooth polyline in its chart."""
    start = np.array([value[0] for value in _place(anatomy, line.chart, anatomy.landmark(line.place)[None])])
    points = start + line.points
    knots = np.arange(len(points))
    ends = np.concatenate([[2 * points[0] - points[1]], points, [2 * points[-1] - points[-2]]])
    at = np.linspace(0, len(points) - 1, 4 * (len(points) - 1) + 1)
    piece = np.minimum(at.astype(int), len(knots) - 2)
    t = (at - piece)[:, None]
    p0, p1, p2, p3 = (ends[piece + step] for step in range(4))
    return 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)


def _distance(
    places: Float[Array, "n 2"], course: Float[Array, "k 2"], reach: float
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Distance from a polyline, infinite beyond ``reach``, and the share of its length at the nearest point."""
    lengths = np.linalg.norm(np.diff(course, axis=0), axis=1)
    before = np.concatenate([[0], np.cumsum(lengths)])
    nearest = np.full(len(places), np.inf)
    along = np.zeros(len(places))
    for number, (start, end) in enumerate(pairwise(course)):
        middle, half = (start + end) / 2, np.abs(end - start) / 2 + reach
        near = np.flatnonzero(
            (np.abs(places[:, 0] - middle[0]) < half[0]) & (np.abs(places[:, 1] - middle[1]) < half[1])
        )
        edge, offset = end - start, places[near] - start
        share = np.clip(offset @ edge / max(float(edge @ edge), 1e-18), 0, 1)
        away = offset - share[:, None] * edge
        squared = away[:, 0] ** 2 + away[:, 1] ** 2
        closer = squared < nearest[near]
        chosen = near[closer]
        nearest[chosen] = squared[closer]
        along[chosen] = (before[number] + share[closer] * lengths[number]) / before[-1]
    return np.sqrt(nearest), along
