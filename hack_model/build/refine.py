"""Catmull-Clark refinement of a quad mesh as one sparse matrix.

The rules depend on the faces alone, so every quantity of the control mesh (positions, targets, texture coordinates)
goes through the same matrix. Rules: Catmull & Clark 1978; borders become uniform cubic B-splines (Hoppe et al. 1994).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from jaxtyping import Int

    Array = np.ndarray


@dataclass(frozen=True)
class Edges:
    """Edges of a quad mesh: ``vertices`` (E, 2), ``of_face`` (F, 4) the edge after each corner, ``count`` of faces."""

    vertices: Int[Array, "E 2"]
    of_face: Int[Array, "F 4"]
    count: Int[Array, " E"]

    @classmethod
    def of(cls, faces: Int[Array, "F 4"]) -> Edges:
        """The edges of ``faces``, each once, in ascending order of their vertices."""
        corners = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)
        vertices, of_face, count = np.unique(np.sort(corners, axis=1), axis=0, return_inverse=True, return_counts=True)
        return cls(vertices, of_face.reshape(faces.shape), count)

    @property
    def border(self) -> Int[Array, "B 2"]:
        """Edges of one face only."""
        return self.vertices[self.count == 1]


def catmull_clark(faces: Int[Array, "F 4"], count: int) -> tuple[sp.csr_matrix, Int[Array, "G 4"]]:
    """One refinement step: the matrix (count + E + F, count) and the refined quads.

    Refined vertices come in the order of the control vertices, then one per edge, then one per face. Control vertices
    that no face uses stay where they are.
    """
    edges = Edges.of(faces)
    face_points = _rows(faces, np.full(faces.shape, 0.25), count)
    edge_points = _edge_points(edges, faces, face_points, count)
    vertex_points = _vertex_points(edges, faces, face_points, count)
    matrix = sp.csr_matrix(sp.vstack([vertex_points, edge_points, face_points]))
    edge_start, face_start = count, count + len(edges.vertices)
    middle = face_start + np.arange(len(faces))
    after = edge_start + edges.of_face
    refined = np.stack([faces, after, np.repeat(middle[:, None], 4, axis=1), np.roll(after, 1, axis=1)], axis=-1)
    return matrix, refined.reshape(-1, 4)


def _rows(indices: np.ndarray, weights: np.ndarray, columns: int) -> sp.csr_matrix:
    start = np.arange(0, indices.size + 1, indices.shape[1])
    return sp.csr_matrix((weights.reshape(-1), indices.reshape(-1), start), (len(indices), columns))


def _edge_points(edges: Edges, faces: np.ndarray, face_points: sp.csr_matrix, count: int) -> sp.csr_matrix:
    ends = _rows(edges.vertices, np.full(edges.vertices.shape, 0.5), count)
    owner = np.repeat(np.arange(len(faces)), 4)
    around = sp.csr_matrix((np.ones(owner.size), (edges.of_face.reshape(-1), owner)), (len(edges.vertices), len(faces)))
    inner = edges.count == 2
    mixed = 0.5 * ends + 0.25 * around @ face_points
    return sp.diags((~inner).astype(float)) @ ends + sp.diags(inner.astype(float)) @ mixed


def _vertex_points(edges: Edges, faces: np.ndarray, face_points: sp.csr_matrix, count: int) -> sp.csr_matrix:
    valence = np.bincount(edges.vertices.reshape(-1), minlength=count).astype(float)
    on_border = np.zeros(count, bool)
    on_border[edges.border.reshape(-1)] = True
    inner = (valence > 0) & ~on_border
    own = _incidence(faces, count) @ face_points
    neighbours = _adjacency(edges.vertices, count)
    with np.errstate(divide="ignore"):
        square = np.where(inner, 1 / np.maximum(valence, 1) ** 2, 0)
        centre = np.where(inner, (valence - 2) / np.maximum(valence, 1), 0)
    smooth = sp.diags(square) @ (own + neighbours) + sp.diags(centre)
    border = sp.diags(on_border.astype(float)) @ (0.125 * _adjacency(edges.border, count) + 0.75 * sp.eye(count))
    return smooth + border + sp.diags((valence == 0).astype(float))


def _incidence(faces: np.ndarray, count: int) -> sp.csr_matrix:
    owner = np.repeat(np.arange(len(faces)), 4)
    return sp.csr_matrix((np.ones(owner.size), (faces.reshape(-1), owner)), (count, len(faces)))


def _adjacency(pairs: np.ndarray, count: int) -> sp.csr_matrix:
    both = np.concatenate([pairs, pairs[:, ::-1]])
    return sp.csr_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), (count, count))
