"""Which points of the skin touch, and displacements that keep them touching.

Lips and lids meet along a line. A pair says that a point of the upper one touches a point of the lower one on the
template; a displacement that moves both points alike keeps the contact, whatever else it does. Contact is linear in the
displacement, so a linear space made of corrected displacements keeps it as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg
from scipy.spatial import KDTree

from hack_model.build.assemble import shape_of, vertex_normals
from hack_model.build.dentition import mouth_place
from hack_model.build.lips import find_lip_line, lower_lip

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from hack_model.build.assemble import Control
    from hack_model.build.head import Head

    Array = np.ndarray

_TOUCHING = 0.0015
"""Points of the two lips nearer than this to each other touch, metres."""
_FACING = -0.3
"""… where their normals' cosine is below this."""
_ABOUT = (0.002, 0.008, 0.012)
"""Lips are looked for this far beyond the corners, above and below their line, and behind the wall of the mouth."""
_REACH = 0.004
"""A correction of the lips fades over about this distance, metres."""
_FIRMNESS = 300.0
"""Weight of a pair that stays together against a smooth correction."""


@dataclass(frozen=True)
class Pairs:
    """Skin vertices that touch: ``first`` (n,) on the upper lip or lid, ``second`` on the lower."""

    first: Int[Array, " n"]
    second: Int[Array, " n"]

    def __len__(self) -> int:
        return len(self.first)

    def difference(self, points: Float[Array, "*batch V 3"]) -> Float[Array, "*batch n 3"]:
        """From the second to the first point of each pair."""
        return points[..., self.first, :] - points[..., self.second, :]

    def rows(self, embedding: sp.csr_matrix) -> sp.csr_matrix:
        """Rows (n, N) that take the ``embedding``'s (V, N) columns' values to the pairs' differences."""
        return sp.csr_matrix(embedding[self.first] - embedding[self.second])


def lip_pairs(head: Head) -> Pairs:
    """Vertices of the skin where upper and lower lip touch on the template, each with the nearest on the other lip."""
    skin, mirror = head.skin.vertices, head.skin_mirror
    normals = vertex_normals(skin, head.skin.faces)
    lower = head.skin.embedding @ lower_lip(head).astype(float) > 0.5
    line, wall = mouth_place(head)
    beside, above, behind = _ABOUT
    width = find_lip_line(head).corner + beside
    near = (np.abs(skin[:, 1] - line) < above) & (np.abs(skin[:, 0]) < width) & (skin[:, 2] > wall - behind)
    up, low = np.flatnonzero(near & ~lower), np.flatnonzero(near & lower)
    found: list[np.ndarray] = []
    for own, other, order in ((up, low, 1), (low, up, -1)):
        distance, nearest = KDTree(skin[other]).query(skin[own])
        opposite = other[np.asarray(nearest)]
        facing = np.einsum("nc,nc->n", normals[own], normals[opposite])
        touching = (distance < _TOUCHING) & (facing < _FACING)
        found.append(np.column_stack([own[touching], opposite[touching]])[:, ::order])
    pairs = np.concatenate(found)
    both = np.unique(np.concatenate([pairs, mirror[pairs]]), axis=0)
    return Pairs(both[:, 0], both[:, 1])


@dataclass(frozen=True)
class LipClosure:
    """Keeps the lips closed in displacements of the control vertices.

    ``correction`` (C, n) is the smoothest change of heights, fading within millimetres, that undoes how far the points
    of each pair in contact part; ``pairs`` (n, C) measures that.
    """

    pairs: sp.csr_matrix
    correction: sp.csr_matrix

    @classmethod
    def of(cls, head: Head, control: Control) -> LipClosure:
        """The closure of the template's lips."""
        pairs = lip_pairs(head).rows(control.matrix())
        _, size = shape_of(pairs)
        smooth = screened_laplacian(head.base[head.skin_control], head.control_faces, _REACH)
        smooth = sp.block_diag([smooth, sp.identity(size - len(head.skin_control))])
        system = sp.csc_matrix(smooth + _FIRMNESS * pairs.T @ pairs)
        correction = scipy.sparse.linalg.splu(system).solve(_FIRMNESS * pairs.T.toarray())
        correction[np.abs(correction) < 1e-5] = 0
        return cls(pairs, sp.csr_matrix(correction))

    def __call__(self, displacement: Float[Array, "*batch C 3"]) -> Float[Array, "*batch C 3"]:
        """The displacement with both lips at one height where they touch on the template; linear, x and z unchanged."""
        heights = displacement[..., 1].reshape(-1, displacement.shape[-2]).T
        result = displacement.copy()
        result[..., 1] = (heights - self.correction @ (self.pairs @ heights)).T.reshape(displacement.shape[:-1])
        return result


def screened_laplacian(vertices: Float[Array, "n 3"], faces: Int[Array, "F 4"], reach: float) -> sp.csr_matrix:
    """Uniform graph Laplacian of a quad mesh plus what makes its influence fade over ``reach`` metres."""
    edges = np.unique(np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1), axis=0)
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    count = len(vertices)
    screen = np.zeros(count)
    for end in range(2):
        np.add.at(screen, edges[:, end], 0.5 * (length / reach) ** 2)
    both = np.concatenate([edges, edges[:, ::-1]])
    links = sp.csr_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), (count, count))
    degree = np.asarray(links.sum(axis=1)).ravel()
    return sp.csr_matrix(sp.diags(degree + np.maximum(screen, 1e-6)) - links)
