"""FLAME as a model of this project: its mesh and spaces, this project's neck.

FLAME's vertices keep their order and their place, so that a mesh of the one is a mesh of the other. Its expressions
stay its own: each component gives two expressions, ``flame_expression_007_positive`` and ``…_negative``, which at
activation 1 show two standard deviations. Its jaw joint becomes the expressions jawOpen, jawLeft and jawRight,
skinning and correctives of the fully turned jaw included. Its single neck joint gives way to the eight cervical
joints, whose places, weights and correctives are carried over from a template model.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hack_model.asset import ModelAsset
from hack_model.build.materials import TABLE
from hack_model.errors import FormatError
from hack_model.kinematics import rotation_matrix
from hack_model.names import SKELETON
from hack_model.schema import SCHEMA_VERSION
from hack_model.sources import transfer
from hack_model.sources.colour import with_carried_albedo
from hack_model.sources.flame import JOINTS, LICENCE, FlameModel
from hack_model.sources.registration import Landmarks
from hack_model.sources.surface import SurfacePoints, connected_pieces, mirror_vertices

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

EXPRESSION_STEP: Final = 2.0
"""Standard deviations of a FLAME expression component at activation 1."""
JAW: Final = {"jawLeft": (0.0, 0.12, 0.0), "jawOpen": (0.45, 0.0, 0.0), "jawRight": (0.0, -0.12, 0.0)}
"""Axis-angle of FLAME's jaw joint, radians, at activation 1; jawOpen parts the incisors by about 45 mm."""
_OUTLINE: Final = 17
_NOSE_TIP: Final = 30
_PUPIL, _IRIS = 0.0022, 0.0058
"""Radii about the eye's axis, metres."""
_SEAM_SPACE: Final = 1.1
_MATERIALS: Final = ("skin", "sclera", "iris", "pupil")


@dataclass(frozen=True)
class Pieces:
    """FLAME's mesh in pieces: vertices of the skin and of the eyeballs."""

    skin: slice
    eye_left: slice
    eye_right: slice


def build_flame(
    flame: FlameModel, template: ModelAsset, *, progress: Callable[[str, int, int], None] = lambda *_: None
) -> ModelAsset:
    """The model asset; ``template`` gives the neck, the larynx and MediaPipe's landmarks.

    Raises :class:`FormatError` for a mesh that is not FLAME's.
    """
    pieces = find_pieces(flame)
    progress("lay the template upon the head", 0, 2)
    fitted = lay_template(flame, template, pieces)
    progress("carry skeleton and larynx", 1, 2)
    faces = np.column_stack([flame.faces, np.full(len(flame.faces), -1)]).astype(np.int32)
    uv, face_uv = _texture_coordinates(flame)
    names, expressions = expression_basis(flame)
    parts = sorted((("skin", pieces.skin), ("eye_left", pieces.eye_left), ("eye_right", pieces.eye_right)),
                   key=lambda part: part[1].start)  # fmt: skip
    fields: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "name": "hack-flame",
        "version": "1.0",
        "licence": LICENCE,
        "provenance": json.dumps(_provenance(flame, fitted)),
        "template": flame.template,
        "faces": faces,
        "uv": uv,
        "face_uv": face_uv,
        "part_names": np.array([name for name, _ in parts]),
        "part_vertices": np.array([[part.start, part.stop] for _, part in parts]),
        "material_names": np.array(_MATERIALS),
        "material_color": np.array([TABLE[name][0] for name in _MATERIALS]),
        "material_roughness": np.array([TABLE[name][1] for name in _MATERIALS]),
        "face_material": _face_materials(flame, pieces),
        "mirror_vertices": mirror_vertices(flame.template, faces),
        "shape_basis": flame.shape_basis,
        "expression_names": np.array(names),
        "expression_basis": expressions,
    }
    fields |= transfer.transferred_fields(fitted, flame.template, (pieces.eye_left, pieces.eye_right))
    fields |= transfer.identity_fields(fitted, flame.shape_basis[:, pieces.skin])
    weights = np.zeros((len(flame.template), len(SKELETON)))
    weights[pieces.skin] = fields["weights"]
    for name, part in parts[1:]:
        weights[part, SKELETON.index(name)] = 1
    fields["weights"] = weights
    if len(template.landmarks68_vertices):
        found = fitted.surface.closest(transfer.landmark_places(fitted, "landmarks68"))
        fields["landmarks68_vertices"], fields["landmarks68_weights"] = found.vertices, found.weights
    progress("carry skeleton and larynx", 2, 2)
    return with_carried_albedo(ModelAsset.from_arrays(fields), fitted)


def find_pieces(flame: FlameModel) -> Pieces:
    """Skin and eyeballs by the mesh's connectedness and the places of the eye joints."""
    piece = connected_pieces(flame.faces, len(flame.template))
    skin = np.bincount(piece).argmax()
    centres = {number: flame.template[piece == number].mean(axis=0) for number in np.unique(piece) if number != skin}
    found = {"skin": int(skin)}
    for side in ("eye_left", "eye_right"):
        joint = flame.joints[JOINTS.index(side)]
        if centres:
            found[side] = int(min(centres, key=lambda number: float(np.linalg.norm(centres[number] - joint))))
    slices: dict[str, slice] = {}
    for name, number in found.items():
        rows = np.flatnonzero(piece == number)
        slices[name] = slice(int(rows[0]), int(rows[-1]) + 1)
    whole = len(slices) == 3 and sum(part.stop - part.start for part in slices.values()) == len(flame.template)
    if not whole or len(set(found.values())) < 3 or slices["skin"].start:
        raise FormatError(
            f"the mesh has {len(np.unique(piece))} pieces; wanted FLAME's skin and, after it, two eyeballs"
        )
    return Pieces(slices["skin"], slices["eye_left"], slices["eye_right"])


def lay_template(flame: FlameModel, template: ModelAsset, pieces: Pieces) -> transfer.Fitted:
    """The template's skin laid upon FLAME's mean head: by FLAME's own landmarks, or by eyes and tip of the nose."""
    if not len(template.landmarks68_vertices) or "eye_left" not in template.part_names:
        raise FormatError(f"the template {template.name} has no Multi-PIE landmarks or no eyes to lay it on FLAME by")
    skin = flame.faces[(flame.faces < pieces.skin.stop).all(axis=1)]
    eyes = np.stack([_middle(flame.template[part]) for part in (pieces.eye_left, pieces.eye_right)])
    own = np.stack([_middle(template.template[template.part(name)]) for name in ("eye_left", "eye_right")])
    outer = np.ones(pieces.skin.stop, bool)
    faces = np.column_stack([skin, np.full(len(skin), -1)])
    vertices = flame.template[pieces.skin]
    marks = _landmark_pairs(flame, template, eyes.mean(axis=0))
    return transfer.Fitted.of(template, vertices, faces, outer, marks, shift=(eyes - own).mean(axis=0))


def expression_basis(flame: FlameModel) -> tuple[tuple[str, ...], Float[Array, "E V 3"]]:
    """Names and displacements at activation 1: the jaw's, then both directions of every component."""
    names = list(JAW)
    fields = [jaw_displacement(flame, np.array(turn)) for turn in JAW.values()]
    for number, component in enumerate(flame.expression_basis):
        names += [f"flame_expression_{number:03d}_{sign}" for sign in ("positive", "negative")]
        fields += [EXPRESSION_STEP * component, -EXPRESSION_STEP * component]
    return tuple(names), np.stack(fields).astype(np.float32)


def flame_expression(names: tuple[str, ...], activations: Float[Array, "*batch E"]) -> Float[Array, "*batch K"]:
    """FLAME's own expression coefficients, in standard deviations, of activations by this model's names."""
    count = 1 + max((int(name.split("_")[2]) for name in names if name.startswith("flame_expression_")), default=-1)
    result = np.zeros((*activations.shape[:-1], count))
    for column, name in enumerate(names):
        if name.startswith("flame_expression_"):
            sign = 1 if name.endswith("positive") else -1
            result[..., int(name.split("_")[2])] += sign * EXPRESSION_STEP * activations[..., column]
    return result


def jaw_displacement(flame: FlameModel, turn: Float[Array, "3"]) -> Float[Array, "V 3"]:
    """What turning the jaw joint alone (axis-angle, radians) does to the mean head, correctives included."""
    jaw = JOINTS.index("jaw")
    change = rotation_matrix(turn) - np.eye(3)
    features = flame.pose_basis[9 * (jaw - 1) : 9 * jaw].astype(np.float64)
    posed = flame.template + np.einsum("k,kvc->vc", change.reshape(-1), features)
    arm = posed - flame.joints[jaw]
    return posed - flame.template + flame.weights[:, [jaw]] * (arm @ change.T)


def _landmark_pairs(flame: FlameModel, template: ModelAsset, eyes: Float[Array, "3"]) -> Landmarks:
    chosen = slice(_OUTLINE, None) if flame.landmarks51 is not None else slice(_NOSE_TIP, _NOSE_TIP + 1)
    vertices, weights = template.landmarks68_vertices[chosen], template.landmarks68_weights[chosen]
    points = SurfacePoints(vertices, weights, np.zeros(len(vertices)))
    if flame.landmarks51 is not None:
        index, shares = flame.landmarks51
        targets = np.einsum("lk,lkc->lc", shares, flame.template[flame.faces[index]])
    else:
        away = flame.template - eyes
        near = (np.abs(away[:, 0]) < 0.015) & (away[:, 1] < 0) & (away[:, 1] > -0.06)
        targets = flame.template[near][[np.argmax(flame.template[near, 2])]] if near.any() else flame.template[:0]
        if not len(targets):
            raise FormatError("the mesh has no skin below and between its eyes; this is not FLAME's head")
    return Landmarks(points, targets, np.ones(len(targets)))


def _middle(points: Float[Array, "n 3"]) -> Float[Array, "3"]:
    return 0.5 * (points.min(axis=0).astype(np.float64) + points.max(axis=0))


def _face_materials(flame: FlameModel, pieces: Pieces) -> Int[Array, " F"]:
    material = np.zeros(len(flame.faces), np.int32)
    for part in (pieces.eye_left, pieces.eye_right):
        own = (flame.faces[:, 0] >= part.start) & (flame.faces[:, 0] < part.stop)
        away = flame.template[flame.faces[own]].mean(axis=1) - _middle(flame.template[part])
        radius = np.where(away[:, 2] > 0, np.hypot(away[:, 0], away[:, 1]), np.inf)
        material[own] = np.select(
            [radius < _PUPIL, radius < _IRIS], [_MATERIALS.index("pupil"), _MATERIALS.index("iris")], 1
        )
    return material


def _texture_coordinates(flame: FlameModel) -> tuple[Float[Array, "T 2"], Int[Array, "F 4"]]:
    """The file's own where it has them, else a cylinder's about the head, its seam at the back."""
    none = np.full((len(flame.faces), 1), -1)
    own, own_faces = flame.arrays.get("vt"), flame.arrays.get("ft")
    if own is not None and own_faces is not None and own_faces.shape == flame.faces.shape and own.ndim == 2:
        inside = own_faces.size and own_faces.max() < len(own) and own_faces.min() >= 0
        if inside and own.shape[1] == 2 and own.min() >= 0 and own.max() <= 1:
            return own.astype(np.float64), np.concatenate([own_faces, none], axis=1).astype(np.int32)
    middle, low = flame.template.mean(axis=0), flame.template.min(axis=0)
    around = np.arctan2(flame.template[:, 0] - middle[0], flame.template[:, 2] - middle[2]) / (2 * np.pi) + 0.5
    height = (flame.template[:, 1] - low[1]) / np.ptp(flame.template[:, 1])
    corners = around[flame.faces]
    beyond = (np.ptp(corners, axis=1, keepdims=True) > 0.5) & (corners < 0.5)
    pairs, index = np.unique(np.stack([flame.faces, beyond], axis=-1).reshape(-1, 2), axis=0, return_inverse=True)
    uv = np.stack([(around[pairs[:, 0]] + pairs[:, 1]) / _SEAM_SPACE, height[pairs[:, 0]]], axis=1)
    return uv.clip(0, 1), np.concatenate([index.reshape(-1, 3), none], axis=1).astype(np.int32)


def _provenance(flame: FlameModel, fitted: transfer.Fitted) -> dict[str, Any]:
    template, distance = fitted.template, fitted.distances() * 1000
    return {
        "source": "FLAME (Max Planck Institute for Intelligent Systems), a user's own copy",
        "sha256": flame.sha256,
        "landmarks": "FLAME's static embedding" if flame.landmarks51 is not None else "eyes and tip of the nose",
        "carried_over": f"neck joints, weights, larynx, colours, landmarks from {template.name} {template.version} "
        f"({template.licence})",
        "template_distance_mm": {
            "median": round(float(np.median(distance)), 3), "95_percent": round(float(np.percentile(distance, 95)), 3),
        },
    }  # fmt: skip
