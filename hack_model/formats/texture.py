"""The picture a mesh file carries: an image file taken as it is, or an array of pixels written as PNG."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hack_model.errors import FormatError, MissingDependencyError

if TYPE_CHECKING:
    from jaxtyping import UInt8

    Array = np.ndarray

_SIGNATURES = {b"\x89PNG\r\n\x1a\n": ("image/png", ".png"), b"\xff\xd8\xff": ("image/jpeg", ".jpg")}


@dataclass(frozen=True)
class EncodedImage:
    """The bytes of a PNG or JPEG file with their media type and the suffix such files have."""

    data: bytes
    media_type: str
    suffix: str


def encoded_image(texture: str | Path | UInt8[Array, "H W 3"]) -> EncodedImage:
    """An image for a mesh file, from a PNG or JPEG file or from sRGB pixels (first row at v = 1).

    Raises :class:`FormatError` for a file of another kind or pixels of another shape or type, and
    :class:`MissingDependencyError` when pixels are given and Pillow is not installed.
    """
    if isinstance(texture, np.ndarray):
        return EncodedImage(_png(texture), "image/png", ".png")
    path = Path(texture)
    if not path.is_file():
        raise FormatError(f"{path}: no such file; the texture must be a PNG or JPEG image")
    data = path.read_bytes()
    for signature, (media_type, suffix) in _SIGNATURES.items():
        if data.startswith(signature):
            return EncodedImage(data, media_type, suffix)
    raise FormatError(f"{path}: neither PNG nor JPEG, the two kinds of image that mesh files carry; convert it first")


def _png(pixels: UInt8[Array, "H W 3"]) -> bytes:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or not pixels.size:
        raise FormatError(f"texture is {pixels.dtype} {pixels.shape}, wanted uint8 (height, width, 3)")
    try:
        from PIL import Image
    except ImportError as missing:
        raise MissingDependencyError(
            "writing a texture needs Pillow; install hack-model[fit], or export with `--texture FILE`"
        ) from missing
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=4)  # quick; 1 % larger than the default level
    return stream.getvalue()
