"""The expressions of hack-open: HACK's 55 and seven more, from MakeHuman's CC0 face units.

The recipe of each is a table (``data/hack_open/expressions.csv``). What a sum of targets cannot give is done here:
lids that meet and slide over the eyeball, jaws that move as rigid bodies, lips that stay before the teeth, left and
right as exact mirror images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hack_model.alignment import rigid_motion
from hack_model.build import lids as lids_module
from hack_model.build import platysma
from hack_model.build.lashes import Follower
from hack_model.build.lip_contact import LipContact
from hack_model.build.lips import LipGuard
from hack_model.build.symmetry import mirror_of_parts
from hack_model.errors import AssetError
from hack_model.names import HACK_EXPRESSIONS
from hack_model.resources import data_folder
from hack_model.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float

    from hack_model.build.head import Head
    from hack_model.build.parts import Part

    Array = np.ndarray

NAMES = (
    *HACK_EXPRESSIONS, "tongueOut", "neckTighten_L", "neckTighten_R", "nostrilDilate_L", "nostrilDilate_R",
    "nostrilCompress_L", "nostrilCompress_R",
)  # fmt: skip
JAW_UNITS = ("jawForward", "jawLeft", "jawOpen", "jawRight")
_SPLIT = {"browInnerUp_L": 0.012, "browOuterUp_L": 0.012, "noseSneer_L": 0.006, "nostrilCompress_L": 0.003}
"""Half the width in metres of the border between a left and a right half, where it is not that of the mouth."""
MOUTH_SPLIT = 0.014
"""The same for the mouth."""
INVISIBLE = 1.5e-5
"""Shorter displacements, in metres, are left out; the file is smaller for it."""
_MIRRORED = {"jawRight": "jawLeft", "mouthRight": "mouthLeft"}
_CLOSED = {
    "cheekPuff_L": 0.5, "jawForward": 0.75, "jawLeft": 0.75, "mouthClose": 0.5, "mouthDimple_L": 0.5,
    "mouthFrown_L": 0.5, "mouthLeft": 0.5, "mouthPress_L": 0.5, "mouthPucker": 0.5,
    "mouthRollLower": 0.3, "mouthRollUpper": 0.7,
    "mouthShrugLower": 0.4, "mouthSmile_L": 0.5, "mouthStretch_L": 0.5,
    "neckTighten_L": 0.5,
}  # fmt: skip
"""Expressions that leave the mouth closed, and the lower lip's share in what brings the lips back into contact."""


def build(head: Head, parts: Sequence[Part]) -> tuple[tuple[str, ...], Float[Array, "E V 3"]]:
    """Names and displacements in metres at activation 1 of all parts' vertices, skin first, in the parts' order."""
    return Builder(head, parts).all()


def read_recipes() -> dict[str, list[tuple[str, float, str]]]:
    """Source, weight and side of every expression's components. Raises :class:`AssetError` for a damaged table."""
    path = data_folder() / "hack_open" / "expressions.csv"
    recipes: dict[str, list[tuple[str, float, str]]] = {}
    for place, row in read_table(path, AssetError, "expression", "source", "weight", "side"):
        try:
            recipes.setdefault(row["expression"], []).append((row["source"], float(row["weight"]), row["side"]))
        except ValueError as fault:
            raise AssetError(f"{place}: the weight is not a number ({fault})") from fault
    return recipes


class Builder:
    """Makes one expression after the other; see :meth:`make`."""

    def __init__(self, head: Head, parts: Sequence[Part]) -> None:
        self.head, self.parts = head, list(parts)
        self.index = {part.name: place for place, part in enumerate(parts)}
        self.starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
        self.lids = {side: lids_module.find_lids(head, side) for side in ("left", "right")}
        self.fields = {side: lids_module.ring_field(head, self.lids[side]) for side in ("left", "right")}
        self.recipes = read_recipes()
        self.guard = LipGuard(head, [self.part("teeth_upper"), self.part("teeth_lower")])
        self.lashes = {part.name: Follower.of(head, part) for part in parts if part.name.startswith("lashes_")}
        self.contact = LipContact(head)
        self.skin_mirror = head.skin_mirror
        self.mirror = mirror_of_parts(parts)

    def part(self, name: str) -> Part:
        """The part of that name."""
        return self.parts[self.index[name]]

    def span(self, name: str) -> slice:
        """Where a part's vertices lie among those of all parts."""
        return slice(self.starts[self.index[name]], self.starts[self.index[name] + 1])

    def all(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Names and displacements of every expression."""
        basis = np.zeros((len(NAMES), self.starts[-1], 3), np.float32)
        for row, name in enumerate(NAMES):
            if name.endswith("_R") or name in _MIRRORED:
                continue
            skin, rest = self.make(name)
            basis[row] = np.concatenate([skin, *rest])
            basis[row][np.linalg.norm(basis[row], axis=1) < INVISIBLE] = 0
        for row, name in enumerate(NAMES):
            twin = _MIRRORED.get(name, name[:-2] + "_L" if name.endswith("_R") else "")
            if twin:
                basis[row] = self.mirrored(basis[NAMES.index(twin)])
        return NAMES, basis

    def make(self, name: str) -> tuple[np.ndarray, list[np.ndarray]]:
        """Displacement of the skin, and of every other part."""
        base = self.base_displacement(name)
        skin = self.head.skin.embedding @ base
        if not name.endswith("_L") and name not in ("jawLeft", "mouthLeft"):
            skin = self.even(skin)
        if name.startswith(("eye", "cheek", "brow")):
            for side in ("left", "right"):
                skin = lids_module.keep_outside(self.head.skin.vertices, skin, self.lids[side].ball, self.fields[side])
        elif name == "neckTighten_L":
            skin = platysma.below_mouth(self.head, skin) + platysma.tighten_left(self.head)
        others = [self.follow(part, name, base, skin) for part in self.parts[1:]]
        if name == "mouthClose":  # closes the lips of the opened jaw
            jaw, moves = self.make("jawOpen")
            skin = self.settle_lips(name, jaw + skin, self.arches(moves)) - jaw
        elif name.startswith(("mouth", "jaw", "cheekPuff", "noseSneer", "neckTighten")):
            skin = self.settle_lips(name, skin, self.arches(others))
        return skin, others

    def arches(self, others: list[np.ndarray]) -> list[np.ndarray]:
        """The teeth's displacements among those of the parts after the skin."""
        return [others[self.index[part] - 1] for part in ("teeth_upper", "teeth_lower")]

    def settle_lips(self, name: str, skin: np.ndarray, arches: list[np.ndarray]) -> np.ndarray:
        """The skin's displacement with the lips before the teeth, and closed where the expression leaves them so.

        Halves are settled alone, then together with their mirror image; they share what that takes.
        """
        share = _CLOSED.get(name)
        if name in ("jawLeft", "mouthLeft"):
            return self.settled(skin, arches, share)
        if not name.endswith("_L"):
            return self.even(self.settled(self.even(skin), arches, share))
        skin = self.settled(skin, arches, share)
        whole = 2 * self.even(skin)
        change = self.even(self.settled(whole, arches, share) - whole)
        return skin + left_half(self.head.skin.vertices[:, 0], MOUTH_SPLIT)[:, None] * change

    def even(self, skin: np.ndarray) -> np.ndarray:
        """The mean of a displacement of the skin and its mirror image."""
        return 0.5 * (skin + skin[self.skin_mirror] * [-1, 1, 1])

    def settled(self, skin: np.ndarray, arches: list[np.ndarray], lower_share: float | None) -> np.ndarray:
        """The skin's displacement with the lips before the teeth.

        ``lower_share`` brings the lips into contact, the lower lip by its share of the way; with None they may part.
        """
        for _ in range(2):
            skin = self.contact.keep(skin, lower_share)
            skin = self.guard.guard(skin, arches)
        return self.contact.keep(skin, lower_share)

    def base_displacement(self, name: str) -> np.ndarray:
        """The recipe's sum on the base mesh."""
        if name not in self.recipes:
            raise AssetError(f"the table of expressions has no row for {name}")
        total = np.zeros_like(self.head.base)
        for source, weight, side in self.recipes[name]:
            unit = self.head.target(source).astype(np.float64)
            if side == "left":
                unit = unit * left_half(self.head.base[:, 0], _SPLIT.get(name, MOUTH_SPLIT))[:, None]
            total += weight * unit
        if name == "eyeBlink_L":
            total = lids_module.blink(self.head, self.lids["left"], total)
        elif name == "eyeLookDown_L":
            total = lids_module.look_down(self.head, self.lids["left"], total)
        return total

    def follow(self, part: Part, name: str, base: np.ndarray, skin: np.ndarray) -> np.ndarray:
        """Displacement of a part other than the skin."""
        if part.name.startswith("eye_") or part.name == "teeth_upper":
            return np.zeros_like(part.vertices)
        if part.name in ("teeth_lower", "tongue") and name in JAW_UNITS:
            rotation, translation = self.jaw_motion(name)
            return part.vertices @ rotation.T + translation - part.vertices
        if part.name == "tongue" and name == "tongueOut":
            return part.embedding @ base
        if part.name.startswith("lashes_"):
            return self.lashes[part.name].follow(skin)
        return np.zeros_like(part.vertices)

    def jaw_motion(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The rigid motion of the lower jaw at activation 1, from that of MakeHuman's lower teeth."""
        teeth = self.head.groups["helper-lower-teeth"]
        before = self.head.base[teeth]
        moved = before + self.base_displacement(name)[teeth]
        return rigid_motion(before, moved)

    def mirrored(self, displacement: np.ndarray) -> np.ndarray:
        """The displacement of all vertices on the other side."""
        return displacement[self.mirror] * np.array([-1, 1, 1], np.float32)


def left_half(x: Float[Array, " n"], border: float) -> Float[Array, " n"]:
    """1 on the subject's left, 0 on the right, a smooth step of ``border`` metres to each side between."""
    share = np.clip((x + border) / (2 * border), 0, 1)
    return share * share * (3 - 2 * share)
