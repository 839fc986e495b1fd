"""Where the detector's 478 points lie on a model: ``python -m fitting.embedding MODEL -o landmarks478.csv``.

What a network calls "outer brow point" is found by asking it: random heads of the model are rendered, the detector
looks at each picture and at its mirror image, and every point gets the place on the surface whose projections come
nearest to what was detected, over all heads at once and with robust weights. Heads with open jaws and closed lids tell
the upper lip from the lower and lids from eyeballs. With photographs, the fits to them join the rendered heads.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fitting.camera import Camera
from fitting.detector import FaceDetector, choose_face
from fitting.points import IRIS_LEFT, IRIS_RIGHT, POINT_COUNT, points
from hack_model.arrayfile import atomic_file
from hack_model.asset import ModelAsset
from hack_model.build.landmarks import mesh_digest
from hack_model.errors import HackError
from hack_model.model import HACK
from hack_model.names import CERVICAL_JOINTS

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, UInt8

    Array = np.ndarray

_SIDE, _DISTANCE, _FOCAL = 512, 1.1, 1900.0
_ROBUST = 0.01  # share of the outer-eye-corner distance beyond which a detection loses its pull
_NEIGHBOURS = 80  # vertices among which a place is sought closely
_MIN_VISIBLE = 0.08  # share of the heads in which a vertex must be seen to carry a point
_IRIS_MATERIALS = ("pupil", "iris", "limbus")
_IRIS_ORDER = ((0, 0), (1, 0), (0, 1), (-1, 0), (0, -1))  # centre, towards the subject's left, top, right, bottom
_OFTEN = (("jawOpen",), ("eyeBlink_L", "eyeBlink_R"), ("mouthSmile_L", "mouthSmile_R"))


@dataclass(frozen=True)
class Sighting:
    """One head before the detector: its vertices in pixels over the unit, and what was detected, likewise."""

    vertices: Float[Array, "V 2"]
    points: Float[Array, "478 2"]
    visible: Bool[Array, " V"]
    weight: float = 1.0


@dataclass(frozen=True)
class Embedding:
    """Three vertices and barycentric weights of each point; ``error`` is each one's median miss over the heads."""

    vertices: Int[Array, "478 3"]
    weights: Float[Array, "478 3"]
    error: Float[Array, "478"]


def rendered_heads(asset: ModelAsset, detector: FaceDetector, count: int, seed: int = 0) -> list[Sighting]:
    """Random heads of the model, rendered and detected; heads on which no face is found are left out."""
    random = np.random.default_rng(seed)
    model = HACK.from_asset(asset)
    result: list[Sighting] = []
    for _ in range(count):
        vertices, camera = _random_head(model, random)
        result += _sightings(asset, detector, vertices, camera)
    if len(result) < count:  # two sightings per head are wanted, one is the least
        raise HackError(f"the detector found a face on {len(result) // 2} of {count} renders of {asset.name}")
    return result


def locate(asset: ModelAsset, sightings: Sequence[Sighting], around: Embedding | None = None) -> Embedding:
    """The surface points that come nearest to the detections over all sightings.

    ``around`` is an embedding in whose neighbourhood to search, which is quicker than the whole face.
    """
    allowed = _allowed_vertices(asset, sightings)
    vertices, weights = np.zeros((POINT_COUNT, 3), np.int32), np.zeros((POINT_COUNT, 3))
    error = np.zeros(POINT_COUNT)
    emphasis = np.array([sighting.weight for sighting in sightings])
    irises = iris_vertices(asset)
    on_eyeballs = set(points().of_group("iris").tolist())
    for point in range(POINT_COUNT):
        if point in irises:
            vertices[point], weights[point] = irises[point], (1, 0, 0)
            continue
        candidates = allowed["eyes" if point in on_eyeballs else "skin"]
        if around is not None:
            place = around.weights[point] @ asset.template[around.vertices[point]]
            distance = np.linalg.norm(asset.template[candidates] - place, axis=1)
            candidates = candidates[np.argsort(distance)[:_NEIGHBOURS]]
        seen = np.stack([sighting.points[point] for sighting in sightings]).astype(np.float32)
        candidates = _nearest_vertices(candidates, sightings, seen, emphasis)
        triangles = _triangles_at(asset, candidates[:5], allowed)
        vertices[point], weights[point], error[point] = _best_place(triangles, sightings, seen, emphasis)
    return Embedding(vertices, weights, error)


def iris_vertices(asset: ModelAsset) -> dict[int, Int[Array, "3"]]:
    """The iris points of a model whose eyes show where its irises are: by material, not by detection.

    The detector sees a rendered iris about a millimetre low, which would turn every gaze up by five degrees. Each value
    is the vertex that carries the point and two of its neighbours; empty for a model without irises.
    """
    used = [number for number, name in enumerate(asset.material_names) if name in _IRIS_MATERIALS]
    faces = asset.faces[np.isin(asset.face_material, used)]
    result: dict[int, np.ndarray] = {}
    for points_of_eye, part in ((IRIS_LEFT, "eye_left"), (IRIS_RIGHT, "eye_right")):
        if part not in asset.part_names or not len(faces):
            continue
        span = asset.part(part)
        vertices = np.unique(faces[(faces[:, 0] >= span.start) & (faces[:, 0] < span.stop)])
        vertices = vertices[vertices >= 0]
        places = asset.template[vertices]
        low, high = places.min(axis=0), places.max(axis=0)
        middle, radius = (low + high) / 2, (high - low).max() / 2
        for point, (x, y) in zip(range(points_of_eye.start, points_of_eye.stop), _IRIS_ORDER, strict=True):
            wanted = middle[:2] + radius * np.array([x, y])
            vertex = vertices[np.argmin(np.linalg.norm(places[:, :2] - wanted, axis=1))]
            triangle = asset.triangles[np.flatnonzero((asset.triangles == vertex).any(axis=1))[0]]
            result[point] = np.array([vertex, *triangle[triangle != vertex]])
    return result


def with_embedding(asset: ModelAsset, embedding: Embedding) -> ModelAsset:
    """The asset with these points as its ``landmarks478``."""
    return replace(asset, landmarks478_vertices=embedding.vertices, landmarks478_weights=embedding.weights)


def topology_digest(asset: ModelAsset) -> str:
    """Identifies the mesh a table belongs to: the faces of skin and eyeballs, wherever their vertices are."""
    return mesh_digest(asset.faces, asset.part_names, asset.part_vertices)


def write_embedding(path: Path, asset: ModelAsset, embedding: Embedding) -> None:
    """Writes the table that :func:`hack_model.build.landmarks.read_points` reads."""
    lines = [
        "# MediaPipe's 478 face points on the model: three vertices and their weights, made by fitting.embedding.",
        f"# Mesh: {topology_digest(asset)} (SHA-256 of the faces of skin and eyeballs, first 16 digits).",
        "landmark,vertex_1,vertex_2,vertex_3,weight_1,weight_2,weight_3",
    ]
    for point, (corners, shares) in enumerate(zip(embedding.vertices, embedding.weights, strict=True)):
        lines.append(",".join([str(point), *map(str, corners), *(f"{share:.6f}" for share in shares)]))
    with atomic_file(path) as stream:
        stream.write(("\n".join(lines) + "\n").encode())


def _random_head(model: HACK, random: np.random.Generator) -> tuple[Float[Array, "V 3"], Camera]:
    """Vertices before the camera: any identity, mild expressions, small turns."""
    names = list(model.asset.expression_names)
    expression = np.zeros(len(names))
    for index in random.choice(len(names), 4, replace=False):
        expression[index] = random.uniform(0, 0.4)
    for group in _OFTEN:
        if random.uniform() < 0.3:
            expression[[names.index(name) for name in group if name in names]] = random.uniform(0.2, 0.8)
    turn = np.radians(random.normal(size=3) * [8, 14, 5])
    shape = random.normal(size=len(model.asset.shape_basis)) * 0.7
    vertices = model(shape=shape, expression=expression, global_rotation=turn).vertices
    middle = np.asarray(model.joint_template)[len(CERVICAL_JOINTS) :].mean(axis=0) - [0, 0.03, 0]  # below the eyes
    place = np.append(random.uniform(-0.03, 0.03, 2), -_DISTANCE) - middle
    return np.asarray(vertices) + place, Camera.centred(_FOCAL, _SIDE, _SIDE)


def _sightings(
    asset: ModelAsset, detector: FaceDetector, vertices: Float[Array, "V 3"], camera: Camera
) -> list[Sighting]:
    from fitting.preview import render_asset

    picture = render_asset(asset, camera, vertices, supersampling=2)
    seen = _detected_both_ways(detector, picture)
    visible = visible_vertices(asset, camera, vertices)
    return [sighting(camera, vertices, found, visible) for found in seen]


def _detected_both_ways(detector: FaceDetector, picture: UInt8[Array, "H W 3"]) -> list[Float[Array, "478 2"]]:
    """Points detected in the picture and, brought back, in its mirror image."""
    result: list[np.ndarray] = []
    for mirrored in (False, True):
        faces = detector.detect(np.ascontiguousarray(picture[:, ::-1]) if mirrored else picture)
        if faces:
            found = choose_face(faces).points
            result.append(
                np.stack([picture.shape[1] - found[:, 0], found[:, 1]], axis=1)[points().mirror] if mirrored else found
            )
    return result


def sighting(
    camera: Camera,
    vertices: Float[Array, "V 3"],
    found: Float[Array, "478 2"],
    visible: Bool[Array, " V"],
    weight: float = 1.0,
) -> Sighting:
    """A sighting in units of the detected outer-eye-corner distance."""
    from fitting.points import OUTER_EYE_CORNERS

    unit = np.linalg.norm(found[OUTER_EYE_CORNERS[0]] - found[OUTER_EYE_CORNERS[1]])
    return Sighting((camera.project(vertices) / unit).astype(np.float32), found / unit, visible, weight)


def visible_vertices(asset: ModelAsset, camera: Camera, vertices: Float[Array, "V 3"]) -> Bool[Array, " V"]:
    """Vertices of the triangles that the camera sees, transparent ones (the cornea) taken away."""
    from fitting.raster import project, renderer
    from fitting.shading import Surface

    triangles = Surface.of(asset).triangles
    raster = renderer().rasterize(
        project(camera, np.asarray(vertices, np.float32)), triangles, camera.width, camera.height
    )
    visible = np.zeros(len(vertices), bool)
    visible[triangles[np.unique(raster.face[raster.face >= 0])]] = True
    return visible


def _allowed_vertices(asset: ModelAsset, sightings: Iterable[Sighting]) -> dict[str, Int[Array, " n"]]:
    often = np.mean([sighting.visible for sighting in sightings], axis=0) >= _MIN_VISIBLE
    skin = np.zeros(len(often), bool)
    skin[asset.part("skin")] = True
    eyes = np.zeros(len(often), bool)
    for name in asset.part_names:
        if name.startswith("eye_"):
            eyes[asset.part(name)] = True
    return {"skin": np.flatnonzero(often & skin), "eyes": np.flatnonzero(often & (eyes if eyes.any() else skin))}


def _nearest_vertices(
    candidates: Int[Array, " n"], sightings: Sequence[Sighting], seen: np.ndarray, emphasis: np.ndarray
) -> Int[Array, " m"]:
    """The candidates that come nearest to a point's detections, best first."""
    if len(candidates) > _NEIGHBOURS:
        sample = range(0, len(sightings), max(len(sightings) // 10, 1))
        rough = np.stack([((sightings[k].vertices[candidates] - seen[k]) ** 2).sum(axis=1) for k in sample])
        candidates = candidates[np.argsort(np.median(rough, axis=0))[:_NEIGHBOURS]]
    miss = np.stack([((s.vertices[candidates] - y) ** 2).sum(axis=1) for s, y in zip(sightings, seen, strict=True)])
    return candidates[np.argsort(emphasis @ np.log1p(miss / _ROBUST**2))]


def _triangles_at(asset: ModelAsset, corners: np.ndarray, allowed: dict[str, np.ndarray]) -> Int[Array, "n 3"]:
    """Triangles at any of the corners with all their own corners among the allowed vertices."""
    usable = np.zeros(asset.vertex_count, bool)
    for vertices in allowed.values():
        usable[vertices] = True
    triangles = asset.triangles
    here = np.isin(triangles, corners).any(axis=1)
    triangles = triangles[here]
    return triangles[usable[triangles].all(axis=1)]


def _best_place(
    triangles: Int[Array, "T 3"], sightings: Sequence[Sighting], seen: np.ndarray, emphasis: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """The triangle, the weights in it and the median miss of the place that comes nearest to the detections."""
    used, local = np.unique(triangles, return_inverse=True)
    projected = np.stack([sighting.vertices[used] for sighting in sightings]).astype(np.float64)
    arms = (projected - seen[:, None])[:, local.reshape(-1, 3)].swapaxes(0, 1)  # (T, K, 3, 2)
    weights = np.full((len(triangles), 3), 1 / 3)
    for _ in range(4):  # reweighted least squares
        squared = (np.einsum("tkcx,tc->tkx", arms, weights) ** 2).sum(axis=2)
        weights = _constrained(arms, emphasis / (1 + squared / _ROBUST**2))
    squared = (np.einsum("tkcx,tc->tkx", arms, weights) ** 2).sum(axis=2)
    best = int(np.argmin(np.log1p(squared / _ROBUST**2) @ emphasis))
    return triangles[best], weights[best], float(np.median(np.sqrt(squared[best])))


def _constrained(arms: Float[Array, "T K 3 2"], pull: Float[Array, "T K"]) -> Float[Array, "T 3"]:
    """Weights, none negative and summing to 1, of the weighted least miss in each triangle.

    The minimum lies inside, on an edge or in a corner: each is solved for, and the least that is allowed kept.
    """
    gram = np.einsum("tk,tkax,tkbx->tab", pull, arms, arms, optimize=True)
    best, least = np.zeros((len(arms), 3)), np.full(len(arms), np.inf)
    for used in ((0, 1, 2), (0, 1), (1, 2), (0, 2), (0,), (1,), (2,)):
        part = gram[:, used][:, :, used]
        ridge = 1e-12 * (np.trace(part, axis1=1, axis2=2) + 1e-12)[:, None, None] * np.eye(len(used))
        solution = np.linalg.solve(part + ridge, np.ones((len(arms), len(used), 1)))[:, :, 0]
        solution /= solution.sum(axis=1, keepdims=True)
        value = np.einsum("ta,tab,tb->t", solution, part, solution)
        better = (solution >= 0).all(axis=1) & (value < least)
        least[better] = value[better]
        best[better] = 0
        best[np.flatnonzero(better)[:, None], list(used)] = solution[better]
    return best


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m fitting.embedding", description=__doc__)
    parser.add_argument("model", type=Path, help="model asset (.npz)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="table to write (.csv)")
    parser.add_argument("--photos", type=Path, nargs="*", default=[], help="photographs that join the renders")
    parser.add_argument("--heads", type=int, default=160, help="heads to render")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        asset = ModelAsset.load(options.model)
        with FaceDetector() as detector:
            sightings = rendered_heads(asset, detector, options.heads, options.seed)
            embedding = locate(asset, sightings)
            if options.photos:
                from fitting.embedding_photos import refined

                embedding = refined(asset, embedding, sightings, options.photos, detector)
        write_embedding(options.output, asset, embedding)
    except HackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"median miss {100 * float(np.median(embedding.error)):.2f} % of the outer-eye-corner distance")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
