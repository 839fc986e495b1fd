"""``hack-model convert``: clips to FLAME's parameters and back, and heads on SMPL-X bodies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hack_model.arrayfile import read_arrays
from hack_model.clip import Clip
from hack_model.errors import FormatError

if TYPE_CHECKING:
    from hack_model.asset import ModelAsset

Progress = Callable[[str, int, int], None]
Say = Callable[[str], None]
_BODY_PARAMETERS = ("betas", "expression", "global_orient", "body_pose", "jaw_pose", "leye_pose", "reye_pose",
                    "left_hand_pose", "right_hand_pose", "transl")  # fmt: skip


def clip_to_flame(clip: Path, model_file: Path, output: Path, asset: ModelAsset, progress: Progress, say: Say) -> Path:
    """Writes the clip as FLAME's parameters (:class:`hack_model.interop.flame_clip.FlameClip`)."""
    from hack_model.interop.flame_convert import FlameConverter
    from hack_model.interop.smpl_family import Flame

    motion = Clip.load(clip)
    found = FlameConverter.of(asset, Flame.load(model_file)).to_flame(motion, progress)
    say(_distance(found.error_mm, "FLAME", asset.name))
    return found.save(output)


def flame_to_clip(
    source: Path, model_file: Path, output: Path, asset: ModelAsset, progress: Progress, say: Say
) -> Path:
    """Writes FLAME's parameters over time as a clip."""
    from hack_model.interop.flame_clip import FlameClip
    from hack_model.interop.flame_convert import FlameConverter
    from hack_model.interop.smpl_family import Flame

    motion = FlameClip.load(source)
    found, error = FlameConverter.of(asset, Flame.load(model_file)).from_flame(motion, progress)
    say(_distance(error, asset.name, "FLAME"))
    return found.save(output)


def head_on_body(
    clip: Path, model_file: Path, output: Path, asset: ModelAsset, *, frame: int, body_file: Path | None, say: Say
) -> Path:
    """Writes one frame's head on an SMPL-X body as one mesh; the body's own pose, if any, turns the neck."""
    from hack_model.interop.smpl_family import Body
    from hack_model.interop.smplx_body import HeadOnBody, write_mesh

    motion = Clip.load(clip).for_model(asset)
    if not 0 <= frame < len(motion):
        raise FormatError(f"{clip}: has no frame {frame}; it has {len(motion)}, counted from 0")
    placed = {"global_rotation", "translation", "scale"}
    head = {name: value for name, value in motion.parameters(frame).items() if name not in placed}
    body = _body_parameters(body_file) if body_file else {}
    joined = HeadOnBody.of(asset, Body.load(model_file))
    vertices = joined.vertices(head, body, neck="body" if "body_pose" in body else "head")
    say(f"{len(vertices)} vertices, of which {len(joined.head_rows)} of the head; scaled by {joined.scale(body):.3f}")
    return write_mesh(output, vertices, joined.faces)


def _body_parameters(path: Path) -> dict[str, np.ndarray]:
    """SMPL-X's parameters of one pose, by ``smplx``'s names, from an ``.npz`` file."""
    arrays = read_arrays(path, FormatError, skip_objects=True)
    found = {name: arrays[name] for name in _BODY_PARAMETERS if name in arrays}
    if not found:
        raise FormatError(f"{path}: holds none of SMPL-X's parameters {', '.join(_BODY_PARAMETERS)}")
    wrong = [name for name, value in found.items() if value.dtype.kind not in "fiu" or not np.isfinite(value).all()]
    if wrong:
        raise FormatError(f"{path}: {wrong[0]} holds what is no finite number")
    return {name: value.astype(np.float64).reshape(1, -1) for name, value in found.items()}


def _distance(error: np.ndarray, new: str, old: str) -> str:
    return (
        f"{new} lies {error.mean():.2f} mm from {old} on average over {len(error)} frames "
        f"(worst frame {error.max():.2f} mm)"
    )
