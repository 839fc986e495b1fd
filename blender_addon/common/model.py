"""Loads models for the add-on; the last ones stay in memory, since adding a head again is common."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from hack_model import HACK, load
from hack_model.errors import AssetError
from hack_model.resources import default_model_path


def load_model(path: str = "") -> HACK:
    """The model of a file, or the default head for an empty path. Raises :class:`AssetError` if it cannot be read."""
    file = Path(path) if path else default_model_path()
    if not file.is_file():
        raise AssetError(f"{file}: no such model file")
    return _load(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _load(path: Path, _changed: int) -> HACK:
    return load(path)
