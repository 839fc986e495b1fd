"""The lips: closed at rest, and kept before the teeth in every expression."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.interpolate import griddata
from scipy.ndimage import maximum_filter
from scipy.spatial import KDTree

from hack_model.build.dentition import mouth_place
from hack_model.build.refine import Edges

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

    from hack_model.build.head import Head
    from hack_model.build.parts import Part

    Array = np.ndarray

_REACH = 0.006
"""Height above and below the line of the lips within which the lips close, metres."""
_WINDOW = 0.003
"""From one column to the next the line of the lips moves less than this, metres."""
_MIXED = 0.0008
_CORNER = 0.0010
"""The corner of the mouth lies this far beyond the last column whose lips can be told apart."""
_WALL = 0.0028
"""The wall of the mouth below the lower lip moves back by this much."""
_CORNER_PRESS = 0.0006
_CORNER_DEPTH, _CORNER_WIDTH = 0.0016, 0.009
"""The corners of the mouth are set back by this much, with the skin within about this distance."""
_CONTACT = 0.0002
"""Closed lips press into each other by this much."""
_CLEARANCE = 0.0005
"""Distance the inside of lips and cheeks keeps from teeth and gums."""
_GUARDED = 0.013
"""Skin nearer than this to the line of the lips is kept before the teeth; further down nobody sees the wall."""
_STEP = 0.0006
"""Spacing of the height field over the teeth."""


def lower_lip(head: Head) -> Bool[Array, " N"]:
    """Base vertices that go with the lower jaw: jawOpen moves them further than the corners of the mouth."""
    moved = np.linalg.norm(head.target("faceunits/jawOpen"), axis=1)
    moved = 0.5 * (moved + moved[head.source.base.mirror])
    return moved > 0.385 * moved.max()


def close_lips(head: Head) -> Head:
    """The head with its lips touching; MakeHuman's leave a slit of half a millimetre to one."""
    head = _set_corners_back(head)
    for _ in range(5):
        head = _close_step(head)
    return _thicken(_close_corners(head))


def _thicken(head: Head) -> Head:
    """The head with the front wall of the mouth below the lower lip moved back, so that no chin's crease reaches it."""
    line, wall = mouth_place(head)
    inner = np.zeros(len(head.base), bool)
    inner[head.skin_control] = head.inner["mouth_interior"][: len(head.skin_control)]
    below = np.clip((line - 0.003 - head.base[:, 1]) / 0.006, 0, 1)
    front = np.clip((head.base[:, 2] - (wall - 0.016)) / 0.010, 0, 1)
    side = np.clip((0.030 - np.abs(head.base[:, 0])) / 0.010, 0, 1)
    base = head.base.copy()
    base[:, 2] -= np.where(inner, _WALL * below * front * side, 0.0)
    skin = dataclasses.replace(head.skin, vertices=head.skin.embedding @ base)
    return dataclasses.replace(head, base=base, skin=skin)


def _set_corners_back(head: Head) -> Head:
    """The head with the corners of its mouth 11 mm behind the middle of the lips, as scanned faces have them."""
    lips = find_lip_line(head)
    skin = head.skin.vertices
    height = float(lips.middle(np.array([lips.corner]))[0])
    outer = ~head.inner["mouth_interior"]
    near = outer & (np.hypot(np.abs(skin[:, 0]) - lips.corner, skin[:, 1] - height) < 0.002)
    corner = np.array([lips.corner, height, np.median(skin[near, 2])])
    place = np.column_stack([np.abs(head.base[:, 0]), head.base[:, 1:]])
    used = np.zeros(len(place), bool)
    used[head.skin_control] = True
    distance = np.linalg.norm(place - corner, axis=1) / _CORNER_WIDTH
    base = head.base.copy()
    base[:, 2] -= np.where(used, _CORNER_DEPTH * np.exp(-(distance**2)), 0.0)
    skin = dataclasses.replace(head.skin, vertices=head.skin.embedding @ base)
    return dataclasses.replace(head, base=base, skin=skin)


def _close_corners(head: Head) -> Head:
    """The head with the last slit, in the corners themselves, pressed shut."""
    lips = find_lip_line(head)
    corner = np.array([lips.corner, float(lips.middle(np.array([lips.corner]))[0])])
    place = np.column_stack([np.abs(head.base[:, 0]), head.base[:, 1]])
    used = np.zeros(len(place), bool)
    used[head.skin_control] = True
    used &= head.base[:, 2] > mouth_place(head)[1] - 0.02
    distance = np.linalg.norm((place - corner) / [0.0022, 0.0028], axis=1)
    weight = np.where(used, np.exp(-(distance**2)), 0.0)
    base = head.base.copy()
    base[:, 1] += np.where(lower_lip(head), 1.0, -1.0) * weight * _CORNER_PRESS
    skin = dataclasses.replace(head.skin, vertices=head.skin.embedding @ base)
    return dataclasses.replace(head, base=base, skin=skin)


@dataclass(frozen=True)
class LipLine:
    """Where the lips meet, by distance from the midline ``x``: the lower end of the upper lip, the top of the lower."""

    x: Float[Array, " n"]
    upper: Float[Array, " n"]
    lower: Float[Array, " n"]

    @property
    def corner(self) -> float:
        """Distance of the corners of the mouth from the midline in metres."""
        return float(self.x[-1])

    def gap(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Opening between the lips at x; beyond the corners that of the corners."""
        return np.interp(np.abs(x), self.x, self.upper - self.lower)

    def middle(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Height of the line at x."""
        return np.interp(np.abs(x), self.x, (self.upper + self.lower) / 2)


def find_lip_line(head: Head) -> LipLine:
    """The line of the lips on the outer skin, averaged over both sides."""
    height, _ = mouth_place(head)
    skin = head.skin.vertices
    outer = ~head.inner["mouth_interior"]
    lower = head.skin.embedding @ lower_lip(head).astype(float) > 0.5
    depth = None
    rows: list[tuple[float, float, float]] = []
    for x in np.arange(0.0, 0.035, 0.0015):
        column = outer & (np.abs(np.abs(skin[:, 0]) - x) < 0.0016) & (np.abs(skin[:, 1] - height) < _WINDOW)
        column &= skin[:, 2] > (
            head.base[head.groups["helper-upper-teeth"], 2].max() if depth is None else depth - _WINDOW
        )
        top, bottom = np.flatnonzero(column & ~lower), np.flatnonzero(column & lower)
        if not (top.size and bottom.size):
            break
        top, bottom = top[skin[top, 1].argmin()], bottom[skin[bottom, 1].argmax()]
        if skin[top, 1] - skin[bottom, 1] < -_MIXED:  # lips overlap: past the corner
            break
        height, depth = (skin[top, 1] + skin[bottom, 1]) / 2, (skin[top, 2] + skin[bottom, 2]) / 2
        rows.append((x, skin[top, 1], skin[bottom, 1]))
    rows.append((rows[-1][0] + _CORNER, *rows[-1][1:]))
    x, upper, low = np.array(rows).T
    return LipLine(x, upper, low)


def _close_step(head: Head) -> Head:
    _, wall = mouth_place(head)
    lips = find_lip_line(head)
    x = head.base[:, 0]
    used = np.zeros(len(x), bool)
    used[head.skin_control] = True
    used &= (np.abs(x) < lips.corner + 0.001) & (head.base[:, 2] > wall - 0.02)
    distance = (head.base[:, 1] - lips.middle(x)) / (0.5 * _REACH)
    weight = np.where(used, np.exp(-(distance**2)), 0.0)
    side = np.where(lower_lip(head), 0.5, -0.5)
    base = head.base.copy()
    base[:, 1] += side * weight * np.clip(lips.gap(x) + _CONTACT, 0, 0.001)
    skin = dataclasses.replace(head.skin, vertices=head.skin.embedding @ base)
    return dataclasses.replace(head, base=base, skin=skin)


@dataclass(frozen=True)
class TeethShield:
    """Outermost radius of teeth and gums over (angle, height) around a vertical axis in the middle of the mouth."""

    axis: Float[Array, "2"]
    angles: Float[Array, " A"]
    heights: Float[Array, " B"]
    radius: Float[Array, "A B"]

    @classmethod
    def of(cls, vertices: Float[Array, "n 3"]) -> TeethShield:
        """The shield of one arch's vertices."""
        axis = np.array([0.0, vertices[:, 2].min() + 0.018])
        angle, radius = _polar(vertices, axis)
        front = np.abs(angle) < 1.75
        angles = np.arange(-1.7, 1.7, _STEP / 0.04)
        heights = np.arange(vertices[:, 1].min(), vertices[:, 1].max() + _STEP, _STEP)
        grid = np.full((len(angles), len(heights)), 0.0)
        column = np.clip(np.searchsorted(angles, angle[front]), 0, len(angles) - 1)
        row = np.clip(np.searchsorted(heights, vertices[front, 1]), 0, len(heights) - 1)
        np.maximum.at(grid, (column, row), radius[front])
        known = np.argwhere(grid > 0)
        outer = known[grid[tuple(known.T)] > maximum_filter(grid, (5, 5))[tuple(known.T)] - 0.0015]
        filled = griddata(outer, grid[tuple(outer.T)], tuple(np.indices(grid.shape)), method="linear", fill_value=0.0)
        return cls(axis, angles, heights, filled)

    def polar(self, points: Float[Array, "n 3"]) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """Angle to the left, radians, and distance from the axis."""
        return _polar(points, self.axis)

    def outwards(self, points: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
        """Horizontal unit vectors away from the axis."""
        offset = points - np.array([self.axis[0], 0, self.axis[1]])
        offset[:, 1] = 0
        return offset / np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-9)

    def clearance(self, points: Float[Array, "n 3"]) -> Float[Array, " n"]:
        """How far points lie before the shield, negative behind it, metres; infinite where it has no teeth."""
        angle, radius = _polar(points, self.axis)
        column = np.clip(
            ((angle - self.angles[0]) / (self.angles[1] - self.angles[0])).round(), 0, len(self.angles) - 1
        )
        row = ((points[:, 1] - self.heights[0]) / _STEP).round()
        inside = (row >= 0) & (row < len(self.heights)) & (np.abs(angle) < 1.65)
        wanted = self.radius[column.astype(int), np.clip(row, 0, len(self.heights) - 1).astype(int)]
        return np.where(inside & (wanted > 0), radius - wanted, np.inf)

    def depth(self, points: Float[Array, "n 3"]) -> Float[Array, " n"]:
        """How far points lie inside the shield, metres; 0 outside."""
        return np.clip(-self.clearance(points), 0, None)


def _polar(points: np.ndarray, axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    offset = points[:, [0, 2]] - axis
    return np.arctan2(offset[:, 0], offset[:, 1]), np.hypot(offset[:, 0], offset[:, 1])


class LipGuard:
    """Pushes lips and cheeks out where an expression would let teeth come through them."""

    def __init__(self, head: Head, teeth: list[Part]) -> None:
        self.rest = head.skin.vertices
        self.teeth = teeth
        shields = [TeethShield.of(part.vertices) for part in teeth]
        low = min(part.vertices[:, 1].min() for part in teeth) - 0.03
        high = max(part.vertices[:, 1].max() for part in teeth) + 0.004
        box = (self.rest[:, 1] > low) & (self.rest[:, 1] < high) & (np.abs(self.rest[:, 0]) < 0.05)
        self.axis = shields[0].axis
        angle, radius = _polar(self.rest, self.axis)
        self.near = box & (np.abs(angle) < 1.6) & (radius > 0.02)
        line, _ = mouth_place(head)
        self.guarded = self.near & (np.abs(self.rest[:, 1] - line) < _GUARDED)
        self.before = np.maximum(*[shield.depth(self.rest) for shield in shields])
        edges = Edges.of(head.skin.faces).vertices
        count = len(self.rest)
        links = sp.csr_matrix(
            (np.ones(2 * len(edges)), (edges.T.reshape(-1), edges[:, ::-1].T.reshape(-1))), (count,) * 2
        )
        self.average = sp.diags(1 / np.maximum(np.asarray(links.sum(axis=1)).ravel(), 1)) @ links

    def guard(
        self, delta: Float[Array, "V 3"], moves: list[Float[Array, "n 3"]], *, rounds: int = 4
    ) -> Float[Array, "V 3"]:
        """The displacement with what pokes through pushed out; ``moves`` displaces each arch's vertices."""
        shields = [TeethShield.of(part.vertices + move) for part, move in zip(self.teeth, moves, strict=True)]
        delta = delta.copy()
        for _ in range(rounds):
            place = self.rest + delta
            depth = np.maximum(*[shield.depth(place - _CLEARANCE * shield.outwards(place)) for shield in shields])
            push = np.where(self.guarded, np.clip(depth - self.before, 0, 0.006), 0.0)
            if push.max() < 1e-4:
                break
            spread = self._through(place, push)
            delta += spread[:, None] * shields[0].outwards(place)
        return delta

    def _through(self, place: np.ndarray, push: np.ndarray) -> np.ndarray:
        """The push carried through the whole thickness of the lips: to all skin before and around what is pushed."""
        pushed = np.flatnonzero(push > 2e-5)
        chosen = np.flatnonzero(self.near)
        angle, _ = _polar(place, self.axis)
        chart = np.column_stack([angle * 0.045, place[:, 1]])
        count = min(24, len(pushed))
        distance, nearest = KDTree(chart[pushed]).query(chart[chosen], k=count)
        distance, nearest = distance.reshape(len(chosen), -1), np.asarray(nearest).reshape(len(chosen), -1)
        spread = np.zeros(len(place))
        spread[chosen] = (push[pushed][nearest] * np.exp(-((distance / 0.005) ** 2))).max(axis=1)
        for _ in range(6):
            spread = np.where(self.near, 0.5 * spread + 0.5 * (self.average @ spread), 0.0)
        return spread
