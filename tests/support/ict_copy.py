"""A small head in ICT-FaceKit's form: the synthetic model's egg with finer rings, sockets, teeth, eyes; centimetres."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hack_model.asset import ModelAsset
from hack_model.names import HACK_EXPRESSIONS
from hack_model.sources.ict import Span
from tests.support.synthetic import synthetic_asset

EXTRA = ("PupilDilate_L",)
IDENTITIES = 3


@dataclass(frozen=True)
class IctCopy:
    """The arrays of a copy; ``spans`` say where its pieces lie."""

    neutral: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    face_uv: np.ndarray
    identities: np.ndarray
    expressions: np.ndarray
    expression_names: tuple[str, ...]
    landmarks68: np.ndarray
    spans: dict[str, Span]

    def write_folder(self, folder: Path) -> Path:
        """The repository's layout: a licence and FaceXModel with OBJ files and the JSON of indices."""
        models = folder / "FaceXModel"
        models.mkdir(parents=True)
        (folder / "LICENSE").write_text("MIT License\n")
        write_obj(models / "generic_neutral_mesh.obj", self.neutral, self)
        for number, displacement in enumerate(self.identities):
            write_obj(models / f"identity{number:03d}.obj", self.neutral + displacement, self)
        for name, displacement in zip(self.expression_names, self.expressions, strict=True):
            write_obj(models / f"{name}.obj", self.neutral + displacement, self)
        names = [name for name in self.expression_names if name not in EXTRA]
        indices = {"expressions": names, "idx_to_landmark_verts": self.landmarks68.tolist()}
        (models / "vertex_indices.json").write_text(json.dumps(indices))
        return folder

    def write_npz(self, path: Path) -> Path:
        """One file of arrays, displacements in half precision."""
        np.savez(
            path, neutral=self.neutral.astype(np.float32), faces=self.faces, uv=self.uv, faces_uv=self.face_uv,
            identities=self.identities.astype(np.float16), expressions=self.expressions.astype(np.float16),
            expression_names=np.array(self.expression_names), landmarks68=self.landmarks68,
        )  # fmt: skip
        return path


def ict_copy(template: ModelAsset, seed: int = 0) -> IctCopy:
    """A head with the very surface of the synthetic ``template``, but a mesh of its own."""
    random = np.random.default_rng(seed)
    fine = synthetic_asset(0, shape=1, rings=34, segments=24, landmarks=False)
    skin = fine.part("skin")
    egg = fine.template[skin].astype(np.float64)
    lower = egg[:, 1] < -0.09
    order = np.concatenate([np.flatnonzero(~lower), np.flatnonzero(lower)])
    place = np.argsort(order)
    chosen = (fine.faces[:, :3] < skin.stop).all(axis=1)
    faces = np.where(fine.faces[chosen] < 0, -1, place[fine.faces[chosen]])
    face_uv = fine.face_uv[chosen]
    egg = egg[order]
    upper = int((~lower).sum())
    below = (faces >= upper).any(axis=1)
    pieces: list[tuple[str, np.ndarray, np.ndarray]] = [
        ("face", egg[:upper], faces[~below]),
        ("head_and_neck", egg[upper:], faces[below]),
    ]
    for name, centre in (("mouth_socket", (0, -0.03, 0.05)), ("eye_socket_left", (0.03, 0.03, 0.05)),
                         ("eye_socket_right", (-0.03, 0.03, 0.05)), ("gums_and_tongue", (0, -0.035, 0.05)),
                         ("teeth_upper", (0, -0.028, 0.06)), ("teeth_lower", (0, -0.04, 0.06))):  # fmt: skip
        pieces.append((name, *_box(np.array(centre), 0.008)))
    for name in ("eye_left", "eye_right"):
        part = fine.part(name)
        own = fine.faces[(fine.faces[:, 0] >= part.start) & (fine.faces[:, 0] < part.stop)]
        ball = fine.template[part].astype(np.float64)
        middle = ball.mean(axis=0)
        inner = middle + (ball - middle) * 0.95
        count = len(ball)
        own = np.where(own < 0, -1, own - part.start)
        pieces.append((name, np.concatenate([ball, inner]), np.concatenate([own, np.where(own < 0, -1, own + count)])))
    vertices, spans, joined, start, face_start = [], {}, [], 0, 0
    for name, points, own in pieces:
        offset = 0 if name in ("face", "head_and_neck") else start
        spans[name] = Span(slice(start, start + len(points)), slice(face_start, face_start + len(own)))
        vertices.append(points)
        joined.append(np.where(own < 0, -1, own + offset))
        start, face_start = start + len(points), face_start + len(own)
    neutral = np.concatenate(vertices) * 100
    all_faces = np.concatenate(joined).astype(np.int32)
    # The egg keeps its texture coordinates, the neck's on tile 1; every other part takes a corner of a tile.
    uv = np.concatenate([fine.uv, fine.uv + np.array([1, 0]), [[2.5, 0.5]]])
    coordinates = np.where(all_faces < 0, -1, len(uv) - 1)
    egg_faces = np.concatenate([face_uv[~below], np.where(face_uv[below] < 0, -1, face_uv[below] + len(fine.uv))])
    coordinates[: len(egg_faces)] = egg_faces
    marks = np.einsum("lk,lkc->lc", template.landmarks68_weights, template.template[template.landmarks68_vertices])
    nearest = np.argmin(((egg - marks[:, None]) ** 2).sum(axis=2), axis=1)
    names = (*EXTRA, *HACK_EXPRESSIONS)
    neutral = _six_digits(neutral)
    return IctCopy(
        neutral=neutral,
        faces=all_faces,
        uv=uv,
        face_uv=coordinates.astype(np.int32),
        identities=_six_digits(neutral + _smooth(random, neutral, IDENTITIES, 0.4)) - neutral,
        expressions=_six_digits(neutral + _smooth(random, neutral, len(names), 0.5)) - neutral,
        expression_names=names,
        landmarks68=nearest.astype(np.int32),
        spans=spans,
    )


def write_obj(path: Path, vertices: np.ndarray, copy: IctCopy) -> None:
    """As the repository's files are: licence as comments, six digits, a material before the faces of each piece."""
    lines = ["#" * 90, "#" + " " * 88 + "#", "# ICT FaceKit" + " " * 76 + "#", "#" * 90, ""]
    lines.append("mtllib ICTFaceModelMaterial.mtl")
    lines += [f"v {x:g} {y:g} {z:g}" for x, y, z in vertices]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in copy.uv]
    for name, span in copy.spans.items():
        lines.append("usemtl M_" + name.title().replace("_", ""))
        for corners, marks in zip(copy.faces[span.faces].tolist(), copy.face_uv[span.faces].tolist(), strict=True):
            lines.append("f " + " ".join(f"{a + 1}/{b + 1}" for a, b in zip(corners, marks, strict=True) if a >= 0))
    path.write_text("\n".join(lines) + "\n")


def _box(centre: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    corners = centre + size * (np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) - 0.5)
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    return corners, np.array(quads, np.int32)


def _smooth(random: np.random.Generator, points: np.ndarray, count: int, amplitude: float) -> np.ndarray:
    """Smooth displacement fields in the unit of the points."""
    centres = points[random.integers(0, len(points), (count, 4))]
    strength = random.normal(scale=amplitude, size=(count, 4, 3))
    distance2 = ((points[None, :, None] - centres[:, None]) ** 2).sum(-1)
    return np.einsum("kvb,kbc->kvc", np.exp(-distance2 / (2 * 4.0**2)), strength)


def _six_digits(points: np.ndarray) -> np.ndarray:
    """Numbers as the repository's OBJ files hold them: six significant digits."""
    return np.vectorize(lambda number: float(f"{number:g}"))(points)
