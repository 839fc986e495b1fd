"""The model cut to its landmarks: positions and exact derivatives, in a thousandth of the whole model's work.

A landmark is a weighted sum of three vertices, and skinning is linear in the vertices, so

    landmark = sum over joints j of  G_j a_j + w_j o_j,    a_j = sum over vertices k of  b_k w_kj x_k

with barycentric weights b, skinning weights w, joint transforms (G, o) and rest vertices x that are linear in shape and
bilinear in shape and in expressions, their combinations and pose features (:mod:`fitting.own_rows`). One row for each
(landmark, joint) pair that occurs is therefore exact for any weights; points of the face have one pair, because the
whole face hangs on the joint oc1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fitting.own_rows import Activation, OwnRows
from hack_model.errors import AssetError
from hack_model.kinematics import joint_transforms, rotation_matrix
from hack_model.names import CERVICAL_JOINTS, SKELETON, SKELETON_PARENTS

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from hack_model.basis import Basis
    from hack_model.model import HACK

    Array = np.ndarray

NECK_COUNT = len(CERVICAL_JOINTS)
PLACEMENT_SIZE = 13  # neck 3, gaze 2 x 2, rotation 3, translation 3


@dataclass(frozen=True)
class Layout:
    """Where each parameter lies in the solver's vector.

    ``neck`` holds flexion, axial and lateral angle of the whole neck (radians), shared over the cervical joints by the
    asset's rhythm; ``gaze`` flexion and axial angle of the left and of the right eye.
    """

    shape_count: int
    expression_count: int

    @property
    def size(self) -> int:
        """Length of the vector."""
        return self.shape_count + self.expression_count + PLACEMENT_SIZE

    @property
    def shape(self) -> slice:
        """Identity coefficients."""
        return slice(0, self.shape_count)

    @property
    def expression(self) -> slice:
        """Activations."""
        return slice(self.shape_count, self.shape_count + self.expression_count)

    def _placement(self, start: int, stop: int) -> slice:
        first = self.shape_count + self.expression_count
        return slice(first + start, first + stop)

    @property
    def neck(self) -> slice:
        """Flexion, axial, lateral angle of the whole neck."""
        return self._placement(0, 3)

    @property
    def gaze(self) -> slice:
        """Flexion and axial angle, left eye then right."""
        return self._placement(3, 7)

    @property
    def rotation(self) -> slice:
        """Axis-angle of the torso."""
        return self._placement(7, 10)

    @property
    def translation(self) -> slice:
        """Metres."""
        return self._placement(10, 13)


@dataclass(frozen=True)
class LandmarkModel:
    """Landmarks of one asset as a function of the solver's vector; build with :meth:`of`."""

    layout: Layout
    pair_landmark: Int[Array, " P"]
    pair_joint: Int[Array, " P"]
    pair_weight: Float[Array, " P"]
    template: Float[Array, "P 3"]
    shape_basis: Float[Array, "P 3 S"]
    expressions: OwnRows
    activation: Activation
    correctives: OwnRows
    corrective_features: Int[Array, " K"]
    joint_template: Float[Array, "10 3"]
    joint_basis: Float[Array, "10 3 S"]
    joint_frames: Float[Array, "10 3 3"]
    turn_axes: Float[Array, "8 3 3"]
    gaze_axes: Float[Array, "2 3 2"]
    neck_limits: Float[Array, "3 2"]
    gaze_limits: Float[Array, "4 2"]
    layers: tuple[Int[Array, " n"], ...] = field(repr=False)

    @classmethod
    def of(cls, model: HACK) -> LandmarkModel:
        """The model at its asset's 478 landmarks. Raises :class:`AssetError` when the asset has none."""
        asset = model.asset
        if not asset.landmarks478_vertices.size:
            raise AssetError(
                f"model {asset.name} has no MediaPipe landmarks; make them with `python -m fitting.embedding`"
            )
        return cls.at(model, asset.landmarks478_vertices, asset.landmarks478_weights)

    @classmethod
    def at(cls, model: HACK, vertices: Int[Array, "L 3"], barycentric: Float[Array, "L 3"]) -> LandmarkModel:
        """The model at any points of its surface; ``model`` is one in numpy."""
        asset = model.asset
        skinning = np.asarray(model.weights, np.float64).T[vertices]
        shares = skinning / skinning.sum(axis=-1, keepdims=True) * barycentric[..., None]  # (L, 3, 11)
        landmark, joint = np.nonzero(np.abs(shares).sum(axis=1) > 1e-7)
        factors = shares[landmark, :, joint]  # (P, 3)
        corners = vertices[landmark]
        layout = Layout(len(asset.shape_basis), len(asset.expression_names))

        def at_pairs(*bases: Basis) -> Float[Array, "P 3 R"]:
            values = [np.einsum("pc,kpcx->pxk", factors, basis.at(corners)) for basis in bases if len(basis)]
            return np.concatenate([np.zeros((len(corners), 3, 0)), *values], axis=2)

        rhythm = asset.joint_rhythm.astype(np.float64)
        return cls(
            layout=layout,
            pair_landmark=landmark,
            pair_joint=joint,
            pair_weight=factors.sum(axis=1),
            template=np.einsum("pc,pcx->px", factors, asset.template[corners]),
            shape_basis=at_pairs(asset.shape_basis),
            expressions=OwnRows.of(
                asset, "expression", at_pairs(asset.expression_basis, asset.combination_basis), corners, factors
            ),
            activation=Activation.of(model.combinations, layout.expression_count),
            correctives=OwnRows.of(asset, "pose", at_pairs(asset.pose_basis), corners, factors),
            corrective_features=asset.pose_features,
            joint_template=np.asarray(model.joint_template, np.float64),
            joint_basis=np.moveaxis(np.asarray(model.joint_basis, np.float64), 0, 2),
            joint_frames=asset.joint_frames.astype(np.float64),
            turn_axes=np.swapaxes(asset.joint_axes[:NECK_COUNT] * rhythm[:, :, None], 1, 2).astype(np.float64),
            gaze_axes=np.swapaxes(asset.joint_axes[NECK_COUNT:, :2], 1, 2).astype(np.float64),
            neck_limits=_whole_neck_limits(asset.joint_limits[:NECK_COUNT], rhythm),
            gaze_limits=asset.joint_limits[NECK_COUNT:, :2].reshape(4, 2).astype(np.float64),
            layers=_layers(landmark),
        )

    def __len__(self) -> int:
        return len(self.layers[0])

    def rest_shape_basis(self) -> Float[Array, "L 3 S"]:
        """How identity moves the landmarks of the head at rest, in the model's axes; metres per coefficient."""
        return self._summed(self.shape_basis)

    def pose(self, neck: Float[Array, "3"]) -> Float[Array, "8 3"]:
        """Axis-angle of each cervical joint, in its rest frame, of the whole neck's three angles."""
        return self.turn_axes @ neck

    def eye_pose(self, gaze: Float[Array, "4"]) -> Float[Array, "2 3"]:
        """Axis-angle of the eyes, in their rest frames."""
        return np.einsum("eij,ej->ei", self.gaze_axes, gaze.reshape(2, 2))

    def head_rotation(self, neck: Float[Array, "3"]) -> Float[Array, "3 3"]:
        """Rotation of the head relative to the torso at given neck angles."""
        return self._transforms(np.zeros(self.layout.shape_count), neck, np.zeros(4))[SKELETON.index("oc1"), :3, :3]

    def points(self, x: Float[Array, " N"]) -> Float[Array, "L 3"]:
        """Landmarks in camera space, metres."""
        return self._posed(x)[0] @ rotation_matrix(x[self.layout.rotation]).T + x[self.layout.translation]

    def points_and_jacobian(self, x: Float[Array, " N"]) -> tuple[Float[Array, "L 3"], Float[Array, "L 3 N"]]:
        """Landmarks in camera space and their derivative by every entry of the vector."""
        layout = self.layout
        model, transforms, rest = self._posed(x)
        rotation = rotation_matrix(x[layout.rotation])
        points = model @ rotation.T + x[layout.translation]
        jacobian = np.zeros((len(self), 3, layout.size))
        turned = (rotation @ transforms[:, :3, :3])[self.pair_joint]
        linear = turned @ self._rest_basis(x)
        linear[:, :, layout.shape] += self.pair_weight[:, None, None] * (
            rotation @ self._origin_basis(x, transforms)
        ).take(self.pair_joint, axis=0)
        jacobian[:, :, : layout.expression.stop] = self._summed(linear)
        jacobian[:, :, layout.neck] = rotation @ self._by_neck(x, transforms, rest, turned, rotation)
        jacobian[:, :, layout.gaze] = rotation @ self._by_gaze(x, transforms, rest)
        axes = _left_jacobian(x[layout.rotation])
        jacobian[:, :, layout.rotation] = np.cross(axes.T[None], (points - x[layout.translation])[:, None]).swapaxes(
            1, 2
        )
        jacobian[:, :, layout.translation] = np.eye(3)
        return points, jacobian

    def _summed(self, pairs: Float[Array, "P *rest"]) -> Float[Array, "L *rest"]:
        if len(pairs) == len(self):
            return pairs
        result = pairs[self.layers[0]]
        for layer in self.layers[1:]:
            result[self.pair_landmark[layer]] += pairs[layer]
        return result

    def _transforms(self, shape: np.ndarray, neck: np.ndarray, gaze: np.ndarray) -> Float[Array, "11 4 4"]:
        joints = self.joint_template + self.joint_basis @ shape
        rotations = rotation_matrix(np.concatenate([self.pose(neck), self.eye_pose(gaze)]))
        return joint_transforms(joints, self.joint_frames, rotations)

    def _features(self, neck: np.ndarray) -> Float[Array, " K"]:
        return (rotation_matrix(self.pose(neck)) - np.eye(3)).reshape(-1)[self.corrective_features]

    def _posed(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Landmarks in model space, joint transforms, and the pairs' rest points."""
        layout = self.layout
        transforms = self._transforms(x[layout.shape], x[layout.neck], x[layout.gaze])
        shape = x[layout.shape]
        rest = self.template + self.shape_basis @ shape
        rest = rest + self.expressions.displacement(shape, self.activation.weights(x[layout.expression]))
        if len(self.corrective_features):
            rest = rest + self.correctives.displacement(shape, self._features(x[layout.neck]))
        return self._summed(self._carried(transforms, rest)), transforms, rest

    def _rest_basis(self, x: np.ndarray) -> Float[Array, "P 3 N"]:
        """Derivative of the pairs' rest points by shape and expression."""
        shape, expression = x[self.layout.shape], x[self.layout.expression]
        by_shape = self.shape_basis
        if len(self.expressions.points):
            by_shape = by_shape + self.expressions.by_shape(self.activation.weights(expression))
        if len(self.correctives.points):
            by_shape = by_shape + self.correctives.by_shape(self._features(x[self.layout.neck]))
        own = self.expressions.basis(shape)
        return np.concatenate([by_shape, own @ self.activation.derivative(expression)], axis=2)

    def _carried(self, transforms: np.ndarray, rest: np.ndarray) -> Float[Array, "P 3"]:
        """The pairs' rest points carried by their joints; each holds its joint's share of the landmark."""
        own = transforms[self.pair_joint]
        return (own[:, :3, :3] @ rest[:, :, None])[:, :, 0] + self.pair_weight[:, None] * own[:, :3, 3]

    def _origin_basis(self, x: np.ndarray, transforms: np.ndarray) -> Float[Array, "11 3 S"]:
        """Derivative of each joint transform's offset by shape, which moves the joints.

        A joint that turns by Q about o maps x to Q x + (I - Q) o, so a chain's offset is linear in its joints.
        """
        layout = self.layout
        local = rotation_matrix(np.concatenate([self.pose(x[layout.neck]), self.eye_pose(x[layout.gaze])]))
        turns = self.joint_frames @ local @ self.joint_frames.swapaxes(1, 2)
        result = np.zeros((len(SKELETON), 3, layout.shape_count))
        for joint, parent in enumerate(SKELETON_PARENTS[1:], 1):
            own = transforms[parent, :3, :3] @ (np.eye(3) - turns[joint - 1])
            result[joint] = result[parent] + own @ self.joint_basis[joint - 1]
        return result

    def _by_neck(
        self, x: np.ndarray, transforms: np.ndarray, rest: np.ndarray, turned: np.ndarray, rotation: np.ndarray
    ) -> Float[Array, "L 3 3"]:
        """Derivative by the neck's angles in model space: joint i turns all that hangs on it about its place."""
        pose = self.pose(x[self.layout.neck])
        local = np.stack([_left_jacobian(turn) for turn in pose]) @ self.turn_axes  # (8, 3, 3)
        places = self._places(x, transforms)
        spin, moment = np.zeros((len(SKELETON), 3, 3)), np.zeros((len(SKELETON), 3, 3))
        for joint, parent in enumerate(SKELETON_PARENTS[1:], 1):
            spin[joint], moment[joint] = spin[parent], moment[parent]
            if joint <= NECK_COUNT:
                axes = transforms[parent, :3, :3] @ self.joint_frames[joint - 1] @ local[joint - 1]
                spin[joint] = spin[joint] + axes
                moment[joint] = moment[joint] + np.cross(axes.T, places[joint - 1]).T
        points = self._carried(transforms, rest)
        turning = np.cross(spin[self.pair_joint].swapaxes(1, 2), points[:, None]).swapaxes(1, 2)
        result = turning - self.pair_weight[:, None, None] * moment[self.pair_joint]
        if len(self.corrective_features):
            carried = turned @ self.correctives.basis(x[self.layout.shape])
            matrices = rotation_matrix(pose)
            changes = np.cross(local.swapaxes(1, 2)[:, :, None, :], matrices.swapaxes(1, 2)[:, None])  # (8, 3, 3, 3)
            changes = changes.swapaxes(2, 3).transpose(0, 2, 3, 1).reshape(-1, 3)[self.corrective_features]
            result = result + rotation.T @ (carried @ changes)
        return self._summed(result)

    def _by_gaze(self, x: np.ndarray, transforms: np.ndarray, rest: np.ndarray) -> Float[Array, "L 3 4"]:
        result = np.zeros((len(self.pair_joint), 3, 4))
        points, places = self._carried(transforms, rest), self._places(x, transforms)
        turns = self.eye_pose(x[self.layout.gaze])
        for eye in range(2):
            joint = 1 + NECK_COUNT + eye
            here = np.flatnonzero(self.pair_joint == joint)
            carried = transforms[SKELETON_PARENTS[joint], :3, :3] @ self.joint_frames[joint - 1]
            axes = carried @ _left_jacobian(turns[eye]) @ self.gaze_axes[eye]
            arm = points[here] - self.pair_weight[here, None] * places[joint - 1]
            result[here, :, 2 * eye : 2 * eye + 2] = np.cross(axes.T[None], arm[:, None]).swapaxes(1, 2)
        return self._summed(result)

    def _places(self, x: np.ndarray, transforms: np.ndarray) -> Float[Array, "10 3"]:
        """The joints in posed model space."""
        joints = self.joint_template + self.joint_basis @ x[self.layout.shape]
        return (transforms[1:, :3, :3] @ joints[..., None])[..., 0] + transforms[1:, :3, 3]


def _layers(landmark: Int[Array, " P"]) -> tuple[Int[Array, " n"], ...]:
    """The first pair of every landmark, the second of those that have one, and so on; landmarks are sorted."""
    rank = np.arange(len(landmark)) - np.searchsorted(landmark, landmark)
    return tuple(np.flatnonzero(rank == layer) for layer in range(int(rank.max(initial=0)) + 1))


def _left_jacobian(axis_angle: Float[Array, "3"]) -> Float[Array, "3 3"]:
    """The matrix that takes a change of an axis-angle vector to the turn it adds, in the outer frame.

    T. D. Barfoot, "State Estimation for Robotics" (2017), eq. 7.77b.
    """
    angle = float(np.linalg.norm(axis_angle))
    x, y, z = axis_angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    if angle < 1e-4:
        return np.eye(3) + cross / 2 + cross @ cross / 6
    return np.eye(3) + (1 - np.cos(angle)) / angle**2 * cross + (angle - np.sin(angle)) / angle**3 * (cross @ cross)


def _whole_neck_limits(limits: Float[Array, "8 3 2"], rhythm: Float[Array, "8 3"]) -> Float[Array, "3 2"]:
    """Range of the whole neck's angles within which no joint leaves its own limits."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ranges = np.where(rhythm[..., None] > 1e-6, limits / rhythm[..., None], np.array([-np.inf, np.inf]))
    return np.stack([ranges[..., 0].max(axis=0), ranges[..., 1].min(axis=0)], axis=-1).astype(np.float64)
