"""A dataset of registered meshes: a JSON index beside ``.npz`` shards, read one shard at a time.

The index holds everything but the vertices, so that what to read is known before anything large is read.
docs/training.md describes every key. Each error names file, sample and field.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hack_model.arrayfile import atomic_file, read_arrays, require_file
from hack_model.errors import FormatError
from hack_model.names import CERVICAL_JOINTS

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    Array = np.ndarray

INDEX_NAME = "dataset.json"
FORMAT_NAME = "hack-registrations"
FORMAT_VERSION = 1
NEUTRAL = "neutral"
SHARD_SIZE = 64
BATCH_SIZE = 16

_MAX_INDEX_BYTES = 512 << 20
_MAX_COORDINATE = 5.0
"""Metres. A head farther from the origin is in another unit or was never brought to model space."""
_SAMPLE_KEYS = frozenset({"subject", "session", "expression", "pose", "larynx"})


@dataclass(frozen=True)
class Dataset:
    """What the index says of each of n samples; vertices come from :meth:`batches`.

    ``subject`` (n,) indexes ``subject_names``; ``expression`` (n, E) holds activations in the order of
    ``expression_names``; ``pose`` (n, 8, 3) radians; ``larynx`` (n, 2) size and shift in metres, NaN where the throat
    is not annotated. ``shards`` holds file name, first and one-past-last sample.
    """

    path: Path
    licence: str
    vertex_count: int
    expression_names: tuple[str, ...]
    subject_names: tuple[str, ...]
    session_names: tuple[str, ...]
    subject: Int[Array, " n"]
    expression: Float[Array, "n E"]
    pose: Float[Array, "n 8 3"]
    larynx: Float[Array, "n 2"]
    shards: tuple[tuple[str, int, int], ...]
    digest: str

    @classmethod
    def open(cls, path: str | Path) -> Dataset:
        """Reads and checks the index: a folder with dataset.json, or the file itself. Raises :class:`FormatError`."""
        path = Path(path)
        path = path / INDEX_NAME if path.is_dir() else path
        return _Index(path).dataset()

    def __len__(self) -> int:
        return len(self.subject)

    @property
    def rest(self) -> Bool[Array, " n"]:
        """Samples whose neck is at rest."""
        return ~self.pose.any(axis=(1, 2))

    @property
    def neutral(self) -> Bool[Array, " n"]:
        """Samples at rest without expression."""
        return self.rest & ~self.expression.any(axis=1)

    @property
    def annotated(self) -> Bool[Array, " n"]:
        """Samples with an annotated larynx."""
        return np.isfinite(self.larynx).all(axis=1)

    def place(self, sample: int) -> str:
        """File and number of a sample, as errors name it."""
        name, start, _ = next(shard for shard in self.shards if shard[1] <= sample < shard[2])
        return f"{self.path.parent / name}: sample {sample - start}"

    def files(self) -> list[tuple[str, int, int]]:
        """Name, size and time of change of each shard: what tells that a dataset is no longer the same."""
        states = [(name, (self.path.parent / name).stat()) for name, _, _ in self.shards]
        return [(name, state.st_size, state.st_mtime_ns) for name, state in states]

    def batches(
        self, chosen: Bool[Array, " n"], size: int = BATCH_SIZE
    ) -> Generator[tuple[Int[Array, " b"], Float[Array, "b V 3"]]]:
        """Sample numbers and vertices in metres, float32, of the chosen samples; one shard is in memory at a time.

        Raises :class:`FormatError` on a damaged shard or vertices that cannot be.
        """
        for name, start, stop in self.shards:
            numbers = start + np.flatnonzero(chosen[start:stop])
            if not len(numbers):
                continue
            vertices = self._shard(name, stop - start)
            for first in range(0, len(numbers), size):
                part = numbers[first : first + size]
                block = vertices[part - start].astype(np.float32)
                self._check_block(part, block)
                yield part, block

    def _shard(self, name: str, count: int) -> np.ndarray:
        file = self.path.parent / name
        arrays = read_arrays(file, FormatError)
        if set(arrays) != {"vertices"}:
            held = ", ".join(sorted(arrays)) or "nothing"
            raise FormatError(f"{file}: holds {held}; a shard holds one array, vertices")
        vertices, wanted = arrays["vertices"], (count, self.vertex_count, 3)
        if vertices.shape != wanted or vertices.dtype.kind != "f":
            raise FormatError(
                f"{file}: field vertices is {vertices.dtype} {vertices.shape}, wanted floating-point {wanted}: "
                f"the index lists {count} samples of {self.vertex_count} vertices"
            )
        return vertices

    def _check_block(self, numbers: np.ndarray, block: np.ndarray) -> None:
        finite = np.isfinite(block).all(axis=(1, 2))
        if not finite.all():
            raise FormatError(
                f"{self.place(int(numbers[~finite][0]))}, field vertices: holds values that are not finite"
            )
        far = np.abs(block).max(axis=(1, 2)) > _MAX_COORDINATE
        if far.any():
            raise FormatError(
                f"{self.place(int(numbers[far][0]))}, field vertices: lies {np.abs(block[far][0]).max():.0f} from the "
                "origin; wanted metres in model space (the head near the origin)"
            )


class DatasetWriter:
    """Writes a dataset mesh by mesh; the index, written last, makes it valid.

    ``with DatasetWriter(folder, licence="CC0-1.0") as out: out.add(vertices, subject="anna", expression="jawOpen")``
    """

    def __init__(self, folder: str | Path, *, licence: str, shard_size: int = SHARD_SIZE) -> None:
        self.folder = Path(folder)
        self.licence = licence
        self.shard_size = shard_size
        self._shards: list[dict[str, Any]] = []
        self._waiting: list[tuple[dict[str, Any], np.ndarray]] = []
        self._vertex_count: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.close()

    def add(
        self,
        vertices: Float[Array, "V 3"],
        *,
        subject: str,
        session: str = "",
        expression: str | Mapping[str, float] = NEUTRAL,
        pose: Float[Array, "8 3"] | None = None,
        larynx_size: float | None = None,
        larynx_shift: float = 0.0,
    ) -> None:
        """Adds a registered mesh; units as in :class:`Dataset`.

        Raises :class:`FormatError` for a mesh of another size and for what :meth:`Dataset.open` would refuse later.
        """
        vertices = np.asarray(vertices, np.float32)
        self._vertex_count = self._vertex_count or len(vertices)
        if vertices.shape != (self._vertex_count, 3):
            raise FormatError(f"a mesh of shape {vertices.shape} in a dataset of {self._vertex_count} vertices")
        where = f"{self.folder}: sample {sum(len(shard['samples']) for shard in self._shards) + len(self._waiting)}"
        if not np.isfinite(vertices).all():
            raise FormatError(f"{where}, field vertices: holds values that are not finite")
        sample: dict[str, Any] = {"subject": subject, "session": session}
        sample["expression"] = expression if isinstance(expression, str) else dict(expression)
        if pose is not None:
            sample["pose"] = np.asarray(pose, float).tolist()
        if larynx_size is not None:
            sample["larynx"] = {"size": float(larynx_size), "shift": float(larynx_shift)}
        _Index(self.folder).sample(sample, where)
        self._waiting.append((sample, vertices))
        if len(self._waiting) == self.shard_size:
            self._write_shard()

    def close(self) -> Path:
        """Writes what is left and the index; returns the index' path. Raises :class:`FormatError` without a mesh."""
        if self._waiting:
            self._write_shard()
        if not self._shards:
            raise FormatError(f"{self.folder}: no mesh was added; a dataset needs some")
        index = {
            "format": FORMAT_NAME,
            "version": FORMAT_VERSION,
            "licence": self.licence,
            "vertex_count": self._vertex_count,
            "shards": self._shards,
        }
        with atomic_file(self.folder / INDEX_NAME) as stream:
            stream.write(json.dumps(index, allow_nan=False).encode())
        return self.folder / INDEX_NAME

    def _write_shard(self) -> None:
        name = f"meshes-{len(self._shards):05d}.npz"
        with atomic_file(
            self.folder / name
        ) as stream:  # noise does not compress; plain storage reads ten times as fast
            np.savez(stream, vertices=np.stack([vertices for _, vertices in self._waiting]))
        self._shards.append({"file": name, "samples": [sample for sample, _ in self._waiting]})
        self._waiting = []


@dataclass
class _Index:
    """The checks of an index, which know where they are."""

    path: Path
    names: dict[str, int] = field(default_factory=dict)
    subjects: dict[str, int] = field(default_factory=dict)

    def dataset(self) -> Dataset:
        content, digest = self._content()
        shards: list[tuple[str, int, int]] = []
        samples: list[dict[str, Any]] = []
        for number, shard in enumerate(content["shards"]):
            name = self._file_name(shard, number)
            rows = [self.sample(item, f"{self.path}: {name}, sample {i}") for i, item in enumerate(shard["samples"])]
            shards.append((name, len(samples), len(samples) + len(rows)))
            samples += rows
        if not samples:
            raise FormatError(f"{self.path}: lists no samples")
        if len({name for name, _, _ in shards}) != len(shards):
            raise FormatError(f"{self.path}: lists a shard twice")
        expression = np.zeros((len(samples), len(self.names)))
        for row, sample in zip(expression, samples, strict=True):
            for name, value in sample["expression"].items():
                row[self.names[name]] = value
        dataset = Dataset(
            path=self.path,
            licence=content["licence"],
            vertex_count=content["vertex_count"],
            expression_names=tuple(self.names),
            subject_names=tuple(self.subjects),
            session_names=tuple(sample["session"] for sample in samples),
            subject=np.array([sample["subject"] for sample in samples]),
            expression=expression,
            pose=np.stack([sample["pose"] for sample in samples]),
            larynx=np.array([sample["larynx"] for sample in samples], float),
            shards=tuple(shards),
            digest=digest,
        )
        _check_subjects(dataset)
        return dataset

    def _content(self) -> tuple[dict[str, Any], str]:
        require_file(self.path, FormatError)
        if self.path.stat().st_size > _MAX_INDEX_BYTES:
            raise FormatError(f"{self.path}: larger than {_MAX_INDEX_BYTES >> 20} MiB, which no index needs")
        raw = self.path.read_bytes()
        try:
            content = json.loads(raw)
        except (ValueError, RecursionError) as fault:
            raise FormatError(f"{self.path}: not readable as JSON ({fault})") from fault
        if not isinstance(content, dict) or content.get("format") != FORMAT_NAME:
            raise FormatError(f"{self.path}: not a dataset of registered meshes (key format is not {FORMAT_NAME!r})")
        if content.get("version") != FORMAT_VERSION:
            raise FormatError(f"{self.path}: version {content.get('version')!r}, this program reads {FORMAT_VERSION}")
        self._wanted(content, {"licence": str, "vertex_count": int, "shards": list}, str(self.path))
        if content["vertex_count"] < 1:
            raise FormatError(f"{self.path}: vertex_count is {content['vertex_count']}")
        return content, hashlib.sha256(raw).hexdigest()

    def _wanted(self, item: Any, keys: Mapping[str, type], where: str) -> None:
        if not isinstance(item, dict):
            raise FormatError(f"{where}: wanted an object, got {type(item).__name__}")
        for key, kind in keys.items():
            value = item.get(key)
            if not isinstance(value, kind) or isinstance(value, bool):
                found = "missing" if key not in item else f"{type(value).__name__}"
                raise FormatError(f"{where}, field {key}: {found}, wanted {kind.__name__}")

    def _file_name(self, shard: Any, number: int) -> str:
        where = f"{self.path}: shard {number}"
        self._wanted(shard, {"file": str, "samples": list}, where)
        name: str = shard["file"]
        if not name or Path(name).name != name or "\\" in name or "\0" in name:
            raise FormatError(f"{where}, field file: {name!r} is not the name of a file beside the index")
        if not (self.path.parent / name).is_file():
            raise FormatError(f"{where}, field file: {self.path.parent / name} does not exist")
        return name

    def sample(self, item: Any, where: str) -> dict[str, Any]:
        """One sample's entry, checked; raises :class:`FormatError` that says ``where``."""
        self._wanted(item, {"subject": str}, where)
        unknown = set(item) - _SAMPLE_KEYS
        if unknown:
            known = ", ".join(sorted(_SAMPLE_KEYS))
            raise FormatError(f"{where}: unknown field {sorted(unknown)[0]!r}; a sample has {known}")
        if not item["subject"]:
            raise FormatError(f"{where}, field subject: empty")
        if not isinstance(item.get("session", ""), str):
            raise FormatError(f"{where}, field session: {type(item['session']).__name__}, wanted str")
        return {
            "subject": self.subjects.setdefault(item["subject"], len(self.subjects)),
            "session": item.get("session", ""),
            "expression": self._expression(item.get("expression", NEUTRAL), where),
            "pose": self._pose(item.get("pose"), where),
            "larynx": self._larynx(item.get("larynx"), where),
        }

    def _expression(self, value: Any, where: str) -> dict[str, float]:
        where = f"{where}, field expression"
        weights = ({} if value == NEUTRAL else {value: 1.0}) if isinstance(value, str) else value
        if not isinstance(weights, dict):
            raise FormatError(f"{where}: {type(value).__name__}, wanted a name or an object of activations by name")
        result: dict[str, float] = {}
        for name, weight in weights.items():
            if not name.strip() or not name.isprintable():
                raise FormatError(f"{where}: {name!r} is no name; it is empty or holds control characters")
            result[name] = _number(weight, f"{where}, {name}")
            if abs(result[name]) > 2:
                raise FormatError(f"{where}, {name}: activation {weight}, wanted about 0 to 1")
            self.names.setdefault(name, len(self.names))
        return result

    def _pose(self, value: Any, where: str) -> np.ndarray:
        where = f"{where}, field pose"
        if value is None:
            return np.zeros((len(CERVICAL_JOINTS), 3))
        rows = value if isinstance(value, list) else []
        if len(rows) != len(CERVICAL_JOINTS) or any(not isinstance(row, list) or len(row) != 3 for row in rows):
            raise FormatError(f"{where}: wanted 8 rows of 3 numbers, {CERVICAL_JOINTS[0]} first")
        pose = np.array([[_number(number, where) for number in row] for row in rows])
        if np.linalg.norm(pose, axis=1).max() > math.pi:
            raise FormatError(f"{where}: turns a joint by more than half a circle; wanted radians")
        return pose

    def _larynx(self, value: Any, where: str) -> tuple[float, float]:
        where = f"{where}, field larynx"
        if value is None:
            return math.nan, math.nan
        if not isinstance(value, dict) or set(value) - {"size", "shift"} or "size" not in value:
            raise FormatError(f"{where}: wanted an object with size and shift (metres)")
        size, shift = _number(value["size"], f"{where}, size"), _number(value.get("shift", 0.0), f"{where}, shift")
        if abs(shift) > 0.1:
            raise FormatError(f"{where}, shift: {shift}; wanted metres, at most 0.1")
        return size, shift


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormatError(f"{where}: {type(value).__name__}, wanted a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise FormatError(f"{where}: not a finite number")
    return number


def _check_subjects(dataset: Dataset) -> None:
    """Everyone has a neutral mesh, and an annotated throat in all of their meshes or in none."""
    with_neutral = np.bincount(dataset.subject[dataset.neutral], minlength=len(dataset.subject_names)) > 0
    if not with_neutral.all():
        index = int(np.argmin(with_neutral))
        place = dataset.place(int(np.argmax(dataset.subject == index)))
        raise FormatError(
            f"{place}: subject {dataset.subject_names[index]!r} has no "
            "neutral mesh at rest (no expression, no pose); identity is learned from it"
        )
    share = np.bincount(dataset.subject, dataset.annotated) / np.bincount(dataset.subject)
    mixed = (share > 0) & (share < 1)
    if mixed.any():
        index = int(np.argmax(mixed))
        sample = int(np.argmax((dataset.subject == index) & ~dataset.annotated))
        raise FormatError(
            f"{dataset.place(sample)}, field larynx: missing, but other meshes of subject "
            f"{dataset.subject_names[index]!r} are annotated; annotate all of a subject's meshes or none"
        )
