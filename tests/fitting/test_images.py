"""Photos of every common kind become upright sRGB; files that are none get one clear error."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from fitting import images
from fitting.camera import DIAGONAL_35MM, camera_of
from fitting.images import load_photo, photo_from_array
from hack_model.errors import FormatError


@pytest.fixture
def picture() -> np.ndarray:
    """60 x 40 pixels; every corner and every quarter has a colour of its own."""
    rows, columns = np.mgrid[0:40, 0:60]
    return np.stack([columns * 4, rows * 6, (rows + columns) * 2], axis=2).astype(np.uint8)


def save(path, image: Image.Image, **options):
    image.save(path, **options)
    return path


def exif(**tags):
    data = Image.Exif()
    names = {"orientation": 0x0112}
    inner = {
        "focal35": 0xA405,
        "focal": 0x920A,
        "resolution": 0xA20E,
        "unit": 0xA210,
        "width": 0xA002,
        "height": 0xA003,
    }
    for name, value in tags.items():
        if name in names:
            data[names[name]] = value
    data[0x8769] = {inner[name]: value for name, value in tags.items() if name in inner}
    return data


def test_plain_picture_is_read_as_it_is(tmp_path, picture):
    photo = load_photo(save(tmp_path / "a.png", Image.fromarray(picture)))
    assert np.array_equal(photo.pixels, picture)
    assert (photo.width, photo.height, photo.focal, photo.notes, photo.name) == (60, 40, None, (), "a.png")


TURNS = {
    1: lambda p: p, 2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1], 4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1), 6: lambda p: np.rot90(p, -1), 7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: np.rot90(p),
}  # fmt: skip


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation_is_undone(tmp_path, picture, orientation):
    path = save(tmp_path / "a.png", Image.fromarray(picture), exif=exif(orientation=orientation))
    assert np.array_equal(load_photo(path).pixels, TURNS[orientation](picture))


def test_grey_palette_cmyk_and_sixteen_bit(tmp_path, picture):
    grey = Image.fromarray(picture[..., 0])
    assert np.array_equal(load_photo(save(tmp_path / "l.png", grey)).pixels[..., 1], picture[..., 0])
    deep = Image.fromarray(picture[..., 0].astype(np.uint16) * 257)
    photo = load_photo(save(tmp_path / "i.png", deep))
    assert np.array_equal(photo.pixels[..., 2], picture[..., 0])
    assert "16-bit" in photo.notes[0]
    few = Image.fromarray(picture // 64 * 64).convert("P", palette=Image.Palette.ADAPTIVE)
    assert np.abs(load_photo(save(tmp_path / "p.png", few)).pixels - picture // 64 * 64.0).mean() < 8
    inks = load_photo(save(tmp_path / "c.tif", Image.fromarray(picture).convert("CMYK")))
    assert np.abs(inks.pixels.astype(float) - picture).mean() < 3


def test_transparent_pixels_lie_over_grey(tmp_path, picture):
    rgba = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    rgba[:10, :, 3] = 0
    photo = load_photo(save(tmp_path / "a.png", Image.fromarray(rgba)))
    assert (photo.pixels[:10] == 128).all()
    assert np.array_equal(photo.pixels[10:], picture[10:])
    assert "transparent" in photo.notes[0]


def test_large_pictures_are_reduced(tmp_path, picture, monkeypatch):
    monkeypatch.setattr(images, "MAX_SIDE", 45)
    for suffix in ("png", "jpg"):
        photo = load_photo(save(tmp_path / f"a.{suffix}", Image.fromarray(picture)))
        assert (photo.width, photo.height) == (45, 30)
        assert "reduced from 60x40" in photo.notes[-1]


def test_colour_profiles_are_converted(tmp_path, picture):
    from PIL import ImageCms

    broken = load_photo(save(tmp_path / "b.png", Image.fromarray(picture), icc_profile=b"no profile"))
    assert np.array_equal(broken.pixels, picture)
    assert "profile ignored" in broken.notes[0]
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(
        load_photo(save(tmp_path / "s.png", Image.fromarray(picture), icc_profile=srgb)).pixels, picture
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "not a picture"), (b"GIF89a", "damaged|not a picture"), (b"hello" * 99, "not a picture")],
)
def test_files_that_are_no_picture(tmp_path, content, message):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(FormatError, match=message):
        load_photo(tmp_path / "a.jpg")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_truncated_pictures(tmp_path, kind):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, kind)
    (tmp_path / "a").write_bytes(stream.getvalue()[: len(stream.getvalue()) // 2])
    with pytest.raises(FormatError, match="damaged or truncated"):
        load_photo(tmp_path / "a")


def test_missing_tiny_and_bombs(tmp_path, picture, monkeypatch):
    with pytest.raises(FormatError, match="no such file"):
        load_photo(tmp_path / "none.png")
    with pytest.raises(FormatError, match="too few"):
        load_photo(save(tmp_path / "t.png", Image.fromarray(picture[:8, :8])))
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    with pytest.raises(FormatError, match="too many"):
        load_photo(save(tmp_path / "b.png", Image.fromarray(picture)))


def test_focal_length_of_the_equivalent_lens(tmp_path, picture):
    path = save(tmp_path / "a.jpg", Image.fromarray(picture), exif=exif(focal35=50, width=60, height=40))
    assert load_photo(path).focal == pytest.approx(50 / DIAGONAL_35MM * math.hypot(60, 40))


def test_focal_length_of_lens_and_sensor(tmp_path, picture):
    tags = exif(focal=50.0, resolution=60 / 36.0, unit=4, width=60, height=40)  # a 36 mm wide sensor
    assert load_photo(save(tmp_path / "a.jpg", Image.fromarray(picture), exif=tags)).focal == pytest.approx(
        60 * 50 / 36, rel=1e-3
    )


@pytest.mark.parametrize(
    "tags",
    [{"focal35": 50, "width": 90, "height": 40}, {"focal35": 0}, {"focal35": 60000},
     {"focal": 50.0, "resolution": 600.0, "unit": 4, "width": 60, "height": 40}],
)  # fmt: skip
def test_focal_length_is_not_believed(tmp_path, picture, tags):
    assert load_photo(save(tmp_path / "a.jpg", Image.fromarray(picture), exif=exif(**tags))).focal is None


def test_focal_length_of_a_cropped_picture_is_not_believed(tmp_path, picture):
    path = save(tmp_path / "a.jpg", Image.fromarray(picture[:, :40]), exif=exif(focal35=50))
    assert load_photo(path).focal is None


def test_camera_says_how_its_focal_length_is_known(picture):
    assert camera_of(photo_from_array(picture, focal=70.0), 20)[1] == "exif"
    assert camera_of(photo_from_array(picture, focal=70.0), 20, 90.0)[0].focal == 90
    camera, known = camera_of(photo_from_array(picture), 5)
    assert camera.focal == pytest.approx(50 / DIAGONAL_35MM * math.hypot(60, 40))
    assert "50 mm" in known
    near, known = camera_of(photo_from_array(picture), 30)
    assert near.focal == pytest.approx(300)
    assert "0.9 m" in known


def test_arrays_become_photos(picture):
    for array in (
        picture,
        picture / 255.0,
        picture.astype(np.uint16) * 257,
        np.dstack([picture, picture[..., :1] | 255]),
    ):
        assert np.abs(photo_from_array(array).pixels.astype(int) - picture).max() <= 1
    assert photo_from_array(picture[..., 0]).pixels.shape == picture.shape
    for bad in (picture.astype(int), picture[..., :2], np.full((4, 4), np.nan), np.zeros((0, 3, 3), np.uint8)):
        with pytest.raises(FormatError):
            photo_from_array(bad)
