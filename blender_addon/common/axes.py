"""The one place where the model's axes (+Y up, +Z forward) become Blender's (+Z up, the face looks along -Y)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

TO_BLENDER = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Rotation from model axes to Blender's: (x, y, z) becomes (x, -z, y)."""


def to_blender(vectors: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3"]:
    """Points or directions of the model in Blender's axes; exact, since it only swaps and negates."""
    vectors = np.asarray(vectors)
    return np.stack([vectors[..., 0], -vectors[..., 2], vectors[..., 1]], axis=-1)
