"""Which file formats a clip can be written in, by suffix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hack_model.appearance.materials import chosen_materials
from hack_model.errors import FormatError

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from hack_model.appearance.materials import Material
    from hack_model.appearance.parameters import Appearance
    from hack_model.clip import Clip
    from hack_model.model import HACK
    from hack_model.rig import Rig

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
    appearance: Appearance | None = None,
    maps: int = 0,
) -> list[Path]:
    """Writes a clip of the model's expressions in the format of the path's suffix; returns the files written.

    The formats are GLB, USD (``.usda``, ``.usdc``, ``.usdz``), OBJ and PLY. ``frame`` picks one frame (negative counts
    from the end); without it GLB and USD hold them all, a mesh the first. ``placement`` False leaves out global
    rotation, translation and scale. Skin and eyes are those of an ``appearance`` (the default one where it is ``None``)
    on maps of ``maps`` pixels a side, wrinkled as in the first frame written; 0 leaves the model's plain materials. OBJ
    carries the colour alone, PLY nothing of it. Raises :class:`FormatError` for another suffix, a frame the clip does
    not have, or a texture or appearance where the format carries none, and :class:`AssetError` for a model that an
    appearance cannot be drawn on.
    """
    path = Path(path)
    require_format(path, texture=texture, appearance=appearance)
    if frame is not None and not -len(clip) <= frame < len(clip):
        raise FormatError(f"frame {frame}: the clip has {len(clip)} frames, 0 to {len(clip) - 1}")
    clip = clip.for_model(model)
    clip = clip if frame is None else clip[frame]
    return _WRITERS[path.suffix.lower()](_Export(clip, path, model, texture, appearance, maps, placement))


def require_format(path: Path, *, texture: str | Path | None = None, appearance: Appearance | None = None) -> None:
    """Raises :class:`FormatError` for a suffix that cannot be written, or that carries no texture or appearance."""
    if path.suffix.lower() not in _WRITERS:
        raise FormatError(f"{path}: cannot write {path.suffix or 'a file without suffix'}; use {', '.join(_WRITERS)}")
    for name, wish in (("texture", texture), ("appearance", appearance)):
        if wish is not None and path.suffix.lower() in _COLOURLESS:
            raise FormatError(f"{path}: PLY carries no {name}; leave --{name} out, or write .glb or .obj")


@dataclass(frozen=True)
class _Export:
    """What is to be written and how."""

    clip: Clip
    path: Path
    model: HACK
    texture: str | Path | None
    appearance: Appearance | None
    maps: int
    placement: bool

    @cached_property
    def materials(self) -> Sequence[Material]:
        """The head's surfaces; painting them takes seconds."""
        return chosen_materials(self.model.asset, self.appearance, self.maps, clip=self.clip)

    @property
    def rig(self) -> Rig:
        return self.model.rig(self.clip.shape, self.clip.scale)

    def first_frame(self) -> Float[Array, "V 3"]:
        """Vertices of the clip's first frame."""
        parameters = self.clip.parameters(0)
        for name in () if self.placement else PLACEMENT:
            del parameters[name]
        return np.asarray(self.model(**parameters).vertices)

    def skin(self) -> str | Path | UInt8[Array, "H W 3"] | None:
        """The picture of the skin's colour."""
        own = next((each.albedo for each in self.materials if each.name == "skin"), None)
        return self.texture if self.texture is not None else own


def _write_glb(job: _Export) -> list[Path]:
    from hack_model.formats.glb import write_glb

    return [
        write_glb(job.path, job.rig, job.clip, texture=job.texture, materials=job.materials, placement=job.placement)
    ]


def _write_usd(job: _Export) -> list[Path]:
    from hack_model.formats.usd import write_usd

    return write_usd(job.path, job.rig, job.clip, texture=job.texture, materials=job.materials, placement=job.placement)


def _write_obj(job: _Export) -> list[Path]:
    from hack_model.formats.obj import write_obj

    return write_obj(job.path, job.model.asset, job.first_frame(), texture=job.skin())


def _write_ply(job: _Export) -> list[Path]:
    from hack_model.formats.ply import write_ply

    return [write_ply(job.path, job.model.asset, job.first_frame())]


_WRITERS: dict[str, Callable[[_Export], list[Path]]] = {
    ".glb": _write_glb,
    ".usda": _write_usd,
    ".usdc": _write_usd,
    ".usdz": _write_usd,
    ".obj": _write_obj,
    ".ply": _write_ply,
}
_COLOURLESS = (".ply",)
