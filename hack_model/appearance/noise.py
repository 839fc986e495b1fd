"""Irregularity that looks the same at every resolution: smooth noise, and spots strewn over a map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

_REACH = 2.4
"""Spots are cut off at this many standard deviations."""


def lattice(size: int, across: int, down: int, seed: int) -> Float[Array, "size size"]:
    """Smooth noise of standard deviation 1 over a map, with ``across`` x ``down`` independent values."""
    values = np.random.default_rng([seed, across, down]).standard_normal((down + 3, across + 3)).astype(np.float32)
    rows, columns = _splines(size, down), _splines(size, across)
    return rows @ values @ columns.T * np.float32(1.45 * 1.45)


def _splines(size: int, cells: int) -> Float[Array, "size n"]:
    """Weights of the uniform cubic B-spline with ``cells`` pieces at ``size`` places; 1/1.45 is its mean deviation."""
    place = (np.arange(size) + 0.5) / size * cells
    cell = np.floor(place).astype(int)
    t = place - cell
    weights = np.zeros((size, cells + 3), np.float32)
    shares = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    for step, share in enumerate(shares):
        weights[np.arange(size), cell + step] = share / 6
    return weights


def solid(place: Float[Array, "n 3"], period: float, seed: int) -> Float[Array, " n"]:
    """Smooth value noise in [-1, 1] in space, with a period in the places' unit."""
    table = np.random.default_rng([seed, 3]).uniform(-1, 1, 4096)
    scaled = place / period
    cell = np.floor(scaled).astype(np.int64)
    inside = scaled - cell
    inside = inside * inside * (3 - 2 * inside)
    total = np.zeros(len(place))
    for corner in np.ndindex(2, 2, 2):
        at = cell + np.array(corner)
        key = (at[:, 0] * 73856093 ^ at[:, 1] * 19349663 ^ at[:, 2] * 83492791) & 4095
        total += np.prod(np.where(np.array(corner) == 1, inside, 1 - inside), axis=1) * table[key]
    return total


def jittered(cells: int, seed: int) -> Float[Array, "n 2"]:
    """One random place in each cell of a grid over the unit square."""
    generator = np.random.default_rng([seed, cells])
    grid = np.stack(np.meshgrid(np.arange(cells), np.arange(cells)), axis=-1).reshape(-1, 2)
    return (grid + generator.uniform(0.08, 0.92, grid.shape)) / cells


def splats(
    size: int, places: Float[Array, "n 2"], radius: Float[Array, " n"], height: Float[Array, " n"]
) -> Float[Array, "size size"]:
    """The sum of round Gaussian spots: standard deviation ``radius`` in units of v (at least 0.4 pixels, then fainter
    in proportion to what they cover), centres in texture coordinates."""
    total = np.zeros(size * size)
    x, y = places[:, 0] * size - 0.5, (1 - places[:, 1]) * size - 0.5
    deviation = np.maximum(radius * size, 0.4)
    height = height * np.minimum(radius * size / deviation, 1) ** 2
    reach = np.ceil(_REACH * deviation).astype(int)
    for half in np.unique(reach):
        chosen = np.flatnonzero(reach == half)
        column, row = np.rint(x[chosen]).astype(np.int64), np.rint(y[chosen]).astype(np.int64)
        exponent = -0.5 / deviation[chosen] ** 2
        for down in range(-half, half + 1):
            for right in range(-half, half + 1):
                at_x, at_y = column + right, row + down
                inside = (at_x >= 0) & (at_x < size) & (at_y >= 0) & (at_y < size)
                away = (at_x - x[chosen]) ** 2 + (at_y - y[chosen]) ** 2
                value = np.where(inside, height[chosen] * np.exp(exponent * away), 0)
                np.add.at(total, np.where(inside, at_y * size + at_x, 0), value)
    return total.reshape(size, size).astype(np.float32)
