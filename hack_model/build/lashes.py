"""Lashes: tapered, curved hairs rooted on the outer edges of the lids' margins, which they follow and turn with.

Hairs are fewer and thicker than real ones, 7 mm long above and 4 mm below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hack_model.build.following import flip
from hack_model.build.lids import find_lids
from hack_model.build.parts import Part

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from hack_model.build.head import Head

    Array = np.ndarray

_COUNT = {"upper": 64, "lower": 34}
_LENGTH = {"upper": 0.0072, "lower": 0.0040}
_WIDTH = {"upper": 0.00038, "lower": 0.00026}
_RISE = {"upper": 0.42, "lower": -0.45}
"""How far the tip bends up (or down) for its length."""
_SECTIONS = 4


@dataclass(frozen=True)
class Roots:
    """Where hairs grow: between two skin vertices (indices), ``share`` of the way; ``upper`` tells the lid."""

    first: Int[Array, " H"]
    second: Int[Array, " H"]
    share: Float[Array, " H"]
    upper: Float[Array, " H"]

    def at(self, skin: Float[Array, "V 3"]) -> Float[Array, "H 3"]:
        """Values of the skin's vertices at the roots."""
        return (1 - self.share[:, None]) * skin[self.first] + self.share[:, None] * skin[self.second]


def build(head: Head) -> list[Part]:
    """The parts ``lashes_left`` and ``lashes_right``."""
    left = _build_left(head)
    twin = head.source.base.mirror
    mirrored = left.embedding[:, twin].tocsr()
    right = Part(
        name="lashes_right",
        vertices=left.vertices * [-1, 1, 1],
        faces=flip(left.faces),
        uv=left.uv,
        face_uv=flip(left.faces),
        face_material=left.face_material,
        embedding=mirrored,
        joint="oc1",
    )
    return [left, right]


def find_roots(head: Head, side: str) -> Roots:
    """The roots on the margins of one eye, spread evenly and kept away from the corners."""
    lids = find_lids(head, side)
    place = np.full(len(head.base), -1)
    place[head.skin_control] = np.arange(len(head.skin_control))  # refined vertices begin with the control mesh's
    ring = place[lids.rings[1]]
    upper = lids.upper(head.base)
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    for name, chosen in (("upper", upper), ("lower", ~upper)):
        columns = np.flatnonzero(chosen)
        if len(columns) != columns[-1] - columns[0] + 1:  # the run wraps around the end of the ring
            split = int(np.argmax(np.diff(columns))) + 1
            columns = np.concatenate([columns[split:], columns[:split]])
        points = head.skin.vertices[ring[columns]]
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        low, high = (0.04, 0.96) if name == "upper" else (0.08, 0.92)
        wanted = np.linspace(low, high, _COUNT[name]) * along[-1]
        step = np.clip(np.searchsorted(along, wanted, side="right") - 1, 0, len(columns) - 2)
        share = (wanted - along[step]) / (along[step + 1] - along[step])
        parts.append((ring[columns[step]], ring[columns[step + 1]], share, np.full(len(wanted), name == "upper")))
    first, second, share, is_upper = (np.concatenate(list(items)) for items in zip(*parts, strict=True))
    return Roots(first, second, share, is_upper)


@dataclass(frozen=True)
class Follower:
    """How one side's lashes follow the skin: each hair moves with its root and turns with it about the eyeball."""

    roots: Roots
    centre: Float[Array, "3"]
    skin: Float[Array, "V 3"]
    hairs: Float[Array, "H n 3"]

    @classmethod
    def of(cls, head: Head, part: Part) -> Follower:
        """The follower of a part made here."""
        side = part.name.removeprefix("lashes_")
        roots = find_roots(head, side)
        hairs = part.vertices.reshape(len(roots.share), -1, 3)
        return cls(roots, find_lids(head, side).ball.centre, head.skin.vertices, hairs)

    def follow(self, displacement: Float[Array, "V 3"]) -> Float[Array, "n 3"]:
        """Displacement of the lashes' vertices when the skin's are displaced."""
        before = self.roots.at(self.skin)
        moved = before + self.roots.at(displacement)
        offset = self.hairs - before[:, None]
        turned = np.einsum("hij,hvj->hvi", _turns(before - self.centre, moved - self.centre), offset)
        return (moved[:, None] + turned - self.hairs).reshape(-1, 3)


def _turns(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Smallest rotations (n, 3, 3) between directions (Rodrigues' formula)."""
    first = before / np.linalg.norm(before, axis=1, keepdims=True)
    second = after / np.linalg.norm(after, axis=1, keepdims=True)
    axis = np.cross(first, second)
    cosine = np.einsum("ni,ni->n", first, second)
    cross = np.zeros((len(axis), 3, 3))
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
    cross -= cross.transpose(0, 2, 1)
    return np.eye(3) + cross + cross @ cross / (1 + cosine)[:, None, None]


def _build_left(head: Head) -> Part:
    roots = find_roots(head, "left")
    lids = find_lids(head, "left")
    place = roots.at(head.skin.vertices)
    outward = place - lids.ball.centre
    outward[:, 1] = np.where(roots.upper, -0.12, -0.25) * np.abs(outward[:, 2])
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    name = np.where(roots.upper, "upper", "lower")
    jitter = np.random.default_rng(3).uniform(-1, 1, (len(place), 3))
    length = np.array([_LENGTH[kind] for kind in name]) * (1 + 0.15 * jitter[:, 0])
    middle = np.sin(np.pi * _place_along(roots))
    length *= 0.6 + 0.4 * middle
    rise = np.array([_RISE[kind] for kind in name]) * (1 + 0.15 * jitter[:, 1])
    width = np.array([_WIDTH[kind] for kind in name])
    fan = np.zeros_like(outward)
    fan[:, 0] = np.clip((place[:, 0] - lids.ball.centre[0]) / 0.014, -1, 1) * 0.35 + 0.12 * jitter[:, 2]
    direction = outward + fan
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    across = np.cross(direction, [0.0, 1.0, 0.0])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    share = np.linspace(0, 1, _SECTIONS)
    spine = place[:, None] + length[:, None, None] * (
        share[None, :, None] * direction[:, None]
        + (rise[:, None] * share[None] ** 2 - 0.12 * np.sign(rise)[:, None] * share[None])[..., None]
        * np.array([0.0, 1.0, 0.0])
    )
    spine -= 0.0008 * outward[:, None]
    half = 0.5 * width[:, None, None] * (1 - 0.85 * share[None, :, None]) * across[:, None]
    vertices = np.stack([spine - half, spine + half], axis=2).reshape(-1, 3)
    quads = []
    for section in range(_SECTIONS - 1):
        at = 2 * section
        quads.append([at, at + 1, at + 3, at + 2])
    per_hair = 2 * _SECTIONS
    faces = (np.arange(len(place))[:, None, None] * per_hair + np.array(quads)).reshape(-1, 4).astype(np.int32)
    rows = head.skin.embedding
    blend = rows[roots.first].multiply(1 - roots.share[:, None]) + rows[roots.second].multiply(roots.share[:, None])
    embedding = blend.tocsr()[np.repeat(np.arange(len(place)), per_hair)]
    uv = np.column_stack([np.tile([0.91, 0.93], len(vertices) // 2), np.tile(np.repeat(share, 2), len(place)) * 0.12])
    return Part("lashes_left", vertices, faces, uv, faces, ("lashes",) * len(faces), embedding, "oc1")


def _place_along(roots: Roots) -> np.ndarray:
    """Position of each hair along its lid, 0 to 1."""
    result = np.zeros(len(roots.upper))
    for chosen in (roots.upper, ~roots.upper):
        result[chosen] = np.linspace(0.08, 0.92, int(chosen.sum()))
    return result
