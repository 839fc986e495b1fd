"""Results of finished stages on disk, so that training goes on where it was killed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hack_model.arrayfile import atomic_file, read_arrays
from hack_model.errors import FormatError


@dataclass(frozen=True)
class Checkpoints:
    """A folder of stage results. ``key`` names what they depend on; files of another key are never read."""

    folder: Path
    key: str

    @classmethod
    def create(cls, folder: Path, facts: Mapping[str, Any]) -> Checkpoints:
        """The checkpoints of a run described by JSON-able facts."""
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder, key)

    def path(self, stage: str) -> Path:
        """The file of a stage."""
        return self.folder / f"{self.key}-{stage}.npz"

    def stage(self, name: str, compute: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """The arrays of a stage: read when it is done, else computed and written atomically."""
        file = self.path(name)
        if not file.is_file():
            arrays = compute()
            with atomic_file(file) as stream:
                np.savez(stream, **{key: np.asarray(value) for key, value in arrays.items()})
        return read_arrays(file, FormatError)

    def clear(self) -> None:
        """Removes the results of this run and of earlier ones, and the folder when nothing else is in it."""
        for file in self.folder.glob("*-*.np[yz]"):
            file.unlink()
        if not any(self.folder.iterdir()):
            self.folder.rmdir()
