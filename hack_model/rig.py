"""`Rig`: a model with its identity fixed, fast per frame. `HACK` evaluates through it too: one formula, one place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from array_api_compat import array_namespace

from hack_model.errors import ParameterError
from hack_model.kinematics import joint_transforms, rotation_matrix
from hack_model.parameters import batch_shape, common_shape

if TYPE_CHECKING:
    from jaxtyping import Float

    from hack_model.asset import ModelAsset
    from hack_model.model import HACK
    from hack_model.personal import Personal

    Array = Any


_FRAMES_AT_ONCE = 4
"""Frames skinned together: their blended matrices, 700 kB a frame at 14,000 vertices, should stay in the cache."""


@dataclass(frozen=True, eq=False)
class Output:
    """What a model gives for its parameters; ``*batch`` is the batch shape all parameters broadcast to.

    ``vertices`` and ``joints`` (8 cervical, 2 eyes) are placed: scaled, rotated, translated. ``rest`` holds the
    vertices before skinning; ``joint_transforms`` the map from rest to posed model space of each skeleton joint
    (:data:`hack_model.names.SKELETON`), before scale, global rotation and translation. Both may lack batch
    dimensions that do not concern them, and ``joint_transforms`` is None when neither neck nor eyes were given.
    """

    vertices: Float[Array, "*batch V 3"]
    joints: Float[Array, "*batch 10 3"]
    rest: Float[Array, "*batch V 3"]
    joint_transforms: Float[Array, "*batch 11 4 4"] | None


@dataclass(frozen=True, eq=False)
class Rig:
    """A model with fixed identity: made by :meth:`hack_model.HACK.rig`, called once per frame or batch of frames.

    ``template`` is the identity's neutral head, coordinates first, (*batch, 3, V) metres; ``joints`` (*batch, 10, 3)
    its rest joints; ``motion`` its expressions and combinations (key expression, E + X rows) and its correctives (pose,
    K rows). ``personal`` holds what identities change of them, by kind the offsets of its pairs, where that is not in
    ``motion``: for batches of identities. ``prominence`` (*batch,) is the identity's factor on the larynx' bump.
    """

    model: HACK
    template: Float[Array, "*batch 3 V"]
    joints: Float[Array, "*batch 10 3"]
    motion: Mapping[str, Float[Array, "R 3V"]]
    scale: Float[Array, "*batch"] | None = None
    personal: Mapping[str, tuple[Personal, Float[Array, "*batch 3 N"]]] = field(default_factory=dict)
    prominence: Float[Array, "*batch"] | None = None

    def __call__(
        self,
        expression: Float[Array, "*batch E"] | Mapping[str, Any] | None = None,
        pose: Float[Array, "*batch 8 3"] | None = None,
        eye_pose: Float[Array, "*batch 2 3"] | None = None,
        larynx_size: Float[Array, "*batch"] | float | None = None,
        larynx_shift: Float[Array, "*batch"] | float | None = None,
        larynx_forward: Float[Array, "*batch"] | float | None = None,
        global_rotation: Float[Array, "*batch 3"] | None = None,
        translation: Float[Array, "*batch 3"] | None = None,
    ) -> Output:
        """Vertices and joints; units as in :data:`hack_model.parameters.PARAMETERS`, absent ones are neutral.

        Raises :class:`hack_model.errors.ParameterError` on a wrong shape, an unknown expression name, values that are
        not finite, or batch dimensions that do not broadcast.
        """
        given = {
            "expression": expression, "pose": pose, "eye_pose": eye_pose, "larynx_size": larynx_size,
            "larynx_shift": larynx_shift, "larynx_forward": larynx_forward, "global_rotation": global_rotation,
            "translation": translation,
        }  # fmt: skip
        checked = self.model.checked(given)
        identity = {"shape": self.template[..., 0, :], "scale": self.scale}
        batch = batch_shape({**checked, **{name: value for name, value in identity.items() if value is not None}})
        rotations = self._rotations(checked.get("pose"), checked.get("eye_pose"))
        rest = self._rest(checked, rotations)
        xp = self.model.backend.xp
        transforms, placement = None, self._placement(checked.get("global_rotation"), checked.get("translation"))
        if rotations is not None:
            transforms = joint_transforms(self.joints, self.model.joint_frames, rotations)
            placed = transforms if placement is None else placement[..., None, :, :] @ transforms
            vertices = skin(rest, placed, self.model.weights)
            turned = placed[..., 1:, :3, :3] @ self.joints[..., None]
            joints = turned[..., 0] + placed[..., 1:, :3, 3]
        elif placement is not None:
            vertices = _moved_by(placement[..., :3, :, None], rest)
            joints = xp.matrix_transpose(_moved_by(placement[..., :3, :, None], xp.matrix_transpose(self.joints)))
        else:
            vertices, joints = rest, self.joints
        points = _points_first(xp, vertices)
        return Output(
            vertices=points if points.shape[:-2] == batch else xp.broadcast_to(points, (*batch, *points.shape[-2:])),
            joints=xp.broadcast_to(joints, (*batch, *joints.shape[-2:])),
            rest=xp.matrix_transpose(rest),
            joint_transforms=transforms,
        )

    def __repr__(self) -> str:
        return f"Rig of {self.model!r}"

    @property
    def asset(self) -> ModelAsset:
        """The asset of the rig's model."""
        return self.model.asset

    def _rotations(self, pose: Array | None, eye_pose: Array | None) -> Float[Array, "*batch 10 3 3"] | None:
        """Local rotations of all ten joints; None when neither neck nor eyes were given."""
        if pose is None and eye_pose is None:
            return None
        backend, xp = self.model.backend, self.model.backend.xp
        pose = xp.zeros((8, 3), dtype=backend.dtype, device=backend.device) if pose is None else pose
        eye_pose = xp.zeros((2, 3), dtype=backend.dtype, device=backend.device) if eye_pose is None else eye_pose
        batch = batch_shape({"pose": pose, "eye_pose": eye_pose})
        joined = [xp.broadcast_to(pose, (*batch, 8, 3)), xp.broadcast_to(eye_pose, (*batch, 2, 3))]
        return rotation_matrix(xp.concat(joined, axis=-2))

    @property
    def expression_basis(self) -> Float[Array, "E V 3"]:
        """The expressions of this identity, metres at activation 1; for one identity, as are the next two."""
        return self._rows("expression", slice(len(self.model.expression_names)))

    @property
    def combination_basis(self) -> Float[Array, "X V 3"]:
        """The combinations of this identity, metres at weight 1."""
        return self._rows("expression", slice(len(self.model.expression_names), None))

    @property
    def pose_basis(self) -> Float[Array, "K V 3"]:
        """The correctives of this identity, metres per unit of a pose feature."""
        return self._rows("pose", slice(None))

    def _rows(self, kind: str, rows: slice) -> Float[Array, "n V 3"]:
        if self.personal:
            raise ParameterError("a rig of several identities has no one basis; make a rig of each")
        xp, basis = self.model.backend.xp, self.motion[kind][rows]
        return xp.matrix_transpose(xp.reshape(basis, (len(basis), 3, self.model.vertex_count)))

    def _rest(self, checked: dict[str, Array], rotations: Array | None) -> Float[Array, "*batch 3 V"]:
        """Template, expression, pose correctives and larynx, each where it is given."""
        model = self.model
        weights: dict[str, Array | None] = {}
        if "expression" in checked:
            weights["expression"] = model.expression_coefficients(checked["expression"])
        if rotations is not None and "pose" in checked:
            weights["pose"] = model.pose_coefficients(rotations)
        rest = self.template
        for kind, values in weights.items():
            if values is None:
                continue
            rest = rest + self._moved(values, self.motion[kind])
            if kind in self.personal:
                personal, offsets = self.personal[kind]
                rest = rest + personal.moved(offsets, values)
        size = checked.get("larynx_size")
        if size is not None and self.prominence is not None:
            size = size * self.prominence
        lift = model.larynx.lift(size, checked.get("larynx_shift"), checked.get("larynx_forward"))
        if lift is not None:
            rest = rest + model.larynx_direction[:, None] * lift[..., None, :]
        return rest

    def _moved(self, coefficients: Array, basis: Array) -> Float[Array, "*batch 3 V"]:
        moved = self.model.backend.product(coefficients, basis)
        return self.model.backend.xp.reshape(moved, (*moved.shape[:-1], 3, self.model.vertex_count))

    def _placement(self, rotation: Array | None, translation: Array | None) -> Float[Array, "*batch 4 4"] | None:
        """Scale, then rotation, then translation; None when nothing of them was given."""
        if rotation is None and translation is None and self.scale is None:
            return None
        backend, xp = self.model.backend, self.model.backend.xp
        turn = xp.eye(3, dtype=backend.dtype, device=backend.device) if rotation is None else rotation_matrix(rotation)
        turn = turn if self.scale is None else turn * self.scale[..., None, None]
        move = xp.zeros(3, dtype=backend.dtype, device=backend.device) if translation is None else translation
        batch = common_shape({"turn": tuple(turn.shape[:-2]), "translation": tuple(move.shape[:-1])})
        upper = [xp.broadcast_to(turn, (*batch, 3, 3)), xp.broadcast_to(move[..., None], (*batch, 3, 1))]
        last = xp.asarray([[0.0, 0.0, 0.0, 1.0]], dtype=backend.dtype, device=backend.device)
        return xp.concat([xp.concat(upper, axis=-1), xp.broadcast_to(last, (*batch, 1, 4))], axis=-2)


def skin(
    rest: Float[Array, "*batch 3 V"], transforms: Float[Array, "*batch 11 4 4"], weights: Float[Array, "11 V"]
) -> Float[Array, "*batch 3 V"]:
    """Linear blend skinning. Coordinates come first, so that every operation runs along all vertices in memory.

    The matrices of a few frames at a time are blended in one product, (12 frames, 11) by (11, V): they are four times
    as many numbers as the vertices and must not leave the cache.
    """
    batch = tuple(transforms.shape[:-3])
    if math.prod(batch) <= _FRAMES_AT_ONCE or tuple(rest.shape[:-2]) not in ((), batch):
        return _skin(rest, transforms, weights)
    xp = array_namespace(transforms)
    transforms = transforms.reshape((-1, 11, 4, 4))
    rest = (
        xp.broadcast_to(rest, (len(transforms), *rest.shape))
        if rest.ndim == 2
        else rest.reshape((-1, *rest.shape[-2:]))
    )
    parts = [
        _skin(rest[start : start + _FRAMES_AT_ONCE], transforms[start : start + _FRAMES_AT_ONCE], weights)
        for start in range(0, len(transforms), _FRAMES_AT_ONCE)
    ]
    moved = xp.concat(parts, axis=0)
    return moved.reshape((*batch, *moved.shape[-2:]))


def _skin(
    rest: Float[Array, "*batch 3 V"], transforms: Float[Array, "*batch 11 4 4"], weights: Float[Array, "11 V"]
) -> Float[Array, "*batch 3 V"]:
    columns = transforms[..., :, :3, :]
    stacked = columns.reshape((*columns.shape[:-3], 11, 12)).swapaxes(-1, -2)
    blended = (stacked.reshape((-1, 11)) @ weights).reshape((*stacked.shape[:-2], 3, 4, weights.shape[-1]))
    return _moved_by(blended, rest)


def _moved_by(matrices: Float[Array, "*batch 3 4 V"], points: Float[Array, "*batch 3 V"]) -> Float[Array, "*batch 3 V"]:
    """Points, coordinates first, each moved by its own affine map; a last dimension of 1 is the same map for all."""
    moved = matrices[..., 3, :]
    for axis in range(3):
        moved = moved + matrices[..., axis, :] * points[..., axis, None, :]
    return moved


def _points_first(xp: Any, vertices: Float[Array, "*batch 3 V"]) -> Float[Array, "*batch V 3"]:
    """The vertices with coordinates last, contiguous in memory as consumers expect."""
    return xp.stack([vertices[..., axis, :] for axis in range(3)], axis=-1)
