"""The lids: their rings around the eye, their seat on the eyeball, and how they close.

MakeHuman's lids are a grid of rings around the opening. Ring 0 is the inner edge of the lid's margin, ring 1 its outer
edge, higher rings climb the lid's skin; negative rings line the socket behind the eyeball and are never seen.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hack_model.build.eyes import Eyeball, eyeball
from hack_model.errors import FormatError

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from hack_model.build.head import Head

    Array = np.ndarray

RINGS = 12
FAR = 99.0
_SEED = (7773, 7774)
"""Two neighbouring base vertices on the left eye's ring 0 (MakeHuman's hm08 mesh)."""
_SEAT = 0.0013
"""Ring 0 reaches this far below the surface of the eyeball at rest, so that no gap shows."""
CLEARANCE = 0.0007
"""The skin of a lid stays this far before the eyeball."""
_OVERLAP = 0.0008
LOWER_SHARE = 0.16
"""Part of the opening that the lower lid closes in a blink."""
_LOOK_DOWN, _LOOK_DOWN_LOWER = 0.5, 0.22
"""Parts of the opening by which the upper and the lower lid go down with the eye."""


@dataclass(frozen=True)
class Lids:
    """One eye's lids: base vertices (RINGS, columns), columns in order around the eye, and the eyeball they cover."""

    rings: Int[Array, "R C"]
    ball: Eyeball

    @cached_property
    def vertices(self) -> Int[Array, " n"]:
        """All base vertices of the rings."""
        return np.unique(self.rings)

    def upper(self, base: Float[Array, "N 3"]) -> np.ndarray:
        """Whether each column belongs to the upper lid: those above the line between the corners of the eye."""
        margin = base[self.rings[1]]
        order = np.argsort(margin[:, 0])
        first, last = margin[order[0]], margin[order[-1]]
        share = (margin[:, 0] - first[0]) / (last[0] - first[0])
        return margin[:, 1] > first[1] + share * (last[1] - first[1]) + 1e-6


def find_lids(head: Head, side: str) -> Lids:
    """The lids of one side. Raises :class:`FormatError` when the mesh is not MakeHuman's."""
    mesh = head.source.base
    faces = head.skin_control[head.control_faces]
    neighbours: dict[int, set[int]] = defaultdict(set)
    around: dict[int, list[int]] = defaultdict(list)
    for index, face in enumerate(faces):
        for corner in range(4):
            neighbours[face[corner]].update((face[(corner + 1) % 4], face[corner - 1]))
            around[face[corner]].append(index)
    first = _loop(faces, neighbours, around)
    rings = [first]
    inner = set(first)
    for _ in range(RINGS - 1):
        step = [[v for v in neighbours[u] if v not in inner] for u in rings[-1]]
        if len(rings) == 1:  # both sides are open: the skin lies before the socket
            step = [[max(found, key=lambda v: head.base[v, 2])] for found in step]
        if any(len(found) != 1 for found in step):
            break
        rings.append([found[0] for found in step])
        inner = set(rings[-1]) | set(rings[-2])
    if len(rings) < 6 or any(len(set(ring)) != len(first) for ring in rings):
        raise FormatError("the lids of this base mesh are not the rings of MakeHuman's hm08 mesh")
    left = np.array(rings)
    return Lids(left if side == "left" else mesh.mirror[left], eyeball(head, side))


def _loop(faces: np.ndarray, neighbours: dict[int, set[int]], around: dict[int, list[int]]) -> list[int]:
    """The closed edge loop through the seed: across each vertex of four edges to the opposite one."""
    loop: list[int] = [*_SEED]
    while len(loop) < 200:
        here, before = loop[-1], loop[-2]
        beside: set[int] = set()
        for index in around[here]:
            if before in faces[index]:
                beside.update(faces[index])
        onward = [v for v in neighbours[here] if v not in beside]
        if len(onward) != 1:
            break
        if onward[0] == loop[0]:
            return loop
        loop.append(onward[0])
    raise FormatError("the base mesh has no loop around the eye where MakeHuman's hm08 mesh has one")


def ring_field(head: Head, lids: Lids) -> Float[Array, " V"]:
    """Ring number of every skin vertex of the refined mesh, fractional between rings; FAR away from the lids.

    The socket behind the lids counts as negative.
    """
    values = np.full(len(head.base), FAR)
    offset = head.base - lids.ball.centre
    behind = np.linalg.norm(offset, axis=1) < 1.75 * lids.ball.radius
    socket = _socket(head, lids)
    values[behind & socket] = -1.0
    for ring in range(len(lids.rings)):
        values[lids.rings[ring]] = ring
    known = head.skin.embedding @ (values < FAR).astype(float)
    field = head.skin.embedding @ np.where(values < FAR, values, 0.0)
    return np.where(known > 0.999, field, FAR)


def _socket(head: Head, lids: Lids) -> np.ndarray:
    """Base vertices of the pocket behind the lids: reached from ring 0 without crossing it to ring 1."""
    faces = head.skin_control[head.control_faces]
    wall = np.zeros(len(head.base), bool)
    wall[lids.rings[0]] = True
    outside = set(lids.rings[1].tolist())
    neighbours: dict[int, set[int]] = defaultdict(set)
    for face in faces:
        for corner in range(4):
            neighbours[face[corner]].update((face[(corner + 1) % 4], face[corner - 1]))
    found: set[int] = set()
    queue = [v for u in lids.rings[0] for v in neighbours[u] if not wall[v] and v not in outside]
    while queue:
        here = queue.pop()
        if here not in found:
            found.add(here)
            queue += [v for v in neighbours[here] if not wall[v]]
    result = np.zeros(len(head.base), bool)
    result[list(found)] = True
    return result


def seat_lids(head: Head) -> Head:
    """The head with the inner edges of its lids on the eyeballs."""
    base = head.base.copy()
    for side in ("left", "right"):
        lids = find_lids(head, side)
        ring = lids.rings[0]
        lift = np.maximum(lids.ball.height(base[ring]) + _SEAT, 0)
        radial = base[ring] - lids.ball.centre
        base[ring] -= lift[:, None] * radial / np.linalg.norm(radial, axis=1, keepdims=True)
    skin = dataclasses.replace(head.skin, vertices=head.skin.embedding @ base)
    return dataclasses.replace(head, base=base, skin=skin)


def blink(head: Head, lids: Lids, unit: Float[Array, "N 3"], lower_share: float = LOWER_SHARE) -> Float[Array, "N 3"]:
    """MakeHuman's blink, scaled column by column so that the lids meet instead of overlapping.

    ``unit`` and the result displace base vertices; the lower lid closes ``lower_share`` of the opening.
    """
    base, rings = head.base, lids.rings
    upper = lids.upper(base)
    seam, opening = _seam(base, lids, upper, lower_share)
    result = np.zeros_like(base)
    others = np.setdiff1d(np.flatnonzero(np.abs(unit).max(axis=1) > 0), lids.vertices)
    factor = np.ones(rings.shape[1])
    for column in np.flatnonzero(upper):
        down = -unit[rings[1, column], 1]
        wanted = base[rings[1, column], 1] - (seam[column] - _OVERLAP)
        factor[column] = np.clip(wanted / down, 0.0, 1.2) if down > 1e-4 else 0.0
    level = np.median(factor[upper])
    result[others] = level * unit[others]
    for column in range(rings.shape[1]):
        for ring in range(len(rings)):
            vertex = rings[ring, column]
            fade = np.clip((ring - 4) / (len(rings) - 4), 0, 1)
            if upper[column]:
                share = (1 - fade) * factor[column] + fade * level
                result[vertex] = share * unit[vertex]
            else:
                rise = lower_share * opening[column] * np.exp(-(max(ring - 1, 0) ** 2) / 6)
                result[vertex] = [0, rise, 0]
    for column in np.flatnonzero(upper):  # both edges of the margin arrive together
        for ring in (0, 1):
            vertex = rings[ring, column]
            result[vertex, 1] = seam[column] - _OVERLAP - base[vertex, 1]
    for column in np.flatnonzero(~upper):
        result[rings[0, column], 1] = seam[column] - base[rings[0, column], 1]
        result[rings[1, column], 1] = seam[column] - base[rings[1, column], 1]
    return result


def look_down(head: Head, lids: Lids, unit: Float[Array, "N 3"]) -> Float[Array, "N 3"]:
    """The lids in a downward gaze, from the blink's target: both follow the eye, the lower one less."""
    result = _LOOK_DOWN * blink(head, lids, unit, 0.0)
    upper = lids.upper(head.base)
    _, opening = _seam(head.base, lids, upper, 0.0)
    for column in np.flatnonzero(~upper):
        for ring in range(len(lids.rings)):
            fall = np.exp(-(max(ring - 1, 0) ** 2) / 10)
            result[lids.rings[ring, column]] = [0.0, -_LOOK_DOWN_LOWER * opening[column] * fall, 0.0]
    return result


def _seam(base: np.ndarray, lids: Lids, upper: np.ndarray, lower_share: float) -> tuple[np.ndarray, np.ndarray]:
    """Height y at which each column's lids meet, and the opening there."""
    margin = base[lids.rings[1]]
    heights = []
    for lid in (upper, ~upper):
        order = np.argsort(margin[lid, 0])
        heights.append(np.interp(margin[:, 0], margin[lid, 0][order], margin[lid, 1][order]))
    opening = np.maximum(heights[0] - heights[1], 0)
    return heights[1] + lower_share * opening, opening


def keep_outside(
    rest: Float[Array, "V 3"], delta: Float[Array, "V 3"], ball: Eyeball, rings: Float[Array, " V"]
) -> Float[Array, "V 3"]:
    """The displacement, pushed out where the lid's skin would dip into the eyeball on its way.

    Checked at a quarter, half, three quarters and the whole; vertices that already lie deeper at rest keep their depth.
    ``rings`` is the ring of each vertex; only the outside of the lids (ring 0.8 and up) is touched.
    """
    delta = delta.copy()
    moving = (rings > 0.8) & (rings < FAR) & (np.abs(delta).max(axis=1) > 1e-6)
    chosen = np.flatnonzero(moving)
    at_rest = ball.height(rest[chosen])
    wanted = np.minimum(at_rest, CLEARANCE)
    for _ in range(6):
        for share in (1.0, 0.75, 0.5, 0.25):
            place = rest[chosen] + share * delta[chosen]
            missing = np.clip(wanted - ball.height(place), 0, None)
            radial = place - ball.centre
            radial /= np.linalg.norm(radial, axis=1, keepdims=True)
            delta[chosen] += (missing / share)[:, None] * radial * 0.7
    return delta
