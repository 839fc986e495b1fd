"""A parametric dentition: two arches of fourteen teeth each, with gums and a palate, and the tongue between them.

An arch is as long as its teeth are wide. Overjet and overbite are the 2–3 mm of a normal bite; with the lips closed
the upper incisors end 2 mm below the line where the lips meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from hack_model.build.crowns import MILLIMETRE, reach, read_crowns
from hack_model.build.dental_arch import Arch, Jaw
from hack_model.build.following import affine_rows, flip, spread_anchors
from hack_model.build.gums import gum_mesh
from hack_model.build.parts import Part
from hack_model.build.refine import catmull_clark
from hack_model.build.teeth import tooth_mesh

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hack_model.build.head import Head

    Array = np.ndarray

_ANCHORS = 10
_FOLLOW_WALL = 0.8
"""Share of the lips' and the mouth wall's own movement, beyond that of MakeHuman's teeth, which an arch follows."""
_LIP_CLEARANCE = -0.5 * MILLIMETRE
"""From the mouth's front wall back to the foremost part of the upper crowns; they stand before it where it recedes."""
_OVERJET = 3.0 * MILLIMETRE
_HALF_WIDTH = {"upper": 26.5 * MILLIMETRE, "lower": 25.0 * MILLIMETRE}
"""From the midline to the middle of the last molar's distal side."""


def build(head: Head) -> list[Part]:
    """The parts ``teeth_upper`` and ``teeth_lower`` (each with its gums) and ``tongue``."""
    lips, wall = mouth_place(head)
    crowns = read_crowns()
    parts: list[Part] = []
    front = wall - _LIP_CLEARANCE
    for name in ("upper", "lower"):
        first = crowns[name][0]
        place = front - reach(first) - (_OVERJET if name == "lower" else 0.0)
        length = sum(crown.mesiodistal for crown in crowns[name])
        jaw = Jaw(name, crowns[name], Arch(_HALF_WIDTH[name], length), place, lips)
        parts.append(_part(head, jaw))
    return [*parts, build_tongue(head)]


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
    pieces = [(*tooth_mesh(jaw, index), "teeth") for index in range(len(jaw.crowns))] + [(*gum_mesh(jaw), "gums")]
    for vertices, quads, material in pieces:
        points.append(vertices)
        faces.append(np.where(quads < 0, -1, quads + total))
        materials += [material] * len(quads)
        total += len(vertices)
    joined = np.concatenate(faces)
    return np.concatenate(points), joined if jaw.name == "upper" else flip(joined), materials


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
