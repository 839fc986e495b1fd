"""Joining parts into one mesh, and the control mesh on which the shape space lives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from hack_model.build.parts import Part, join_faces
from hack_model.formats.surface import vertex_normals

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

_MOST_COLUMNS = 14
"""Vertices that follow more base vertices than this follow handles of their part instead."""


@dataclass(frozen=True)
class Geometry:
    """All parts as one mesh; fields as in the asset, ``face_material`` by name."""

    vertices: Float[Array, "V 3"]
    faces: Int[Array, "F 4"]
    uv: Float[Array, "T 2"]
    face_uv: Int[Array, "F 4"]
    face_material: tuple[str, ...]
    part_names: tuple[str, ...]
    part_vertices: Int[Array, "P 2"]
    mirror: Int[Array, " V"]

    @classmethod
    def join(cls, parts: Sequence[Part], mirror: Int[Array, " V"]) -> Geometry:
        """The parts in their order; ``mirror`` pairs the joined vertices."""
        sizes = [len(part.vertices) for part in parts]
        ends = np.cumsum(sizes)
        return cls(
            vertices=np.concatenate([part.vertices for part in parts]),
            faces=join_faces([part.faces for part in parts], sizes),
            uv=np.concatenate([part.uv for part in parts]),
            face_uv=join_faces([part.face_uv for part in parts], [len(part.uv) for part in parts]),
            face_material=tuple(name for part in parts for name in part.face_material),
            part_names=tuple(part.name for part in parts),
            part_vertices=np.stack([ends - sizes, ends], axis=1).astype(np.int32),
            mirror=mirror,
        )

    def arrays(self) -> dict[str, Any]:
        """The asset's fields of geometry, without materials."""
        return {
            "template": self.vertices,
            "faces": self.faces,
            "uv": self.uv,
            "face_uv": self.face_uv,
            "part_names": np.array(self.part_names),
            "part_vertices": self.part_vertices,
            "mirror_vertices": self.mirror,
        }

    def normals(self) -> Float[Array, "V 3"]:
        """Unit vertex normals, faces weighted by area."""
        return vertex_normals(self.vertices, self.faces)


@dataclass(frozen=True)
class Control:
    """The control mesh: ``rows`` (C, N) makes its vertices' displacements from the base mesh's; ``columns`` and
    ``weights`` (V, n) carry control values to the model's vertices."""

    rows: sp.csr_matrix
    columns: Int[Array, "V n"]
    weights: Float[Array, "V n"]

    @classmethod
    def of(cls, parts: Sequence[Part], mirror: Int[Array, " V"]) -> Control:
        """Base vertices that skin and parts follow, and handles for vertices that follow too many of them.

        A handle is a vertex of the part itself; with ``mirror``, of the joined vertices, handles come in mirror pairs.
        """
        whole = sp.csr_matrix(sp.vstack([part.embedding for part in parts]))
        whole.eliminate_zeros()
        count, base_count = shape_of(whole)
        many = whole.getnnz(axis=1) > _MOST_COLUMNS
        simple = sp.csr_matrix(sp.diags((~many).astype(float)) @ whole)
        simple.eliminate_zeros()
        used = np.unique(simple.nonzero()[1])
        handles, shares = _handles(whole, np.flatnonzero(many), mirror, [len(part.vertices) for part in parts])
        pick = sp.csr_matrix((np.ones(len(used)), used, np.arange(len(used) + 1)), (len(used), base_count))
        carried = sp.coo_matrix(sp.csr_matrix(sp.hstack([simple.tocsc()[:, used], shares])))
        counts = np.bincount(carried.row, minlength=count)
        width = int(counts.max())
        columns, weights = np.zeros((count, width), np.int32), np.zeros((count, width), np.float32)
        place = np.arange(len(carried.row)) - (np.cumsum(counts) - counts)[carried.row]
        columns[carried.row, place], weights[carried.row, place] = carried.col, carried.data
        return cls(sp.csr_matrix(sp.vstack([pick, whole[handles]])), columns, weights)

    def matrix(self) -> sp.csr_matrix:
        """``columns`` and ``weights`` as one sparse matrix (V, C)."""
        count, width = self.columns.shape
        used = self.weights.ravel() != 0
        places = np.repeat(np.arange(count), width)[used], self.columns.ravel()[used]
        return sp.csr_matrix((self.weights.ravel()[used], places), (count, shape_of(self.rows)[0]))


def shape_of(matrix: sp.csr_matrix) -> tuple[int, int]:
    """Numbers of rows and columns of a sparse matrix, whose attribute ``shape`` may be None by its type."""
    rows, columns = matrix.get_shape()
    return rows, columns


def _handles(
    whole: sp.csr_matrix, rows: np.ndarray, mirror: np.ndarray, sizes: Sequence[int]
) -> tuple[np.ndarray, sp.csr_matrix]:
    """Vertices whose motion determines that of all ``rows``, and each row's shares (V, handles) in it.

    The rows of one part that move affinely have rank 4, so a few of them carry the rest exactly.
    """
    count, _ = shape_of(whole)
    handles: list[int] = []
    entries: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    part = np.repeat(np.arange(len(sizes)), sizes)
    for number in np.unique(part[rows]):
        own = rows[part[rows] == number]
        block = whole[own][:, np.unique(whole[own].nonzero()[1])].toarray()
        factors = scipy.linalg.qr(block.T, mode="r", pivoting=True)
        triangle, order = cast("tuple[np.ndarray, np.ndarray]", factors)
        diagonal = np.abs(np.diag(triangle))
        picked = own[order[: int((diagonal > 1e-9 * diagonal[0]).sum())]]
        picked = np.intersect1d(np.concatenate([picked, mirror[picked]]), own)
        shares = np.linalg.lstsq(block[np.searchsorted(own, picked)].T, block.T, rcond=1e-9)[0].T
        start = len(handles)
        handles += picked.tolist()
        entries.append((np.repeat(own, len(picked)), np.tile(start + np.arange(len(picked)), len(own)), shares.ravel()))
    row, column, share = (
        np.concatenate([entry[item] for entry in entries] or [np.zeros(0)]) for item in range(3)
    )  # fmt: skip
    matrix = sp.csr_matrix((share, (row.astype(int), column.astype(int))), (count, len(handles)))
    return np.array(handles, int), matrix
