"""`HACK`: parameters in, vertices and joints out, in numpy or torch.

    x = R(global_rotation) · scale · LBS(T + S(shape) + E(expression; shape) + P(pose; shape) + L(larynx; shape),
        J(shape), pose, W) + translation

after "HACK: Learning a Parametric Head and Neck Model for High-fidelity Animation" (SIGGRAPH 2023, arXiv 2305.04469);
eye joints, scale and placement are this project's.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hack_model.asset import ModelAsset
from hack_model.combinations import Combinations
from hack_model.errors import ParameterError
from hack_model.larynx import Larynx
from hack_model.parameters import PARAMETERS, Backend, common_shape
from hack_model.personal import Personal, SparseSums, refinement_entries
from hack_model.resources import default_model_path
from hack_model.rig import Output, Rig

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from hack_model.basis import Basis

    Array = Any

Landmarks = Literal["multipie68", "mediapipe478"]

_FRAMES_TO_BAKE = 8
"""Frames of one identity in a call from which on its own basis pays off; made once, it makes each frame faster."""
_LANDMARK_FIELDS = {"multipie68": "landmarks68", "mediapipe478": "landmarks478"}


def load(path: str | Path | None = None, *, backend: str = "numpy", device: Any = None, dtype: str = "float32") -> HACK:
    """The model of an asset file, by default hack-open. ``backend`` is "numpy" or "torch".

    ``dtype`` is "float32" or "float64"; with torch also "float16" or "bfloat16" for half the memory and faster products
    on a GPU: the bases, and products with them, are in half precision then, all else in float32. A displacement errs by
    at most 2⁻⁹ (bfloat16: 2⁻⁶) of the sum of its terms' sizes; random people of hack-open were off by at most 0.03 mm
    (bfloat16: 0.24 mm).

    Raises :class:`hack_model.errors.AssetError` when the file cannot be used.
    """
    asset = ModelAsset.load(path if path is not None else default_model_path())
    return HACK.from_asset(asset, backend=backend, device=device, dtype=dtype)


class HACK:
    """A parametric head and neck in one array library. Pure: calls change nothing, torch gradients flow through.

    ``vertices`` restricts the model to some vertices of the asset, in the given order; its joints stay those of the
    whole head. Public arrays: ``template`` (V, 3), ``shape_basis`` (S, V, 3), ``expression_basis`` (E, V, 3),
    ``combination_basis`` (X, V, 3) and ``pose_basis`` (K, V, 3) in metres; ``joint_template`` (10, 3) and
    ``joint_basis`` (S, 10, 3): the rest joints are ``joint_template + shape · joint_basis``; ``joint_frames``
    (10, 3, 3); ``weights`` (11, V), rows sum over joints.
    """

    def __init__(self, asset: ModelAsset, backend: Backend, vertices: Int[np.ndarray, " N"] | None = None) -> None:
        constant = backend.constant
        self.asset = asset
        self.backend = backend
        self.vertex_indices = np.arange(asset.vertex_count) if vertices is None else _indices(asset, vertices)
        chosen = self.vertex_indices
        self.vertex_count = len(self.vertex_indices)
        self.expression_names = asset.expression_names
        self._sizes = {"S": len(asset.shape_basis), "E": len(asset.expression_names)}
        self._template = constant(asset.template[chosen].T)
        self._shape_basis, self._refine = self._shape_space(vertices is None)
        bases = {"expression": (asset.expression_basis, asset.combination_basis), "pose": (asset.pose_basis,)}
        self._motion = {
            kind: backend.basis(
                np.concatenate([_coordinates_first(basis, chosen, vertices is None) for basis in stacked])
            )
            for kind, stacked in bases.items()
        }
        self.combinations = Combinations.of(asset, backend)
        made = {kind: Personal.of(asset, kind, backend, chosen) for kind in self._motion}
        self._personal = {kind: personal for kind, personal in made.items() if personal is not None}
        self._pose_features = constant(asset.pose_features)
        joint_template, joint_basis = _regressed(asset)
        self.joint_template = constant(joint_template)
        self.joint_basis = constant(joint_basis)
        self.joint_frames = constant(asset.joint_frames)
        weights = asset.weights[chosen].astype(np.float64)
        self.weights = constant((weights / weights.sum(axis=1, keepdims=True)).T)
        self.larynx = Larynx.of(asset, backend, None if vertices is None else self.vertex_indices)
        self.larynx_direction = constant(asset.larynx_direction)
        self._larynx_identity = constant(asset.larynx_identity) if asset.larynx_identity.size else None

    def __repr__(self) -> str:
        place = f"{self.backend.name} {self.backend.dtype_name} on {self.backend.device}"
        return f"HACK({self.asset!r}, {place}, {self.vertex_count} vertices)"

    @classmethod
    def from_asset(
        cls,
        asset: ModelAsset,
        *,
        backend: str = "numpy",
        device: Any = None,
        dtype: str = "float32",
        check_finite: bool = True,
    ) -> HACK:
        """The model of an asset. ``check_finite=False`` lets values pass unread, as torch's vmap and compile need."""
        return cls(asset, Backend.create(backend, device, dtype, check_finite=check_finite))

    def __call__(
        self,
        shape: Float[Array, "*batch S"] | None = None,
        expression: Float[Array, "*batch E"] | Mapping[str, Any] | None = None,
        pose: Float[Array, "*batch 8 3"] | None = None,
        eye_pose: Float[Array, "*batch 2 3"] | None = None,
        larynx_size: Float[Array, "*batch"] | float | None = None,
        larynx_shift: Float[Array, "*batch"] | float | None = None,
        larynx_forward: Float[Array, "*batch"] | float | None = None,
        global_rotation: Float[Array, "*batch 3"] | None = None,
        translation: Float[Array, "*batch 3"] | None = None,
        scale: Float[Array, "*batch"] | float | None = None,
    ) -> Output:
        """Vertices and joints in metres; units as in :data:`hack_model.parameters.PARAMETERS`.

        Absent parameters are neutral (no larynx bump, scale 1); leading batch dimensions broadcast against each other;
        ``shape`` may hold fewer coefficients than the model; ``expression`` may be a mapping from names to values.
        Raises :class:`ParameterError` saying what was wanted and what came.
        """
        checked = self.checked({"shape": shape, "expression": expression, "pose": pose, "scale": scale})
        moving = {kind for kind in self._personal if kind in checked}
        frames = max((_frames(kind, checked[kind]) for kind in moving), default=0)
        rig = self._rig(checked, moving, baked=frames > _FRAMES_TO_BAKE)
        return rig(
            checked.get("expression"), checked.get("pose"), eye_pose, larynx_size, larynx_shift, larynx_forward,
            global_rotation, translation,
        )  # fmt: skip

    def rig(
        self,
        shape: Float[Array, "*batch S"] | None = None,
        scale: Float[Array, "*batch"] | float | None = None,
        *,
        personalised: bool = True,
    ) -> Rig:
        """The model with its identity fixed: template, joints and the identity's own expressions are computed once.

        ``personalised=False`` keeps the expressions, combinations and correctives everyone shares.
        """
        checked = self.checked({"shape": shape, "scale": scale})
        return self._rig(checked, set(self._personal) if personalised else set(), baked=True)

    def _rig(self, checked: Mapping[str, Array], personal: set[str], *, baked: bool) -> Rig:
        """``baked`` puts one identity's own part into the basis, which makes frames fast; batches keep it apart."""
        template, joints, motion = self._template, self.joint_template, dict(self._motion)
        apart: dict[str, tuple[Personal, Array]] = {}
        prominence = None
        coefficients = checked.get("shape")
        if coefficients is not None:
            xp = self.backend.xp
            moved = self.backend.product(coefficients, self._shape_basis)
            moved = xp.matrix_transpose(xp.reshape(moved, (*moved.shape[:-1], moved.shape[-1] // 3, 3)))
            template = template + (moved if self._refine is None else self._refine(moved))
            regressed = coefficients @ xp.reshape(self.joint_basis, (self._sizes["S"], 30))
            joints = joints + xp.reshape(regressed, (*regressed.shape[:-1], 10, 3))
            if self._larynx_identity is not None:
                prominence = xp.exp(coefficients @ self._larynx_identity)
            for kind in sorted(personal):
                own, offsets = self._personal[kind], self._personal[kind].offsets(coefficients)
                if baked and coefficients.ndim == 1:
                    motion[kind] = own.added(motion[kind], offsets)
                else:
                    apart[kind] = own, offsets
        return Rig(self, template, joints, motion, checked.get("scale"), apart, prominence)

    def _shape_space(self, whole: bool) -> tuple[Array, SparseSums | None]:
        """The shape basis, flat, and what carries it to the vertices: on the control mesh where that is less work."""
        basis, rows = self.asset.shape_basis, self._sizes["S"]
        if basis.refinement is None or self.vertex_count <= basis.count:
            dense = basis.dense() if whole else basis.at(self.vertex_indices)
            return self.backend.basis(dense.reshape(rows, 3 * self.vertex_count)), None
        vertex, control, factor = refinement_entries(self.asset, self.vertex_indices)
        refine = SparseSums.of(self.backend, vertex, control, factor, self.vertex_count)
        values = basis.values if basis.starts is None else basis.control()
        return self.backend.basis(values.reshape(rows, 3 * basis.count)), refine

    def restricted(self, vertices: Int[np.ndarray, " N"]) -> HACK:
        """The same model for some vertices only, given by their indices in the asset; joints stay those of the head."""
        return HACK(self.asset, self.backend, vertices)

    def landmark_model(self, kind: Landmarks) -> HACK:
        """The model restricted to the vertices that carry landmarks, so that they can be evaluated alone."""
        return self.restricted(np.unique(self._landmark_arrays(kind)[0]))

    def landmarks(self, vertices: Float[Array, "*batch V 3"], kind: Landmarks) -> Float[Array, "*batch L 3"]:
        """Landmarks of the given vertices (this model's): 68 of Multi-PIE, or MediaPipe's 478 with the irises.

        Raises :class:`ParameterError` on an unknown kind, an asset without it, or a restricted model without the
        vertices needed.
        """
        indices, weights = self._landmark_arrays(kind)
        place = np.full(self.asset.vertex_count, -1)
        place[self.vertex_indices] = np.arange(self.vertex_count)
        if (place[indices] < 0).any():
            raise ParameterError(f"this restricted model lacks vertices of the {kind} landmarks; use landmark_model")
        vertices = self.backend.parameter("vertices", vertices, (self.vertex_count, 3))
        xp = self.backend.xp
        corners = xp.take(vertices, self.backend.constant(place[indices].reshape(-1)), axis=-2)
        corners = xp.reshape(corners, (*corners.shape[:-2], len(indices), 3, 3))
        return xp.sum(corners * self.backend.constant(weights)[..., None], axis=-2)

    def checked(self, given: Mapping[str, Any]) -> dict[str, Array]:
        """The given parameters that are not None as arrays of this model's library; raises :class:`ParameterError`."""
        result: dict[str, Array] = {}
        for name, value in given.items():
            if value is None:
                continue
            if name == "expression" and isinstance(value, Mapping):
                value = self.expression_vector(value)
            dims = tuple(self._sizes[dim] if isinstance(dim, str) else dim for dim in PARAMETERS[name].dims)
            result[name] = self.backend.parameter(name, value, dims, padded=name == "shape")
        return result

    def expression_vector(self, values: Mapping[str, Any]) -> Float[Array, "*batch E"]:
        """Expression coefficients from values by name; the others are zero. Raises :class:`ParameterError`."""
        xp, backend = self.backend.xp, self.backend
        for name in values:
            if name not in self.expression_names:
                near = difflib.get_close_matches(str(name), self.expression_names, 3) or self.expression_names
                raise ParameterError(f"model {self.asset.name} has no expression {name!r}; it has {', '.join(near)}")
        columns = {name: backend.parameter(name, value, ()) for name, value in values.items()}
        batch = common_shape({name: tuple(value.shape) for name, value in columns.items()})
        zero = xp.zeros((), dtype=backend.dtype, device=backend.device)
        return xp.stack([xp.broadcast_to(columns.get(n, zero), batch) for n in self.expression_names], axis=-1)

    def expression_coefficients(self, expression: Float[Array, "*batch E"]) -> Float[Array, "*batch E+X"]:
        """The expressions' activations, then the weights they give the combinations."""
        if self.combinations is None:
            return expression
        return self.backend.xp.concat([expression, self.combinations.weights(expression)], axis=-1)

    def pose_coefficients(self, rotations: Float[Array, "*batch 10 3 3"]) -> Float[Array, "*batch K"] | None:
        """The features R - I of the cervical joints that the asset's correctives use; None when it has none."""
        if not len(self._pose_features):
            return None
        xp, backend = self.backend.xp, self.backend
        features = rotations[..., :8, :, :] - xp.eye(3, dtype=backend.dtype, device=backend.device)
        return xp.take(xp.reshape(features, (*features.shape[:-3], 72)), self._pose_features, axis=-1)

    @cached_property
    def template(self) -> Float[Array, "V 3"]:
        """Rest vertices of the mean identity in metres."""
        return self.backend.xp.matrix_transpose(self._template)

    @cached_property
    def shape_basis(self) -> Float[Array, "S V 3"]:
        """Metres per standard deviation of each component."""
        if self._refine is None:
            return self.backend.xp.reshape(self._shape_basis, (self._sizes["S"], self.vertex_count, 3))
        return self.backend.basis(self.asset.shape_basis.at(self.vertex_indices))

    @cached_property
    def expression_basis(self) -> Float[Array, "E V 3"]:
        """Metres at activation 1, as everyone shares them; a rig's own are :attr:`Rig.expression_basis`."""
        return self._generic.expression_basis

    @cached_property
    def combination_basis(self) -> Float[Array, "X V 3"]:
        """Metres at weight 1 of a combination, as everyone shares them."""
        return self._generic.combination_basis

    @cached_property
    def pose_basis(self) -> Float[Array, "K V 3"]:
        """Metres per unit of a pose feature, as everyone shares them."""
        return self._generic.pose_basis

    @property
    def _generic(self) -> Rig:
        return Rig(self, self._template, self.joint_template, self._motion)

    def _landmark_arrays(self, kind: str) -> tuple[np.ndarray, np.ndarray]:
        if kind not in _LANDMARK_FIELDS:
            raise ParameterError(f"landmarks {kind!r} are not known; wanted one of {', '.join(_LANDMARK_FIELDS)}")
        field = _LANDMARK_FIELDS[kind]
        indices, weights = getattr(self.asset, f"{field}_vertices"), getattr(self.asset, f"{field}_weights")
        if not len(indices):
            raise ParameterError(f"model {self.asset.name} has no {kind} landmarks (field {field}_vertices is empty)")
        return indices, weights


def _indices(asset: ModelAsset, vertices: Any) -> np.ndarray:
    indices = np.asarray(vertices)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise ParameterError(f"vertices: wanted indices of shape (N,), got {indices.dtype} {indices.shape}")
    if indices.size and (indices.min() < 0 or indices.max() >= asset.vertex_count):
        raise ParameterError(f"vertices: wanted indices in 0…{asset.vertex_count - 1}")
    return indices.astype(np.int64)


def _regressed(asset: ModelAsset) -> tuple[np.ndarray, np.ndarray]:
    """Rest joints of the mean identity (10, 3) and their change per shape component (S, 10, 3), in double precision."""
    vertices, weights = asset.joint_regressor_vertices, asset.joint_regressor_weights.astype(np.float64)
    template = np.einsum("gn,gnc->gc", weights, asset.template[vertices]) + asset.joint_offsets
    return template, np.einsum("gn,sgnc->sgc", weights, asset.shape_basis.at(vertices))


def _coordinates_first(basis: Basis, vertices: Int[np.ndarray, " n"], whole: bool) -> Float[np.ndarray, "rows 3n"]:
    if not len(basis):
        return np.zeros((0, 3 * len(vertices)), np.float32)
    dense = basis.dense() if whole else basis.at(vertices)
    return dense.transpose(0, 2, 1).reshape(len(basis), 3 * len(vertices))


def _frames(name: str, value: Array) -> int:
    return math.prod(value.shape[: value.ndim - len(PARAMETERS[name].dims)])
