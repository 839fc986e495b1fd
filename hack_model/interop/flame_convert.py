"""Meshes of this project's models as FLAME's parameters, and back, by registration.

Once per pair of models the template's skin is laid upon FLAME's mean head; that says for every vertex of the one
where it lies on the other. A conversion then makes the target mesh from the source's vertices and finds the other
model's parameters by non-linear least squares: identity from the neutral head, then expression and pose frame by
frame. Gaze is carried over exactly: both models turn the eyeballs in the head's frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.optimize import least_squares

from hack_model.alignment import rigid_motion
from hack_model.clip import Clip
from hack_model.errors import ParameterError
from hack_model.interop.flame_clip import FlameClip
from hack_model.interop.smpl_family import Flame
from hack_model.model import HACK
from hack_model.posing import neck_pose
from hack_model.sources.flame_model import find_pieces, lay_template
from hack_model.sources.transfer import template_outer

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from hack_model.asset import ModelAsset
    from hack_model.sources.surface import SurfacePoints

    Array = np.ndarray

Progress = Callable[[str, int, int], None]
_REACH: Final = 0.004
"""Metres: vertices whose partner lies farther off after laying have none."""
_MOST: Final = 1000
"""Vertices whose distances are minimised; the reported error is over all."""
_NOISE: Final = 0.001
"""Metres by which meshes disagree where both models are at their best: weighs the priors of the coefficients."""
_POSE_SPREAD: Final = 0.6
"""Radians: standard deviation that the neck's and the jaw's turns are given."""
_ROUNDS: Final = 12


@dataclass(frozen=True)
class Correspondence:
    """``on_head``: where FLAME's vertices ``flame_rows`` lie on the model's skin; ``on_flame``: the reverse."""

    flame_rows: Int[Array, " n"]
    on_head: SurfacePoints
    head_rows: Int[Array, " m"]
    on_flame: SurfacePoints

    @classmethod
    def of(cls, asset: ModelAsset, flame: Flame) -> Correspondence:
        """Lays the model's template upon FLAME's mean head."""
        fitted = lay_template(flame.source, asset, find_pieces(flame.source))
        near = np.flatnonzero(fitted.points.distance < _REACH)
        points = fitted.points
        seen = np.flatnonzero(template_outer(asset))
        back = fitted.surface.closest(fitted.laid[seen])
        inside = ~fitted.surface.boundary[back.vertices].any(axis=1) & (back.distance < _REACH)
        if len(near) < 50 or inside.sum() < 50:
            raise ParameterError(f"model {asset.name} and this FLAME file have too little surface in common")
        return cls(near, _chosen(points, near), seen[inside], _chosen(back, np.flatnonzero(inside)))


@dataclass(frozen=True)
class FlameConverter:
    """Converts clips of one model to FLAME's parameters and back; make it once with :meth:`of`."""

    model: HACK
    flame: Flame
    common: Correspondence

    @classmethod
    def of(cls, asset: ModelAsset, flame: Flame) -> FlameConverter:
        """The converter of a model; laying the one upon the other takes some seconds."""
        return cls(HACK.from_asset(asset, dtype="float64"), flame, Correspondence.of(asset, flame))

    def to_flame(self, clip: Clip, progress: Progress = lambda *_: None) -> FlameClip:
        """FLAME's parameters that show the clip's heads."""
        clip = clip.for_model(self.model)
        frames = len(clip)
        rig = self.model.rig(clip.shape, clip.scale)
        progress("identity", 0, frames)
        betas = self._betas(self._flame_targets(np.asarray(rig().vertices)))
        state = np.zeros(self.flame.expression_count + 12)
        states, errors = [], []
        for frame in range(frames):
            motion = {name: values[0] for name, values in clip.motion(slice(frame, frame + 1)).items()}
            targets = self._flame_targets(np.asarray(rig(**motion).vertices))
            state, error = self._flame_frame(betas, targets, self._flame_placed(betas, targets, state))
            states.append(state)
            errors.append(error)
            progress("frames", frame + 1, frames)
        found = np.stack(states)
        count = self.flame.expression_count
        return FlameClip(
            betas=betas,
            expression=found[:, :count],
            neck_pose=found[:, count : count + 3],
            jaw_pose=found[:, count + 3 : count + 6],
            global_orient=found[:, count + 6 : count + 9],
            transl=found[:, count + 9 :],
            leye_pose=clip.eye_pose[:, 0].astype(np.float64),
            reye_pose=clip.eye_pose[:, 1].astype(np.float64),
            error_mm=np.array(errors),
            fps=clip.fps,
        )

    def from_flame(self, clip: FlameClip, progress: Progress = lambda *_: None) -> tuple[Clip, Float[Array, " F"]]:
        """The model's clip that shows FLAME's heads, and each frame's mean distance in millimetres."""
        if clip.expression.shape[1] > self.flame.expression_count or len(clip.betas) > self.flame.shape_count:
            raise ParameterError(
                f"the FLAME clip has {len(clip.betas)} shape and {clip.expression.shape[1]} expression coefficients, "
                f"the FLAME file {self.flame.shape_count} and {self.flame.expression_count}"
            )
        clip = replace(
            clip,
            betas=_padded(clip.betas, self.flame.shape_count),
            expression=_padded(clip.expression, self.flame.expression_count),
        )
        rows = _spread(self.common.head_rows, _MOST)
        some = self.model.restricted(self.common.head_rows[rows])
        progress("identity", 0, len(clip))
        neutral = self.flame.vertices(betas=clip.betas[None])[0]
        shape, placement = self._shape(some, self._head_targets(neutral)[rows])
        rig, whole = some.rig(shape), self.model.restricted(self.common.head_rows).rig(shape)
        expressions = len(self.model.expression_names)
        state = np.concatenate([np.zeros(expressions + 3), placement])
        states, errors = [], []
        for frame in range(len(clip)):
            targets = self._head_targets(self.flame.vertices(**clip.parameters(slice(frame, frame + 1)))[0])
            state = self._head_frame(rig, targets[rows], self._head_placed(rig, targets[rows], state))
            states.append(state)
            posed = np.asarray(whole(**self._head_parameters(state[None])).vertices)[0]
            errors.append(float(np.linalg.norm(posed - targets, axis=1).mean() * 1000))
            progress("frames", frame + 1, len(clip))
        found = self._head_parameters(np.stack(states))
        made = replace(
            Clip.neutral(self.model, len(clip), clip.fps),
            shape=shape,
            eye_pose=np.stack([clip.leye_pose, clip.reye_pose], axis=1),
            **found,
        )
        return made, np.array(errors)

    @cached_property
    def _some_flame(self) -> Flame:
        """FLAME at the vertices whose distances are minimised."""
        return self.flame.restricted(self.common.flame_rows[_spread(self.common.flame_rows, _MOST)])

    def _flame_targets(self, head: Float[Array, "W 3"]) -> Float[Array, "n 3"]:
        return self.common.on_head.carry(head[self.model.asset.part("skin")])

    def _head_targets(self, flame: Float[Array, "V 3"]) -> Float[Array, "m 3"]:
        return self.common.on_flame.carry(flame)

    def _betas(self, targets: Float[Array, "n 3"]) -> Float[Array, " S"]:
        """The likeliest shape of a neutral head, free to be placed: linear least squares with FLAME's prior."""
        rows = _spread(self.common.flame_rows, _MOST)
        vertices = self.common.flame_rows[rows]
        goal = targets[rows] - self.flame.source.template[vertices]
        basis = self.flame.source.shape_basis[:, vertices].astype(np.float64)
        # Small turns and shifts of the whole head are columns of their own, without a prior.
        place = self.flame.source.template[vertices]
        turns = np.stack([np.cross(axis, place) for axis in np.eye(3)])
        shifts = np.broadcast_to(np.eye(3)[:, None], (3, len(rows), 3))
        columns = np.concatenate([basis, turns, shifts]).reshape(len(basis) + 6, -1).T / _NOISE
        prior = np.eye(len(basis) + 6)[: len(basis)] * np.sqrt(len(rows) / 300)
        system, right = np.vstack([columns, prior]), np.append(goal.reshape(-1) / _NOISE, np.zeros(len(basis)))
        return np.linalg.lstsq(system, right, rcond=None)[0][: len(basis)]

    def _flame_placed(self, betas: Array, targets: Float[Array, "n 3"], state: Array) -> Float[Array, " N"]:
        """The solver's vector with the placement that brings its head nearest to targets."""
        still = np.concatenate([state[:-6], np.zeros(6)])
        posed = self._evaluated(self.flame, betas, still[None])[0]
        rotation, shift = rigid_motion(posed[self.common.flame_rows], targets)
        root = self.flame.source.joint_regressor[0] @ (
            self.flame.source.template + np.tensordot(betas, self.flame.source.shape_basis, 1)
        )
        # FLAME turns about its root joint, the fit about the origin.
        return np.concatenate([state[:-6], _vector(rotation), shift + rotation @ root - root])

    def _flame_frame(
        self, betas: Float[Array, " S"], targets: Float[Array, "n 3"], start: Float[Array, " N"]
    ) -> tuple[Float[Array, " N"], float]:
        count = self.flame.expression_count
        rows = _spread(self.common.flame_rows, _MOST)
        spread = np.concatenate([np.ones(count), np.full(6, _POSE_SPREAD), np.full(6, 1e3)])
        prior = np.sqrt(len(rows) / 300) / spread

        def points(states: Float[Array, "B N"]) -> Float[Array, "B n"]:
            return self._evaluated(self._some_flame, betas, states).reshape(len(states), -1)

        state = _solved(points, targets[rows], start, prior)
        posed = self._evaluated(self.flame, betas, state[None])[0]
        error = np.linalg.norm(posed[self.common.flame_rows] - targets, axis=1)
        return state, float(error.mean() * 1000)

    def _evaluated(self, flame: Flame, betas: Array, states: Float[Array, "B N"]) -> Float[Array, "B V 3"]:
        """FLAME's vertices of the solver's vectors: expression, neck, jaw, global rotation, translation."""
        count = flame.expression_count
        return flame.vertices(
            betas=np.broadcast_to(betas, (len(states), len(betas))),
            expression=states[:, :count],
            neck_pose=states[:, count : count + 3],
            jaw_pose=states[:, count + 3 : count + 6],
            global_orient=states[:, count + 6 : count + 9],
            transl=states[:, count + 9 :],
        )

    def _shape(self, some: HACK, targets: Float[Array, "m 3"]) -> tuple[Float[Array, " S"], Float[Array, "6"]]:
        """The likeliest identity of a neutral head and its placement."""
        count = len(self.model.asset.shape_basis)
        rotation, shift = rigid_motion(np.asarray(some().vertices), targets)
        start = np.concatenate([np.zeros(count), _vector(rotation), shift])
        prior = np.concatenate([np.full(count, np.sqrt(len(targets) / 300)), np.full(6, 1e-6)])

        def points(states: Float[Array, "B N"]) -> Float[Array, "B n"]:
            placed = some(states[:, :count], global_rotation=states[:, -6:-3], translation=states[:, -3:])
            return np.asarray(placed.vertices).reshape(len(states), -1)

        found = _solved(points, targets, start, prior)
        return found[:count], found[-6:]

    def _head_frame(self, rig: Any, targets: Float[Array, "m 3"], start: Float[Array, " N"]) -> Float[Array, " N"]:
        count = len(self.model.expression_names)
        prior = np.sqrt(len(targets) / 300) / np.concatenate(
            [np.ones(count), np.full(3, _POSE_SPREAD), np.full(6, 1e3)]
        )
        low = np.concatenate([np.zeros(count), np.full(9, -np.inf)])
        high = np.concatenate([np.ones(count), np.full(9, np.inf)])

        def points(states: Float[Array, "B N"]) -> Float[Array, "B n"]:
            return np.asarray(rig(**self._head_parameters(states)).vertices).reshape(len(states), -1)

        return _solved(points, targets, start, prior, (low, high))

    def _head_placed(self, rig: Any, targets: Float[Array, "m 3"], state: Array) -> Float[Array, " N"]:
        """The solver's vector with the placement that brings its head nearest to targets."""
        still = np.concatenate([state[:-6], np.zeros(6)])
        rotation, shift = rigid_motion(np.asarray(rig(**self._head_parameters(still[None])).vertices)[0], targets)
        return np.concatenate([state[:-6], _vector(rotation), shift])

    def _head_parameters(self, states: Float[Array, "B N"]) -> dict[str, Any]:
        """The model's parameters: expression, the whole neck's three angles, rotation, translation."""
        count = len(self.model.expression_names)
        flexion, axial, lateral = states[:, count : count + 3].T
        return {
            "expression": states[:, :count],
            "pose": neck_pose(self.model.asset, flexion, axial, lateral),
            "global_rotation": states[:, -6:-3],
            "translation": states[:, -3:],
        }


def _solved(
    points: Callable[[Array], Array],
    targets: Float[Array, "n 3"],
    start: Float[Array, " N"],
    prior: Float[Array, " N"],
    bounds: tuple[Array, Array] | None = None,
) -> Float[Array, " N"]:
    """Least squares of the points' distances and the priors; derivatives by one batched evaluation."""
    goal = targets.reshape(-1)
    count = len(start)
    step = 1e-6

    def residual(state: Array) -> Array:
        return np.concatenate([(points(state[None])[0] - goal) / _NOISE, prior * state])

    def jacobian(state: Array) -> Array:
        moved = points(np.concatenate([state[None], state + step * np.eye(count)]))
        slope = (moved[1:] - moved[0]) / step
        return np.concatenate([slope.T / _NOISE, np.diag(prior)])

    low, high = bounds if bounds is not None else (np.full(count, -np.inf), np.full(count, np.inf))
    inside = np.clip(start, low, high)
    if bounds is not None:  # the solver wants to start strictly inside
        inside = np.where(np.isfinite(low), np.clip(inside, low + 1e-3, high - 1e-3), inside)
    slopes: Any = jacobian
    return least_squares(residual, inside, slopes, bounds=(low, high), x_scale="jac", max_nfev=_ROUNDS, ftol=1e-5).x


def _chosen(points: SurfacePoints, rows: Int[Array, " n"]) -> SurfacePoints:
    return replace(points, vertices=points.vertices[rows], weights=points.weights[rows], distance=points.distance[rows])


def _spread(rows: Int[Array, " n"], most: int) -> Int[Array, " k"]:
    """Places of at most so many of the rows, evenly taken."""
    return np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))


def _padded(values: Float[Array, "*batch n"], size: int) -> Float[Array, "*batch m"]:
    return np.concatenate([values, np.zeros((*values.shape[:-1], size - values.shape[-1]))], axis=-1)


def _vector(rotation: Float[Array, "3 3"]) -> Float[Array, "3"]:
    """Axis-angle of a rotation matrix."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(rotation).as_rotvec()
