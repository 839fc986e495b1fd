"""Axis-angle vectors as the quaternions bones are keyed with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray


def quaternions(axis_angle: Float[Array, "F 3"]) -> Float[Array, "F 4"]:
    """Unit quaternions (w, x, y, z) of axis-angle vectors in radians, one per frame.

    Of the two that mean the same rotation, each frame gets the one nearer to the frame before, so that interpolated
    keys take the short way.
    """
    vectors = np.asarray(axis_angle, np.float64)
    half = np.linalg.norm(vectors, axis=1, keepdims=True) / 2
    result = np.concatenate([np.cos(half), np.sinc(half / np.pi) / 2 * vectors], axis=1)
    flips = np.sign((result[1:] * result[:-1]).sum(axis=1))
    result[1:] *= np.cumprod(np.where(flips < 0, -1.0, 1.0))[:, None]
    return result
