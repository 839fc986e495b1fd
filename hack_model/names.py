"""Names every part of the project shares: joints, expressions, parts. Order is part of the format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

CERVICAL_JOINTS: Final = ("c7t1", "c6c7", "c5c6", "c4c5", "c3c4", "c2c3", "c1c2", "oc1")
"""The eight joints of ``pose``, root first."""

EYE_JOINTS: Final = ("eye_left", "eye_right")
"""The two joints of ``eye_pose``; subject's left first. Children of ``oc1``."""

SKELETON: Final = ("base", *CERVICAL_JOINTS, *EYE_JOINTS)
"""Columns of the skinning weights: the fixed base (torso), the cervical chain, the eyes."""

SKELETON_PARENTS: Final = (-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8)
"""Index of each skeleton joint's parent in :data:`SKELETON`; -1 for the base."""

HACK_EXPRESSIONS: Final = (
    "browDown_L",
    "browDown_R",
    "browInnerUp_L",
    "browInnerUp_R",
    "browOuterUp_L",
    "browOuterUp_R",
    "cheekPuff_L",
    "cheekPuff_R",
    "cheekRaiser_L",
    "cheekRaiser_R",
    "cheekSquint_L",
    "cheekSquint_R",
    "eyeBlink_L",
    "eyeBlink_R",
    "eyeLookDown_L",
    "eyeLookDown_R",
    "eyeLookIn_L",
    "eyeLookIn_R",
    "eyeLookOut_L",
    "eyeLookOut_R",
    "eyeLookUp_L",
    "eyeLookUp_R",
    "eyeSquint_L",
    "eyeSquint_R",
    "eyeWide_L",
    "eyeWide_R",
    "jawForward",
    "jawLeft",
    "jawOpen",
    "jawRight",
    "mouthClose",
    "mouthDimple_L",
    "mouthDimple_R",
    "mouthFrown_L",
    "mouthFrown_R",
    "mouthFunnel",
    "mouthLeft",
    "mouthLowerDown_L",
    "mouthLowerDown_R",
    "mouthPress_L",
    "mouthPress_R",
    "mouthPucker",
    "mouthRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthSmile_L",
    "mouthSmile_R",
    "mouthStretch_L",
    "mouthStretch_R",
    "mouthUpperUp_L",
    "mouthUpperUp_R",
    "noseSneer_L",
    "noseSneer_R",
)
"""HACK's 55 expressions in HACK's order (the release's index of each is its position here)."""


def unique_names(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """The names, each that is ``taken`` or stood before with ``_2``, ``_3`` … behind it; case makes no difference.

    For formats and file systems that would put things of one name into one.
    """
    used = {name.casefold() for name in taken}
    result: list[str] = []
    for name in names:
        found, number = name, 1
        while found.casefold() in used:
            number += 1
            found = f"{name}_{number}"
        used.add(found.casefold())
        result.append(found)
    return result
