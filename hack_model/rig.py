"""`Rig`: a model with its identity fixed, fast per frame. `HACK` evaluates through it too: one formula, one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hack_model.errors import ParameterError
from hack_model.kinematics import joint_transforms, rotation_matrix
from hack_model.parameters import batch_shape

if TYPE_CHECKING:
    from jaxtyping import Float

    from hack_model.asset import ModelAsset
    from hack_model.model import HACK
    from hack_model.personal import Personal

    Array = Any


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
    its rest joints; ``motion_basis`` (E + X + K, 3 V) its expressions, combinations and pose correctives.
    ``personal`` holds what identities change of them (by kind, the offsets of its pairs) where that is not in
    ``motion_basis``: for batches of identities. ``prominence`` (*batch,) is the identity's factor on the larynx' bump.
    """

    model: HACK
    template: Float[Array, "*batch 3 V"]
    joints: Float[Array, "*batch 10 3"]
    motion_basis: Float[Array, "N 3V"]
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
        transforms = None
        vertices, joints = rest, self.joints
        if rotations is not None:
            transforms = joint_transforms(self.joints, self.model.joint_frames, rotations)
            vertices = skin(rest, transforms, self.model.weights)
            turned = transforms[..., 1:, :3, :3] @ self.joints[..., None]
            joints = turned[..., 0] + transforms[..., 1:, :3, 3]
        vertices, joints = self._placed(vertices, joints, checked.get("global_rotation"), checked.get("translation"))
        xp = self.model.backend.xp
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
        return self._rows(0, len(self.model.expression_names))

    @property
    def combination_basis(self) -> Float[Array, "X V 3"]:
        """The combinations of this identity, metres at weight 1."""
        return self._rows(len(self.model.expression_names), self._pose_start)

    @property
    def pose_basis(self) -> Float[Array, "K V 3"]:
        """The correctives of this identity, metres per unit of a pose feature."""
        return self._rows(self._pose_start, len(self.motion_basis))

    @property
    def _pose_start(self) -> int:
        return len(self.model.expression_names) + len(self.asset.combination_names)

    def _rows(self, start: int, stop: int) -> Float[Array, "n V 3"]:
        if self.personal:
            raise ParameterError("a rig of several identities has no one basis; make a rig of each")
        xp = self.model.backend.xp
        rows = xp.reshape(self.motion_basis[start:stop], (stop - start, 3, self.model.vertex_count))
        return xp.matrix_transpose(rows)

    def _rest(self, checked: dict[str, Array], rotations: Array | None) -> Float[Array, "*batch 3 V"]:
        """Template, expression, pose correctives and larynx: one product with the stacked bases for the first three."""
        model, xp = self.model, self.model.backend.xp
        expression = checked.get("expression")
        expression = None if expression is None else model.expression_coefficients(expression)
        features = model.pose_coefficients(rotations) if rotations is not None and "pose" in checked else None
        rest = self.template
        if expression is not None and features is not None:
            batch = xp.broadcast_arrays(expression[..., 0], features[..., 0])[0].shape
            widened = [xp.broadcast_to(a, (*batch, a.shape[-1])) for a in (expression, features)]
            rest = rest + self._moved(xp.concat(widened, axis=-1), self.motion_basis)
        elif expression is not None:
            rest = rest + self._moved(expression, self.motion_basis[: self._pose_start])
        elif features is not None:
            rest = rest + self._moved(features, self.motion_basis[self._pose_start :])
        for kind, (personal, offsets) in self.personal.items():
            weights = expression if kind == "expression" else features
            if weights is not None:
                rest = rest + personal.moved(offsets, weights)
        size = checked.get("larynx_size")
        if size is not None and self.prominence is not None:
            size = size * self.prominence
        lift = model.larynx.lift(size, checked.get("larynx_shift"), checked.get("larynx_forward"))
        if lift is not None:
            rest = rest + model.larynx_direction[:, None] * lift[..., None, :]
        return rest

    def _moved(self, coefficients: Array, basis: Array) -> Float[Array, "*batch 3 V"]:
        moved = coefficients @ basis
        return self.model.backend.xp.reshape(moved, (*moved.shape[:-1], 3, self.model.vertex_count))

    def _placed(
        self, vertices: Array, joints: Array, rotation: Array | None, translation: Array | None
    ) -> tuple[Array, Array]:
        """Scale, then rotation, then translation of ``vertices`` (*batch, 3, V) and ``joints`` (*batch, 10, 3)."""
        xp = self.model.backend.xp
        if self.scale is not None:
            vertices, joints = vertices * self.scale[..., None, None], joints * self.scale[..., None, None]
        if rotation is not None:
            matrix = rotation_matrix(rotation)
            vertices, joints = matrix @ vertices, joints @ xp.matrix_transpose(matrix)
        if translation is not None:
            vertices, joints = vertices + translation[..., :, None], joints + translation[..., None, :]
        return vertices, joints


def skin(
    rest: Float[Array, "*batch 3 V"], transforms: Float[Array, "*batch 11 4 4"], weights: Float[Array, "11 V"]
) -> Float[Array, "*batch 3 V"]:
    """Linear blend skinning. Coordinates come first, so that every operation runs along all vertices in memory."""
    columns = transforms[..., :, :3, :]
    stacked = columns.reshape((*columns.shape[:-2], 12)).swapaxes(-1, -2)
    blended = stacked @ weights
    blended = blended.reshape((*blended.shape[:-2], 3, 4, blended.shape[-1]))
    moved = blended[..., 3, :]
    for axis in range(3):
        moved = moved + blended[..., axis, :] * rest[..., axis, None, :]
    return moved


def _points_first(xp: Any, vertices: Float[Array, "*batch 3 V"]) -> Float[Array, "*batch V 3"]:
    """The vertices with coordinates last, contiguous in memory as consumers expect."""
    return xp.stack([vertices[..., axis, :] for axis in range(3)], axis=-1)
