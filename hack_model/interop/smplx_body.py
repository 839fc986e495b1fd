"""A head of this project on an SMPL-X body: one mesh, joined in the skin of the lower neck.

The template's skin is laid upon the body once; so every vertex of the one has its place on the other. The body is cut
above the shoulders and the head below the neck, along the share of the neck's joints in the template's skinning; the
head is brought to the body's size and place by the similarity that best lays its face and skull upon the body's, and
in the neck it goes over smoothly into the body's own surface. The head then rides on the last joint of the spine, and
its eight cervical joints do what the body's two do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np
from scipy.spatial import KDTree

from hack_model.alignment import similarity
from hack_model.arrayfile import atomic_file
from hack_model.asset import split_quads
from hack_model.errors import FormatError, ParameterError
from hack_model.interop.seam import border_loop, cut, strip
from hack_model.interop.smpl_family import EYE_LEFT, EYE_RIGHT, HEAD, NECK, SPINE3, Body
from hack_model.model import HACK
from hack_model.names import SKELETON
from hack_model.posing import neck_pose, to_anatomical
from hack_model.sources.registration import Landmarks
from hack_model.sources.surface import SurfacePoints, connected_pieces
from hack_model.sources.transfer import Fitted, template_outer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float, Int

    from hack_model.asset import ModelAsset

    Array = np.ndarray

Neck = Literal["body", "head"]
_BODY_BELOW, _HEAD_ABOVE = 0.25, 0.40
"""Share of the neck's joints in the skin: the body is kept below the first, the head above the second."""
_BLEND: Final = 0.06
"""Metres above the seam over which the body's surface becomes the head's."""
_BODY_JOINTS: Final = 21
_MESH_FORMATS: Final = (".obj", ".ply", ".stl", ".glb")
_NOSE_TIP: Final = 30


@dataclass(frozen=True)
class HeadOnBody:
    """Made by :meth:`of`; then :meth:`vertices` poses it. ``faces`` (T, 3) index body rows first, then head rows.

    ``body_rows`` and ``head_rows`` name the vertices of SMPL-X and of the model that the joined mesh keeps, in order.
    """

    model: HACK
    body: Body
    faces: Int[Array, "T 3"]
    body_rows: Int[Array, " b"]
    head_rows: Int[Array, " h"]
    on_body: SurfacePoints
    own: Float[Array, " h"]
    """How much of each head vertex is the head's own place rather than the body's surface, 0 … 1."""

    @classmethod
    def of(cls, asset: ModelAsset, body: Body) -> HeadOnBody:
        """Lays the model on the body and joins the meshes; takes some seconds. Raises :class:`hack_model.HackError`."""
        fitted, skin_rows = lay_on_body(asset, body)
        skin = asset.part("skin")
        share = 1 - asset.weights[skin, SKELETON.index("base")].astype(np.float64)
        carried = np.ones(len(body.template))  # eyeballs and all that is no skin go with the head
        carried[skin_rows] = fitted.points.carry(share[:, None])[:, 0]
        body_faces = cut(body.faces, carried < _BODY_BELOW)
        triangles = split_quads(asset.faces)
        of_skin = (triangles < skin.stop).all(axis=1)
        head_faces = cut(
            triangles[of_skin], np.append(share > _HEAD_ABOVE, np.zeros(asset.vertex_count - skin.stop, bool))
        )
        others = triangles[~of_skin]
        body_rows, head_rows = np.unique(body_faces), np.unique(np.concatenate([head_faces, others]))
        places = np.concatenate([body.template, np.concatenate([fitted.laid, asset.template[skin.stop :]])])
        offset = len(body.template)
        rings = border_loop(body_faces, places), border_loop(head_faces, places[offset:]) + offset
        joined = np.concatenate([body_faces, head_faces + offset, others + offset, strip(*rings, places)])
        number = np.full(len(places), -1)
        number[body_rows] = np.arange(len(body_rows))
        number[head_rows + offset] = len(body_rows) + np.arange(len(head_rows))
        near = fitted.surface.closest(fitted.laid[np.minimum(head_rows, skin.stop - 1)])
        vertices = skin_rows[near.vertices]
        ease = np.clip(KDTree(places[rings[1]]).query(places[head_rows + offset])[0] / _BLEND, 0, 1)
        own = np.where(head_rows < skin.stop, ease * ease * (3 - 2 * ease), 1.0)
        return cls(
            HACK.from_asset(asset, dtype="float64"),
            body,
            number[joined].astype(np.int32),
            body_rows,
            head_rows,
            SurfacePoints(vertices, near.weights, np.zeros(len(vertices))),
            own,
        )

    def vertices(
        self, head: Mapping[str, Any] | None = None, body: Mapping[str, Any] | None = None, *, neck: Neck = "body"
    ) -> Float[Array, "N 3"]:
        """The joined mesh's vertices, metres, in SMPL-X's frame.

        ``head`` are parameters of :class:`hack_model.HACK` without placement, ``body`` of SMPL-X by ``smplx``'s names
        (one pose each). ``neck`` says who turns the head: the ``body``'s joints neck and head, which the cervical
        joints then share, or the ``head``'s ``pose``, which is then given to the body's joints.
        """
        if neck not in get_args(Neck):
            raise ParameterError(f"neck {neck!r} is none of {', '.join(get_args(Neck))}")
        given = dict(head or {})
        placed = {"global_rotation", "translation", "scale"} & set(given)
        if placed:
            raise ParameterError(f"the body places the head: leave out {', '.join(sorted(placed))}")
        parameters = {name: np.atleast_2d(np.asarray(value, np.float64)) for name, value in (body or {}).items()}
        pose = parameters.get("body_pose", np.zeros((1, 3 * _BODY_JOINTS))).reshape(-1, _BODY_JOINTS, 3).copy()
        asset = self.model.asset
        if neck == "body":
            total = _composed(pose[0, NECK - 1], pose[0, HEAD - 1])
            given["pose"] = neck_pose(asset, *total)
        else:
            total = to_anatomical(asset, np.asarray(given.get("pose", np.zeros((8, 3))), np.float64)).sum(axis=-2)
            pose[0, NECK - 1] = pose[0, HEAD - 1] = total / 2
        parameters["body_pose"] = pose.reshape(1, -1)
        posed, joints, rotations = self.body.evaluate(**parameters)
        shape = {name: parameters[name] for name in ("betas",) if name in parameters}
        rest, rest_joints, _ = self.body.evaluate(**shape)
        scale, turn, shift = self.similarity(rest[0])
        local = np.asarray(self.model(**given).vertices)[self.head_rows] @ turn.T * scale + shift
        carried = (local - rest_joints[0, SPINE3]) @ rotations[0, SPINE3].T + joints[0, SPINE3]
        surface = self.on_body.carry(posed[0])
        blended = surface + self.own[:, None] * (carried - surface)
        return np.concatenate([posed[0, self.body_rows], blended])

    def scale(self, body: Mapping[str, Any] | None = None) -> float:
        """How much larger than the model's the body's head is."""
        shape = {name: np.atleast_2d(value) for name, value in (body or {}).items() if name == "betas"}
        return self.similarity(self.body.evaluate(**shape)[0][0])[0]

    def similarity(self, rest: Float[Array, "V 3"]) -> tuple[float, Float[Array, "3 3"], Float[Array, "3"]]:
        """Scale, rotation and shift that lay the model's mean head upon that of a body in its rest pose."""
        asset = self.model.asset
        outer = np.append(template_outer(asset), False)
        chosen = outer[np.minimum(self.head_rows, len(outer) - 1)]
        # The more a vertex is the skull's alone, the more it counts; the neck does not.
        weight = asset.weights[self.head_rows[chosen], SKELETON.index("oc1")].astype(np.float64) ** 4
        points = asset.template[self.head_rows[chosen]].astype(np.float64)
        return similarity(points, self.on_body.carry(rest)[chosen], weight)


def lay_on_body(asset: ModelAsset, body: Body) -> tuple[Fitted, Int[Array, " n"]]:
    """The model's template laid on the mean body's skin, and which of the body's vertices are skin."""
    if not len(asset.landmarks68_vertices) or "eye_left" not in asset.part_names:
        raise FormatError(f"model {asset.name} has no Multi-PIE landmarks or no eyes to lay it on a body by")
    piece = connected_pieces(body.faces, len(body.template))
    rows = np.flatnonzero(piece == np.bincount(piece).argmax())
    place = np.full(len(piece), -1)
    place[rows] = np.arange(len(rows))
    faces = place[body.faces]
    faces = faces[(faces >= 0).all(axis=1)]
    vertices = body.template[rows]
    joints = body.arrays["J_regressor"].astype(np.float64) @ body.template
    eyes = joints[[EYE_LEFT, EYE_RIGHT]].mean(axis=0)
    away = vertices - eyes
    near = (np.abs(away[:, 0]) < 0.015) & (away[:, 1] < 0) & (away[:, 1] > -0.06)
    if not near.any():
        raise FormatError("the body has no skin below and between its eyes; this is not SMPL-X")
    nose = vertices[near][[np.argmax(vertices[near, 2])]]
    corners, weights = asset.landmarks68_vertices[[_NOSE_TIP]], asset.landmarks68_weights[[_NOSE_TIP]]
    marks = Landmarks(SurfacePoints(corners, weights, np.zeros(1)), nose, np.ones(1))
    own = np.stack([0.5 * (ball.min(axis=0) + ball.max(axis=0)) for ball in
                    (asset.template[asset.part(name)] for name in ("eye_left", "eye_right"))])  # fmt: skip
    padded = np.column_stack([faces, np.full(len(faces), -1)])
    fitted = Fitted.of(asset, vertices, padded, np.ones(len(rows), bool), marks, shift=eyes - own.mean(axis=0))
    return fitted, rows


def require_mesh_format(path: Path) -> None:
    """Raises :class:`FormatError` for a name that :func:`write_mesh` cannot write to."""
    if path.suffix.lower() not in _MESH_FORMATS:
        wanted = ", ".join(_MESH_FORMATS)
        raise FormatError(f"{path}: cannot write {path.suffix or 'a file without ending'}; wanted one of {wanted}")


def write_mesh(path: Path, vertices: Float[Array, "N 3"], faces: Int[Array, "T 3"]) -> Path:
    """Writes the joined mesh as .obj, .ply, .stl or .glb, atomically."""
    import trimesh

    require_mesh_format(path)
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    content: Any = mesh.export(file_type=path.suffix.lower().removeprefix("."))
    with atomic_file(path) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)
    return path


def _composed(first: Float[Array, "3"], second: Float[Array, "3"]) -> Float[Array, "3"]:
    """The axis-angle of one turn after another, parent first."""
    from scipy.spatial.transform import Rotation

    return (Rotation.from_rotvec(first) * Rotation.from_rotvec(second)).as_rotvec()
