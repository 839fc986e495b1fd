"""The tightened neck (FACS AU21): cords and lifted skin over the contracted platysma, as geometry.

The lines of the left side are a table (``data/hack_open/platysma.csv``). The skin stands out along them, sinks between
the cords and glides towards the line where both ends of the muscle pull it to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import scipy.sparse as sp
from scipy.interpolate import PchipInterpolator
from scipy.spatial import KDTree

from hack_model.appearance.anatomy import smoothstep
from hack_model.borders import border_edges
from hack_model.build.refine import Edges
from hack_model.errors import AssetError
from hack_model.formats.surface import vertex_normals
from hack_model.resources import data_folder
from hack_model.tables import read_table

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from hack_model.build.head import Head

    Array = np.ndarray

_COLLAR: Final = 0.030
"""Metres from the open border of the collar within which the displacement falls to nothing."""
_SEAM: Final = 0.022
"""Half the width in metres of the border between the lifted skin of the left and of the right."""
_CORNERS, _FADE = -0.0325, 0.014
"""Height of the corners of the mouth on the template, and metres above it within which the lower face's motion ends."""
_HOLLOW: Final = 0.45
"""Depth of the hollows beside a cord, as a share of its height …"""
_HOLLOW_WIDTH: Final = 2.1
"""… and their reach in widths of the cord."""
_CLAVICLE, _EAR_LOBE = -0.150, -0.014
"""Heights of the clavicle and of the base of the ear lobe on the template, metres."""
_CONVERGENCE: Final = 0.545
"""Share of the way from clavicle to ear lobe at which the skin's motions meet: 54 ± 10 % (men), 55 ± 8 % (women) of 18
people at maximal contraction (Ohana et al., Plast Reconstr Surg 2024;153:601-607); skin moves down above it,
up below."""
_RISE, _FALL = 0.0055, 0.0018
"""Most that skin glides up over the clavicle and down over the jaw, metres. Between bands the muscle glides by 2.76 mm
in the mean, within them not at all (Calomeni et al., Aesthet Surg J 2024;44:233-239); chosen by eye."""
_STEP: Final = 0.001
_SMOOTHINGS, _NORMAL_SMOOTHINGS = 3, 20
"""Passes of averaging over neighbours: of the displacement, and of the normals it follows."""


@dataclass(frozen=True)
class Strand:
    """A line on the skin, densely: ``points`` (n, 3), ``height``, ``width`` (n,), metres; ``kind``: cord or sheet."""

    kind: str
    points: Float[Array, "n 3"]
    height: Float[Array, " n"]
    width: Float[Array, " n"]

    def profile(self, vertices: Float[Array, "V 3"]) -> tuple[Float[Array, " V"], Float[Array, " V"]]:
        """Height at the nearest point, and the distance from it in widths."""
        distance, nearest = KDTree(self.points).query(vertices)
        return self.height[nearest], distance / self.width[nearest]


def read_strands(head: Head) -> list[Strand]:
    """The table's lines on the head's skin. Raises :class:`AssetError` for a damaged table."""
    path = data_folder() / "hack_open" / "platysma.csv"
    rows: dict[tuple[str, str], list[list[float]]] = {}
    for place, row in read_table(path, AssetError, "kind", "name", "x", "y", "z", "height", "width"):
        try:
            values = [float(row[column]) / 1000 for column in ("x", "y", "z", "height", "width")]
        except ValueError as fault:
            raise AssetError(f"{place}: wanted five numbers ({fault})") from fault
        if row["kind"] not in ("cord", "sheet") or values[4] <= 0:
            raise AssetError(f"{place}: wanted the kind cord or sheet and a width above 0")
        rows.setdefault((row["kind"], row["name"]), []).append(values)
    outer = ~np.any(list(head.inner.values()), axis=0)
    skin = KDTree(head.skin.vertices[outer])
    return [_strand(kind, np.array(values), skin) for (kind, _), values in rows.items()]


def tighten_left(head: Head) -> Float[Array, "V 3"]:
    """Displacement of the skin, metres, where the left platysma is fully contracted; that of the right mirrors it."""
    vertices = head.skin.vertices
    averaging = _averaging(head.skin.faces, len(vertices))
    normals = _smoothed(averaging, vertex_normals(vertices, head.skin.faces), _NORMAL_SMOOTHINGS)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    cords, sheet, tense = np.zeros((3, len(vertices)))
    for strand in read_strands(head):
        height, away = strand.profile(vertices)
        if strand.kind == "sheet":
            sheet = np.maximum(sheet, height * np.exp(-(away**2)))
        else:
            hollow = _HOLLOW * np.exp(-((away / _HOLLOW_WIDTH) ** 2))
            cords += height * ((1 + _HOLLOW) * np.exp(-(away**2)) - hollow)
            tense = np.maximum(tense, np.exp(-(away**2)))
    left = smoothstep(vertices[:, 0], -_SEAM, _SEAM)
    lift = (cords + left * sheet)[:, None] * normals
    glide = (left * (1 - 0.5 * tense))[:, None] * _glide(vertices, normals)
    moved = _smoothed(averaging, lift + glide, _SMOOTHINGS)
    return moved * _kept(head)[:, None]


def below_mouth(head: Head, skin: Float[Array, "V 3"]) -> Float[Array, "V 3"]:
    """A displacement of the skin as far as the platysma reaches: whole to the corners of the mouth, nothing above."""
    return skin * (1 - smoothstep(head.skin.vertices[:, 1], _CORNERS, _CORNERS + _FADE))[:, None]


def _averaging(faces: Int[Array, "F 4"], count: int) -> sp.csr_matrix:
    """Matrix that gives every vertex half its own value and half its neighbours' mean."""
    pairs = Edges.of(faces).vertices
    ends = np.concatenate([pairs, pairs[:, ::-1]])
    share = 0.5 / np.bincount(ends[:, 0], minlength=count)[ends[:, 0]]
    return sp.csr_matrix(0.5 * sp.eye(count) + sp.csr_matrix((share, (ends[:, 0], ends[:, 1])), (count, count)))


def _smoothed(matrix: sp.csr_matrix, values: np.ndarray, passes: int) -> np.ndarray:
    for _ in range(passes):
        values = matrix @ values
    return values


def _strand(kind: str, rows: np.ndarray, skin: KDTree) -> Strand:
    points = np.asarray(skin.data)[skin.query(rows[:, :3])[1]]
    rows = np.column_stack([0.5 * (points + rows[:, :3]), rows[:, 3:]])
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(rows[:, :3], axis=0), axis=1))])
    dense = PchipInterpolator(along, rows)(np.arange(0, along[-1], _STEP))
    return Strand(kind, dense[:, :3], dense[:, 3], dense[:, 4])


def _glide(vertices: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Motion along the skin: up below the line of convergence, most at the clavicle, and down above it."""
    meet = _CLAVICLE + _CONVERGENCE * (_EAR_LOBE - _CLAVICLE)
    heights = np.array([-0.22, _CLAVICLE - 0.008, meet, meet + 0.025, meet + 0.055])
    amount = PchipInterpolator(heights, [0, _RISE, 0, -_FALL, 0])(np.clip(vertices[:, 1], heights[0], heights[-1]))
    front = smoothstep(vertices[:, 2], -0.02, 0.02)
    up = np.array([0.0, 1.0, 0.0]) - normals[:, 1:2] * normals
    return (amount * front)[:, None] * up


def _kept(head: Head) -> np.ndarray:
    """1 on the outer skin, 0 inside mouth and sockets and at the collar's border."""
    border = np.unique(border_edges(head.skin.faces))
    vertices = head.skin.vertices
    border = border[vertices[border, 1] < -0.1]
    away = KDTree(vertices[border]).query(vertices)[0]
    return smoothstep(away, 0.0, _COLLAR) * ~np.any(list(head.inner.values()), axis=0)
