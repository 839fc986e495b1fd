"""The larynx chart: the bump of the thyroid cartilage as a height map over the front of the neck.

A man's prominence is a keel: sharp at the notch above, running out downwards into the cricoid. Height of the mean bump
8.9 mm (HACK, SIGGRAPH 2023); the template's own throat is smooth, so size 0 is a neck without a bump.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

PEAK = 0.0089
CENTRE = (-0.104, 0.049)
"""Height and depth (y, z) of the prominence on the template, at the level of C5."""
WIDTH, HEIGHT = 0.07, 0.14
"""Extent of the chart in metres across and along the throat."""
SIZE = (56, 112)
"""Columns and rows of the chart."""
OUTSIDE = -9.0


@dataclass(frozen=True)
class LarynxChart:
    """``map`` (rows, columns) metres, first row at v = 0; ``uv`` (V, 2); ``direction`` (3,) unit; ``metres_per_v``."""

    map: Float[Array, "A B"]
    uv: Float[Array, "V 2"]
    direction: Float[Array, "3"]
    metres_per_v: float


def make_larynx(
    vertices: Float[Array, "V 3"], normals: Float[Array, "V 3"], skin_count: int, inner: Int[Array, " n"]
) -> LarynxChart:
    """The chart of a template whose first ``skin_count`` vertices are skin; ``inner`` of them are mouth and sockets."""
    rows = np.linspace(-0.5, 0.5, SIZE[1]) * HEIGHT
    columns = np.linspace(-0.5, 0.5, SIZE[0]) * WIDTH
    across, along = np.meshgrid(columns, rows)
    heights = PEAK * bump(across, along)
    heights[[0, -1]] = 0
    heights[:, [0, -1]] = 0
    direction = _direction(vertices[:skin_count], normals[:skin_count])
    up = np.array([0.0, direction[2], -direction[1]])
    offset = vertices - np.array([0.0, *CENTRE])
    uv = np.stack([offset[:, 0] / WIDTH + 0.5, offset @ up / HEIGHT + 0.5], axis=1)
    front = (normals @ direction > 0.15) & (offset @ direction > -0.035) & (np.abs(offset[:, 0]) < WIDTH / 2)
    front[skin_count:] = False
    front[inner] = False
    front &= (np.abs(offset @ up) < 0.06) & (vertices[:, 2] < 0.085)
    uv[~front] = OUTSIDE
    return LarynxChart(heights.astype(np.float32), uv, direction, HEIGHT)


def bump(across: Float[Array, "*n"], along: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Relative height of the prominence at metres across and along (up positive) from its peak."""
    span = np.where(along > 0, 0.0085, 0.0165)
    vertical = np.exp(-0.5 * (along / span) ** 2)
    half_width = np.where(along > 0, 0.0085, 0.0085 + 0.12 * -along)
    return vertical * np.exp(-0.5 * (np.abs(across) / half_width) ** 1.8)


def _direction(skin: np.ndarray, normals: np.ndarray) -> np.ndarray:
    near = np.exp(-0.5 * (((skin - np.array([0.0, *CENTRE])) / 0.012) ** 2).sum(axis=1))
    mean = near @ normals
    mean[0] = 0
    return mean / np.linalg.norm(mean)
