"""The asset's fields that make the head move: joints, limits, skinning weights, larynx."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.build import skinning
from hack_model.build.assemble import Geometry
from hack_model.build.eyes import eyeball
from hack_model.build.head import Head
from hack_model.build.larynx import make_larynx
from hack_model.build.parts import Part
from hack_model.build.skeleton import even_weights, joint_frames, place_joints, regressor
from hack_model.names import SKELETON
from hack_model.spine import SpineTable, joint_limits

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    Array = np.ndarray

EYE_LIMITS_DEGREES = ((-30.0, 35.0), (-40.0, 40.0), (0.0, 0.0))
"""Range of the eyeballs' flexion (positive looks down), axial and lateral rotation (Lee et al. 2019)."""
_EYE_VERTICES = 40


def rig_fields(head: Head, parts: Sequence[Part], geometry: Geometry, table: SpineTable) -> dict[str, Any]:
    """Joint regressors, frames, axes, limits and rhythm, weights, and the larynx chart, by field name."""
    skin = head.skin.vertices
    hidden = np.any(list(head.inner.values()), axis=0)
    joints = place_joints(skin, np.flatnonzero(head.skin_mirror == np.arange(len(skin))), table)
    rings = [regressor(skin, np.flatnonzero(~hidden), head.skin_mirror, joint) for joint in joints]
    rings += [_eye_ring(head, geometry, side) for side in ("left", "right")]
    width = max(len(vertices) for vertices, _ in rings)
    larynx = make_larynx(geometry.vertices, geometry.normals(), len(skin), np.flatnonzero(hidden))
    eye_limits = np.tile(np.radians(EYE_LIMITS_DEGREES), (2, 1, 1))
    return {
        "joint_regressor_vertices": np.stack([np.pad(vertices, (0, width - len(vertices))) for vertices, _ in rings]),
        "joint_regressor_weights": np.stack([np.pad(values, (0, width - len(values))) for _, values in rings]),
        "joint_offsets": np.zeros((len(rings), 3)),
        "joint_frames": np.concatenate([joint_frames(joints), np.tile(np.eye(3), (2, 1, 1))]),
        "joint_axes": np.tile(np.eye(3), (len(rings), 1, 1)),
        "joint_limits": np.concatenate([joint_limits(table), eye_limits]),
        "joint_rhythm": table.rhythm,
        "weights": skin_weights(head, parts, joints, hidden),
        "larynx_map": larynx.map,
        "larynx_forward_map": larynx.forward_map,
        "larynx_uv": larynx.uv,
        "larynx_direction": larynx.direction,
        "larynx_metres_per_v": larynx.metres_per_v,
    }


def skin_weights(
    head: Head, parts: Sequence[Part], joints: Float[Array, "8 3"], hidden: Bool[Array, " V"]
) -> Float[Array, "V 11"]:
    """Weights of all parts: the skin's shared along the spine, every other part wholly its own joint's."""
    skin = head.skin.vertices
    rigid = skinning.head_region(skin, hidden)
    field = skinning.neck_field(skin, head.skin.faces, rigid, skinning.torso_region(skin))
    rows = [skinning.spine_weights(skin, field, joints)]
    for part in parts[1:]:
        own = np.zeros((len(part.vertices), len(SKELETON)))
        own[:, SKELETON.index(part.joint or "oc1")] = 1
        rows.append(own)
    return np.concatenate(rows)


def _eye_ring(head: Head, geometry: Geometry, side: str) -> tuple[Int[Array, " k"], Float[Array, " k"]]:
    """Vertices spread over an eyeball and the weights that make its centre of them."""
    first, last = geometry.part_vertices[geometry.part_names.index(f"eye_{side}")]
    chosen = np.linspace(first, last - 1, _EYE_VERTICES).astype(int)
    return chosen, even_weights(geometry.vertices[chosen], eyeball(head, side).centre)
