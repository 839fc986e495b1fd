"""The picture a mesh file carries: an image file taken as it is, or an array of pixels written as PNG."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hack_model.errors import FormatError

if TYPE_CHECKING:
    from jaxtyping import UInt8

    Array = np.ndarray

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPES = {3: 2, 4: 6}
_SIGNATURES = {_PNG_SIGNATURE: ("image/png", ".png"), b"\xff\xd8\xff": ("image/jpeg", ".jpg")}


@dataclass(frozen=True)
class EncodedImage:
    """The bytes of a PNG or JPEG file with their media type and the suffix such files have."""

    data: bytes
    media_type: str
    suffix: str


def encoded_image(texture: str | Path | UInt8[Array, "H W 3"]) -> EncodedImage:
    """An image for a mesh file, from a PNG or JPEG file or from sRGB pixels (first row at v = 1).

    Raises :class:`FormatError` for a file of another kind or pixels of another shape or type.
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


def _png(pixels: UInt8[Array, "H W C"]) -> bytes:
    """A PNG file (https://www.w3.org/TR/png-3/), written here so that exports need no imaging library."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or not pixels.size:
        raise FormatError(f"texture is {pixels.dtype} {pixels.shape}, wanted uint8 (height, width, 3)")
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOR_TYPES[channels], 0, 0, 0)
    # Each row as its difference from the one above (filter 2): for skin as small as an encoder's choice row by row.
    rows = np.diff(pixels.reshape(height, -1), axis=0, prepend=np.uint8(0))
    filtered = np.concatenate([np.full((height, 1), 2, np.uint8), rows], axis=1)
    chunks = {b"IHDR": header, b"IDAT": zlib.compress(filtered.tobytes(), level=4), b"IEND": b""}
    return _PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    )
