"""Where things are on the skin of an asset: regions, lips and lids, from its landmarks, regions and layout."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import numpy as np

from hack_model.appearance.texels import Chart, chart_of
from hack_model.asset import ModelAsset
from hack_model.borders import border_loops
from hack_model.errors import AssetError
from hack_model.resources import data_folder
from hack_model.tables import read_table

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

FIELDS: Final = ("melanin", "blood", "oxygenation", "roughness", "pores", "freckles", "beard")
"""The columns of ``data/appearance/regions.csv`` that are carried to the skin."""
_REGIONS: Final = ("face", "scalp", "ears", "neck", "shoulders", "mouth_interior", "eye_sockets")
_LIPS: Final = (51, 52, 53, 55, 56, 57)
"""The border of the vermilion but for the corner among Multi-PIE's landmarks: left half, from the upper midline to the
lower one. The corner itself is the end of the mouth's opening."""
_LIPS_MIRROR: Final = (51, 50, 49, 59, 58, 57)
_CORNER: Final = 0.0016
"""Metres that the vermilion goes on beyond the corner."""
_EYE: Final = (42, 43, 44, 45, 46, 47)
_EYE_MIRROR: Final = (39, 38, 37, 36, 41, 40)
_PARTS: Final = 6
"""Pieces each stretch of an outline is divided into."""


def can_be_drawn(asset: ModelAsset) -> bool:
    """Whether an asset has what appearance is placed by: material ``skin``, Multi-PIE's landmarks and regions."""
    return (
        "skin" in asset.material_names
        and len(asset.landmarks68_vertices) == 68
        and set(_REGIONS) <= set(asset.region_names)
    )


_KNOWN: WeakKeyDictionary[ModelAsset, Anatomy] = WeakKeyDictionary()


def anatomy_of(asset: ModelAsset) -> Anatomy:
    """The asset's anatomy, made once. Raises :class:`AssetError` when it lacks what places are found by."""
    if not can_be_drawn(asset):
        raise AssetError(
            f"model {asset.name} lacks landmarks, regions or a material skin, by which appearance is placed; "
            "use a model built by `hack-model build`"
        )
    if asset not in _KNOWN:
        _KNOWN[asset] = Anatomy(
            template=asset.template.astype(np.float64),
            landmarks=_landmarks(asset),
            landmarks_uv=_landmark_uv(asset, chart_of(asset)),
            regions=dict(zip(asset.region_names, asset.region_weights, strict=True)),
            chart=chart_of(asset),
            uv=asset.uv.astype(np.float64),
        )
    return _KNOWN[asset]


@dataclass(frozen=True, eq=False)
class Anatomy:
    """An asset's template with its named places; metres in model space, texture coordinates with v up."""

    template: Float[Array, "V 3"]
    landmarks: Float[Array, "68 3"]
    landmarks_uv: Float[Array, "68 2"]
    regions: dict[str, Float[Array, " V"]]
    chart: Chart
    uv: Float[Array, "T 2"]

    @cached_property
    def mirrored(self) -> Float[Array, "V 3"]:
        """The template with its right half folded onto the left."""
        return np.column_stack([np.abs(self.template[:, 0]), self.template[:, 1:]])

    def landmark(self, number: int) -> Float[Array, "3"]:
        """A Multi-PIE landmark of the left half; those of the midline are put on it."""
        point = self.landmarks[number].copy()
        point[0] = 0.0 if abs(point[0]) < 0.002 else abs(point[0])
        return point

    @cached_property
    def fields(self) -> dict[str, Float[Array, " V"]]:
        """What :data:`FIELDS` say at each vertex: sums over ``data/appearance/regions.csv``, the last three unions."""
        total = {name: np.zeros(len(self.template)) for name in FIELDS[:4]}
        free = {name: np.ones(len(self.template)) for name in FIELDS[4:]}
        for place, row in read_table(data_folder() / "appearance" / "regions.csv", AssetError, "place", *FIELDS):
            try:
                weight = self._weight(row)
                for name in total:
                    total[name] += float(row[name]) * weight
                for name in free:
                    free[name] *= 1 - float(row[name]) * weight
            except (ValueError, KeyError) as fault:
                raise AssetError(f"{place}: {fault} is no number, landmark or region") from fault
        return total | {name: 1 - value for name, value in free.items()}

    def _weight(self, row: dict[str, str]) -> Float[Array, " V"]:
        if not row["place"].isdigit():
            return self.regions[row["place"]].astype(np.float64)
        offset = np.array([float(row[axis]) for axis in "xyz"]) / 1000
        away = self.mirrored - (self.landmark(int(row["place"])) + offset)
        return np.exp(-(away**2).sum(axis=1) / (float(row["radius"]) / 1000) ** 2)

    @cached_property
    def lip_outline(self) -> Float[Array, "k 2"]:
        """The border of the vermilion in the layout, symmetric, counter-clockwise from the middle of the upper lip."""
        left = self._symmetric(_LIPS, _LIPS_MIRROR)
        opening = self._opening(left.mean(axis=0) * [0, 1] + [0.5, 0])
        ends = self.uv[[opening[self.uv[opening, 0].argmax()], opening[self.uv[opening, 0].argmin()]]]
        corner = 0.5 * (ends[0] + _other_side(ends[1])) + [_CORNER / float(self.metres_per_uv[opening].mean()), 0]
        left = np.concatenate([left[:3], corner[None], left[3:]])
        return _smooth(np.concatenate([left, _other_side(left[-2:0:-1])]))

    @cached_property
    def eye_outlines(self) -> tuple[Float[Array, "k 2"], Float[Array, "k 2"]]:
        """The openings of the left and the right eye in the layout, where lid turns into the lining of the socket."""
        middle = self._symmetric(_EYE, _EYE_MIRROR).mean(axis=0)
        return self.uv[self._opening(middle)], self.uv[self._opening(_other_side(middle))]

    def _opening(self, middle: Float[Array, "2"]) -> Int[Array, " k"]:
        """The texture coordinates of the border whose middle is nearest to a place in the layout."""
        middles = np.array([self.uv[loop].mean(axis=0) for loop in self._borders])
        return self._borders[int(np.argmin(np.linalg.norm(middles - middle, axis=1)))]

    @cached_property
    def _borders(self) -> list[Int[Array, " k"]]:
        return border_loops(self.chart.triangles)

    @cached_property
    def metres_per_uv(self) -> Float[Array, " T"]:
        """Mean size of the layout's unit at each texture coordinate."""
        return np.sqrt(self.chart.stretch[:, 0] * self.chart.stretch[:, 2])

    def _symmetric(self, left: tuple[int, ...], right: tuple[int, ...]) -> Float[Array, "k 2"]:
        uv = self.landmarks_uv
        return 0.5 * (uv[list(left)] + _other_side(uv[list(right)]))


def inside_distance(place: Float[Array, "n 2"], outline: Float[Array, "k 2"]) -> Float[Array, " n"]:
    """Signed distance of places from a closed outline, positive inside, in the outline's unit."""
    inside = np.zeros(len(place), bool)
    nearest = np.full(len(place), np.inf)
    for start, end in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        edge, offset = end - start, place - start
        share = np.clip(offset @ edge / max(edge @ edge, 1e-18), 0, 1)
        nearest = np.minimum(nearest, ((offset - share[:, None] * edge) ** 2).sum(axis=1))
        crosses = (start[1] > place[:, 1]) != (end[1] > place[:, 1])
        rise = edge[1] if edge[1] else 1e-18
        inside ^= crosses & (offset[:, 0] < edge[0] * offset[:, 1] / rise)
    return np.where(inside, 1, -1) * np.sqrt(nearest)


def smoothstep(value: Float[Array, "*n"], start: float, end: float) -> Float[Array, "*n"]:
    """0 before ``start``, 1 after ``end``, smooth between; falling where ``end`` < ``start``."""
    share = np.clip((value - start) / (end - start), 0, 1)
    return share * share * (3 - 2 * share)


def _landmarks(asset: ModelAsset) -> Float[Array, "68 3"]:
    corners = asset.template[asset.landmarks68_vertices].astype(np.float64)
    return np.einsum("lk,lkc->lc", asset.landmarks68_weights.astype(np.float64), corners)


def _landmark_uv(asset: ModelAsset, chart: Chart) -> Float[Array, "68 2"]:
    """Each landmark's place in the layout."""
    coordinate = np.zeros(len(asset.template), np.int64)
    coordinate[chart.vertices[chart.triangles]] = chart.triangles
    uv = asset.uv.astype(np.float64)[coordinate[asset.landmarks68_vertices]]
    return np.einsum("lk,lkc->lc", asset.landmarks68_weights.astype(np.float64), uv)


def _other_side(uv: Float[Array, "k 2"]) -> Float[Array, "k 2"]:
    return uv * [-1, 1] + [1, 0]


def _smooth(points: Float[Array, "k 2"]) -> Float[Array, "m 2"]:
    """A closed Catmull-Rom curve through points."""
    count = len(points)
    pieces: list[np.ndarray] = []
    share = (np.arange(_PARTS) / _PARTS)[:, None]
    for start in range(count):
        before, first, second, after = (points[(start + step) % count] for step in (-1, 0, 1, 2))
        leave, arrive = (second - before) / 2, (after - first) / 2
        cube, square = share**3, share**2
        pieces.append(
            (2 * cube - 3 * square + 1) * first
            + (cube - 2 * square + share) * leave
            + (3 * square - 2 * cube) * second
            + (cube - square) * arrive
        )
    return np.concatenate(pieces)
