"""Posing the neck by what a person sees: flexion, axial turn, lateral bend, instead of eight joints' vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace, device

from hack_model.asset import ModelAsset
from hack_model.errors import ParameterError
from hack_model.names import CERVICAL_JOINTS
from hack_model.parameters import common_shape

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = Any


_LOWER = CERVICAL_JOINTS.index("c2c3")
"""How many joints from C7–T1 up are the lower neck."""


def neck_pose(
    asset: ModelAsset,
    flexion: Float[Array, "*batch"] | float = 0.0,
    axial: Float[Array, "*batch"] | float = 0.0,
    lateral: Float[Array, "*batch"] | float = 0.0,
    protraction: Float[Array, "*batch"] | float = 0.0,
    *,
    limited: bool = False,
) -> Float[Array, "*batch 8 3"]:
    """``pose`` of a head turned by whole-neck angles in radians, shared by the joints in the rhythm of a real spine.

    ``flexion`` is positive chin down, ``axial`` to the subject's left, ``lateral`` towards the subject's right
    shoulder. ``protraction`` moves the level head forwards (AU57; negative back, AU58): flexion of the lower neck by
    that angle against extension of the upper neck, about 1.1 mm a degree. ``limited`` stops each joint at its limits.
    The shares are ``asset.joint_rhythm`` and :func:`protraction_shares`, the directions ``asset.joint_axes``, the
    limits ``asset.joint_limits``.
    """
    given = {"flexion": flexion, "axial": axial, "lateral": lateral, "protraction": protraction}
    arrays = {name: angle for name, angle in given.items() if _is_array(angle)}
    like = _floating(*next(iter(arrays.items()), ("flexion", 0.0)))
    xp = array_namespace(like)
    angles = {name: _floating(name, angle, like) for name, angle in given.items()}
    batch = common_shape({name: tuple(angle.shape) for name, angle in angles.items()})
    wide = {name: xp.broadcast_to(angle, batch) for name, angle in angles.items()}
    forward = wide.pop("protraction")[..., None] * _like(protraction_shares(asset), like)
    shares = xp.stack(list(wide.values()), axis=-1)[..., None, :] * _like(asset.joint_rhythm, like)
    shares = shares + xp.stack([forward, forward * 0, forward * 0], axis=-1)
    return from_anatomical(asset, limit(asset, shares) if limited else shares)


def protraction_shares(asset: ModelAsset) -> Float[np.ndarray, "8"]:
    """Flexion of each cervical joint per angle of protraction: the five lower ones sum to 1, the three upper to -1.

    Protraction flexes the lower and extends the upper neck, retraction does the opposite (Ordway 1999, Spine 24:240, 20
    people). Within each part the joints share as in flexion; that the line is drawn below C2 is our choice.
    """
    rhythm = asset.joint_rhythm[:, 0].astype(np.float64)
    lower = np.arange(len(rhythm)) < _LOWER
    return np.where(lower, rhythm / rhythm[lower].sum(), -rhythm / rhythm[~lower].sum())


def limit(asset: ModelAsset, angles: Float[Array, "*batch 8 3"]) -> Float[Array, "*batch 8 3"]:
    """Flexion, axial and lateral angle of each cervical joint, stopped at the joint's limits."""
    angles = _joint_vectors(angles)
    xp = array_namespace(angles)
    limits = _like(asset.joint_limits[: len(CERVICAL_JOINTS)], angles)
    return xp.minimum(xp.maximum(angles, limits[..., 0]), limits[..., 1])


def to_anatomical(asset: ModelAsset, pose: Float[Array, "*batch 8 3"]) -> Float[Array, "*batch 8 3"]:
    """The parts of each joint's axis-angle about its flexion, axial and lateral axis, radians."""
    return _turned(pose, asset.joint_axes[: len(CERVICAL_JOINTS)].transpose(0, 2, 1))


def from_anatomical(asset: ModelAsset, angles: Float[Array, "*batch 8 3"]) -> Float[Array, "*batch 8 3"]:
    """``pose`` from each joint's flexion, axial and lateral part, radians: the inverse of :func:`to_anatomical`."""
    return _turned(angles, asset.joint_axes[: len(CERVICAL_JOINTS)])


def convert_pose(
    pose: Float[Array, "*batch 8 3"], source: ModelAsset, target: ModelAsset
) -> Float[Array, "*batch 8 3"]:
    """A pose of one model in the joint frames of another: each joint keeps its flexion, axial and lateral part."""
    return from_anatomical(target, to_anatomical(source, pose))


def _turned(vectors: Array, rows: np.ndarray) -> Array:
    """Each joint's row vector times its matrix."""
    vectors = _joint_vectors(vectors)
    return (vectors[..., None, :] @ _like(rows, vectors))[..., 0, :]


def _joint_vectors(pose: Any) -> Float[Array, "*batch 8 3"]:
    array = _floating("pose", pose)
    if tuple(array.shape[-2:]) != (len(CERVICAL_JOINTS), 3):
        raise ParameterError(f"pose: wanted shape (*batch, 8, 3), got {tuple(array.shape)}")
    return array


def _is_array(value: Any) -> bool:
    """Whether the value says which array library to use; numpy's own scalars are plain numbers."""
    return hasattr(value, "shape") and not isinstance(value, np.generic)


def _floating(name: str, value: Any, like: Array | None = None) -> Array:
    """The value as an array of floating-point numbers; with ``like`` in its library, type and place."""
    try:
        if like is not None and type(value) is not type(like):
            return array_namespace(like).asarray(value, dtype=like.dtype, device=device(like))
        array = value if _is_array(value) else np.asarray(value, np.float64)
        xp = array_namespace(array)
        if like is not None:
            return xp.astype(array, like.dtype)
        return array if xp.isdtype(array.dtype, "real floating") else xp.astype(array, xp.float64)
    except (TypeError, ValueError) as fault:
        raise ParameterError(f"{name}: wanted numbers in radians, got {type(value).__name__} ({fault})") from fault


def _like(constant: np.ndarray, array: Array) -> Array:
    """A constant of the asset in the library, type and place of an array."""
    return array_namespace(array).asarray(constant.copy(), dtype=array.dtype, device=device(array))
