"""Which file formats a clip can be written in, by suffix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hack_model.errors import FormatError

if TYPE_CHECKING:
    from jaxtyping import Float

    from hack_model.clip import Clip
    from hack_model.model import HACK

    Array = np.ndarray

PLACEMENT = ("global_rotation", "translation", "scale")
"""The parameters that place the whole head."""


def export_clip(
    clip: Clip,
    path: str | Path,
    model: HACK,
    *,
    texture: str | Path | None = None,
    frame: int | None = None,
    placement: bool = True,
) -> list[Path]:
    """Writes a clip of the model's expressions in the format of the path's suffix; returns the files written.

    The formats are GLB, USD (``.usda``, ``.usdc``, ``.usdz``), OBJ and PLY. ``frame`` picks one frame (negative counts
    from the end); without it GLB and USD hold them all, a mesh the first. ``placement`` False leaves out global
    rotation, translation and scale. Raises :class:`FormatError` for another suffix, a frame the clip does not have, or
    a texture where the format carries none.
    """
    path = Path(path)
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise FormatError(f"{path}: cannot write {path.suffix or 'a file without suffix'}; use {', '.join(_WRITERS)}")
    if frame is not None and not -len(clip) <= frame < len(clip):
        raise FormatError(f"frame {frame}: the clip has {len(clip)} frames, 0 to {len(clip) - 1}")
    clip = clip.for_model(model)
    return writer(clip if frame is None else clip[frame], path, model, texture, placement)


def _write_glb(clip: Clip, path: Path, model: HACK, texture: str | Path | None, placement: bool) -> list[Path]:
    from hack_model.formats.glb import write_glb

    return [write_glb(path, model.rig(clip.shape, clip.scale), clip, texture=texture, placement=placement)]


def _write_usd(clip: Clip, path: Path, model: HACK, texture: str | Path | None, placement: bool) -> list[Path]:
    from hack_model.formats.usd import write_usd

    return write_usd(path, model.rig(clip.shape, clip.scale), clip, texture=texture, placement=placement)


def _write_obj(clip: Clip, path: Path, model: HACK, texture: str | Path | None, placement: bool) -> list[Path]:
    from hack_model.formats.obj import write_obj

    return write_obj(path, model.asset, _first_frame(clip, model, placement), texture=texture)


def _write_ply(clip: Clip, path: Path, model: HACK, texture: str | Path | None, placement: bool) -> list[Path]:
    from hack_model.formats.ply import write_ply

    if texture is not None:
        raise FormatError(f"{path}: PLY carries no texture; leave --texture out, or write .glb or .obj")
    return [write_ply(path, model.asset, _first_frame(clip, model, placement))]


_WRITERS: dict[str, Callable[[Clip, Path, HACK, str | Path | None, bool], list[Path]]] = {
    ".glb": _write_glb,
    ".usda": _write_usd,
    ".usdc": _write_usd,
    ".usdz": _write_usd,
    ".obj": _write_obj,
    ".ply": _write_ply,
}


def _first_frame(clip: Clip, model: HACK, placement: bool) -> Float[Array, "V 3"]:
    """Vertices of the clip's first frame."""
    parameters = clip.parameters(0)
    for name in () if placement else PLACEMENT:
        del parameters[name]
    return np.asarray(model(**parameters).vertices)
