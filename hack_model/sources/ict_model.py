"""ICT-FaceKit as a model of this project: its own mesh, identities and expressions, with a skeleton and a larynx.

The skin is the first 14,062 vertices of ICT-FaceKit's neutral mesh: the topology of the HACK paper. Eyeballs, teeth
and gums with tongue follow; its lashes are cards for a transparent texture it does not bring, and are left out. What
ICT-FaceKit has not (joints, weights, larynx, pose correctives, MediaPipe's landmarks, a colour map) is carried over
from a template model by :mod:`hack_model.sources.transfer`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hack_model.asset import ModelAsset
from hack_model.build.landmarks import belongs_to, read_points
from hack_model.build.materials import TABLE
from hack_model.errors import FormatError
from hack_model.names import HACK_EXPRESSIONS, SKELETON
from hack_model.resources import data_folder
from hack_model.schema import SCHEMA_VERSION
from hack_model.sources import transfer
from hack_model.sources.colour import with_carried_albedo
from hack_model.sources.ict import IctModel, Span
from hack_model.sources.registration import Landmarks
from hack_model.sources.surface import SurfacePoints, connected_pieces, mirror_vertices

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

METRES_PER_UNIT: Final = 0.01
NOTICE: Final = """Copyright (c) 2020 USC Institute for Creative Technologies

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated \
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the \
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit \
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the \
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE \
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR \
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR \
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""
"""ICT-FaceKit's notice, which the MIT licence asks every copy to carry; stored in the asset."""

_SKIN: Final = ("face", "head_and_neck", "mouth_socket", "eye_socket_left", "eye_socket_right")
_OUTER: Final = ("face", "head_and_neck")
_PARTS: Final = ("gums_and_tongue", "teeth_upper", "teeth_lower", "eye_left", "eye_right")
_MATERIALS: Final = {"gums_and_tongue": "gums", "teeth_upper": "teeth", "teeth_lower": "teeth"}
_FACE_SHARE: Final = 0.62
"""Of the colour map's height: face and other skin have a map each in ICT-FaceKit, here the one lies above the other."""
_PUPIL, _IRIS_INNER, _IRIS, _LIMBUS = 0.0022, 0.0038, 0.0056, 0.0062
"""Radii about the eye's axis, metres."""


@dataclass(frozen=True)
class _Mesh:
    """The chosen parts of ICT-FaceKit's mesh: ``rows`` (V,) are its vertices there; other fields as in the asset."""

    rows: Int[Array, " V"]
    vertices: Float[Array, "V 3"]
    faces: Int[Array, "F 4"]
    uv: Float[Array, "T 2"]
    face_uv: Int[Array, "F 4"]
    face_material: Int[Array, " F"]
    part_names: tuple[str, ...]
    part_vertices: Int[Array, "P 2"]
    materials: tuple[str, ...]

    def part(self, name: str) -> slice:
        """The vertices of a part."""
        return slice(*self.part_vertices[self.part_names.index(name)].tolist())


def build_ict(
    source: IctModel,
    template: ModelAsset,
    spans: Mapping[str, Span],
    *,
    origin: str = "a copy of ICT-FaceKit",
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> ModelAsset:
    """The model asset. ``template`` gives what ICT-FaceKit has not; ``spans`` name the pieces of the mesh.

    Raises :class:`FormatError` for a copy whose mesh or expressions are not ICT-FaceKit's.
    """
    missing = [name for name in HACK_EXPRESSIONS if name not in source.expression_names]
    if missing:
        raise FormatError(f"ICT-FaceKit: lacks the expressions {', '.join(missing)}")
    mesh = _mesh(source, spans)
    skin = mesh.part("skin")
    skin_faces = mesh.faces[(mesh.faces[:, :3] < skin.stop).all(axis=1)]
    outer = np.zeros(skin.stop, bool)
    outer[: sum(spans[name].vertices.stop - spans[name].vertices.start for name in _OUTER)] = True
    progress("lay the template upon the head", 0, 3)
    fitted = transfer.Fitted.of(
        template, mesh.vertices[skin], skin_faces, outer, _landmark_pairs(template, source, METRES_PER_UNIT)
    )
    progress("carry skeleton and larynx", 1, 3)
    names = (*HACK_EXPRESSIONS, *(name for name in source.expression_names if name not in HACK_EXPRESSIONS))
    order = [source.expression_names.index(name) for name in names]
    fields: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "name": "hack-ict",
        "version": "1.0",
        "licence": "MIT",
        "provenance": json.dumps(_provenance(fitted, origin), ensure_ascii=False),
        "template": mesh.vertices,
        "faces": mesh.faces,
        "uv": mesh.uv,
        "face_uv": mesh.face_uv,
        "part_names": np.array(mesh.part_names),
        "part_vertices": mesh.part_vertices,
        "material_names": np.array(mesh.materials),
        "material_color": np.array([TABLE[name][0] for name in mesh.materials]),
        "material_roughness": np.array([TABLE[name][1] for name in mesh.materials]),
        "face_material": mesh.face_material,
        "mirror_vertices": mirror_vertices(mesh.vertices, mesh.faces),
        "shape_basis": source.identities[:, mesh.rows] * np.float32(METRES_PER_UNIT),
        "expression_names": np.array(names),
        "expression_basis": source.expressions[order][:, mesh.rows] * np.float32(METRES_PER_UNIT),
        "landmarks68_vertices": np.repeat(source.landmarks68[:, None], 3, axis=1),
        "landmarks68_weights": np.tile([1.0, 0.0, 0.0], (68, 1)),
    }
    fields |= transfer.transferred_fields(fitted, mesh.vertices, (mesh.part("eye_left"), mesh.part("eye_right")))
    fields |= transfer.identity_fields(fitted, fields["shape_basis"][:, skin])
    fields["weights"] = _all_weights(mesh, fields["weights"])
    progress("carry the colours", 2, 3)
    asset = with_carried_albedo(ModelAsset.from_arrays(fields), fitted)
    table = data_folder() / "ict" / "landmarks478.csv"
    if belongs_to(table, asset.faces, asset.part_names, asset.part_vertices):
        vertices, weights = read_points(table)
        asset = replace(asset, landmarks478_vertices=vertices, landmarks478_weights=weights)
    progress("carry the colours", 3, 3)
    return asset


def _mesh(source: IctModel, spans: Mapping[str, Span]) -> _Mesh:
    """Skin and the chosen parts of the mesh, renumbered, texture coordinates inside [0, 1]."""
    last = max(spans[name].vertices.stop for name in (*_SKIN, *_PARTS))
    last_face = max(spans[name].faces.stop for name in (*_SKIN, *_PARTS))
    if len(source.neutral) < last or len(source.faces) < last_face:
        raise FormatError(
            f"ICT-FaceKit: {len(source.neutral)} vertices and {len(source.faces)} faces, "
            f"wanted {last} and {last_face} as its model 'light' has"
        )
    pieces = [(("skin",), _SKIN), *(((name,), (name,)) for name in _PARTS)]
    rows, faces, face_uv, names, ends, materials = [], [], [], [], [], []
    uv = _placed_uv(source, spans)
    for (name,), members in pieces:
        rows += [np.arange(spans[member].vertices.start, spans[member].vertices.stop) for member in members]
        for member in members:
            span = spans[member]
            faces.append(source.faces[span.faces])
            face_uv.append(source.face_uv[span.faces])
            materials.append(_face_materials(name, source, span))
        names.append(name)
        ends.append(sum(len(block) for block in rows))
    chosen = np.concatenate(rows)
    place = np.full(len(source.neutral) + 1, -1)
    place[chosen] = np.arange(len(chosen))
    joined = np.concatenate(faces)
    if (place[joined] < 0)[joined >= 0].any():
        raise FormatError("ICT-FaceKit: faces join vertices of different parts; this is another mesh")
    used = tuple(name for name in TABLE if any((block == name).any() for block in materials))
    numbers = {name: number for number, name in enumerate(used)}
    return _Mesh(
        rows=chosen,
        vertices=source.neutral[chosen] * METRES_PER_UNIT,
        faces=np.where(joined < 0, -1, place[joined]).astype(np.int32),
        uv=uv,
        face_uv=np.concatenate(face_uv),
        face_material=np.array([numbers[name] for block in materials for name in block.tolist()], np.int32),
        part_names=tuple(names),
        part_vertices=np.stack([[0, *ends[:-1]], ends], axis=1),
        materials=used,
    )


def _placed_uv(source: IctModel, spans: Mapping[str, Span]) -> Float[Array, "T 2"]:
    """Texture coordinates in [0, 1]: the face's tile above, the rest of the skin's below, others as they are.

    So the layout keeps the tiles' symmetry about u = 0.5, which painting of the skin relies on.
    """
    uv = source.uv - np.floor(source.uv)
    for name in _SKIN:
        used = np.unique(source.face_uv[spans[name].faces])
        used = used[used >= 0]
        up = uv[used, 1]
        uv[used, 1] = 1 - _FACE_SHARE * (1 - up) if name == "face" else up * (1 - _FACE_SHARE)
    return uv


def _face_materials(part: str, source: IctModel, span: Span) -> np.ndarray:
    """The material of each face of a piece."""
    faces = source.faces[span.faces]
    if not part.startswith("eye_"):
        return np.full(len(faces), _MATERIALS.get(part, part))
    corners = np.where(faces < 0, faces[:, [2]], faces)
    ball = source.neutral[span.vertices] * METRES_PER_UNIT
    middle = 0.5 * (ball.min(axis=0) + ball.max(axis=0))
    centres = source.neutral[corners].mean(axis=1) * METRES_PER_UNIT - middle
    radius = np.hypot(centres[:, 0], centres[:, 1])
    front = centres[:, 2] > 0
    # The eye is two closed shells: the white with the cornea, and inside it a ball that bears the iris.
    shell = connected_pieces(corners - span.vertices.start, len(ball))
    outside = np.array([np.ptp(ball[shell == number][:, 2]) for number in range(shell.max() + 1)])
    outer = shell[faces[:, 0] - span.vertices.start] == np.argmax(outside)
    rings = np.select(
        [radius < _PUPIL, radius < _IRIS_INNER, radius < _IRIS, radius < _LIMBUS],
        ["pupil", "iris_inner", "iris", "limbus"],
        "sclera",
    )
    inner = np.where(front, rings, "sclera")
    return np.where(outer, np.where(front & (radius < _LIMBUS), "cornea", "sclera"), inner)


def _landmark_pairs(template: ModelAsset, source: IctModel, scale: float) -> Landmarks:
    if not len(template.landmarks68_vertices):
        raise FormatError(f"the template {template.name} has no Multi-PIE landmarks to lay it upon ICT-FaceKit by")
    points = SurfacePoints(template.landmarks68_vertices, template.landmarks68_weights, np.zeros(68))
    return Landmarks.multipie(points, source.neutral[source.landmarks68] * scale)


def _all_weights(mesh: _Mesh, skin: Float[Array, "n 11"]) -> Float[Array, "V 11"]:
    """The skin's weights and, for every other part, its own joint."""
    weights = np.zeros((len(mesh.vertices), len(SKELETON)))
    weights[: len(skin)] = skin
    for name in _PARTS:
        weights[mesh.part(name), SKELETON.index(name if name.startswith("eye_") else "oc1")] = 1
    return weights


def _provenance(fitted: transfer.Fitted, origin: str) -> dict[str, Any]:
    distance = fitted.distances() * 1000
    template = fitted.template
    return {
        "source": f"ICT-FaceKit (USC Institute for Creative Technologies, MIT), {origin}",
        "notice": NOTICE,
        "carried_over": f"skeleton, weights, larynx, colours, MediaPipe landmarks from {template.name} "
        f"{template.version} ({template.licence})",
        "template_distance_mm": {
            "median": round(float(np.median(distance)), 3), "95_percent": round(float(np.percentile(distance, 95)), 3),
        },
    }  # fmt: skip
