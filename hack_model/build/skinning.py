"""Skinning weights of the neck: a smooth field from shoulders to skull, divided among the spine's joints.

The field solves Laplace's equation on the skin between the fixed shoulders (0) and the rigid head (1), so it has no
bumps of its own and takes the oblique course of the neck's folds. Cubic B-splines over the field divide it among base
and joints: never more than four per vertex, smooth to the second derivative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.interpolate import BSpline, PchipInterpolator
from scipy.sparse.linalg import spsolve

from hack_model.build.refine import Edges
from hack_model.names import CERVICAL_JOINTS, SKELETON

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    Array = np.ndarray

# (z, y) of the lines above which the skin is rigid with the skull, below which it is fixed to the torso, in metres.
_HEAD_LINE = (
    (-0.08, 0.010), (-0.02, 0.004), (0.005, -0.010), (0.03, -0.036), (0.05, -0.054), (0.085, -0.074), (0.093, -0.090),
    (0.13, -0.100),
)  # fmt: skip
_TORSO_LINE = ((-0.09, -0.128), (-0.04, -0.146), (0.0, -0.156), (0.045, -0.170))
_TORSO_HALF_WIDTH = 0.105
_LEVEL_SHARE, _LIFT, _EASE = 0.4, 0.35, 0.05
"""How far the weights follow the vertebrae's levels, the rest following the field, lifted in its middle by this share;
and over which share of the field they set in. Chosen by the stretch and the look of the skin at the neck's limits."""


def head_line_height(points: Float[Array, "V 3"]) -> Float[Array, " V"]:
    """Height above the line from occiput over ear lobe and jaw to chin; above it skin is rigid with the skull."""
    z, y = np.array(_HEAD_LINE).T
    return points[:, 1] - np.interp(points[:, 2], z, y)


def head_region(skin: Float[Array, "V 3"], inner: Bool[Array, " V"]) -> Bool[Array, " V"]:
    """Vertices rigid with the skull: above the line from occiput over ear lobe and jaw to chin, and all inner skin."""
    return (head_line_height(skin) > 0) | inner


def torso_region(skin: Float[Array, "V 3"]) -> Bool[Array, " V"]:
    """Vertices fixed to the torso: shoulders, upper back, chest below the notch."""
    z, y = np.array(_TORSO_LINE).T
    low = skin[:, 1] < np.interp(skin[:, 2], z, y)
    return low | ((np.abs(skin[:, 0]) > _TORSO_HALF_WIDTH) & (skin[:, 1] < -0.1))


def neck_field(
    skin: Float[Array, "V 3"], faces: Int[Array, "F 4"], head: Bool[Array, " V"], torso: Bool[Array, " V"]
) -> Float[Array, " V"]:
    """Harmonic field: 0 on the torso, 1 on the head, smooth between."""
    edges = Edges.of(faces).vertices
    stiffness = 1 / np.linalg.norm(skin[edges[:, 0]] - skin[edges[:, 1]], axis=1)
    count = len(skin)
    both = np.concatenate([edges, edges[:, ::-1]])
    graph = sp.csr_matrix((np.tile(stiffness, 2), (both[:, 0], both[:, 1])), (count, count))
    laplacian = sp.csr_matrix(sp.diags(np.asarray(graph.sum(axis=1)).ravel()) - graph)
    field = head.astype(float)
    free = np.flatnonzero(~(head | torso))
    fixed = np.flatnonzero(head | torso)
    field[free] = spsolve(laplacian[free][:, free].tocsc(), -laplacian[free][:, fixed] @ field[fixed])
    return np.clip(field, 0, 1)


def spine_weights(
    skin: Float[Array, "V 3"], field: Float[Array, " V"], joints: Float[Array, "8 3"]
) -> Float[Array, "V 11"]:
    """Weights over the skeleton from the field: at the level of a vertebra its own joint has the most."""
    knots = len(CERVICAL_JOINTS) + 1
    place = _LEVEL_SHARE * _levels(skin, field, joints)(field) + (1 - _LEVEL_SHARE) * field * (1 + _LIFT * (1 - field))
    place = _eased(place)
    spline_knots = np.concatenate([np.zeros(3), np.linspace(0, 1, knots - 2), np.ones(3)])
    basis = BSpline.design_matrix(np.clip(place, 0, 1), spline_knots, 3).toarray()
    weights = np.zeros((len(skin), len(SKELETON)))
    weights[:, :knots] = basis
    weights[weights < 1e-4] = 0
    return weights / weights.sum(axis=1, keepdims=True)


def _eased(place: np.ndarray) -> np.ndarray:
    """[0, 1] onto itself without a kink at the ends, where the field starts and stops at an angle."""
    low = np.minimum(place, 1 - place)
    half = low**2 / (low + _EASE) * (1 + 2 * _EASE)
    return np.where(place < 0.5, half, 1 - half)


def _levels(skin: np.ndarray, field: np.ndarray, joints: np.ndarray) -> PchipInterpolator:
    """Monotone map from the field to the splines' parameter that puts each joint's spline at its vertebra's level.

    A joint's vertebra lies between it and the next joint; its level is the field's mean on the skin beside it.
    """
    knots = len(CERVICAL_JOINTS) + 1
    spline_knots = np.concatenate([np.zeros(3), np.linspace(0, 1, knots - 2), np.ones(3)])
    centre = np.array([spline_knots[index + 1 : index + 4].mean() for index in range(knots)])
    middle = 0.5 * (joints[:-1, 1] + joints[1:, 1])
    between = (field > 0.02) & (field < 0.98)
    value = []
    for height in middle:
        near = np.exp(-0.5 * ((skin[between, 1] - height) / 0.006) ** 2)
        value.append(float((near * field[between]).sum() / near.sum()))
    inner = np.maximum.accumulate(np.clip(value, 0.02, 0.98) + np.arange(len(value)) * 1e-4)
    return PchipInterpolator(np.concatenate([[0], inner, [1]]), np.concatenate([[0], centre[1:-1], [1]]))
