"""Eyeballs: a sphere, a recessed iris with its pupil, and a transparent cornea over it.

Sizes relative to an eyeball of 12.5 mm radius (average adult 12.1; MakeHuman's eye helpers, which its lids enclose, are
made for the larger one): iris 11.8 mm wide (Rüfer, Schröder & Erb 2005: 11.71 ± 0.42 mm), anterior corneal radius
7.8 mm (Gullstrand's schematic eye: 7.7; mean of adults 7.8), pupil 3.8 mm, as in the light of a room.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hack_model.build.following import affine_rows, flip, spread_anchors
from hack_model.build.parts import Part

if TYPE_CHECKING:
    from jaxtyping import Float

    from hack_model.build.head import Head

    Array = np.ndarray

SIDES = {"left": "helper-l-eye", "right": "helper-r-eye"}
EYEBALL_RADIUS = 0.0128
IRIS_RADIUS = 0.0059
CORNEA_RADIUS = 0.0078
PUPIL_RADIUS = 0.0019
_HELPER_RADIUS = 0.01495
"""Half the height of MakeHuman's eye helper on the adult average; the sizes above scale with it."""
_FORWARD = 0.0024
"""The eyeball's centre lies this far before the middle of the helper, whose front it shares."""
_SEGMENTS = 32
_ANCHORS = 12
_LIMBUS_ANGLE = float(np.arcsin(IRIS_RADIUS / EYEBALL_RADIUS))


@dataclass(frozen=True)
class Eyeball:
    """Where an eyeball sits: centre (3,) and the scale of its sizes (1 = those of this module)."""

    centre: Float[Array, "3"]
    scale: float

    @property
    def radius(self) -> float:
        """Radius of the sclera in metres."""
        return EYEBALL_RADIUS * self.scale

    def height(self, points: Float[Array, "*batch n 3"]) -> Float[Array, "*batch n"]:
        """Distance of points above the surface of sclera and cornea, negative inside, metres."""
        offset = points - self.centre
        above = np.linalg.norm(offset, axis=-1) - self.radius
        lift = np.array([0, 0, _cornea_centre() * self.scale])
        above_cornea = np.linalg.norm(offset - lift, axis=-1) - CORNEA_RADIUS * self.scale
        return np.minimum(above, above_cornea)


def eyeball(head: Head, side: str) -> Eyeball:
    """The eyeball of one side, placed in MakeHuman's eye helper."""
    helper = head.base[head.groups[SIDES[side]]]
    scale = float(np.ptp(helper[:, 1])) / 2 / _HELPER_RADIUS
    return Eyeball(helper.mean(axis=0) + np.array([0, 0, _FORWARD * scale]), scale)


def build(head: Head) -> list[Part]:
    """Both eyeballs as parts ``eye_left`` and ``eye_right``."""
    return [_build_side(head, side) for side in SIDES]


def _build_side(head: Head, side: str) -> Part:
    ball = eyeball(head, side)
    profile = _profile()
    points, faces, materials = _revolve(profile)
    vertices = ball.centre + points * ball.scale
    if side == "right":  # an exact mirror image of the left one
        points = points * [-1, 1, 1]
        vertices = ball.centre + points * ball.scale
        faces = flip(faces)
    candidates = head.groups[SIDES[side]]
    anchors = spread_anchors(head.base[candidates], candidates, _ANCHORS)
    if side == "right":
        left = head.groups[SIDES["left"]]
        chosen = spread_anchors(head.base[left], left, _ANCHORS)
        anchors = head.source.base.mirror[chosen]
    uv = _layout(points, side)
    return Part(
        name=f"eye_{side}",
        vertices=vertices,
        faces=faces,
        uv=uv,
        face_uv=faces,
        face_material=materials,
        embedding=affine_rows(vertices, head.base, anchors),
        joint=f"eye_{side}",
    )


def _cornea_centre() -> float:
    """Height of the corneal sphere's centre before the eyeball's: both meet at the iris' rim."""
    return float(EYEBALL_RADIUS * np.cos(_LIMBUS_ANGLE) - np.sqrt(CORNEA_RADIUS**2 - IRIS_RADIUS**2))


def _profile() -> list[tuple[str, list[tuple[float, float]]]]:
    """Curves (radius from the axis, height along it) from the outside inwards, each with its material.

    A curve that ends on the axis is closed by a fan.
    """
    angles = [np.pi, *np.radians([158, 136, 116, 98, 82, 68, 56, 46, 38, 32]), _LIMBUS_ANGLE]
    sclera = [(EYEBALL_RADIUS * float(np.sin(a)), EYEBALL_RADIUS * float(np.cos(a))) for a in angles]
    rim = sclera[-1][1]
    inner = 0.0034
    limbus = [(IRIS_RADIUS, rim), (IRIS_RADIUS * 0.965, rim - 0.0001), (IRIS_RADIUS * 0.9, rim - 0.0003)]
    iris = [limbus[-1], (0.0044, rim - 0.00035), (inner, rim - 0.0003)]
    collarette = [iris[-1], (0.0026, rim - 0.00025), (PUPIL_RADIUS, rim - 0.0003)]
    pupil = [collarette[-1], (PUPIL_RADIUS * 0.9, rim - 0.0008), (0.0, rim - 0.0009)]
    top = np.arcsin(IRIS_RADIUS / CORNEA_RADIUS)
    arc = [float(top * step) for step in (1.0, 0.75, 0.5, 0.25, 0.0)]
    cornea = [
        (1.002 * CORNEA_RADIUS * float(np.sin(a)), _cornea_centre() + CORNEA_RADIUS * float(np.cos(a))) for a in arc
    ]
    return [
        ("sclera", sclera), ("limbus", limbus), ("iris", iris), ("iris_inner", collarette), ("pupil", pupil),
        ("cornea", cornea),
    ]  # fmt: skip


def _revolve(
    curves: list[tuple[str, list[tuple[float, float]]]],
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Surfaces of revolution about +Z; rings that two neighbouring curves share are made once."""
    turn = np.arange(_SEGMENTS) / _SEGMENTS * 2 * np.pi
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    points: list[np.ndarray] = []
    rings: dict[tuple[float, float, bool], np.ndarray] = {}
    faces: list[np.ndarray] = []
    materials: list[str] = []
    total = 0
    for name, curve in curves:
        previous: np.ndarray | None = None
        for radius, height in curve:
            key = (round(radius, 9), round(height, 9), name == "cornea")
            if key not in rings:
                ring = (
                    np.column_stack([radius * circle, np.full(_SEGMENTS, height)])
                    if radius > 1e-9
                    else np.array([[0.0, 0.0, height]])
                )
                rings[key] = total + np.arange(len(ring))
                points.append(ring)
                total += len(ring)
            current = rings[key]
            if previous is not None:
                new = _band(previous, current)
                faces.append(new)
                materials += [name] * len(new)
            previous = current
    return np.concatenate(points), np.concatenate(faces).astype(np.int32), tuple(materials)


def _band(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Faces between two rings, or a ring and a pole, seen from +Z as the outer one approaches the axis."""
    if len(outer) == 1:
        following = np.roll(inner, -1)
        return np.column_stack([np.full(len(inner), outer[0]), following, inner, np.full(len(inner), -1)])
    following = np.roll(outer, -1)
    if len(inner) == 1:
        return np.column_stack([outer, following, np.full(len(outer), inner[0]), np.full(len(outer), -1)])
    return np.column_stack([outer, following, np.roll(inner, -1), inner])


def _layout(points: np.ndarray, side: str) -> np.ndarray:
    """Texture coordinates in the eyes' place: azimuthal equidistant from the front pole, one disc per side."""
    polar = np.arctan2(np.hypot(points[:, 0], points[:, 1]), points[:, 2]) / np.pi
    turn = np.arctan2(points[:, 1], points[:, 0])
    disc = polar[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    centre = np.array([0.07 if side == "left" else 0.21, 0.07])
    return centre + 0.065 * disc
