"""How good correctives are: error against simulated necks, the neck's volume, skin through skin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial import KDTree

from hack_model.model import HACK
from hack_model.posing import neck_pose
from hack_model.simulation.body import NeckBody, chest_plane
from hack_model.simulation.neck import NeckSimulation
from hack_model.training.dataset import Dataset

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

VOLUME_POSES = {"flexion 40": (40.0, 0.0, 0.0), "turn 60": (0.0, 60.0, 0.0), "tilt 35": (0.0, 0.0, 35.0)}
"""Whole-neck flexion, axial turn and tilt in degrees at which the neck's volume is compared with that at rest."""
_HALF_BREADTH = 0.08


def held_out_errors(
    models: dict[str, HACK], shapes: dict[str, Float[Array, " S"]], dataset: Dataset, skin: Int[Array, " k"]
) -> dict[str, dict[str, float]]:
    """Root-mean-square distance, mm, over skin vertices from a dataset's posed meshes, by kind of pose and subject.

    ``shapes`` gives the shape of each of the dataset's subjects; the result has ``models`` by name inside.
    """
    squared: dict[str, dict[str, list[float]]] = {}
    for numbers, vertices in dataset.batches(~dataset.rest):
        names = [dataset.subject_names[subject] for subject in dataset.subject[numbers]]
        shape = np.stack([shapes[name] for name in names])
        for label, model in models.items():
            found = np.asarray(model(shape=shape, pose=dataset.pose[numbers]).vertices)[:, skin]
            distance = ((found - vertices[:, skin]) ** 2).sum(axis=2).mean(axis=1)
            for number, name, value in zip(numbers, names, distance, strict=True):
                for group in (dataset.session_names[number], f"person {name}", "all"):
                    squared.setdefault(group, {}).setdefault(label, []).append(float(value))
    return {
        group: {label: 1e3 * float(np.sqrt(np.mean(values))) for label, values in by.items()}
        for group, by in sorted(squared.items())
    }


def volume_change(model: HACK, body: NeckBody, shape: Float[Array, " S"] | None = None) -> dict[str, float]:
    """Change of the neck's volume relative to rest at :data:`VOLUME_POSES`.

    What the skin, closed by skull base and thorax, encloses less or more, over the volume of the neck proper: what lies
    above the plane from c7t1 to the suprasternal notch and within the breadth of the head, without the shoulders.
    """
    simulation = NeckSimulation(model, body, shape)
    surface, skin = body.volume.surface, body.volume.skin
    rest = _enclosed(simulation.rest, surface)
    corners = simulation.body.volume.tetrahedra
    centres = body.volume.nodes[corners].mean(axis=1)
    above = centres[:, 1] > chest_plane(centres, np.asarray(model.joint_template, float))
    proper = simulation.elastic.volumes[above & (np.abs(centres[:, 0]) < _HALF_BREADTH)].sum()
    result: dict[str, float] = {}
    for name, angles in VOLUME_POSES.items():
        pose = neck_pose(model.asset, *np.radians(angles))
        nodes = np.zeros((len(simulation.rest), 3))
        nodes[np.isfinite(body.bone)] = simulation.bones(pose)
        nodes[: len(skin)] = np.asarray(model(shape=shape, pose=pose).vertices)[skin]
        result[name] = (_enclosed(nodes, surface) - rest) / proper
    return result


def _enclosed(nodes: Float[Array, "n 3"], surface: Int[Array, "f 3"]) -> float:
    first, second, third = (nodes[surface[:, corner]] for corner in range(3))
    return float((first * np.cross(second, third)).sum() / 6)


def crossings(vertices: Float[Array, "V 3"], triangles: Int[Array, "f 3"]) -> Int[Array, "c 2"]:
    """Pairs of an edge's triangle and another triangle that the edge goes through, without a common vertex."""
    corners = np.asarray(vertices, float)[triangles]
    centre = corners.mean(axis=1)
    radius = np.linalg.norm(corners - centre[:, None], axis=2).max(axis=1)
    pairs = KDTree(centre).query_pairs(2 * radius.max(), output_type="ndarray")
    near = np.linalg.norm(centre[pairs[:, 0]] - centre[pairs[:, 1]], axis=1) < radius[pairs].sum(axis=1)
    pairs = np.concatenate([pairs[near], pairs[near][:, ::-1]])
    shared = (triangles[pairs[:, 0]][:, :, None] == triangles[pairs[:, 1]][:, None]).any(axis=(1, 2))
    pairs = pairs[~shared]
    through = np.zeros(len(pairs), bool)
    for start, end in ((0, 1), (1, 2), (2, 0)):
        through |= _pierced(corners[pairs[:, 0], start], corners[pairs[:, 0], end], corners[pairs[:, 1]])
    return pairs[through]


def _pierced(start: np.ndarray, end: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Whether segments pass through triangles (Möller and Trumbore, J. Graphics Tools 2, 1997)."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    along = end - start
    across = np.cross(along, second)
    scale = (first * across).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        offset = start - corners[:, 0]
        u = (offset * across).sum(axis=1) / scale
        turned = np.cross(offset, first)
        v = (along * turned).sum(axis=1) / scale
        t = (second * turned).sum(axis=1) / scale
        return (np.abs(scale) > 1e-18) & (u >= 0) & (v >= 0) & (u + v <= 1) & (t >= 0) & (t <= 1)


def figures(models: dict[str, HACK], body: NeckBody, people: dict[str, Any], held_out: Dataset) -> dict[str, Any]:
    """Errors on held-out meshes and volumes of all ``people``, for each model by name."""
    moving = body.volume.skin[~np.isfinite(body.bone[: len(body.volume.skin)])]
    return {
        "rms_error_mm": held_out_errors(models, people, held_out, moving),
        "volume_change": {
            label: {person: volume_change(model, body, shape) for person, shape in people.items()}
            for label, model in models.items()
        },
    }
