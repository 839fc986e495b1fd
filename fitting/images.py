"""Reading photos of any common kind into upright sRGB, with what their metadata says of the camera."""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fitting.camera import DIAGONAL_35MM
from hack_model.errors import FormatError

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from PIL import Image

    Array = np.ndarray

MAX_SIDE = 4096
"""Longer pictures are reduced to this many pixels: a face has no more detail to give, and memory stays bounded."""

MAX_PIXELS = 400_000_000
"""Pictures that claim more are refused unread: no camera makes them, decompression bombs do."""

MIN_SIDE = 32

_ORIENTATION, _EXIF_IFD = 0x0112, 0x8769
_FOCAL_LENGTH, _FOCAL_LENGTH_35MM = 0x920A, 0xA405
_PLANE_X_RESOLUTION, _PLANE_UNIT = 0xA20E, 0xA210
_PIXEL_X, _PIXEL_Y = 0xA002, 0xA003
_MILLIMETRES_PER_UNIT = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}  # EXIF 2.32, tag FocalPlaneResolutionUnit
_CAMERA_ASPECTS = (4 / 3, 3 / 2, 16 / 9)
_SENSOR_MILLIMETRES = (4.0, 70.0)  # diagonals, from a telephone's to medium format
_ALPHA_BACKGROUND = (128, 128, 128)


@dataclass(frozen=True)
class Photo:
    """A picture made upright.

    ``pixels`` (H, W, 3) are sRGB; ``focal`` is in those pixels, ``None`` where the file does not say or was cropped;
    ``notes`` tell what was done to the file (reduced, alpha removed, ...), for the report.
    """

    pixels: UInt8[Array, "H W 3"]
    focal: float | None = None
    name: str = "photo"
    notes: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Pixels of a row."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Pixels of a column."""
        return int(self.pixels.shape[0])


def load_photo(path: str | Path) -> Photo:
    """Reads a photo: EXIF orientation, grey, palette, alpha, 16 bit, CMYK and colour profiles become upright sRGB.

    Raises :class:`FormatError` for a missing, truncated, damaged, empty or implausibly large file, and for files that
    are no picture.
    """
    from PIL import Image, UnidentifiedImageError

    path = Path(path)
    if not path.is_file():
        raise FormatError(f"{path}: no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # sizes are checked below
            with Image.open(path) as image:
                return _read(image, path)
    except UnidentifiedImageError as fault:
        raise FormatError(f"{path}: not a picture this program can read; save it as JPEG or PNG") from fault
    except Image.DecompressionBombError as fault:
        raise FormatError(f"{path}: claims too many pixels; scale it below {MAX_PIXELS // 10**6} megapixels") from fault
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as fault:
        raise FormatError(f"{path}: the picture is damaged or truncated ({fault})") from fault


def photo_from_array(pixels: np.ndarray, *, name: str = "photo", focal: float | None = None) -> Photo:
    """A photo from an array (H, W), (H, W, 3) or (H, W, 4): uint8, uint16, or float in [0, 1].

    Raises :class:`FormatError` for any other shape or type.
    """
    array = np.asarray(pixels)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or min(array.shape[:2]) < 1:
        raise FormatError(f"{name}: an image array has shape (H, W), (H, W, 3) or (H, W, 4), got {array.shape}")
    if array.dtype == np.uint16:
        array = np.rint(array / 257.0).astype(np.uint8)
    elif array.dtype.kind == "f":
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise FormatError(f"{name}: a float image must lie in [0, 1]")
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise FormatError(f"{name}: an image array is uint8, uint16 or float in [0, 1], got {array.dtype}")
    if array.ndim == 2 or array.shape[2] == 1:
        array = np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    if array.shape[2] == 4:
        alpha = array[..., 3:] / 255.0
        array = np.rint(array[..., :3] * alpha + np.array(_ALPHA_BACKGROUND) * (1 - alpha)).astype(np.uint8)
    return Photo(np.ascontiguousarray(array), focal, name)


def _read(image: Image.Image, path: Path) -> Photo:
    from PIL import ImageOps

    _check_size(image.size, path)
    notes: list[str] = []
    focal_per_diagonal = _focal_per_diagonal(image)
    original = image.size
    if max(original) > MAX_SIDE:
        image.draft("RGB", (MAX_SIDE, MAX_SIDE))  # JPEG decodes reduced, which saves memory and time
    image.load()
    upright = ImageOps.exif_transpose(image)
    colour = _to_srgb(upright, path, notes)
    if max(colour.size) > MAX_SIDE:
        colour.thumbnail((MAX_SIDE, MAX_SIDE), reducing_gap=2.0)
    if colour.size not in (original, original[::-1]):
        notes.append(f"reduced from {original[0]}x{original[1]} to {colour.size[0]}x{colour.size[1]} pixels")
    focal = focal_per_diagonal * math.hypot(*colour.size) if focal_per_diagonal else None
    return Photo(np.ascontiguousarray(np.asarray(colour)), focal, path.name, tuple(notes))


def _check_size(size: tuple[int, int], path: Path) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise FormatError(
            f"{path}: {width}x{height} pixels are too many; scale it below {MAX_PIXELS // 10**6} megapixels"
        )
    if min(width, height) < MIN_SIDE:
        raise FormatError(f"{path}: {width}x{height} pixels are too few to hold a face")


def _to_srgb(image: Image.Image, path: Path, notes: list[str]) -> Image.Image:
    """8-bit sRGB of any mode; notes what was done."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, np.float64)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise FormatError(f"{path}: pixels of mode {image.mode} have no agreed range; save it as 8 or 16 bit")
        notes.append("16-bit grey reduced to 8 bit")
        return Image.fromarray(np.rint(values / 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        notes.append("transparent pixels laid over grey")
        background = Image.new("RGBA", rgba.size, (*_ALPHA_BACKGROUND, 255))
        image, profile = Image.alpha_composite(background, rgba).convert("RGB"), image.info.get("icc_profile")
    else:
        profile = image.info.get("icc_profile")
    return _apply_profile(image, profile, notes) if profile else image.convert("RGB")


def _apply_profile(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    from PIL import ImageCms

    if image.mode not in ("RGB", "CMYK", "L"):
        image = image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in (ImageCms.getProfileDescription(source) or "").lower():
            return image.convert("RGB")
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as fault:
        notes.append(f"unusable colour profile ignored ({fault})")
        return image.convert("RGB")
    if converted is None:
        return image.convert("RGB")
    notes.append("colours converted from the embedded profile to sRGB")
    return converted


def _focal_per_diagonal(image: Image.Image) -> float | None:
    """Focal length over the picture's diagonal, from EXIF; ``None`` without it or where the picture was cropped."""
    try:
        exif = image.getexif()
        tags = exif.get_ifd(_EXIF_IFD)
    except (OSError, ValueError, SyntaxError, KeyError):
        return None
    width, height = image.size
    taken = _number(tags.get(_PIXEL_X)), _number(tags.get(_PIXEL_Y))
    if not _uncropped((width, height)):
        return None
    if taken[0] and taken[1] and not _same_aspect((width, height), (taken[0], taken[1])):
        return None
    equivalent = _number(tags.get(_FOCAL_LENGTH_35MM))
    if equivalent:
        return _plausible(equivalent / DIAGONAL_35MM)
    focal, resolution = _number(tags.get(_FOCAL_LENGTH)), _number(tags.get(_PLANE_X_RESOLUTION))
    unit = _MILLIMETRES_PER_UNIT.get(int(_number(tags.get(_PLANE_UNIT)) or 2))
    if not (focal and resolution and unit and taken[0] and taken[1]):
        return None
    sensor = math.hypot(taken[0], taken[1]) / resolution * unit
    if not _SENSOR_MILLIMETRES[0] <= sensor <= _SENSOR_MILLIMETRES[1]:
        return None  # the picture was resized and the resolution is still the original's
    return _plausible(focal / sensor)


def _uncropped(size: tuple[float, float]) -> bool:
    """Whether a camera makes pictures of this aspect; others were cropped, and the lens says nothing of the angle."""
    ratio = max(size) / min(size)
    return any(abs(ratio / aspect - 1) < 0.015 for aspect in _CAMERA_ASPECTS)


def _same_aspect(size: tuple[float, float], other: tuple[float, float]) -> bool:
    ratio, wanted = max(size) / min(size), max(other) / min(other)
    return abs(ratio / wanted - 1) < 0.02


def _plausible(focal: float) -> float | None:
    """Lenses between a fisheye and a long telephoto; anything else is a broken tag."""
    return focal if 0.2 <= focal <= 30 else None


def _number(value: object) -> float | None:
    try:
        number = float(value)  # pyright: ignore[reportArgumentType]  (EXIF rationals, ints and rubbish)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and number > 0 else None
