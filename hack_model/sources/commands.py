"""``hack-model build`` from other people's models: reading, building, saving, and saying under what licence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hack_model.asset import ModelAsset
from hack_model.errors import FormatError
from hack_model.resources import default_model_path

Progress = Callable[[str, int, int], None]


def build_ict(
    output: Path,
    source: Path | None,
    template: Path | None,
    *,
    download: bool,
    progress: Progress,
    say: Callable[[str], None],
) -> Path:
    """Builds from a copy of ICT-FaceKit in ``source``; returns the file.

    With ``download`` the copy is fetched before, to ``source`` or the user's cache, and ``say`` is given its licence.
    """
    from hack_model.sources import ict_download
    from hack_model.sources.ict import read_ict, read_spans
    from hack_model.sources.ict_model import build_ict as build

    if download:
        source = source or ict_download.default_folder()
        new = ict_download.fetch(source)
        say(f"ICT-FaceKit {'fetched to' if new else 'found in'} {source}\n\n{ict_download.licence_text(source)}")
    if source is None:
        raise FormatError("name a copy of ICT-FaceKit, or have it fetched")
    checked = source.is_dir() and ict_download.check(source)
    model = build(
        read_ict(source, progress),
        _template(template),
        read_spans(),
        origin=f"commit {ict_download.COMMIT}, checked" if checked else f"a user's copy, {source.name}",
        progress=progress,
    )
    return model.save(output, packed=True)


def build_flame(
    output: Path, source: Path, template: Path | None, *, progress: Progress, say: Callable[[str], None]
) -> Path:
    """Builds from a user's FLAME file in ``source``; returns the file. FLAME is never downloaded: its users sign."""
    from hack_model.sources.flame import LICENCE, read_flame
    from hack_model.sources.flame_model import build_flame as build

    model = build(read_flame(source), _template(template), progress=progress)
    say(f"Licence of the model: {LICENCE}")
    return model.save(output, packed=True)


def _template(path: Path | None) -> ModelAsset:
    return ModelAsset.load(path or default_model_path())
