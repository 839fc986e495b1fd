"""A parametric dentition: two arches of fourteen teeth each, with gums and a palate, and the tongue between them.

Crown sizes are averages of adults (``data/dentition/crowns.csv``). The arch has nearly the form of the beta function
that Braun, Hnat, Fender & Legan (1998) fitted to dental casts, as long as its teeth are wide. Overjet and overbite are
the 2–3 mm of a normal bite; with the lips closed the upper incisors end 2 mm below the line where the lips meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import scipy.sparse as sp
from scipy.optimize import brentq

from hack_model.build.following import affine_rows, flip, spread_anchors
from hack_model.build.parts import Part
from hack_model.build.refine import catmull_clark
from hack_model.errors import AssetError
from hack_model.resources import data_folder
from hack_model.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float

    from hack_model.build.head import Head

    Array = np.ndarray

MILLIMETRE = 1e-3
ROUND = 12
"""Points around a crown."""
COLUMNS = 6
"""Columns of the gum per tooth."""
_ANCHORS = 10
_GUM_ROWS = 10
_FOLLOW_WALL = 0.8
"""Share of the lips' and the mouth wall's own movement, beyond that of MakeHuman's teeth, which an arch follows."""
_LIP_CLEARANCE = -0.5 * MILLIMETRE
"""From the mouth's front wall back to the foremost part of the upper crowns; they stand before it where it recedes."""
_OVERJET = 3.0 * MILLIMETRE
_HALF_WIDTH = {"upper": 26.5 * MILLIMETRE, "lower": 25.0 * MILLIMETRE}
"""From the midline to the middle of the last molar's distal side."""
_SQUARENESS = 0.65
"""Exponent of the arch: 0.8 is the beta function of Braun et al., 0.5 an ellipse; this puts the canines' cusps 35 mm
and the first molars' mesiobuccal cusps 53 mm apart."""
_TAPER = 0.07
"""Front teeth are wider by this share at their labial and narrower at their lingual side."""
_TURN = {0: 0.4, 1: 0.9}
"""Share of the arch's direction which the central and the lateral incisors take; they face rather forwards."""
_EDGE = {
    "upper": {"incisor": (-2.0, -1.5), "canine": (-2.0,), "premolar": (-1.3, -1.1), "molar": (-0.9, -0.9)},
    "lower": {"incisor": (0.3, 0.3), "canine": (0.4,), "premolar": (-0.7, -0.9), "molar": (-1.1, -1.1)},
}
"""Height of edge or cusps above the line of the lips in millimetres, front to back."""


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


class Arch:
    """The curve through the contact points of one jaw's teeth, by arc length from the midline (+ to the left)."""

    def __init__(self, half_width: float, half_length: float) -> None:
        def excess(depth: float) -> float:
            return self._trace(half_width, depth)[0][-1] - half_length

        self.depth = cast("float", brentq(excess, 0.3 * half_length, 1.2 * half_length))
        self._length, self._points = self._trace(half_width, self.depth)

    @staticmethod
    def _trace(half_width: float, depth: float) -> tuple[np.ndarray, np.ndarray]:
        x = half_width * np.sin(np.linspace(0, np.pi / 2, 400))
        z = depth * np.clip(1 - (x / half_width) ** 2, 0, 1) ** _SQUARENESS - depth
        points = np.stack([x, z], axis=1)
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        return np.concatenate([[0.0], np.cumsum(steps)]), points

    def at(self, length: Float[Array, " n"]) -> tuple[Float[Array, "n 2"], Float[Array, "n 2"]]:
        """Points (x, z), z = 0 at the front, and unit normals that point out of the mouth."""

        def place(s: np.ndarray) -> np.ndarray:
            x = np.interp(np.abs(s), self._length, self._points[:, 0]) * np.sign(s)
            return np.stack([x, np.interp(np.abs(s), self._length, self._points[:, 1])], axis=-1)

        length = np.asarray(length, float)
        reach = 0.4 * MILLIMETRE
        last = self._length[-1] - reach
        middle = np.clip(length, -last, last)
        tangent = place(middle + reach) - place(middle - reach)
        tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True)
        return place(length), np.stack([-tangent[..., 1], tangent[..., 0]], axis=-1)


@dataclass(frozen=True)
class Jaw:
    """One arch placed in the head: ``front`` z of the contact curve, ``lips`` y of the line of the lips."""

    name: str
    crowns: tuple[Crown, ...]
    arch: Arch
    front: float
    lips: float

    @property
    def up(self) -> float:
        """+1 where the roots point up."""
        return 1.0 if self.name == "upper" else -1.0

    @property
    def borders(self) -> Float[Array, "8"]:
        """Arc lengths of the contact points from the midline backwards."""
        return np.concatenate([[0.0], np.cumsum([crown.mesiodistal for crown in self.crowns])])

    def edge(self, index: int) -> float:
        """y of the edge or cusps of a tooth, counted from the midline."""
        kind = self.crowns[index].kind
        first = [crown.kind for crown in self.crowns].index(kind)
        return self.lips + _EDGE[self.name][kind][index - first] * MILLIMETRE

    def place(self, length: np.ndarray, y: np.ndarray, out: np.ndarray) -> Float[Array, "n 3"]:
        """Points by arc length, height and distance from the contact curve towards the lips."""
        points, normal = self.arch.at(length)
        flat = points + normal * np.asarray(out)[..., None]
        return np.stack([flat[..., 0], np.broadcast_to(y, flat[..., 0].shape), flat[..., 1] + self.front], axis=-1)


def build(head: Head) -> list[Part]:
    """The parts ``teeth_upper`` and ``teeth_lower`` (each with its gums) and ``tongue``."""
    lips, wall = mouth_place(head)
    crowns = read_crowns()
    parts: list[Part] = []
    front = wall - _LIP_CLEARANCE
    for name in ("upper", "lower"):
        first = crowns[name][0]
        place = front - _reach(first) - (_OVERJET if name == "lower" else 0.0)
        length = sum(crown.mesiodistal for crown in crowns[name])
        jaw = Jaw(name, crowns[name], Arch(_HALF_WIDTH[name], length), place, lips)
        parts.append(_part(head, jaw))
    return [*parts, build_tongue(head)]


def _reach(crown: Crown) -> float:
    """How far a crown comes before the arch."""
    form = FORMS[crown.kind]
    return float(max(np.array(form.labial) * crown.buccolingual + _lean(crown, np.array(form.heights))))


def _lean(crown: Crown, height: np.ndarray) -> np.ndarray:
    """Shift towards the lips of a crown's part at ``height`` (0 the cervix, 1 the edge)."""
    return FORMS[crown.kind].lean * (height - 0.6) * crown.length


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


def mouth_place(head: Head) -> tuple[float, float]:
    """y of the line where the lips meet and z of the mouth's front wall behind the upper lip, in metres."""
    teeth = head.base[head.groups["helper-upper-teeth"]]
    skin = head.skin.vertices
    near = (np.abs(skin[:, 0]) < 1e-4) & (skin[:, 2] > teeth[:, 2].max()) & (skin[:, 2] < teeth[:, 2].max() + 0.03)
    near &= np.abs(skin[:, 1] - teeth[:, 1].min()) < 0.025
    opened = np.linalg.norm(head.skin.embedding[near] @ head.target("faceunits/jawOpen"), axis=1)
    lower = opened > 0.5 * opened.max()
    middle = skin[near]
    lips = float(middle[~lower, 1].min() + middle[lower, 1].max()) / 2
    wall = middle[(middle[:, 1] > lips + 0.004) & (middle[:, 1] < lips + 0.014), 2].min()
    return lips, float(wall)


def _part(head: Head, jaw: Jaw) -> Part:
    points, faces, materials = _half(jaw)
    vertices, faces, materials = _mirrored(points, faces, materials)
    candidates = head.groups[f"helper-{jaw.name}-teeth"]
    anchors = spread_anchors(head.base[candidates], candidates, _ANCHORS, centre_line=True)
    low = 0.3 if jaw.name == "upper" else 0.53
    flat = vertices[:, [0, 2]] - [0, vertices[:, 2].min()]
    uv = np.stack([low + 0.11 + flat[:, 0] * 1.5, 0.01 + flat[:, 1] * 1.5], axis=1)
    return Part(
        name=f"teeth_{jaw.name}",
        vertices=vertices,
        faces=faces,
        uv=np.clip(uv, [low, 0.0], [low + 0.22, 0.135]),
        face_uv=faces,
        face_material=materials,
        embedding=sp.csr_matrix(
            affine_rows(vertices, head.base, anchors) + _wall_rows(head, jaw, anchors, len(vertices))
        ),
        joint="oc1",
    )


def _wall_rows(head: Head, jaw: Jaw, anchors: np.ndarray, count: int) -> sp.csr_matrix:
    """Rows that let an arch follow the wall of the mouth in front of it where that moves otherwise than the helpers.

    A receding lip takes its teeth along, so that they do not come through the skin.
    """
    inner = head.skin_control[head.inner["mouth_interior"][: len(head.skin_control)]]  # control vertices come first
    left = inner[head.base[inner, 0] > 0.001]
    middle = np.array([0.008, jaw.lips + jaw.up * 0.008, jaw.front + 0.004])
    near = left[np.argsort(np.linalg.norm(head.base[left] - middle, axis=1))[:3]]
    chosen = np.concatenate([near, head.source.base.mirror[near]])
    share = np.full(len(chosen), 1 / len(chosen))
    wall = sp.csr_matrix((share, (np.zeros(len(chosen), int), chosen)), (1, len(head.base)))
    centre = np.asarray(wall @ head.base)
    row = _FOLLOW_WALL * (wall - affine_rows(centre, head.base, anchors))
    return sp.csr_matrix(np.ones((count, 1))) @ row


def _half(jaw: Jaw) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Teeth and gum of the left side; roots up is counted as height, so that both jaws share the code."""
    points: list[np.ndarray] = []
    faces: list[np.ndarray] = []
    materials: list[str] = []
    total = 0
    pieces = [(*_tooth(jaw, index), "teeth") for index in range(len(jaw.crowns))] + [(*_gum(jaw), "gums")]
    for vertices, quads, material in pieces:
        points.append(vertices)
        faces.append(np.where(quads < 0, -1, quads + total))
        materials += [material] * len(quads)
        total += len(vertices)
    joined = np.concatenate(faces)
    return np.concatenate(points), joined if jaw.name == "upper" else flip(joined), materials


def _tooth(jaw: Jaw, index: int) -> tuple[np.ndarray, np.ndarray]:
    crown, form = jaw.crowns[index], FORMS[jaw.crowns[index].kind]
    edge, middle = jaw.edge(index), (jaw.borders[index] + jaw.borders[index + 1]) / 2
    turn = np.arange(ROUND) / ROUND * 2 * np.pi
    across = _superellipse(np.cos(turn), form.power)
    deep = _superellipse(np.sin(turn), form.power)
    taper = 1 + (_TAPER if crown.kind in ("incisor", "canine") else 0.0) * deep  # front teeth narrow inwards
    rings = []
    for height, width, labial, lingual in zip(form.heights, form.width, form.labial, form.lingual, strict=True):
        centre, half = (labial + lingual) / 2, (labial - lingual) / 2
        rings.append(
            np.stack([taper * across * width * crown.mesiodistal / 2, (centre + half * deep) * crown.buccolingual,
                      np.full(ROUND, height * crown.length)], axis=1)
        )  # fmt: skip
    rings[-1] = _edge_ring(rings[-1], crown, turn)
    local = np.concatenate([*rings, *_cap(rings[-1], crown, turn)])
    out = local[:, 1] + _lean(crown, local[:, 2] / crown.length)
    base, normal = jaw.arch.at(np.array([middle]))
    turned = _TURN.get(index, 1.0) * np.arctan2(normal[0, 0], normal[0, 1])
    outwards = np.array([np.sin(turned), np.cos(turned)])
    tangent = np.array([outwards[1], -outwards[0]])
    flat = base[0] + local[:, :1] * tangent + out[:, None] * outwards
    y = edge + jaw.up * (crown.length - local[:, 2])
    vertices = np.stack([flat[:, 0], y, flat[:, 1] + jaw.front], axis=1)
    return vertices, _tube(len(rings) + 1, ROUND, fan=True)


def _superellipse(value: np.ndarray, power: float) -> np.ndarray:
    return np.sign(value) * np.abs(value) ** (2 / power)


def _edge_ring(ring: np.ndarray, crown: Crown, turn: np.ndarray) -> np.ndarray:
    """The top ring with rounded corners (front teeth) or cusps (back teeth)."""
    ring = ring.copy()
    if crown.kind == "incisor":
        ring[:, 2] -= 0.7 * MILLIMETRE * np.abs(np.cos(turn)) ** 4
    elif crown.kind == "canine":
        ring[:, 2] -= 1.1 * MILLIMETRE * np.abs(np.cos(turn))
    elif crown.kind == "premolar":
        ring[:, 2] -= 1.2 * MILLIMETRE * np.abs(np.cos(turn)) ** 1.5
    else:
        ring[:, 2] -= 0.9 * MILLIMETRE * np.abs(np.cos(2 * turn))
    return ring


def _cap(ring: np.ndarray, crown: Crown, turn: np.ndarray) -> list[np.ndarray]:
    """An inner ring and the middle of the biting face."""
    centre = ring.mean(axis=0)
    inner = centre + 0.55 * (ring - centre)
    middle = centre[None].copy()
    if crown.kind in ("incisor", "canine"):
        rise = 0.03 * crown.length if crown.kind == "incisor" else 0.06 * crown.length
        inner[:, 2] = ring[:, 2] + 0.6 * rise
        middle[:, 2] = ring[:, 2].max() + rise * 0.6
    else:
        inner[:, 2] = ring[:, 2] + 0.15 * MILLIMETRE
        middle[:, 2] = ring[:, 2].min() - 0.5 * MILLIMETRE
    return [inner, middle]


def _tube(rings: int, around: int, *, fan: bool) -> np.ndarray:
    """Quads between successive rings, counter-clockwise from outside for rings towards the roots' opposite side."""
    start = np.arange(rings - 1)[:, None] * around
    first = start + np.arange(around)
    second = start + (np.arange(around) + 1) % around
    quads = np.stack([first, first + around, second + around, second], axis=-1).reshape(-1, 4)
    if not fan:
        return quads
    last = (rings - 1) * around + np.arange(around)
    tip = np.full(around, rings * around)
    closing = np.column_stack([last, tip, np.roll(last, -1), np.full(around, -1)])
    return np.concatenate([quads, closing])


def _gum(jaw: Jaw) -> tuple[np.ndarray, np.ndarray]:
    """A sheet around the necks of the teeth, from the vestibule over the margins to the lingual side and the palate."""
    borders = jaw.borders
    length = np.concatenate(
        [np.linspace(borders[i], borders[i + 1], COLUMNS, endpoint=False) for i in range(len(jaw.crowns))]
        + [borders[-1:], borders[-1:] - 1e-6]
    )[:-1]
    tooth = np.minimum(np.arange(len(length)) // COLUMNS, len(jaw.crowns) - 1)
    share = np.concatenate([np.tile(np.arange(COLUMNS) / COLUMNS, len(jaw.crowns)), [1.0]])
    between = np.abs(2 * share - 1) ** 1.8
    neck = np.array([jaw.edge(i) + jaw.up * jaw.crowns[i].length for i in tooth])
    size = np.array([jaw.crowns[i].buccolingual for i in tooth])
    papilla = np.array([0.38 * jaw.crowns[i].length for i in tooth])
    lean = np.array([float(_lean(jaw.crowns[i], np.array(0.0))) for i in tooth])
    neck, size, papilla, lean = (_smoothed(value) for value in (neck, size, papilla, lean))
    front = np.array([FORMS[jaw.crowns[i].kind].labial[1] for i in tooth]) * size * (1 - 0.34 * between)
    back = np.array([FORMS[jaw.crowns[i].kind].lingual[1] for i in tooth]) * size * (1 - 0.30 * between)
    margin = neck - jaw.up * papilla * between
    mm, up = MILLIMETRE, jaw.up
    even = 0.42 * size
    depth, bulge = (7.0, 0.5) if jaw.name == "upper" else (4.5, 0.0)
    rows = [
        (neck + up * depth * mm, even - 0.7 * mm),
        (neck + up * 0.65 * depth * mm, even + bulge * mm),
        (neck + up * 2.2 * mm, 0.6 * even + 0.4 * front + 0.75 * mm),
        (margin + up * 0.7 * mm, front + 0.55 * mm),
        (margin, front + 0.15 * mm),
        (margin + up * 0.6 * mm, 0.5 * front),
        (margin + up * 0.6 * mm, 0.5 * back),
        (margin, back - 0.2 * mm),
        (neck + up * 1.8 * mm, back - 0.8 * mm),
        (neck + up * 5.0 * mm, back - 1.6 * mm),
    ]
    sheet = [jaw.place(length, y, out + lean) for y, out in rows]
    sheet += _palate(sheet[-1], jaw) if jaw.name == "upper" else []
    sheet = np.stack(sheet)
    sheet[:, 0, 0] = 0.0
    columns = sheet.shape[1]
    index = np.arange(sheet.shape[0] * columns).reshape(sheet.shape[:2])
    if jaw.name == "upper":  # in front, on the midline, all rows of the palate begin at one vertex
        index[_GUM_ROWS:, 0] = index[_GUM_ROWS - 1, 0]
    quads = np.stack([index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], axis=-1).reshape(-1, 4)
    doubled = quads[:, 0] == quads[:, 1]
    quads[doubled] = np.column_stack([quads[doubled][:, [0, 2, 3]], np.full(int(doubled.sum()), -1)])
    used, compact = np.unique(quads[quads >= 0], return_inverse=True)
    quads[quads >= 0] = compact
    return sheet.reshape(-1, 3)[used], quads


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Running mean over half a tooth, mirrored at the midline."""
    padded = np.concatenate([values[3:0:-1], values, values[-2:-5:-1]])
    return np.convolve(padded, np.ones(7) / 7, mode="valid")


def _palate(edge: np.ndarray, jaw: Jaw) -> list[np.ndarray]:
    """Rows from the lingual gum to the middle of the palate, a vault of 12 mm above the necks."""
    middle = np.stack([np.zeros(len(edge)), edge[:, 1], edge[:, 2]], axis=1)
    middle[:, 2] -= 2.5 * MILLIMETRE * (1 - np.abs(edge[:, 0]) / np.abs(edge[:, 0]).max())
    depth = np.clip((edge[0, 2] - edge[:, 2]) / 0.02, 0, 1)
    rows = []
    for share in (0.3, 0.65, 1.0):
        row = edge + share * (middle - edge)
        row[:, 1] += 8.0 * MILLIMETRE * depth * np.sin(share * np.pi / 2)
        rows.append(row)
    return rows


def _mirrored(
    points: np.ndarray, faces: np.ndarray, materials: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """The left half and its mirror image, joined along x = 0."""
    on_middle = np.abs(points[:, 0]) < 1e-9
    other = np.where(on_middle, np.arange(len(points)), 0)
    other[~on_middle] = len(points) + np.arange(int((~on_middle).sum()))
    image = flip(np.where(faces < 0, -1, other[faces]))
    vertices = np.concatenate([points, points[~on_middle] * [-1, 1, 1]])
    return vertices, np.concatenate([faces, image]).astype(np.int32), (*materials, *materials)


def build_tongue(head: Head) -> Part:
    """MakeHuman's tongue helper, refined once."""
    mesh = head.source.base
    quads = mesh.faces[mesh.group_faces("helper-tongue")]
    control, local = np.unique(quads, return_inverse=True)
    matrix, faces = catmull_clark(local.reshape(-1, 4), len(control))
    pick = sp.csr_matrix((np.ones(len(control)), control, np.arange(len(control) + 1)), (len(control), len(head.base)))
    embedding = sp.csr_matrix(matrix @ pick)
    vertices = embedding @ head.base
    low, high = vertices[:, [0, 2]].min(axis=0), vertices[:, [0, 2]].max(axis=0)
    uv = (vertices[:, [0, 2]] - low) / (high - low) * [0.13, 0.13] + [0.76, 0.005]
    faces = faces.astype(np.int32)
    return Part("tongue", vertices, faces, uv, faces, ("tongue",) * len(faces), embedding, "oc1")
