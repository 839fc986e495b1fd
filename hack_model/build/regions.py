"""Named soft regions of the skin, each vertex's membership in [0, 1]."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hack_model.build.head import Head
from hack_model.build.skinning import head_region, neck_field, torso_region

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray


EARS = ("l-ear-flap-incr", "r-ear-flap-incr", "l-ear-lobe-incr", "r-ear-lobe-incr")
"""Targets that move the auricle and its lobe but not the skin around them."""

_TRAGUS = 0.008
"""The tragus lies this far before what those targets move, metres."""
_TEMPLE = 0.06
"""Half the width of the head before the ears, less what the ear canal goes in."""


def skin_regions(head: Head) -> dict[str, Float[Array, " V"]]:
    """Regions by name: face, scalp, ears, lips, lids, neck, shoulders, mouth_interior, eye_sockets.

    face, scalp, ears, neck, shoulders, mouth_interior and eye_sockets sum to 1; lips and lids lie within face.
    """
    skin = head.skin.vertices
    _, y, z = skin.T
    interior = head.inner["mouth_interior"].astype(float)
    sockets = head.inner["eye_sockets"].astype(float)
    outer = 1 - interior - sockets
    ears = outer * _ears(head)
    inner = (interior + sockets) > 0
    field = neck_field(skin, head.skin.faces, head_region(skin, inner), torso_region(skin))
    shoulders = outer * _step(0.25 - field, 0.2)
    above = outer * _step(field - 0.75, 0.2)
    neck = outer - shoulders - above
    # The hairline runs from the temples before the ears up to the forehead's upper end.
    hairline = np.interp(y, [-0.03, 0.01, 0.05, 0.09, 0.12], [0.02, 0.022, 0.035, 0.05, 0.09])
    frontal = _step(z - hairline, 0.012)
    # Hair ends behind the ears at the lobes' height and on the nape a little lower; below is neck.
    nape = np.interp(z, [-0.05, -0.015, 0.01], [-0.034, -0.010, -0.004])
    bald = above * (1 - frontal) * _step(nape - y, 0.012)
    neck, above = neck + bald, above - bald
    rest = np.clip(above - ears, 0, None)
    total = np.maximum(ears + shoulders + neck + rest, 1e-9) / np.maximum(outer, 1e-9)
    regions = {
        "face": rest * frontal,
        "scalp": rest * (1 - frontal),
        "ears": ears,
        "neck": neck,
        "shoulders": shoulders,
    }
    regions = {name: value / np.maximum(total, 1e-9) * (outer > 0) for name, value in regions.items()}
    lips = ("mouth/mouth-lowerlip-volume-incr", "mouth/mouth-upperlip-volume-incr")
    blink = ("faceunits/eyeBlinkLeft", "faceunits/eyeBlinkRight")
    regions["lips"] = outer * _reach(head, lips, 0.25)
    regions["lids"] = outer * _reach(head, blink, 0.15)
    return regions | {"mouth_interior": interior, "eye_sockets": sockets}


def _ears(head: Head) -> np.ndarray:
    """The auricles with tragus and concha: what the ear targets move, and the oval around it, a little further on."""
    moved = _reach(head, tuple(f"ears/{name}" for name in EARS), 0.12)
    side, place = head.skin.vertices[:, 0], head.skin.vertices[:, 1:]
    auricle = place[moved > 0.5]
    middle = 0.5 * (auricle.min(axis=0) + auricle.max(axis=0)) + [0, _TRAGUS / 2]
    radii = 0.5 * np.ptp(auricle, axis=0) + [0, _TRAGUS / 2]
    oval = _step(1.05 - np.linalg.norm((place - middle) / radii, axis=1), 0.2) * (np.abs(side) > _TEMPLE)
    return np.maximum(moved, oval)


def _step(value: np.ndarray, width: float) -> np.ndarray:
    """Smooth step from 0 at -width/2 to 1 at +width/2."""
    share = np.clip(value / width + 0.5, 0, 1)
    return share * share * (3 - 2 * share)


def _reach(head: Head, targets: tuple[str, ...], full: float) -> np.ndarray:
    """How far targets move each skin vertex, relative to ``full`` of their largest displacement, at most 1."""
    reach = np.zeros(len(head.skin.vertices))
    for name in targets:
        moved = np.linalg.norm(head.skin.embedding @ head.target(name), axis=1)
        reach = np.maximum(reach, moved / (full * moved.max()))
    return _step(np.clip(reach, 0, 1) - 0.5, 1.0)
