from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hack_model.errors import FormatError
from hack_model.formats.texture import encoded_image


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.sampled_from([3, 4]))
def test_pixels_come_back_from_the_png(seed: int, height: int, width: int, channels: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    image = encoded_image(pixels)
    assert (image.media_type, image.suffix) == ("image/png", ".png")
    with Image.open(io.BytesIO(image.data)) as picture:
        picture.load()
        assert picture.mode == ("RGB" if channels == 3 else "RGBA")
        np.testing.assert_array_equal(np.asarray(picture), pixels)


def test_smooth_pictures_become_small() -> None:
    rows, columns = np.mgrid[:256, :256]
    pixels = np.stack([rows, columns, rows], axis=-1).astype(np.uint8)
    assert len(encoded_image(pixels).data) < pixels.size / 20


@pytest.mark.parametrize(("kind", "suffix"), [("PNG", ".png"), ("JPEG", ".jpg")])
def test_files_are_taken_as_they_are(tmp_path: Path, kind: str, suffix: str) -> None:
    Image.new("RGB", (4, 3), (200, 150, 120)).save(tmp_path / "skin.bin", kind)
    image = encoded_image(tmp_path / "skin.bin")
    assert image.data == (tmp_path / "skin.bin").read_bytes()
    assert image.suffix == suffix


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 2), (0, 4, 3)])
def test_other_arrays_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(FormatError, match="wanted uint8"):
        encoded_image(np.zeros(shape, np.uint8))
