"""`FlameClip`: FLAME's parameters over time, as a file of plain arrays under the names FLAME's users know."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hack_model.arrayfile import read_arrays, write_arrays
from hack_model.errors import FormatError

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

_WIDTHS = {"expression": None, "global_orient": 3, "neck_pose": 3, "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3,
           "transl": 3}  # fmt: skip


@dataclass(frozen=True)
class FlameClip:
    """``betas`` (S,) of one person, per frame ``expression`` (F, E), axis-angle poses (F, 3) in radians and ``transl``
    (F, 3) in metres; ``error_mm`` (F,) is the mean distance of a conversion's meshes, zero where nothing was converted.
    """

    betas: Float[Array, " S"]
    expression: Float[Array, "F E"]
    global_orient: Float[Array, "F 3"]
    neck_pose: Float[Array, "F 3"]
    jaw_pose: Float[Array, "F 3"]
    leye_pose: Float[Array, "F 3"]
    reye_pose: Float[Array, "F 3"]
    transl: Float[Array, "F 3"]
    error_mm: Float[Array, " F"]
    fps: float = 30.0

    def __post_init__(self) -> None:
        frames = len(self.transl)
        for name, width in _WIDTHS.items():
            value = getattr(self, name)
            if value.ndim != 2 or len(value) != frames or width not in (None, value.shape[1]):
                raise FormatError(f"FLAME clip: {name} has shape {value.shape}, wanted ({frames}, {width or 'any'})")
        if self.betas.ndim != 1 or self.error_mm.shape != (frames,) or not frames or not self.fps > 0:
            raise FormatError("FLAME clip: wanted betas (S,), at least one frame and a positive fps")
        for field in fields(self):
            if not np.isfinite(getattr(self, field.name)).all():
                raise FormatError(f"FLAME clip: {field.name} holds values that are not finite")

    def __len__(self) -> int:
        return len(self.transl)

    @classmethod
    def load(cls, path: str | Path) -> FlameClip:
        """Reads a file that :meth:`save` wrote, or one of the same arrays. Raises :class:`FormatError`."""
        arrays = read_arrays(Path(path), FormatError)
        needed = {"betas", "expression", "transl"}
        if not needed <= set(arrays):
            raise FormatError(f"{path}: lacks {', '.join(sorted(needed - set(arrays)))} of FLAME's parameters")
        try:
            frames = len(arrays["transl"])
            poses = {name: np.zeros((frames, 3)) for name, width in _WIDTHS.items() if width}
            poses |= {name: np.zeros(frames) for name in ("error_mm",)}
            known = {field.name for field in fields(cls)}
            wrong = [name for name, value in arrays.items() if name in known and value.dtype.kind not in "fiu"]
            if wrong:
                raise FormatError(f"{wrong[0]} is {arrays[wrong[0]].dtype}, wanted numbers")
            given = {name: value.astype(np.float64) for name, value in arrays.items() if name in known}
            fps = float(given.pop("fps", np.array(30.0)).reshape(()))
            return cls(**{**poses, **given}, fps=fps)
        except (FormatError, ValueError, TypeError) as fault:
            raise FormatError(f"{path}: {fault}") from fault

    def save(self, path: str | Path) -> Path:
        """Writes the arrays as ``.npz``, atomically."""
        return write_arrays(
            Path(path), {field.name: np.asarray(getattr(self, field.name), np.float32) for field in fields(self)}
        )

    def parameters(self, frames: slice = slice(None)) -> dict[str, Array]:
        """Keyword arguments of :meth:`hack_model.interop.smpl_family.Flame.vertices`."""
        moving = {name: getattr(self, name)[frames] for name in _WIDTHS}
        return {"betas": np.broadcast_to(self.betas, (len(moving["transl"]), len(self.betas))), **moving}
