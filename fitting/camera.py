"""The pinhole camera of a photo, and what to believe about its focal length.

Camera space is the model's: +X right, +Y up, the camera at the origin looking to -Z. The picture spans
[0, width] x [0, height], y down, so pixel (i, j) has its centre at (i + 0.5, j + 0.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hack_model.errors import ParameterError

if TYPE_CHECKING:
    from jaxtyping import Float

    from fitting.images import Photo

    Array = np.ndarray

DIAGONAL_35MM = math.hypot(36.0, 24.0)
"""Millimetres; CIPA's definition of the 35 mm equivalent focal length compares diagonals (CIPA DCG-001, 2.2)."""

DEFAULT_FOCAL_35MM = 50.0
"""Assumed where a photo does not say: the normal lens."""

NEAREST_ASSUMED_METRES = 0.9
"""A head that fills its picture was seldom taken from nearer; a cropped portrait therefore gets a longer lens."""

OUTER_EYE_DISTANCE_METRES = 0.09
"""Typical distance of the outer eye corners, used only to turn that distance into pixels of focal length."""


@dataclass(frozen=True)
class Camera:
    """A pinhole without distortion: ``u = cx + focal * x / -z``, ``v = cy - focal * y / -z``, in pixels."""

    focal: float
    centre: tuple[float, float]
    width: int
    height: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.focal) and self.focal > 0 and self.width > 0 and self.height > 0):
            raise ParameterError(
                f"camera needs a positive focal length and size, got focal {self.focal} and {self.width}x{self.height}"
            )

    @classmethod
    def centred(cls, focal: float, width: int, height: int) -> Camera:
        """A camera whose principal point is the middle of the picture."""
        return cls(float(focal), (width / 2, height / 2), int(width), int(height))

    def project(self, points: Float[Array, "*batch 3"]) -> Float[Array, "*batch 2"]:
        """Pixels of points in camera space (metres); points must lie before the camera (z < 0)."""
        inverse_depth = self.focal / -points[..., 2]
        return np.stack(
            [self.centre[0] + points[..., 0] * inverse_depth, self.centre[1] - points[..., 1] * inverse_depth], axis=-1
        )


def camera_of(photo: Photo, outer_eye_pixels: float, focal: float | None = None) -> tuple[Camera, str]:
    """The photo's camera and how its focal length is known: ``"given"``, ``"exif"`` or the assumption in words.

    ``outer_eye_pixels`` is the distance of the outer eye corners in the picture, ``focal`` in pixels goes before all
    else. A focal length that EXIF states is believed unless the picture was cropped (:attr:`Photo.focal` is then
    ``None``).
    """
    if focal is not None:
        return Camera.centred(focal, photo.width, photo.height), "given"
    if photo.focal is not None:
        return Camera.centred(photo.focal, photo.width, photo.height), "exif"
    normal = DEFAULT_FOCAL_35MM / DIAGONAL_35MM * math.hypot(photo.width, photo.height)
    distant = outer_eye_pixels * NEAREST_ASSUMED_METRES / OUTER_EYE_DISTANCE_METRES
    if distant <= normal:
        return Camera.centred(normal, photo.width, photo.height), f"assumed: {DEFAULT_FOCAL_35MM:.0f} mm equivalent"
    said = f"assumed: long enough to put the head {NEAREST_ASSUMED_METRES:.1f} m away"
    return Camera.centred(distant, photo.width, photo.height), said
