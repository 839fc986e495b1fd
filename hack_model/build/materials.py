"""Materials of the default model and its painted skin: tone, lips, brows, lids, inside of mouth and nose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import scipy.sparse as sp
from scipy import ndimage
from scipy.spatial import KDTree

from hack_model.asset import split_quads
from hack_model.build.dentition import mouth_place
from hack_model.build.lids import FAR, find_lids, ring_field
from hack_model.build.lips import find_lip_line
from hack_model.build.refine import Edges
from hack_model.build.regions import skin_regions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float, Int, UInt8

    from hack_model.build.head import Head
    from hack_model.build.parts import Part

    Array = np.ndarray

SIZE = 1024
TABLE = {
    "skin": ((0.56, 0.36, 0.28, 1.0), 0.5),
    "sclera": ((0.72, 0.68, 0.65, 1.0), 0.25),
    "limbus": ((0.10, 0.075, 0.055, 1.0), 0.25),
    "iris": ((0.115, 0.06, 0.025, 1.0), 0.3),
    "iris_inner": ((0.19, 0.10, 0.04, 1.0), 0.3),
    "pupil": ((0.003, 0.003, 0.003, 1.0), 0.6),
    "cornea": ((0.0, 0.0, 0.0, 0.08), 0.03),
    "teeth": ((0.70, 0.64, 0.53, 1.0), 0.18),
    "gums": ((0.46, 0.15, 0.14, 1.0), 0.35),
    "tongue": ((0.45, 0.15, 0.14, 1.0), 0.4),
    "lashes": ((0.012, 0.009, 0.007, 1.0), 0.6),
}
"""Linear RGBA and roughness of every material."""
_TONE = np.array([0.775, 0.605, 0.520])
_REDDER = np.array([0.735, 0.500, 0.440])
_LIPS = np.array([0.655, 0.405, 0.380])
_MOUTH = np.array([0.330, 0.120, 0.115])
_LID = np.array([0.700, 0.490, 0.440])
_BROW = np.array([0.170, 0.120, 0.090])
_SHADOW = np.array([0.640, 0.470, 0.410])
"""sRGB colours of the skin's parts."""
_BROW_CURVE = np.array(
    [[-0.0205, 0.0150], [-0.0100, 0.0178], [0.0030, 0.0202], [0.0130, 0.0205], [0.0220, 0.0160], [0.0260, 0.0128]]
)
"""Middle line of the left brow, x and y in metres from the eyeball's centre."""
_BROW_HALF = np.array([0.0040, 0.0043, 0.0040, 0.0034, 0.0020, 0.0008])
"""Half the brow's height along that line."""


@dataclass(frozen=True)
class Materials:
    """Names, linear RGBA colours (M, 4), roughness (M,) and the skin's colour map, sRGB, first row at v = 1."""

    names: tuple[str, ...]
    color: Float[Array, "M 4"]
    roughness: Float[Array, " M"]
    albedo: UInt8[Array, "H W 3"]


def build(head: Head, parts: Sequence[Part]) -> Materials:
    """The materials of all parts; the colour map is painted for the skin's texture coordinates."""
    del parts
    return Materials(
        tuple(TABLE),
        np.array([color for color, _ in TABLE.values()]),
        np.array([roughness for _, roughness in TABLE.values()]),
        paint_skin(head),
    )


def paint_skin(head: Head) -> UInt8[Array, "H W 3"]:
    """The skin's colour map: each texel is coloured by its place on the head."""
    triangle, weights = _texels(head.skin, SIZE)
    corners = split_quads(head.skin.faces)
    covered = triangle >= 0
    corner, share = corners[triangle[covered]], weights[covered]

    def carried(values: np.ndarray) -> np.ndarray:
        return np.einsum("nk,nk...->n...", share, values[corner])

    place = carried(head.skin.vertices)
    colour = _colours(head, place, carried)
    image = np.zeros((SIZE, SIZE, 3))
    image[covered] = colour
    nearest = cast("np.ndarray", ndimage.distance_transform_edt(~covered, return_distances=False, return_indices=True))
    image = image[nearest[0], nearest[1]]
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def _colours(head: Head, place: np.ndarray, carried: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    regions = skin_regions(head)
    eye = find_lids(head, "left").ball.centre
    side = place * np.array([1.0, 1.0, 1.0])
    side[:, 0] = np.abs(side[:, 0])
    colour = np.broadcast_to(_TONE, place.shape).copy()
    blotch = 0.5 * _noise(place, 0.018, 5) + 0.3 * _noise(place, 0.006, 6) + 0.2 * _noise(place, 0.0025, 7)
    colour *= 1 + 0.035 * blotch[:, None]
    colour = _blend(colour, _REDDER, 0.55 * _blob(side, eye + np.array([0.008, -0.034, 0.0]), 0.024))  # cheek
    colour = _blend(colour, _REDDER, 0.6 * _blob(side, [0, eye[1] - 0.033, eye[2] + 0.055], 0.013))  # tip of the nose
    colour = _blend(colour, _REDDER, 0.35 * _blob(side, [0, eye[1] - 0.098, eye[2] + 0.04], 0.016))  # chin
    colour = _blend(colour, _REDDER, 0.5 * carried(regions["ears"]))
    colour = _blend(
        colour, _SHADOW, 0.35 * _blob(side, eye + np.array([-0.004, -0.014, 0.012]), 0.011)
    )  # below the eye
    rings = np.minimum(ring_field(head, find_lids(head, "left")), ring_field(head, find_lids(head, "right")))
    margin = np.where(rings < FAR, np.exp(-((np.maximum(rings, -0.5) - 0.6) ** 2) / 0.9), 0.0)
    colour = _blend(colour, _LID, 0.85 * carried(margin))
    colour = _blend(colour, _LID * 0.85, carried(np.where(rings < 0.3, 1.0, 0.0)))
    lip = lip_density(head, place)
    colour = _blend(colour, _LIPS * (1 + 0.05 * _noise(place, 0.0015, 9))[:, None], 0.75 * lip)
    colour = _blend(colour, _MOUTH, carried(head.inner["mouth_interior"].astype(float)))
    colour = _blend(colour, _MOUTH * 0.8, carried(_nostrils(head)))
    return _blend(colour, _BROW, brow_density(side - eye, place))


def brow_density(offset: Float[Array, "n 3"], place: Float[Array, "n 3"]) -> Float[Array, " n"]:
    """How much of the brow's hair covers points, in [0, 1]; ``offset`` from the eyeball's centre, x outwards."""
    along = np.linspace(0, 1, 200)
    knots = np.linspace(0, 1, len(_BROW_CURVE))
    curve = np.stack([np.interp(along, knots, _BROW_CURVE[:, axis]) for axis in range(2)], axis=1)
    curve = ndimage.gaussian_filter1d(curve, 12, axis=0, mode="nearest")
    half = np.interp(along, knots, _BROW_HALF)
    distance, index = KDTree(curve).query(offset[:, :2])
    tangent = np.gradient(curve, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    away = offset[:, :2] - curve[index]
    across = (tangent[index, 0] * away[:, 1] - tangent[index, 1] * away[:, 0]) / half[index]
    inside = np.clip(1.35 - np.abs(across) ** 1.6 * 1.1, 0, 1) * (offset[:, 2] > -0.01)
    beyond = (index == 0) | (index == len(curve) - 1)
    inside *= np.where(beyond, np.exp(-((distance / 0.0022) ** 2)), 1.0)
    slant = along[index] * 0.052 - across * half[index] * (0.9 - 0.75 * along[index])
    mirror = np.sign(place[:, 0])
    hair = 0.6 * _noise(np.stack([slant / 0.00055, across * 0.7, mirror], axis=1), 1.0, 21)
    hair += 0.4 * _noise(np.stack([slant / 0.00031, across * 1.1, mirror], axis=1), 1.0, 22)
    start = np.clip(along[index] / 0.22, 0, 1) * np.clip((1 - along[index]) / 0.25, 0.25, 1)
    return np.clip(inside * (0.50 + 0.75 * hair), 0, 0.8) * np.clip(inside * 1.6, 0, 1) * (0.35 + 0.65 * start)


def lip_density(head: Head, place: Float[Array, "n 3"]) -> Float[Array, " n"]:
    """How red points are as lips, in [0, 1]: between the line of the lips and the borders of the vermilion.

    Mean heights of the vermilion of both sexes, 8.0 mm above and 9.3 mm below (Farkas 1994).
    """
    line = find_lip_line(head)
    _, wall = mouth_place(head)
    share = np.clip(np.abs(place[:, 0]) / (line.corner + 0.0016), 0, 1)
    peaks = np.abs(place[:, 0]) - 0.0062
    bow = 0.0007 * np.exp(-((place[:, 0] / 0.0030) ** 2)) - 0.0004 * np.exp(-((peaks / 0.003) ** 2))
    upper = 0.0012 + 0.0068 * (1 - share**1.7) ** 0.9 - bow
    lower = 0.0012 + 0.0081 * (1 - share**2.4) ** 0.8
    above = place[:, 1] - line.middle(place[:, 0])
    soft = 0.0011
    inside = np.where(above > 0, upper - above, lower + above)
    density = np.clip(0.5 + inside / (2 * soft), 0, 1)
    density = density * density * (3 - 2 * density)
    front = np.clip((place[:, 2] - (wall - 0.024)) / 0.004, 0, 1)
    return density * front * np.clip((1 - share) / 0.08, 0, 1)


def _nostrils(head: Head) -> np.ndarray:
    """1 deep inside the nostrils: skin near the nose's base that lies far behind its smoothed surroundings."""
    skin = head.skin
    eye = find_lids(head, "left").ball.centre
    edges = Edges.of(skin.faces).vertices
    count = len(skin.vertices)
    links = sp.csr_matrix((np.ones(2 * len(edges)), (edges.T.reshape(-1), edges[:, ::-1].T.reshape(-1))), (count,) * 2)
    average = sp.diags(1 / np.maximum(np.asarray(links.sum(axis=1)).ravel(), 1)) @ links
    smooth = skin.vertices
    for _ in range(14):
        smooth = average @ smooth
    centre = np.array([0.0105, eye[1] - 0.042, eye[2] + 0.036])
    near = np.linalg.norm((skin.vertices - centre * [1, 1, 1]) * [1, 1, 1], axis=1) < 0.016
    near |= np.linalg.norm(skin.vertices - centre * [-1, 1, 1], axis=1) < 0.016
    sunk = smooth[:, 1] - skin.vertices[:, 1]
    return np.where(near, np.clip((-sunk - 0.0012) / 0.0015, 0, 1), 0.0)


def _blend(colour: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    share = np.clip(share, 0, 1)[:, None]
    return (1 - share) * colour + share * other


def _blob(place: np.ndarray, centre: Sequence[float] | np.ndarray, radius: float) -> np.ndarray:
    return np.exp(-(((place - np.asarray(centre)) / radius) ** 2).sum(axis=1))


def _noise(place: np.ndarray, period: float, seed: int) -> np.ndarray:
    """Smooth value noise in [-1, 1] with the given period in the units of ``place``."""
    table = np.random.default_rng(seed).uniform(-1, 1, 4096)
    scaled = place / period
    cell = np.floor(scaled).astype(np.int64)
    inside = scaled - cell
    inside = inside * inside * (3 - 2 * inside)
    total = np.zeros(len(place))
    for corner in np.ndindex(2, 2, 2):
        at = cell + np.array(corner)
        key = (at[:, 0] * 73856093 ^ at[:, 1] * 19349663 ^ at[:, 2] * 83492791) & 4095
        weight = np.prod(np.where(np.array(corner) == 1, inside, 1 - inside), axis=1)
        total += weight * table[key]
    return total


def _texels(skin: Part, size: int) -> tuple[Int[Array, "H W"], Float[Array, "H W 3"]]:
    """Triangle under each texel (-1 none) and its barycentric weights there; first row at v = 1."""
    triangles = split_quads(skin.face_uv)
    points = skin.uv * [size, -size] + [0, size]
    index = np.full((size, size), -1)
    weights = np.zeros((size, size, 3))
    for number, corners in enumerate(points[triangles]):
        low = np.maximum(np.floor(corners.min(axis=0) - 0.5), 0).astype(int)
        high = np.minimum(np.ceil(corners.max(axis=0) + 0.5), size).astype(int)
        columns, rows = np.meshgrid(np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5)
        first, second, third = corners
        edge, other = second - first, third - first
        area = edge[0] * other[1] - edge[1] * other[0]
        if abs(area) < 1e-12 or columns.size == 0:
            continue
        dx, dy = columns - first[0], rows - first[1]
        b = (dx * other[1] - dy * other[0]) / area
        c = (edge[0] * dy - edge[1] * dx) / area
        inside = (b >= -1e-6) & (c >= -1e-6) & (b + c <= 1 + 1e-6)
        y, x = np.nonzero(inside)
        index[low[1] + y, low[0] + x] = number
        weights[low[1] + y, low[0] + x] = np.stack([1 - b - c, b, c], axis=-1)[inside]
    return index, weights
