"""Crowns of human teeth: their sizes (``data/dentition/crowns.csv``, averages of adults) and their outlines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hack_model.errors import AssetError
from hack_model.resources import data_folder
from hack_model.tables import read_table

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

MILLIMETRE = 1e-3


@dataclass(frozen=True)
class Crown:
    """One tooth's crown: its kind and its sizes in metres."""

    kind: str
    length: float
    mesiodistal: float
    buccolingual: float


@dataclass(frozen=True)
class Form:
    """Outline of a kind of crown at ``heights`` (0 the cervix, 1 the edge), as shares of its diameters.

    ``width`` mesiodistal; ``labial`` and ``lingual`` distances from the arch; ``power`` of the superellipse around;
    ``lean`` how far the crown leans towards the lips, as a tangent.
    """

    heights: tuple[float, ...]
    width: tuple[float, ...]
    labial: tuple[float, ...]
    lingual: tuple[float, ...]
    power: float
    lean: float = 0.0


_HEIGHTS = (-0.15, 0.0, 0.25, 0.55, 0.82, 0.97)
FORMS = {
    "incisor": Form(
        _HEIGHTS, (0.68, 0.8, 0.95, 1.05, 1.08, 1.05),
        (0.36, 0.42, 0.45, 0.42, 0.34, 0.26), (-0.4, -0.46, -0.48, -0.22, -0.02, 0.07), 7.0, 0.3,
    ),
    "canine": Form(
        _HEIGHTS, (0.68, 0.8, 0.95, 1.07, 1.02, 0.52),
        (0.36, 0.44, 0.48, 0.46, 0.36, 0.2), (-0.4, -0.46, -0.5, -0.3, -0.12, 0.0), 3.0, 0.15,
    ),
    "premolar": Form(
        _HEIGHTS, (0.66, 0.76, 0.92, 1.03, 1.0, 0.84),
        (0.38, 0.42, 0.48, 0.48, 0.42, 0.33), (-0.38, -0.42, -0.48, -0.48, -0.42, -0.33), 3.0,
    ),
    "molar": Form(
        _HEIGHTS, (0.76, 0.83, 0.93, 1.02, 1.0, 0.9),
        (0.4, 0.43, 0.49, 0.48, 0.43, 0.36), (-0.4, -0.43, -0.49, -0.48, -0.43, -0.36), 3.2,
    ),
}  # fmt: skip


def read_crowns() -> dict[str, tuple[Crown, ...]]:
    """Average crowns of the upper and the lower jaw from the midline backwards."""
    path = data_folder() / "dentition" / "crowns.csv"
    sizes = ("crown_length", "mesiodistal", "buccolingual")
    found: dict[str, list[Crown]] = {"upper": [], "lower": []}
    for place, row in read_table(path, AssetError, "arch", "kind", *sizes):
        try:
            crown = Crown(row["kind"], *(float(row[size]) * MILLIMETRE for size in sizes))
            found[row["arch"]].append(crown)
        except (KeyError, ValueError) as fault:
            raise AssetError(f"{place}: wanted the arch, upper or lower, and sizes in millimetres ({fault})") from fault
    return {arch: tuple(crowns) for arch, crowns in found.items()}


def reach(crown: Crown) -> float:
    """How far a crown comes before the arch."""
    form = FORMS[crown.kind]
    return float(max(np.array(form.labial) * crown.buccolingual + lean(crown, np.array(form.heights))))


def lean(crown: Crown, height: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Shift towards the lips of a crown's part at ``height`` (0 the cervix, 1 the edge)."""
    return FORMS[crown.kind].lean * (height - 0.6) * crown.length
