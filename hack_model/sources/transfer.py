"""What only this project's models have, carried to another head's mesh: skeleton, weights, larynx, correctives.

The template's skin is laid upon the foreign head (:mod:`hack_model.sources.registration`); each foreign vertex then
reads off the template's surface what lies under it, and the joints stand where the template's own regressors put them
on the laid skin, expressed by the foreign head's vertices so that they follow its identities.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import scipy.sparse as sp

from hack_model.asset import split_quads
from hack_model.basis import Basis
from hack_model.build.skeleton import even_weights, joint_frames
from hack_model.formats.surface import vertex_normals
from hack_model.names import CERVICAL_JOINTS, SKELETON
from hack_model.sources.registration import Landmarks, register
from hack_model.sources.surface import Surface, SurfacePoints

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    from hack_model.asset import ModelAsset

    Array = np.ndarray

_OUTSIDE: Final = -9.0
_SMOOTHING: Final = 6
_MOST_JOINTS: Final = 4
_INNER_REGIONS: Final = ("mouth_interior", "eye_sockets")
_EYE_VERTICES: Final = 40
_SAME_SIDE: Final = 0.01
"""Metres by which a point that faces the same way may be farther than the nearest one: folds of ears differ more."""
_SHAPE_NOISE: Final = 0.002
"""Metres by which two shape spaces may disagree at a vertex when coefficients are carried from one to the other."""
_SPARSER, _MEASUREMENTS = 4, 150
"""Every fourth vertex is compared; neighbours err alike, so that all of a head is 150 independent measurements."""
_SMALLEST: Final = 2e-6
"""Metres below which a personalised corrective is left out."""


@dataclass(frozen=True)
class Fitted:
    """A template model laid upon a foreign head.

    ``vertices`` and ``faces`` are the foreign head's skin (V vertices), of which ``outer`` (V,) can be seen;
    ``laid`` (n, 3) the template's skin moved upon it, metres.
    """

    template: ModelAsset
    vertices: Float[Array, "V 3"]
    faces: Int[Array, "F 4"]
    outer: Bool[Array, " V"]
    laid: Float[Array, "n 3"]

    @classmethod
    def of(
        cls,
        template: ModelAsset,
        vertices: Float[Array, "V 3"],
        faces: Int[Array, "F 4"],
        outer: Bool[Array, " V"],
        landmarks: Landmarks,
        shift: Float[Array, "3"] | None = None,
    ) -> Fitted:
        """Lays the template upon the head, which must look the same way.

        ``shift`` brings the template's place near the head's; the landmarks' mean difference when left out.
        """
        skin = template.part("skin")
        seen = template_outer(template)
        ears = region(template, "ears")[skin] < 0.3
        triangles = _within(split_quads(template.faces), np.arange(template.vertex_count) < skin.stop)
        target = Surface(vertices, _within(split_quads(faces), outer))
        # Auricles differ too much to find each other by nearness; they follow the skin around them.
        start = template.template[skin].astype(np.float64)
        if shift is None:
            shift = np.average(landmarks.targets - landmarks.points.carry(start), axis=0, weights=landmarks.trust)
        laid = register(start + np.asarray(shift), triangles, target, landmarks, seen & ears)
        return cls(template, vertices, faces, outer, laid)

    @cached_property
    def points(self) -> SurfacePoints:
        """Where each foreign vertex lies on the template's outer skin; none for inner vertices."""
        seen = template_outer(self.template)
        surface = Surface(self.laid, _within(split_quads(self.template.faces), seen))
        facing = surface.closest(self.vertices, vertex_normals(self.vertices, split_quads(self.faces)))
        any_side = surface.closest(self.vertices)
        kept = facing.distance < any_side.distance + _SAME_SIDE
        return SurfacePoints(
            np.where(kept[:, None], facing.vertices, any_side.vertices),
            np.where(kept[:, None], facing.weights, any_side.weights),
            np.where(self.outer, np.where(kept, facing.distance, any_side.distance), np.inf),
        )

    @cached_property
    def surface(self) -> Surface:
        """The foreign head's outer skin."""
        return Surface(self.vertices, _within(split_quads(self.faces), self.outer))

    def distances(self) -> Float[Array, " n"]:
        """How far the laid template's seen skin is from the foreign head, metres."""
        return self.surface.closest(self.laid[template_outer(self.template)]).distance

    def carry(self, values: Float[Array, "*batch W C"]) -> Float[Array, "*batch V C"]:
        """Values of the template's vertices (W, all or the skin's) at the foreign skin's; zero inside."""
        return self.points.carry(values[..., self.template.part("skin"), :])


def template_outer(template: ModelAsset) -> Bool[Array, " n"]:
    """Skin vertices of the template that can be seen."""
    inner = sum((region(template, name) for name in _INNER_REGIONS), np.zeros(template.vertex_count))
    return inner[template.part("skin")] < 0.5


def region(template: ModelAsset, name: str) -> Float[Array, " V"]:
    """Membership of a region; zero when the model does not name it."""
    if name not in template.region_names:
        return np.zeros(template.vertex_count)
    return template.region_weights[template.region_names.index(name)].astype(np.float64)


def skin_weights(fitted: Fitted) -> Float[Array, "V 11"]:
    """Skinning weights of the foreign skin: the template's, smoothed, at most four a vertex; oc1's alone inside."""
    weights = fitted.carry(fitted.template.weights.astype(np.float64))
    head = SKELETON.index("oc1")
    lost = weights.sum(axis=1) < 0.5
    weights[lost] = np.eye(len(SKELETON))[head]
    average = _averaging(fitted.faces, len(weights))
    for _ in range(_SMOOTHING):
        weights = np.where(lost[:, None], weights, 0.5 * weights + 0.5 * (average @ weights))
    smallest = np.sort(weights, axis=1)[:, -_MOST_JOINTS, None]
    weights = np.where((weights >= smallest) & (weights > 1e-4), weights, 0)
    return weights / weights.sum(axis=1, keepdims=True)


def skeleton_fields(fitted: Fitted, eyes: tuple[slice, slice], vertices: Float[Array, "N 3"]) -> dict[str, Any]:
    """Joint regressors, frames, axes, limits and rhythm by field name.

    ``eyes`` are the eyeballs' vertices among all of the foreign model's ``vertices``, left first.
    """
    template = fitted.template
    rings = [_carried_ring(fitted, joint, place) for joint, place in enumerate(_joint_places(fitted))]
    for eye in eyes:
        chosen = np.linspace(eye.start, eye.stop - 1, _EYE_VERTICES).astype(int)
        middle = 0.5 * (vertices[eye].min(axis=0) + vertices[eye].max(axis=0))
        rings.append((chosen, even_weights(vertices[chosen], middle)))
    width = max(len(ring) for ring, _ in rings)
    wanted = _joint_places(fitted)
    joints = np.stack([weights @ vertices[ring] for ring, weights in rings])
    # A ring in one plane cannot reach a joint outside it; the rest is constant.
    offsets = np.zeros((len(rings), 3))
    offsets[: len(wanted)] = wanted - joints[: len(wanted)]
    return {
        "joint_regressor_vertices": np.stack([np.pad(ring, (0, width - len(ring))) for ring, _ in rings]),
        "joint_regressor_weights": np.stack([np.pad(weights, (0, width - len(weights))) for _, weights in rings]),
        "joint_offsets": offsets,
        "joint_frames": np.concatenate([joint_frames(wanted), np.tile(np.eye(3), (2, 1, 1))]),
        "joint_axes": np.tile(np.eye(3), (len(rings), 1, 1)),
        "joint_limits": template.joint_limits,
        "joint_rhythm": template.joint_rhythm,
    }


def _joint_places(fitted: Fitted) -> Float[Array, "8 3"]:
    """The cervical joints where the template's regressors put them on the laid skin, in the median plane."""
    template, count = fitted.template, len(CERVICAL_JOINTS)
    weights = template.joint_regressor_weights[:count].astype(np.float64)
    # The cervical joints' unused entries have no weight, whatever vertex they name.
    vertices = np.where(weights != 0, template.joint_regressor_vertices[:count], 0)
    places = np.einsum("gn,gnc->gc", weights, fitted.laid[vertices]) + template.joint_offsets[:count]
    return places * [0, 1, 1]


def _carried_ring(fitted: Fitted, joint: int, place: Float[Array, "3"]) -> tuple[Int[Array, " k"], Float[Array, " k"]]:
    """Vertices of the foreign skin nearest to a cervical joint's ring on the template, and weights that make it."""
    template = fitted.template
    vertices = template.joint_regressor_vertices[joint, template.joint_regressor_weights[joint] != 0]
    ring = fitted.laid[vertices]
    points = fitted.surface.closest(np.concatenate([ring, ring * [-1, 1, 1]]))
    chosen = np.unique(points.vertices[points.weights > 0.2])
    return chosen, even_weights(fitted.vertices[chosen], place)


def larynx_uv(fitted: Fitted) -> Float[Array, "V 2"]:
    """Each foreign skin vertex's place in the template's larynx chart."""
    chart = fitted.template.larynx_uv[fitted.template.part("skin")].astype(np.float64)
    inside = (chart > _OUTSIDE + 1).all(axis=1)
    whole = inside[fitted.points.vertices].all(axis=1) & fitted.points.found
    return np.where(whole[:, None], fitted.points.carry(chart), _OUTSIDE)


def averaged_direction(fitted: Fitted, heights: Float[Array, " V"]) -> Float[Array, "3"]:
    """The mean outward direction of the foreign skin under the bump, in the median plane."""
    normals = vertex_normals(fitted.vertices, split_quads(fitted.faces)).astype(np.float64)
    mean = heights @ normals
    mean[0] = 0
    return mean / np.linalg.norm(mean)


def identity_fields(fitted: Fitted, shape_basis: Float[Array, "S V 3"]) -> dict[str, Any]:
    """Fields that follow the identity, by name; ``shape_basis`` moves the foreign skin, metres.

    A foreign identity is given the larynx and the correctives of the likeliest template identity that differs from
    the mean as it does; the template's semantic directions become the likeliest foreign ones.
    """
    template = fitted.template
    points = np.flatnonzero(fitted.points.found)[::_SPARSER]
    own = fitted.points.matrix(template.part("skin").stop)[points]
    basis = np.asarray(template.shape_basis)[:, template.part("skin")].astype(np.float64)
    theirs = np.stack([own @ component for component in basis])
    ours = shape_basis[:, points].astype(np.float64)
    fields: dict[str, Any] = {}
    if len(template.direction_names):
        wanted = np.tensordot(template.directions.astype(np.float64), theirs, 1)
        fields |= {"direction_names": np.array(template.direction_names), "directions": likeliest(ours, wanted)}
    as_template = likeliest(theirs, ours)  # (S, T): the template's coefficients of each foreign component
    if template.larynx_identity.size:
        fields["larynx_identity"] = as_template @ template.larynx_identity
    if template.personal_pose_basis.size:
        pairs, values = _carried_pairs(fitted)
        fields |= {
            "personal_pose_basis": values,
            "personal_pose_pairs": pairs,
            "personal_pose_map": template.personal_pose_map @ as_template.T,
        }
    return fields


def likeliest(basis: Float[Array, "K n 3"], displacements: Float[Array, "m n 3"]) -> Float[Array, "m K"]:
    """The likeliest standard normal coefficients of a basis for displacements known to within 2 mm."""
    rows = basis.reshape(len(basis), -1)
    strength = _MEASUREMENTS / (basis.shape[1] * _SHAPE_NOISE**2)
    gram = strength * rows @ rows.T + np.eye(len(rows))
    return np.linalg.solve(gram, strength * rows @ displacements.reshape(len(displacements), -1).T).T


def _carried_pairs(fitted: Fitted) -> tuple[Int[Array, "N 2"], Float[Array, "Q N 3"]]:
    """The template's personalised correctives as (row, foreign vertex) pairs and their displacements."""
    template = fitted.template
    dense: list[np.ndarray] = []
    for component in template.personal_pose_basis:
        basis = Basis.from_pairs(
            len(template.pose_basis), template.control_count, template.personal_pose_pairs, component,
            template.refinement,
        )  # fmt: skip
        dense.append(_correctives(fitted, np.asarray(basis)).astype(np.float32))
    stacked = np.stack(dense)
    pairs = np.argwhere(np.abs(stacked).max(axis=(0, 3)) > _SMALLEST)
    return pairs, stacked[:, pairs[:, 0], pairs[:, 1]]


def transferred_fields(fitted: Fitted, vertices: Float[Array, "N 3"], eyes: tuple[slice, slice]) -> dict[str, Any]:
    """What a template gives a foreign model of N vertices, skin first: fields of the asset, by name.

    ``eyes`` are the eyeballs' vertices, left first. ``weights`` are the skin's (V, 11) alone.
    """
    template = fitted.template
    skin, count = len(fitted.vertices), len(vertices)
    uv = np.full((count, 2), _OUTSIDE)
    uv[:skin] = larynx_uv(fitted)
    regions = fitted.carry(template.region_weights[..., None].astype(np.float64))[..., 0]
    fields = skeleton_fields(fitted, eyes, vertices) | {
        "weights": skin_weights(fitted),
        "larynx_map": template.larynx_map,
        "larynx_forward_map": template.larynx_forward_map,
        "larynx_uv": uv,
        "larynx_direction": averaged_direction(fitted, _heights(template, uv[:skin])),
        "larynx_metres_per_v": template.larynx_metres_per_v,
        "region_names": np.array(template.region_names),
        "region_weights": np.clip(_padded(regions[..., None], count)[..., 0], 0, 1),
    }
    if len(template.pose_basis):
        fields["pose_basis"] = _padded(_correctives(fitted, np.asarray(template.pose_basis)), count)
        fields["pose_features"] = template.pose_features
    if len(template.landmarks478_vertices):
        fields["landmarks478_vertices"], fields["landmarks478_weights"] = _landmarks478(fitted, vertices, eyes)
    return fields


def _correctives(fitted: Fitted, basis: Float[Array, "K W 3"]) -> Float[Array, "K V 3"]:
    """Correctives at the foreign skin, smoothed: under the jaw neighbours may read off places that lie apart."""
    values = np.moveaxis(fitted.carry(basis), 1, 0)
    flat = values.reshape(len(values), -1)
    average = _averaging(fitted.faces, len(values))
    inner = ~fitted.points.found
    for _ in range(_SMOOTHING):
        flat = 0.5 * flat + 0.5 * (average @ flat)
        flat[inner] = 0
    result = flat.reshape(values.shape)
    return np.moveaxis(np.where(np.abs(result) < _SMALLEST, 0, result), 0, 1)


def _padded(values: Float[Array, "*batch V C"], count: int) -> Float[Array, "*batch N C"]:
    """Values of the skin with zeros for the parts that follow it."""
    result = np.zeros((*values.shape[:-2], count, values.shape[-1]), np.float32)
    result[..., : values.shape[-2], :] = values
    return result


def _heights(template: ModelAsset, uv: Float[Array, "V 2"]) -> Float[Array, " V"]:
    """The larynx chart's height at each vertex, nearest texel; for weighting only."""
    rows, columns = template.larynx_map.shape
    inside = ((uv >= 0) & (uv <= 1)).all(axis=1)
    place = np.rint(np.clip(uv, 0, 1) * [columns - 1, rows - 1]).astype(int)
    return np.where(inside, template.larynx_map[place[:, 1], place[:, 0]], 0).astype(np.float64)


def _landmarks478(
    fitted: Fitted, vertices: Float[Array, "N 3"], eyes: tuple[slice, slice]
) -> tuple[Int[Array, "L 3"], Float[Array, "L 3"]]:
    """The template's MediaPipe landmarks: on the skin by nearness, on the eyeballs by direction from their centres."""
    template = fitted.template
    corners, weights = template.landmarks478_vertices, template.landmarks478_weights.astype(np.float64)
    found = fitted.surface.closest(landmark_places(fitted, "landmarks478"))
    result, shares = found.vertices.copy(), found.weights.copy()
    for name, eye in zip(("eye_left", "eye_right"), eyes, strict=True):
        if name not in template.part_names:
            continue
        own = template.part(name)
        here = ((corners >= own.start) & (corners < own.stop)).all(axis=1)
        points = np.einsum("lk,lkc->lc", weights[here], template.template[corners[here]])
        centre, radius = _ball(template.template[own])
        other, size = _ball(vertices[eye])
        wanted = other + (points - centre) * size / radius
        nearest = eye.start + np.argmin(((vertices[eye] - wanted[:, None]) ** 2).sum(axis=2), axis=1)
        result[here], shares[here] = nearest[:, None], (1.0, 0.0, 0.0)
    return result, shares


def landmark_places(fitted: Fitted, field: str) -> Float[Array, "L 3"]:
    """The template's landmarks on its laid skin, metres; meaningless for those that do not lie on skin."""
    corners = getattr(fitted.template, f"{field}_vertices")
    weights = getattr(fitted.template, f"{field}_weights").astype(np.float64)
    on_skin = corners < fitted.template.part("skin").stop
    return np.einsum("lk,lkc->lc", weights, fitted.laid[np.where(on_skin, corners, 0)])


def _ball(points: Float[Array, "n 3"]) -> tuple[Float[Array, "3"], float]:
    """Centre and radius of an eyeball."""
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    return (low + high) / 2, float((high - low)[:2].max() / 2)


def _within(triangles: Int[Array, "T 3"], chosen: Bool[Array, " V"]) -> Int[Array, "N 3"]:
    """Triangles all of whose corners are chosen; vertices beyond ``chosen`` are not."""
    padded = np.append(chosen, False)
    return triangles[padded[np.minimum(triangles, len(chosen))].all(axis=1)]


def _averaging(faces: Int[Array, "F 4"], count: int) -> sp.csr_matrix:
    """The matrix that replaces each vertex's value by its neighbours' mean."""
    triangles = split_quads(faces)
    edges = np.unique(np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    both = np.concatenate([edges, edges[:, ::-1]])
    graph = sp.csr_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), (count, count))
    return sp.csr_matrix(sp.diags(1 / np.maximum(np.asarray(graph.sum(axis=1)).ravel(), 1)) @ graph)
