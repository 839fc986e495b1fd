"""Simulates necks over poses and identities and writes them as datasets of registered meshes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hack_model.arrayfile import atomic_file
from hack_model.formats.surface import vertex_normals
from hack_model.model import HACK
from hack_model.resources import data_folder
from hack_model.simulation import poses
from hack_model.simulation.anatomy import Anatomy
from hack_model.simulation.body import NeckBody
from hack_model.simulation.measure import crossings
from hack_model.simulation.neck import Counts, NeckSimulation
from hack_model.simulation.people import held_out_people, training_people
from hack_model.simulation.registration import ControlNeck
from hack_model.simulation.volume import NeckVolume
from hack_model.training.dataset import DatasetWriter

if TYPE_CHECKING:
    from types import TracebackType

    from jaxtyping import Float

    Array = np.ndarray

Progress = Callable[[str, int, int], None]

FIGURES = "simulation.json"
"""Beside a dataset: what was simulated, how long it took and which poses failed."""


@dataclass(frozen=True)
class Amount:
    """How much is simulated: pairs of people, combined movements of the mean and of people to test with, and the poses
    each person takes from the mean's combined ones."""

    pairs: int = 20
    combined: int = 40
    taken: int = 14
    held_out: int = 4


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
    equilibrium, or one where skin passes through skin, is left out and listed in the figures. A dataset that is there
    already stays.
    """
    amount, report = amount or Amount(), progress or _silent
    if not (output / "training" / FIGURES).is_file():
        with _Recorder(model, output / "training", mirror=True) as recorder:
            _train(recorder, amount, report)
    if not (output / "held_out" / FIGURES).is_file():
        with _Recorder(model, output / "held_out", mirror=False) as recorder:
            _test(recorder, amount, report)


def _train(recorder: _Recorder, amount: Amount, report: Progress) -> None:
    """The mean goes every way from rest; the others take its equilibria of some poses for a start."""
    asset = recorder.model.asset
    whole, combined = poses.whole_neck(asset), poses.combined(asset, amount.combined, 11)
    people = training_people(recorder.model, amount.pairs)
    simulation = recorder.begin("mean", people.pop("mean"))
    known: dict[bool, list[tuple[str, Array, Array]]] = {True: [], False: []}
    paths = [*poses.single_joints(asset), *whole, *combined]
    for number, path in enumerate(paths):
        report("the mean's poses", number, len(paths))
        for place, (pose, nodes) in enumerate(zip(path.poses, simulation.follow(path.poses), strict=True)):
            recorder.add(simulation, path.kind, pose, nodes)
            # Everyone takes all but the smallest movements of the whole neck.
            if nodes is not None and path.kind != "single" and (path.kind == "combined" or place > 0):
                known[path.kind == "combined"].append((path.kind, pose, nodes - simulation.skinned(pose)))
    recorder.end(simulation)
    random = np.random.default_rng(12)
    for number, (person, shape) in enumerate(people.items()):
        report("people", number, len(people))
        simulation = recorder.begin(person, shape)
        chosen = random.permutation(len(known[True]))[: amount.taken]
        for kind, pose, moved in [*known[False], *(known[True][place] for place in chosen)]:
            recorder.add(simulation, kind, pose, simulation.adapt(pose, moved))
        recorder.end(simulation)
    report("people", len(people), len(people))


def _test(recorder: _Recorder, amount: Amount, report: Progress) -> None:
    model = recorder.model
    between = poses.whole_neck(model.asset, (0.4, 0.8))
    people = {"mean": np.zeros(len(model.shape_basis)), **held_out_people(model)}
    for number, (person, shape) in enumerate(people.items()):
        report("people to test with", number, len(people))
        simulation = recorder.begin(person, shape)
        for path in [*between, *poses.combined(model.asset, amount.held_out, 101 + number)]:
            for pose, nodes in zip(path.poses, simulation.follow(path.poses), strict=True):
                recorder.add(simulation, path.kind, pose, nodes)
        recorder.end(simulation)
    report("people to test with", len(people), len(people))


class _Recorder:
    """Writes simulated necks as a dataset, with :data:`FIGURES` of what was done when all went well."""

    def __init__(self, model: HACK, folder: Path, *, mirror: bool) -> None:
        self.model, self.folder, self.mirror = model, folder, mirror
        self.body = neck_body(model)
        self._neck = ControlNeck.of(model.asset, self.body.volume.skin)
        self._writer = DatasetWriter(folder, licence="CC0-1.0")
        self._counts, self._people = Counts(), list[str]()
        self._failed, self._crossed = list[dict[str, Any]](), list[dict[str, Any]]()
        self._shape = np.zeros(len(model.shape_basis))
        self._start = time.perf_counter(), time.process_time()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            return
        self._writer.close()
        volume = self.body.volume
        figures: dict[str, Any] = {
            "people": self._people,
            "tetrahedra": len(volume.tetrahedra),
            "nodes": len(volume.nodes),
            **asdict(self._counts),
            "failed": self._failed,
            "crossed": self._crossed,
            "minutes": round((time.perf_counter() - self._start[0]) / 60, 2),
            "cpu_minutes": round((time.process_time() - self._start[1]) / 60, 2),
            **peak_memory(),
        }
        with atomic_file(self.folder / FIGURES) as stream:
            stream.write(json.dumps(figures, indent=1).encode())

    def begin(self, person: str, shape: Float[Array, " S"]) -> NeckSimulation:
        """The simulation of a person, whose neutral head goes into the dataset."""
        self._people.append(person)
        self._shape = shape
        self._writer.add(np.asarray(self.model.rig(shape)().vertices), subject=person)
        return NeckSimulation(self.model, self.body, shape)

    def end(self, simulation: NeckSimulation) -> None:
        """Counts what a simulation did."""
        for name, value in asdict(simulation.counts).items():
            setattr(self._counts, name, getattr(self._counts, name) + value)

    def add(
        self, simulation: NeckSimulation, kind: str, pose: Float[Array, "8 3"], nodes: Float[Array, "n 3"] | None
    ) -> None:
        """An equilibrium of the person begun last, or a pose that has none."""
        person, asset = self._people[-1], self.model.asset
        crossed = nodes is not None and len(crossings(nodes, self.body.volume.skin_triangles))
        if nodes is None or crossed:
            (self._crossed if crossed else self._failed).append(
                {"subject": person, "kind": kind, "pose": np.asarray(pose).tolist()}
            )
            return
        moved = (nodes - simulation.skinned(pose))[: len(self._neck.skin)]
        skinned = np.asarray(self.model(shape=self._shape, pose=pose).vertices, float)
        vertices = skinned + self._neck.spread(moved)
        self._writer.add(vertices, subject=person, session=kind, pose=np.asarray(pose))
        if self.mirror:
            image = np.empty_like(vertices)
            image[asset.mirror_vertices] = vertices * [-1, 1, 1]
            self._writer.add(image, subject=person, session=kind, pose=np.asarray(poses.mirrored(asset, pose)))


def peak_memory() -> dict[str, int]:
    """This process' largest memory so far in MB; nothing where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return {}
    unit = 1024**2 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return {"peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)}


def _silent(stage: str, done: int, total: int) -> None:
    del stage, done, total
