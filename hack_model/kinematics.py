"""Rotations and the chain of joints, for numpy and torch alike.

The chain needs no inverse matrices: a joint that turns by ``Q`` about its rest origin ``o`` maps a rest point ``x`` to
``Q x + (o - Q o)``, and the maps of a joint's ancestors follow it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from array_api_compat import array_namespace, device

from hack_model.names import SKELETON_PARENTS

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = Any

_SMALL_ANGLE_SQUARED = 1e-4


def rotation_matrix(axis_angle: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3 3"]:
    """Rotation matrices of axis-angle vectors in radians (Rodrigues' formula), smooth at zero.

    Below 0.01 radians sine and cosine are replaced by their series, whose error there is below double precision; so
    the derivative at zero is the exact generator and no division by zero reaches a gradient.
    """
    xp = array_namespace(axis_angle)
    x, y, z = axis_angle[..., 0], axis_angle[..., 1], axis_angle[..., 2]
    squared = x * x + y * y + z * z
    small = squared < _SMALL_ANGLE_SQUARED
    half = xp.sqrt(xp.where(small, xp.ones_like(squared), squared)) / 2
    ratio = xp.sin(half) / half
    sine = xp.where(small, 1 - squared / 6 * (1 - squared / 20 * (1 - squared / 42)), ratio * xp.cos(half))
    cosine = xp.where(small, 0.5 - squared / 24 * (1 - squared / 30 * (1 - squared / 56)), ratio * ratio / 2)
    zero = xp.zeros_like(x)
    cross = xp.reshape(xp.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1), (*axis_angle.shape, 3))
    identity = xp.eye(3, dtype=axis_angle.dtype, device=device(axis_angle))
    return identity + sine[..., None, None] * cross + cosine[..., None, None] * (cross @ cross)


def joint_transforms(
    joints: Float[Array, "*batch 10 3"], frames: Float[Array, "10 3 3"], rotations: Float[Array, "*batch 10 3 3"]
) -> Float[Array, "*batch 11 4 4"]:
    """The map from rest to posed model space of every skeleton joint, base first (:data:`hack_model.names.SKELETON`).

    ``joints`` are rest origins in model space, ``frames`` rest frames (columns are local axes), ``rotations`` the
    turns of the eight cervical and the two eye joints in those frames.
    """
    xp = array_namespace(joints, rotations)
    # Frames stored in single precision are no exact rotations; turning only R - I leaves a joint at rest exactly so.
    identity = xp.eye(3, dtype=rotations.dtype, device=device(rotations))
    turns = identity + frames @ (rotations - identity) @ xp.matrix_transpose(frames)
    origins = joints[..., None]
    offsets = origins - turns @ origins
    upper = xp.concat([xp.broadcast_to(turns, (*offsets.shape[:-1], 3)), offsets], axis=-1)
    last = xp.asarray([0.0, 0.0, 0.0, 1.0], dtype=upper.dtype, device=device(upper))
    local = xp.concat([upper, xp.broadcast_to(last, (*upper.shape[:-2], 1, 4))], axis=-2)
    base = xp.broadcast_to(xp.eye(4, dtype=upper.dtype, device=device(upper)), (*upper.shape[:-3], 4, 4))
    chain = [base]
    for joint, parent in enumerate(SKELETON_PARENTS[1:]):
        chain.append(chain[parent] @ local[..., joint, :, :])
    return xp.stack(chain, axis=-3)


def quaternion(axis_angle: Float[Array, "*batch 3"]) -> Float[Array, "*batch 4"]:
    """Unit quaternions (w, x, y, z) of axis-angle vectors in radians."""
    xp = array_namespace(axis_angle)
    angle = xp.linalg.vector_norm(axis_angle, axis=-1, keepdims=True)
    small = angle < 1e-6
    safe = xp.where(small, xp.ones_like(angle), angle)
    return xp.concat([xp.cos(angle / 2), xp.where(small, 0.5, xp.sin(safe / 2) / safe) * axis_angle], axis=-1)


def axis_angle(quaternion: Float[Array, "*batch 4"]) -> Float[Array, "*batch 3"]:
    """Axis-angle vectors in radians, at most pi long, of quaternions (w, x, y, z) that need not have length one."""
    xp = array_namespace(quaternion)
    quaternion = xp.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    vector = quaternion[..., 1:]
    sine = xp.linalg.vector_norm(vector, axis=-1, keepdims=True)
    small = sine < 1e-9
    safe = xp.where(small, xp.ones_like(sine), sine)
    return xp.where(small, 2.0, 2 * xp.atan2(sine, quaternion[..., :1]) / safe) * vector


def slerp(
    first: Float[Array, "*batch 3"], second: Float[Array, "*batch 3"], fraction: Float[Array, "*batch"]
) -> Float[Array, "*batch 3"]:
    """The axis-angle rotation the given fraction of the shorter way from ``first`` to ``second``."""
    xp = array_namespace(first, second)
    start, end = quaternion(first), quaternion(second)
    cosine = xp.sum(start * end, axis=-1, keepdims=True)
    end = xp.where(cosine < 0, -end, end)
    angle = xp.acos(xp.clip(xp.abs(cosine), 0.0, 1.0))
    small = angle < 1e-4
    safe = xp.where(small, xp.ones_like(angle), angle)
    share = fraction[..., None]
    before = xp.where(small, 1 - share, xp.sin((1 - share) * safe) / xp.sin(safe))
    after = xp.where(small, share, xp.sin(share * safe) / xp.sin(safe))
    return axis_angle(before * start + after * end)
