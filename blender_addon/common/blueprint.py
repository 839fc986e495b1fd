"""A head as plain data in Blender's axes: everything the rig is built of, computed by the model, without Blender."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from hack_model.facs.catalogue import catalogue
from hack_model.names import CERVICAL_JOINTS, EYE_JOINTS, SKELETON, SKELETON_PARENTS
from hack_model.posing import protraction_shares

from . import controls as table
from .axes import TO_BLENDER, to_blender
from .formulas import (
    BoneRotation,
    Control,
    Formula,
    Turn,
    number,
    product_of_factors,
    rotation_entry,
    rotation_vector,
    tent,
    weighted_sum,
)

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from hack_model.asset import ModelAsset
    from hack_model.model import HACK
    from hack_model.rig import Rig

    from .looks import Looks

    Array = np.ndarray

HEAD_CONTROL = "head"
"""Name of the bone an artist turns to turn the whole neck."""
HEAD_ORDER = "YXZ"
"""Its order of Euler angles."""
_BASE_COLOR = (0.95, 0.65, 0.15)
_HEAD_COLOR = (0.25, 0.7, 1.0)
_JOINT_COLOR = (1.0, 0.35, 0.35)
_EYE_COLOR = (0.35, 0.9, 0.45)


@dataclass(frozen=True)
class ShapeKey:
    """Offsets from the basis in metres at value 1, and the formula of its value."""

    name: str
    offsets: Float[Array, "V 3"]
    formula: Formula


@dataclass(frozen=True)
class Widget:
    """What a bone shows: a ring across ``axis`` of its frame, or only the arc of it behind the bone (towards -z).

    Radius and centre are in metres in the bone's frame; ``color`` is RGB as displayed.
    """

    radius: float
    centre: tuple[float, float, float]
    axis: Literal["y", "z"]
    color: tuple[float, float, float]
    shape: Literal["ring", "arc"] = "ring"


@dataclass(frozen=True)
class Bone:
    """A bone at rest: its origin, and its local axes as the columns of ``frame``; it lies along its y.

    ``follows`` names the bone whose rotation comes before its own; ``drivers`` are the formulas of its axis-angle.
    """

    name: str
    parent: str
    head: Float[Array, "3"]
    frame: Float[Array, "3 3"]
    length: float
    collection: Literal["Controls", "Joints", "Mechanism"]
    rotation_mode: str = "QUATERNION"
    follows: str = ""
    drivers: tuple[Formula, ...] = ()
    widget: Widget | None = None
    lock_location: bool = True
    lock_scale: bool = True


@dataclass(frozen=True)
class Blueprint:
    """A whole head. Vertices in the model's order; ``weights`` has one column per name of ``deform_bones``."""

    vertices: Float[Array, "V 3"]
    faces: Int[Array, "F 4"]
    uv: Float[Array, "T 2"]
    face_uv: Int[Array, "F 4"]
    face_material: Int[Array, " F"]
    looks: Looks
    deform_bones: tuple[str, ...]
    weights: Float[Array, "V J"]
    bones: tuple[Bone, ...]
    shape_keys: tuple[ShapeKey, ...]
    controls: tuple[table.ControlProperty, ...]


def head_blueprint(model: HACK, shape: Float[Array, " S"], looks: Looks) -> Blueprint:
    """The head of one identity, ``shape`` in standard deviations, fewer than S are padded with zeros."""
    asset = model.asset
    rig = model.rig(shape)
    neutral = rig()
    return Blueprint(
        vertices=to_blender(neutral.rest),
        faces=asset.faces,
        uv=asset.uv,
        face_uv=asset.face_uv,
        face_material=asset.face_material,
        looks=looks,
        deform_bones=SKELETON,
        weights=asset.weights,
        bones=tuple(_bones(asset, neutral.rest, neutral.joints)),
        shape_keys=tuple(_shape_keys(rig, asset)),
        controls=table.controls(asset.expression_names, asset.joint_limits),
    )


def base_origin(vertices: Float[Array, "V 3"], joints: Float[Array, "10 3"]) -> Float[Array, "3"]:
    """Where the base bone sits, in model axes: on the middle plane, level with the lowest vertex, below c7t1."""
    return np.array([0.0, vertices[:, 1].min(), joints[0, 2]], np.float64)


def _shape_keys(rig: Rig, asset: ModelAsset) -> Iterator[ShapeKey]:
    neutral = rig().rest
    formulas = _expression_formulas(asset)
    for name, offsets in zip(asset.expression_names, rig.expression_basis, strict=True):
        yield ShapeKey(name, to_blender(offsets), formulas[name])
    for name, offsets, factors in zip(asset.combination_names, rig.combination_basis, asset.combinations, strict=True):
        yield ShapeKey(name, to_blender(offsets), product_of_factors(factors.items()))
    for offsets, feature in zip(rig.pose_basis, asset.pose_features.tolist(), strict=True):
        joint, entry = divmod(feature, 9)
        row, column = divmod(entry, 3)
        bone = CERVICAL_JOINTS[joint]
        yield ShapeKey(f"pose {bone} {row}{column}", to_blender(offsets), rotation_entry(bone, row, column))
    first, last = table.LARYNX_KNOTS
    for knot in range(first, last + 1):
        shift = knot * table.LARYNX_SPACING
        place = (table.LARYNX_SHIFT, knot, table.LARYNX_SPACING, table.LARYNX_KNOTS)
        bump = rig(larynx_size=1.0, larynx_shift=shift).rest - neutral
        yield ShapeKey(f"larynx {shift * 1000:+.1f} mm", to_blender(bump), tent(table.LARYNX_SIZE, *place))
        if not asset.larynx_forward_map.size:
            continue
        full = table.LARYNX_FORWARD_FULL
        glide = rig(larynx_forward=full, larynx_shift=shift).rest - neutral
        formula = tent(table.LARYNX_FORWARD, *place, full=full)
        yield ShapeKey(f"larynx forward {shift * 1000:+.1f} mm", to_blender(glide), formula)


def _expression_formulas(asset: ModelAsset) -> dict[str, Formula]:
    """Each expression's own control plus the action units that show it, plus the lids' part in the gaze."""
    terms: dict[str, list[tuple[str, float]]] = {name: [(name, 1.0)] for name in asset.expression_names}
    for unit in table.shown_units():
        for key, shapes in table.unit_keys(unit).items():
            for name, weight in shapes.items():
                if name in terms:
                    terms[name].append((key, weight))
    lids = _lid_formulas(asset)
    return {name: weighted_sum(terms[name], lids.get(name, ())) for name in terms}


def _lid_formulas(asset: ModelAsset) -> Mapping[str, list[Formula]]:
    """What the gaze sliders add to the expressions of AU61–64, which are full at the eyes' limits."""
    limits = np.abs(asset.joint_limits[8:]).mean(axis=0)
    gaze = {
        "AU61": (table.GAZE_HORIZONTAL, "h", limits[1, 1]),
        "AU62": (table.GAZE_HORIZONTAL, "-h", limits[1, 0]),
        "AU63": (table.GAZE_VERTICAL, "v", limits[0, 0]),
        "AU64": (table.GAZE_VERTICAL, "-v", limits[0, 1]),
    }
    result: dict[str, list[Formula]] = {}
    for code, (key, name, limit) in gaze.items():
        for expression, weight in catalogue()[code].shapes().items():
            if limit > 0:
                text = f"max(0,{name})*{weight / limit:.9g}"
                result.setdefault(expression, []).append(Formula(text, {name[-1]: Control(key)}))
    return result


def _bones(asset: ModelAsset, vertices: Float[Array, "V 3"], joints: Float[Array, "10 3"]) -> Iterator[Bone]:
    radius = float(np.abs(vertices[:, 0]).max())
    origin = base_origin(vertices, joints)
    yield Bone(
        SKELETON[0], "", to_blender(origin), TO_BLENDER, 0.05, "Joints",
        widget=Widget(radius * 1.2, (0.0, 0.0, 0.0), "y", _BASE_COLOR), lock_location=False, lock_scale=False,
    )  # fmt: skip
    yield _head_control(vertices, joints)
    for index, name in enumerate((*CERVICAL_JOINTS, *EYE_JOINTS)):
        parent = SKELETON[SKELETON_PARENTS[index + 1]]
        head, frame = to_blender(joints[index]), TO_BLENDER @ asset.joint_frames[index]
        length = _length(index, joints)
        turns = _neck_turns(asset, index) if index < 8 else _gaze_turns(asset, index)
        follows = f"{name}_share"
        yield Bone(
            follows, parent, head, frame, length, "Mechanism",
            rotation_mode="AXIS_ANGLE", drivers=rotation_vector(turns),
        )  # fmt: skip
        widget = _joint_widget(vertices, joints[index], asset.joint_frames[index], eye=index >= 8)
        yield Bone(name, parent, head, frame, length, "Joints", follows=follows, widget=widget)


def _head_control(vertices: Float[Array, "V 3"], joints: Float[Array, "10 3"]) -> Bone:
    """A ring above the head, turning about the top joint, with the model's axes: x nods, y turns, z tilts."""
    top = joints[7]
    crown = vertices[:, 1].max() - top[1]
    ring = Widget(0.09, (0.0, float(crown) + 0.02, 0.0), "y", _HEAD_COLOR)
    return Bone(
        HEAD_CONTROL, SKELETON[0], to_blender(top), TO_BLENDER, 0.05, "Controls", rotation_mode=HEAD_ORDER, widget=ring
    )


def _neck_turns(asset: ModelAsset, joint: int) -> list[Turn]:
    """A joint's share of flexion and protraction, turn and lean, as :func:`hack_model.posing.neck_pose` has it."""
    sources = ((table.HEAD_NOD, "x"), (table.HEAD_TURN, "y"), (table.HEAD_TILT, "z"))
    forward = protraction_shares(asset)[joint]
    turns: list[Turn] = []
    for axis, (key, letter) in enumerate(sources):
        turned = BoneRotation(HEAD_CONTROL, f"ROT_{letter.upper()}", HEAD_ORDER)
        text = f"{number(asset.joint_rhythm[joint, axis])}*({letter}+r{letter})"
        variables: dict[str, Control | BoneRotation] = {letter: Control(key), f"r{letter}": turned}
        if axis == 0:
            text, variables = f"{text}+{number(forward)}*p", {**variables, "p": Control(table.HEAD_FORWARD)}
        turns.append(Turn(Formula(text, variables), asset.joint_axes[joint, axis].astype(float)))
    return turns


def _gaze_turns(asset: ModelAsset, joint: int) -> list[Turn]:
    """Up is extension, against the flexion axis; sideways is axial, to which each eye's convergence adds."""
    flexion, axial, _ = asset.joint_axes[joint].astype(float)
    inward = "-" if EYE_JOINTS[joint - 8] == "eye_left" else "+"
    sideways = Formula(f"h{inward}c", {"h": Control(table.GAZE_HORIZONTAL), "c": Control(table.GAZE_CONVERGENCE)})
    return [Turn(Formula("v", {"v": Control(table.GAZE_VERTICAL)}), -flexion), Turn(sideways, axial)]


def _length(joint: int, joints: Float[Array, "10 3"]) -> float:
    """To the next joint; the skull's bone reaches into the brain, an eye's to about its surface, metres."""
    if joint < 7:
        return float(np.linalg.norm(joints[joint + 1] - joints[joint]))
    return 0.06 if joint == 7 else 0.015


def _joint_widget(
    vertices: Float[Array, "V 3"], joint: Float[Array, "3"], frame: Float[Array, "3 3"], *, eye: bool
) -> Widget:
    """A ring before the eye; for a cervical joint an arc behind the nape at its level, where no face is in the way."""
    if eye:
        return Widget(0.014, (0.0, 0.0, 0.035), "z", _EYE_COLOR)
    local = (vertices - joint) @ frame
    nape = local[(np.abs(local[:, 1]) < 0.008) & (np.abs(local[:, 0]) < 0.03)]
    depth = float(-nape[:, 2].min()) if len(nape) else 0.06
    return Widget(depth + 0.008, (0.0, 0.0, 0.0), "y", _JOINT_COLOR, "arc")
