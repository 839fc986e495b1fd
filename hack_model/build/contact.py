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

from hack_model.build.assemble import shape_of
from hack_model.build.dentition import mouth_place
from hack_model.build.eyes import SIDES
from hack_model.build.following import affine_rows, spread_anchors
from hack_model.build.lids import find_lids
from hack_model.build.lips import find_lip_line, lower_lip
from hack_model.formats.surface import vertex_normals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int

    from hack_model.build.assemble import Control
    from hack_model.build.head import Head
    from hack_model.build.parts import Part

    Array = np.ndarray

_TOUCHING = 0.0015
"""Points of the two lips nearer than this to each other touch, metres."""
_FACING = -0.3
"""… where their normals' cosine is below this."""
_ABOUT = (0.002, 0.008, 0.012)
"""Lips are looked for this far beyond the corners, above and below their line, and behind the wall of the mouth."""
_REACH = 0.004
"""A correction of lips or lids fades over about this distance, metres."""
_SEATED = 3
"""Rings of the lids that lie on the eyeball: both edges of the margin and the next."""
_FIRMNESS = 1000.0
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


def lip_pairs(head: Head, posed: Float[Array, "V 3"] | None = None) -> Pairs:
    """Vertices of the skin where upper and lower lip touch on the template, each with the nearest on the other lip.

    With ``posed`` vertices of the skin, those that touch there.
    """
    skin, mirror = head.skin.vertices, head.skin_mirror
    placed = skin if posed is None else posed
    normals = vertex_normals(placed, head.skin.faces)
    lower = head.skin.embedding @ lower_lip(head).astype(float) > 0.5
    line, wall = mouth_place(head)
    beside, above, behind = _ABOUT
    width = find_lip_line(head).corner + beside
    near = (np.abs(skin[:, 1] - line) < above) & (np.abs(skin[:, 0]) < width) & (skin[:, 2] > wall - behind)
    up, low = np.flatnonzero(near & ~lower), np.flatnonzero(near & lower)
    found: list[np.ndarray] = []
    for own, other, order in ((up, low, 1), (low, up, -1)):
        distance, nearest = KDTree(placed[other]).query(placed[own])
        opposite = other[np.asarray(nearest)]
        facing = np.einsum("nc,nc->n", normals[own], normals[opposite])
        touching = (distance < _TOUCHING) & (facing < _FACING)
        found.append(np.column_stack([own[touching], opposite[touching]])[:, ::order])
    pairs = np.concatenate(found)
    if posed is None:  # the template is symmetric, expressions need not be
        pairs = np.concatenate([pairs, mirror[pairs]])
    both = np.unique(pairs, axis=0)
    return Pairs(both[:, 0], both[:, 1])


@dataclass(frozen=True)
class Seat:
    """Keeps something in its place in displacements of the control vertices.

    ``measure`` (n, 3C) says how far a displacement takes it out of place, in metres; ``correction`` (3C, n) is the
    smoothest displacement that brings it back, fading within millimetres.
    """

    measure: sp.csr_matrix
    correction: sp.csr_matrix

    def __call__(self, displacement: Float[Array, "*batch C 3"]) -> Float[Array, "*batch C 3"]:
        """The displacement that keeps it in place; linear."""
        flat = displacement.reshape(-1, displacement.shape[-2] * 3).T
        return (flat - self.correction @ (self.measure @ flat)).T.reshape(displacement.shape)


def lip_closure(head: Head, control: Control) -> Seat:
    """Keeps both lips at one height where they touch on the template."""
    pairs = lip_pairs(head).rows(control.matrix())
    upright = np.tile([0.0, 1.0, 0.0], (len(head.skin_control), 1))
    return _seat(head, _by_axis(pairs, np.tile([0.0, 1.0, 0.0], (len(pairs.indptr) - 1, 1))), upright)


def lid_seat(head: Head, control: Control, parts: Sequence[Part], side: str) -> Seat:
    """Keeps the margins of one eye's lids as high over the eyeball as on the template, inner edges a little below."""
    lids = find_lids(head, side)
    skin = head.base[head.skin_control]
    ring = np.unique(lids.rings[:_SEATED])
    radial = skin - lids.ball.centre
    radial /= np.linalg.norm(radial, axis=1, keepdims=True)
    place = np.searchsorted(head.skin_control, ring)
    names = [part.name for part in parts]
    number = names.index(f"eye_{side}")
    start = sum(len(part.vertices) for part in parts[:number])
    eye = parts[number].vertices
    anchors = spread_anchors(eye, np.arange(len(eye)), 12)
    ball = affine_rows(head.base[ring], eye, anchors) @ control.matrix()[start : start + len(eye)]
    own = sp.csr_matrix((np.ones(len(ring)), (np.arange(len(ring)), place)), shape_of(ball))
    measure = _by_axis(sp.csr_matrix(own - ball), radial[place])
    return _seat(head, measure, radial)


def rest_contact(head: Head, control: Control, parts: Sequence[Part]) -> list[Seat]:
    """Everything that keeps its contact at rest in every identity; apply one after the other."""
    return [lip_closure(head, control), *(lid_seat(head, control, parts, side) for side in SIDES)]


def _by_axis(rows: sp.csr_matrix, directions: Float[Array, "n 3"]) -> sp.csr_matrix:
    """Rows (n, C) on each axis, weighted by the rows' directions: (n, 3C), the axes of a vertex side by side."""
    blocks = [sp.kron(sp.diags(directions[:, axis]) @ rows, np.eye(3)[axis]) for axis in range(3)]
    return sp.csr_matrix(sum(blocks[1:], blocks[0]))


def _seat(head: Head, measure: sp.csr_matrix, directions: Float[Array, "n 3"]) -> Seat:
    """The seat that moves each vertex of the skin's control mesh along its direction (unit) only."""
    count, size = len(head.skin_control), shape_of(measure)[1]
    along = sp.csr_matrix(
        (directions.ravel(), (np.arange(3 * count), np.repeat(np.arange(count), 3))), (size, count)
    )  # fmt: skip
    return Seat(measure, sp.csr_matrix(along @ sp.csr_matrix(smooth_correction(head, measure @ along))))


def smooth_correction(head: Head, measure: sp.csr_matrix) -> Float[Array, "C n"]:
    """The smoothest fields on the skin's control mesh, fading within millimetres, that each ``measure`` (n, C) sees."""
    smooth = screened_laplacian(head.base[head.skin_control], head.control_faces, _REACH)
    system = sp.csc_matrix(smooth + _FIRMNESS * measure.T @ measure)
    correction = scipy.sparse.linalg.splu(system).solve(_FIRMNESS * measure.T.toarray())
    correction[np.abs(correction) < 1e-5] = 0
    return correction


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
