"""The larynx: where it lies in the throat, its two height maps, and how its prominence follows the identity.

A man's prominence is a keel: sharp at the notch above, running out downwards into the cricoid. Height of the mean bump
8.9 mm (HACK, SIGGRAPH 2023), which agrees with the thyroid cartilage's convexity in CT, 9.9 ± 2.1 mm in men and 7.8 ±
1.5 mm in women (Mahachitsattaya 2023, n = 200). The template's own throat is smooth: size 0 is a neck without a bump.

The chart's v is the length of the throat's median line, over the bend beneath the chin, so the bump keeps its length
wherever it slides. Both maps end softly inside the chart, far enough from its rim for every slide of a living larynx.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

PEAK = 0.0089
BELOW_HYOID = 0.018
"""Metres from the bend beneath the chin, where the hyoid lies, down to the prominence: body of the hyoid and
thyrohyoid membrane."""
WIDTH, HEIGHT = 0.07, 0.14
"""Extent of the chart in metres across and along the throat."""
SIZE = (56, 112)
"""Columns and rows of the chart."""
REACH = 0.048
"""Metres behind the median line up to which skin belongs to the throat."""
OUTSIDE = -9.0
THYROID_ANGLE = {"men": 63.5, "women": 93.3}
"""Mean angle in degrees between the laminae of the thyroid cartilage (Sagiv 2016, CT, n = 126)."""
_STEP = 0.001
_SMOOTHING = 0.003
_MEDIAN = 1e-5
_MOUTH = np.array([-0.06, -0.03])
_LINE_ENDS = np.radians([-56.0, -4.5])


@dataclass(frozen=True)
class LarynxChart:
    """``map`` (rows, columns) metres and ``forward_map`` metres per metre, first row at v = 0; ``uv`` (V, 2);
    ``direction`` (3,) unit; ``metres_per_v``."""

    map: Float[Array, "A B"]
    forward_map: Float[Array, "A B"]
    uv: Float[Array, "V 2"]
    direction: Float[Array, "3"]
    metres_per_v: float


def make_larynx(
    vertices: Float[Array, "V 3"], normals: Float[Array, "V 3"], skin_count: int, inner: Int[Array, " n"]
) -> LarynxChart:
    """The chart of a template whose first ``skin_count`` vertices are skin; ``inner`` of them are mouth and sockets."""
    outer = np.arange(len(vertices)) < skin_count
    outer[inner] = False
    line = throat_line(vertices[outer])
    prominence = bend(line) - round(BELOW_HYOID / _STEP)
    along, depth = _places(vertices[:, 1:], line)
    along -= prominence * _STEP
    uv = np.stack([vertices[:, 0] / WIDTH, along / HEIGHT], axis=1) + 0.5
    throat = outer & (depth < REACH) & (np.abs(uv - 0.5) < 0.5).all(axis=1) & (normals[:, 2] > 0.1 * normals[:, 1])
    uv[~throat] = OUTSIDE
    rows, columns = np.linspace(-0.5, 0.5, SIZE[1]) * HEIGHT, np.linspace(-0.5, 0.5, SIZE[0]) * WIDTH
    across, up = np.meshgrid(columns, rows)
    return LarynxChart(
        map=(PEAK * bump(across, up)).astype(np.float32),
        forward_map=forward(across, up).astype(np.float32),
        uv=uv,
        direction=_direction(vertices[outer], normals[outer], line[prominence]),
        metres_per_v=HEIGHT,
    )


def bump(across: Float[Array, "*n"], along: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Relative height of the prominence at metres across and along (up positive) from its peak; zero 44 mm below."""
    half_width = np.where(along > 0, 0.021, 0.021 + 0.28 * -along)
    vertical = _hill(along / np.where(along > 0, 0.024, 0.044))
    return vertical * _hill(np.abs(across / half_width) ** 0.9)


def forward(across: Float[Array, "*n"], along: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """How far the skin follows a larynx that glides forward: wholly between prominence and cricoid, less around."""
    above = along + 0.008
    return _hill(np.hypot(above / np.where(above > 0, 0.036, 0.040), across / 0.030))


def identity_direction(sex: Float[Array, " S"]) -> Float[Array, " S"]:
    """The asset's ``larynx_identity``: logarithm of the prominence per standard deviation of each shape component.

    ``sex`` are the coefficients of one step from the mean towards men's mean. Two flat laminae that meet at an angle a
    project by cot(a / 2) of their half distance, so men's prominence is 1.7 times women's. The gradient lies along
    ``sex`` alone: what does not tell the sexes apart leaves the prominence as it is.
    """
    men, women = (1 / np.tan(np.radians(THYROID_ANGLE[group]) / 2) for group in ("men", "women"))
    return sex * (np.log(men / women) / 2 / (sex @ sex))


def throat_line(skin: Float[Array, "V 3"]) -> Float[Array, "n 2"]:
    """The median line (y, z) from below the sternum's notch up to the chin, smooth, a point every millimetre.

    Seen from the mouth its points follow each other by angle. Both ends go on straight for 30 mm.
    """
    points = skin[np.abs(skin[:, 0]) < _MEDIAN][:, 1:]
    turn = np.arctan2(*(points - _MOUTH).T)
    order = np.argsort(turn)
    seen = order[(turn[order] > _LINE_ENDS[0]) & (turn[order] < _LINE_ENDS[1])]
    line = _even(points[seen])
    for end, beyond in ((slice(None, 1), -1), (slice(-1, None), 1)):
        away = line[end] - line[5 if beyond < 0 else -6]
        straight = line[end] + away / 5 * np.arange(1, round(0.03 / _STEP) + 1)[:, None]
        line = np.concatenate([straight[::-1], line] if beyond < 0 else [line, straight])
    return _even(gaussian_filter1d(line, _SMOOTHING / _STEP, axis=0, mode="nearest", truncate=3)[12:-12])


def bend(line: Float[Array, "n 2"]) -> int:
    """The point of the throat line where neck and floor of the mouth meet: where it bends inwards most."""
    tangent = np.diff(line, axis=0)
    heading = np.unwrap(np.arctan2(tangent[:, 1], tangent[:, 0]))
    return int(np.argmax(np.gradient(heading)[10:-10])) + 10


def _even(points: Float[Array, "n 2"]) -> Float[Array, "m 2"]:
    """Points of the broken line a step apart."""
    arc = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    places = np.arange(0, arc[-1], _STEP)
    return np.stack([np.interp(places, arc, points[:, axis]) for axis in range(2)], axis=1)


def _hill(radius: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """1 at 0, 0 from 1 on, twice continuously differentiable at its foot."""
    return np.clip(1 - radius**2, 0, None) ** 3


def _places(points: Float[Array, "V 2"], line: Float[Array, "n 2"]) -> tuple[Float[Array, " V"], Float[Array, " V"]]:
    """Length along the line of the nearest point on it, and the distance from it, both in metres."""
    near = np.linalg.norm(points[:, None] - line[None, ::4], axis=2).argmin(axis=1) * 4
    best, along = np.full(len(points), np.inf), np.zeros(len(points))
    for offset in range(-5, 5):
        start = np.clip(near + offset, 0, len(line) - 2)
        step = line[start + 1] - line[start]
        share = np.clip(((points - line[start]) * step).sum(axis=1) / (step**2).sum(axis=1), 0, 1)
        distance = np.linalg.norm(points - line[start] - share[:, None] * step, axis=1)
        closer = distance < best
        best[closer], along[closer] = distance[closer], (start + share)[closer] * _STEP
    return along, best


def _direction(skin: np.ndarray, normals: np.ndarray, prominence: Float[Array, "2"]) -> np.ndarray:
    near = np.exp(-0.5 * (((skin - np.array([0.0, *prominence])) / 0.012) ** 2).sum(axis=1))
    mean = near @ normals
    mean[0] = 0
    return mean / np.linalg.norm(mean)
