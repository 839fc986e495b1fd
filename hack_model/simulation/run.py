"""Simulates necks over poses and identities and writes them as datasets of registered meshes."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.arrayfile import atomic_file
from hack_model.formats.surface import vertex_normals
from hack_model.model import HACK
from hack_model.resources import data_folder
from hack_model.simulation import poses
from hack_model.simulation.anatomy import Anatomy
from hack_model.simulation.body import NeckBody
from hack_model.simulation.neck import Counts, NeckSimulation
from hack_model.simulation.people import held_out_people, training_people
from hack_model.simulation.registration import ControlNeck
from hack_model.simulation.volume import NeckVolume
from hack_model.training.dataset import DatasetWriter

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

Progress = Callable[[str, int, int], None]

FIGURES = "simulation.json"
"""Beside a dataset: what was simulated, how long it took and which poses failed."""


@dataclass(frozen=True)
class Amount:
    """How many combined movements of each person are simulated: the mean's, the other people's, and for testing."""

    mean: int = 20
    others: int = 3
    held_out: int = 4

    @classmethod
    def of(cls, combined: int) -> Amount:
        """In the usual proportions."""
        return cls(combined, -(-combined * 3 // 20), -(-combined // 5))


def neck_body(model: HACK, tables: Path | None = None) -> NeckBody:
    """The mean identity's neck in tetrahedra, with anatomy from ``tables`` (the project's by default)."""
    asset = model.asset
    joints = np.asarray(model.joint_template[:8], float)
    volume = NeckVolume.of(asset)
    region = dict(zip(asset.region_names, asset.region_weights, strict=True))
    inner = region["mouth_interior"] + region["eye_sockets"] + region["ears"] > 0.5
    outer = np.flatnonzero(~inner[: asset.part_vertices[0, 1]])
    normals = vertex_normals(asset.template, asset.triangles)[outer]
    anatomy = Anatomy.read(
        tables or data_folder() / "neck", asset.template[outer].astype(float), normals.astype(float), joints
    )
    return NeckBody.of(volume, anatomy, joints)


def simulate(model: HACK, output: Path, amount: Amount | None = None, progress: Progress | None = None) -> None:
    """Writes the datasets ``output/training`` and ``output/held_out``, with :data:`FIGURES` in each.

    The ``model`` has no correctives. Training holds each simulated mesh and its mirror image. A pose that found no
    equilibrium is left out and listed in the figures. A dataset that is there already stays.
    """
    amount, report = amount or Amount(), progress or _silent
    body = neck_body(model)
    asset = model.asset
    single, whole, fewer = poses.single_joints(asset), poses.whole_neck(asset), poses.whole_neck(asset, (0.5, 1.0))
    wide = [path for path in single if len(path.poses) > 1]
    plans = [
        (name, shape, [*single, *whole, *poses.combined(asset, amount.mean, 11)])
        if number == 0
        else (name, shape, [*wide, *fewer, *poses.combined(asset, amount.others, 11 + number)])
        for number, (name, shape) in enumerate(training_people(model).items())
    ]
    if not (output / "training" / FIGURES).is_file():
        _write(model, body, output / "training", plans, mirror=True, report=report)
    between = poses.whole_neck(asset, (0.4, 0.8))
    tested = {"mean": np.zeros(len(model.shape_basis)), **held_out_people(model)}
    plans = [
        (name, shape, [*between, *poses.combined(asset, amount.held_out, 101 + number)])
        for number, (name, shape) in enumerate(tested.items())
    ]
    if not (output / "held_out" / FIGURES).is_file():
        _write(model, body, output / "held_out", plans, mirror=False, report=report)


def _write(
    model: HACK,
    body: NeckBody,
    folder: Path,
    plans: list[tuple[str, Float[Array, " S"], list[poses.Path]]],
    *,
    mirror: bool,
    report: Progress,
) -> None:
    start, cpu = time.perf_counter(), time.process_time()
    total, done = sum(len(path.poses) for _, _, paths in plans for path in paths), 0
    neck = ControlNeck.of(model.asset, body.volume.skin)
    counts, failed = Counts(), []
    with DatasetWriter(folder, licence="CC0-1.0") as writer:
        for person, shape, paths in plans:
            writer.add(np.asarray(model.rig(shape)().vertices), subject=person)
            simulation = NeckSimulation(model, body, shape)
            for path in paths:
                report(folder.name, done, total)
                for pose, nodes in zip(path.poses, simulation.follow(path.poses), strict=True):
                    done += 1
                    if nodes is None:
                        failed.append({"subject": person, "kind": path.kind, "pose": np.asarray(pose).tolist()})
                        continue
                    _add(writer, model, neck, simulation, person, shape, path.kind, pose, nodes, mirror=mirror)
            for name, value in asdict(simulation.counts).items():
                setattr(counts, name, getattr(counts, name) + value)
    report(folder.name, total, total)
    figures: dict[str, Any] = {
        "people": [person for person, _, _ in plans],
        "tetrahedra": len(body.volume.tetrahedra),
        "nodes": len(body.volume.nodes),
        **asdict(counts),
        "failed": failed,
        "minutes": round((time.perf_counter() - start) / 60, 2),
        "cpu_minutes": round((time.process_time() - cpu) / 60, 2),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    with atomic_file(folder / FIGURES) as stream:
        stream.write(json.dumps(figures, indent=1).encode())


def _add(
    writer: DatasetWriter,
    model: HACK,
    neck: ControlNeck,
    simulation: NeckSimulation,
    person: str,
    shape: Float[Array, " S"],
    kind: str,
    pose: Float[Array, "8 3"],
    nodes: Float[Array, "n 3"],
    *,
    mirror: bool,
) -> None:
    asset = model.asset
    moved = (nodes - simulation.skinned(pose))[: len(neck.skin)]
    skinned = np.asarray(model(shape=shape, pose=pose).vertices, float)
    vertices = skinned + neck.spread(moved)
    writer.add(vertices, subject=person, session=kind, pose=np.asarray(pose))
    if mirror:
        image = np.empty_like(vertices)
        image[asset.mirror_vertices] = vertices * [-1, 1, 1]
        writer.add(image, subject=person, session=kind, pose=np.asarray(poses.mirrored(asset, pose)))


def _silent(stage: str, done: int, total: int) -> None:
    del stage, done, total
