"""The controls of a head: which there are, their limits and what each says about itself.

Action units come from the project's one table of them, :mod:`hack_model.facs.catalogue`; angles' limits from the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from hack_model.facs.catalogue import SIDES, ActionUnit, catalogue

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

REGIONS: Final = {
    "head": "Head",
    "brows": "Brows",
    "eyes": "Eyes",
    "gaze": "Gaze",
    "cheeks": "Cheeks",
    "nose": "Nose",
    "mouth": "Mouth",
    "jaw": "Jaw",
    "tongue": "Tongue",
    "neck": "Neck",
    "larynx": "Larynx",
    "expressions": "Expressions",
}
"""Regions of the face and their titles, in the order the panel shows them."""

HEAD_NOD, HEAD_TURN, HEAD_TILT, HEAD_FORWARD = "head_nod", "head_turn", "head_tilt", "head_forward"
GAZE_HORIZONTAL, GAZE_VERTICAL, GAZE_CONVERGENCE = "gaze_horizontal", "gaze_vertical", "gaze_convergence"
LARYNX_SIZE, LARYNX_SHIFT, LARYNX_FORWARD = "larynx_size", "larynx_shift", "larynx_forward"

_NECK_RANGE: Final = {
    HEAD_NOD: (math.radians(-80), math.radians(50)),
    HEAD_TURN: (math.radians(-80), math.radians(80)),
    HEAD_TILT: (math.radians(-45), math.radians(45)),
    HEAD_FORWARD: (math.radians(-20), math.radians(30)),
}
"""What a healthy adult's whole neck does: 80° extension, 50° flexion, 80° turn and 45° lean to each side. The sum of
the joints' limits is more, since no one reaches all of them at once. Forward and back end where a joint does."""
MAX_CONVERGENCE = math.radians(25)
LARYNX_KNOTS: Final = (-4, 8)
LARYNX_SPACING = 0.0025
LARYNX_FORWARD_FULL = 0.01
"""Numbers of the outermost slides of the larynx that have a shape key, and their distance in metres: 10 mm down to 20
mm up, the range of a swallow (10.4 ± 4.5 mm up, Deng 2015) with room. Between two of them the skin is interpolated.
The keys of the forward glide hold it at this many metres."""


@dataclass(frozen=True)
class ControlProperty:
    """One control, an id-property of the armature object.

    ``row`` is shared by controls one panel row shows side by side (a unit's left and right). Limits are those of typing
    (hard) and of dragging (soft); values in radians for subtype ANGLE, metres for DISTANCE.
    """

    key: str
    row: str
    label: str
    region: str
    side: Literal["L", "R", ""]
    description: str
    minimum: float
    maximum: float
    soft_minimum: float
    soft_maximum: float
    default: float = 0.0
    subtype: Literal["NONE", "ANGLE", "DISTANCE"] = "NONE"


def controls(
    expressions: Sequence[str], joint_limits: Float[Array, "10 3 2"] | None = None
) -> tuple[ControlProperty, ...]:
    """Every control of a head with these expressions, in the order the panel shows them.

    ``joint_limits`` are the model's (:class:`hack_model.ModelAsset`); without them the angles' soft limits are a half
    turn, which does for everything but making the controls.
    """
    known = set(expressions)
    limits = np.broadcast_to([-math.pi, math.pi], (10, 3, 2)) if joint_limits is None else joint_limits
    units = [unit for unit in shown_units() if known & set(unit.shapes())]
    everything = [
        *_angles(limits),
        *(control for unit in units for control in _unit_controls(unit)),
        *_larynx(),
        *(_expression(name) for name in expressions),
    ]
    order = list(REGIONS)
    return tuple(sorted(everything, key=lambda control: order.index(control.region)))


def shown_units() -> Iterator[ActionUnit]:
    """The action units that are sliders: those some expression shows. Head and gaze have angles instead."""
    return (unit for unit in catalogue().values() if unit.kind == "shape")


def unit_keys(unit: ActionUnit) -> dict[str, dict[str, float]]:
    """The keys of a unit's sliders, ``AU12L`` and ``AU12R`` or ``AU25``, each with its expressions' weights."""
    if not unit.two_sided:
        return {unit.code: unit.shapes()}
    return {unit.code + side[0].upper(): unit.shapes(side) for side in SIDES}


def _unit_controls(unit: ActionUnit) -> Iterator[ControlProperty]:
    for key, shapes in unit_keys(unit).items():
        side: Literal["L", "R", ""] = "" if not unit.two_sided else "L" if key.endswith("L") else "R"
        where = {"L": ", subject's left", "R": ", subject's right", "": ""}[side]
        muscles = f". Muscles: {unit.muscles}" if unit.muscles else ""
        yield ControlProperty(
            key=key,
            row=unit.code,
            label=f"{unit.code[2:]} {unit.name.capitalize()}",
            region=unit.region,
            side=side,
            description=f"{unit.code}{where}: {unit.description}{muscles}. Shows {', '.join(shapes)}",
            minimum=-1,
            maximum=2,
            soft_minimum=0,
            soft_maximum=1,
        )


def _expression(name: str) -> ControlProperty:
    stem, _, side = name.rpartition("_")
    sided = side in ("L", "R")
    return ControlProperty(
        key=name,
        row=stem if sided else name,
        label=stem if sided else name,
        region="expressions",
        side="L" if side == "L" else "R" if side == "R" else "",
        description=f"Expression {name}, added to what the action units give",
        minimum=-10,
        maximum=10,
        soft_minimum=0,
        soft_maximum=1,
    )


def _angles(limits: Float[Array, "10 3 2"]) -> Iterator[ControlProperty]:
    eyes = limits[8:].mean(axis=0)
    share = ", shared over the joints of the neck"
    yield _angle(
        HEAD_TURN,
        "51/52 Turn",
        "head",
        f"AU51, AU52: turns the head, + to the subject's left{share}",
        _NECK_RANGE[HEAD_TURN],
    )
    yield _angle(HEAD_NOD, "53/54 Nod", "head", f"AU53, AU54: nods the head, + chin down{share}", _NECK_RANGE[HEAD_NOD])
    yield _angle(
        HEAD_TILT,
        "55/56 Tilt",
        "head",
        f"AU55, AU56: leans the head, + to the subject's right{share}",
        _NECK_RANGE[HEAD_TILT],
    )
    yield _angle(
        HEAD_FORWARD,
        "57/58 Forward",
        "head",
        "AU57, AU58: moves the level head forward (+) or back: the lower neck bends by this, the upper against it",
        _NECK_RANGE[HEAD_FORWARD],
    )
    lids = "; the lids follow"
    yield _angle(
        GAZE_HORIZONTAL,
        "61/62 Sideways",
        "gaze",
        f"AU61, AU62: turns both eyes, + to the subject's left{lids}",
        eyes[1],
    )
    up = (-eyes[0][1], -eyes[0][0])
    yield _angle(GAZE_VERTICAL, "63/64 Up", "gaze", f"AU63, AU64: turns both eyes, + up{lids}", up)
    both = (-MAX_CONVERGENCE, MAX_CONVERGENCE)
    yield _angle(
        GAZE_CONVERGENCE, "65/66 Converge", "gaze", "AU65, AU66: turns each eye by this much, + towards the nose", both
    )


def _angle(key: str, label: str, region: str, description: str, limits: tuple[float, float]) -> ControlProperty:
    low, high = float(limits[0]), float(limits[1])
    return ControlProperty(key, key, label, region, "", description, -math.pi, math.pi, low, high, subtype="ANGLE")


def _larynx() -> Iterator[ControlProperty]:
    size = "Size of the larynx: 0 shows no prominence, 1 the person's own"
    yield ControlProperty(LARYNX_SIZE, LARYNX_SIZE, "Size", "larynx", "", size, -10, 10, 0, 2)
    low, high = (knot * LARYNX_SPACING for knot in LARYNX_KNOTS)
    shift = "Slide of the larynx along the neck, + up; a swallow (AU80) lifts it by about 10 mm and lets it down"
    forward = "Glide of the larynx under the skin, + forwards; a swallow (AU80) moves the risen larynx by about 7 mm"
    yield ControlProperty(
        LARYNX_SHIFT, LARYNX_SHIFT, "Slide", "larynx", "", shift, low, high, low, high, subtype="DISTANCE"
    )
    yield ControlProperty(
        LARYNX_FORWARD, LARYNX_FORWARD, "Forward", "larynx", "", forward, -0.02, 0.02, 0, 0.012, subtype="DISTANCE"
    )
