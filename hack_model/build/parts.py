"""`Part`: one separate piece of the model's mesh, and how it follows the MakeHuman base mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray


@dataclass(frozen=True)
class Part:
    """A piece of the mesh: skin, an eyeball, a row of teeth.

    ``vertices`` (n, 3) metres in the model's frame; ``faces`` and ``face_uv`` quads of local indices (-1 as fourth
    index makes a triangle); ``uv`` in [0, 1], v up; ``face_material`` a material name per face. ``embedding`` (n, N)
    carries any displacement of the base mesh's N vertices to the part. ``joint`` is the skeleton joint that moves the
    whole part; None where weights are made per vertex (the skin).
    """

    name: str
    vertices: Float[Array, "n 3"]
    faces: Int[Array, "F 4"]
    uv: Float[Array, "T 2"]
    face_uv: Int[Array, "F 4"]
    face_material: tuple[str, ...]
    embedding: sp.csr_matrix
    joint: str | None = None


def join_faces(arrays: list[np.ndarray], sizes: list[int]) -> np.ndarray:
    """Index arrays of several parts as one, each shifted by the sizes before it; -1 stays."""
    starts = np.cumsum([0, *sizes[:-1]])
    return np.concatenate(
        [np.where(array < 0, -1, array + start) for array, start in zip(arrays, starts, strict=True)]
    ).astype(np.int32)
