"""Colour maps from photos: what the camera sees, what it does not, and the light taken out."""

from __future__ import annotations

import dataclasses
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitting import photo_view, shading
from fitting.camera import Camera
from fitting.complexion import hair_colour, skin_and_hair
from fitting.photo_view import View
from fitting.preview import portrait, render_asset
from fitting.raster import renderer
from fitting.texture import Texels, project_texture
from fitting.tone import fit_light, tone_field
from hack_model.appearance.colour import to_bytes, to_linear
from hack_model.asset import ModelAsset
from hack_model.errors import AssetError, ParameterError
from hack_model.formats.surface import vertex_normals
from tests.support.photographs import photographed
from tests.support.synthetic import synthetic_asset

SKIN = np.array([0.52, 0.33, 0.24])
SIZE = 256


@cache
def head() -> ModelAsset:
    """The synthetic head with a face: landmarks of the jaw and the brows where a face's outline is."""
    asset = synthetic_asset(shape=2, correctives=False, personal=False, rings=48, segments=48)
    skin = asset.template[asset.part("skin")]
    front = np.flatnonzero(skin[:, 2] > 0.01)
    angle = np.linspace(np.pi, 2 * np.pi, 17)
    jaw = np.stack([0.06 * np.cos(angle), 0.02 + 0.07 * np.sin(angle)], 1)
    brows = np.stack([np.linspace(-0.05, 0.05, 10), np.full(10, 0.05)], 1)
    wanted = np.concatenate([jaw, brows, np.tile([0.0, 0.0], (41, 1))])
    nearest = front[np.argmin(np.linalg.norm(skin[front, None, :2] - wanted, axis=2), axis=0)]
    return dataclasses.replace(
        asset,
        landmarks68_vertices=np.repeat(nearest[:, None], 3, 1),
        landmarks68_weights=np.tile([1.0, 0.0, 0.0], (68, 1)),
        region_names=(),
        region_weights=np.zeros((0, 0), np.float32),
        albedo=to_bytes(np.tile(SKIN * 0.7, (SIZE, SIZE, 1))),
    )


def painted(asset: ModelAsset, seed: int) -> np.ndarray:
    """A known colour map: the skin's colour with smooth blotches, alike on both sides of nothing."""
    random = np.random.default_rng(seed)
    blotches = cv2.resize(random.uniform(0.8, 1.2, (20, 20)).astype(np.float32), (SIZE, SIZE))
    return to_bytes(np.clip(SKIN * blotches[..., None], 0, 1))


def confidence(asset: ModelAsset, camera: Camera, placed: np.ndarray, photo: np.ndarray) -> tuple[Texels, np.ndarray]:
    draw = renderer()
    texels = Texels.of(asset, SIZE, draw)
    normals = vertex_normals(placed, asset.triangles)
    view = View.of(asset, placed.astype(np.float32), normals, camera, photo, draw)
    points, directions = texels.interpolate(placed), texels.interpolate(normals)
    return texels, view.look(points, directions)[1]


@pytest.mark.parametrize("yaw", [0.0, 0.5])
def test_the_photo_of_a_known_map_gives_the_map_back(yaw: float) -> None:
    asset = head()
    truth = painted(asset, 1)
    camera, placed, photo = photographed(asset, truth, yaw)
    found = project_texture(asset, placed, camera, photo, size=SIZE)
    texels, trust = confidence(asset, camera, placed, photo)
    seen = texels.index[trust > 0.95]
    assert len(seen) > 0.15 * len(texels.index)
    difference = np.abs(found.reshape(-1, 3)[seen].astype(int) - truth.reshape(-1, 3)[seen])
    assert np.median(difference) <= 3
    assert np.percentile(difference, 99) <= 14
    assert found.shape == (SIZE, SIZE, 3)
    assert found.dtype == np.uint8


def test_what_the_camera_cannot_see_takes_the_tone_of_what_it_sees() -> None:
    """The asset's own map is a third darker than the person: the back of the head follows the person."""
    asset = head()
    camera, placed, photo = photographed(asset, to_bytes(np.tile(SKIN, (SIZE, SIZE, 1))))
    found = to_linear(project_texture(asset, placed, camera, photo, size=SIZE)).reshape(-1, 3)
    texels, trust = confidence(asset, camera, placed, photo)
    behind = texels.interpolate(asset.template)[:, 2] < -0.02
    assert (trust[behind] == 0).all()
    np.testing.assert_allclose(found[texels.index[behind]], np.tile(SKIN, (behind.sum(), 1)), rtol=0.12)


def test_the_unseen_side_mirrors_the_seen_one() -> None:
    asset = head()
    spots = np.where((np.indices((SIZE, SIZE)).sum(axis=0) // 6 % 2)[..., None], SKIN, SKIN * 0.8)
    camera, placed, photo = photographed(asset, to_bytes(spots), yaw=0.9)
    found = project_texture(asset, placed, camera, photo, size=SIZE)
    without = project_texture(
        dataclasses.replace(asset, mirror_vertices=np.zeros(0, np.int32)), placed, camera, photo, size=SIZE
    )
    texels, trust = confidence(asset, camera, placed, photo)
    mirrored = confidence_of_mirror(asset, camera, placed, photo, texels)
    filled = texels.index[(trust == 0) & (mirrored > 0.95)]
    assert len(filled) > 500
    luminance = [to_linear(image).mean(axis=2).reshape(-1)[filled] for image in (found, without)]
    assert np.std(np.log(luminance[0])) > 3 * np.std(np.log(luminance[1]))  # its pattern, not a plain fill


def confidence_of_mirror(
    asset: ModelAsset, camera: Camera, placed: np.ndarray, photo: np.ndarray, texels: Texels
) -> np.ndarray:
    normals = vertex_normals(placed, asset.triangles)
    view = View.of(asset, placed.astype(np.float32), normals, camera, photo, renderer())
    order = asset.mirror_vertices
    return view.look(texels.interpolate(placed[order]), texels.interpolate(normals[order]))[1]


def test_a_symmetrical_face_gives_a_symmetrical_map() -> None:
    asset = head()
    camera, placed, photo = photographed(asset, to_bytes(np.tile(SKIN, (SIZE, SIZE, 1))), yaw=0.7)
    found = to_linear(project_texture(asset, placed, camera, photo, size=SIZE))
    texels = Texels.of(asset, SIZE, renderer())
    means, known = texels.gather(found.reshape(-1, 3)[texels.index], np.ones(len(texels.index), np.float32))
    both = (known > 0) & (known[asset.mirror_vertices] > 0)
    np.testing.assert_allclose(means[both], means[asset.mirror_vertices][both], atol=0.06)


def test_the_neck_behind_the_chin_does_not_take_the_chin_s_colour() -> None:
    """A plate held before the throat hides it: its colour must not appear there, though it is skin's."""
    asset = head()
    plate = np.array([[-0.03, -0.16, 0.2], [0.03, -0.16, 0.2], [0.03, -0.11, 0.2], [-0.03, -0.11, 0.2]], np.float32)
    count = asset.vertex_count
    texels, trust = {}, {}
    for hidden in (False, True):
        vertices = np.concatenate([asset.template, plate if hidden else plate - [0, 0, 0.6]])
        camera, placed = portrait(asset.template, size=(420, 520))
        shift = placed[0] - asset.template[0]
        extended = _with_plate(asset, count)
        photo = render_asset(extended, camera, vertices + shift, light=shading.ambient(1.0), background=(90, 110, 200))
        texels[hidden], trust[hidden] = confidence(extended, camera, vertices + shift, photo)
    place = texels[True].interpolate(np.concatenate([asset.template, plate]))
    throat = (np.abs(place[:, 0]) < 0.02) & (np.abs(place[:, 1] + 0.135) < 0.015) & (np.abs(place[:, 2]) < 0.1)
    throat &= trust[False] > 0.8
    assert throat.sum() > 30
    assert trust[True][throat].max() < 0.01


def _with_plate(asset: ModelAsset, count: int) -> ModelAsset:
    """The asset with one more quad of skin, in vertices of its own at the end."""

    def more(name: str, fill: float = 0.0) -> np.ndarray:
        value = getattr(asset, name)
        return np.concatenate([value, np.full((4, *value.shape[1:]), fill, value.dtype)])

    weights = more("weights")
    weights[-4:, 0] = 1
    return dataclasses.replace(
        asset,
        template=more("template"),
        faces=np.concatenate([asset.faces, [[count, count + 1, count + 2, count + 3]]]),
        uv=np.concatenate([asset.uv, [[0.001, 0.001], [0.004, 0.001], [0.004, 0.004], [0.001, 0.004]]]),
        face_uv=np.concatenate([asset.face_uv, len(asset.uv) + np.arange(4)[None]]),
        face_material=np.append(asset.face_material, 0),
        part_names=(*asset.part_names, "plate"),
        part_vertices=np.concatenate([asset.part_vertices, [[count, count + 4]]]),
        shape_basis=np.zeros((1, count + 4, 3)),
        expression_basis=np.zeros((len(asset.expression_names), count + 4, 3)),
        direction_names=(), directions=np.zeros((0, 0)), larynx_identity=np.zeros(0),
        pose_basis=np.zeros((0, 0, 3)), pose_features=np.zeros(0, int),
        mirror_vertices=np.zeros(0, int), refinement=None,
        weights=weights, larynx_uv=more("larynx_uv", -9.0),
    )  # fmt: skip


@pytest.mark.parametrize("background", [(40, 90, 200), (235, 238, 240), (20, 60, 25)])
def test_no_colour_of_the_background_comes_onto_the_head(background: tuple[int, int, int]) -> None:
    """The model is placed 2 % too large and to the side, as fits are: its rim lies over the background."""
    asset = head()
    truth = to_bytes(np.tile(SKIN, (SIZE, SIZE, 1)))
    camera, placed, _ = photographed(asset, truth)
    photo = render_asset(
        dataclasses.replace(asset, albedo=truth), camera, placed, light=shading.ambient(1.0), background=background
    )
    off = placed * [1.04, 1.02, 1] + [0.003, 0, 0]
    found = to_linear(project_texture(asset, off, camera, photo, size=SIZE)).reshape(-1, 3)
    texels = Texels.of(asset, SIZE, renderer())
    eye = texels.interpolate(asset.template)
    skin = found[texels.index[np.linalg.norm(eye[:, :2] - [0.032, 0.028], axis=1) > 0.03]]
    ratio = skin / skin.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ratio, np.tile(SKIN / SKIN.sum(), (len(ratio), 1)), atol=0.05)


def test_hair_goes_on_over_the_back_of_the_scalp() -> None:
    asset = head()
    scalp = np.clip((asset.template[:, 1] - 0.07) / 0.01, 0, 1)
    scalp[asset.part("skin").stop :] = 0
    asset = dataclasses.replace(asset, region_names=("scalp",), region_weights=scalp[None])
    hair = np.array([0.03, 0.02, 0.015])
    texels = Texels.of(asset, SIZE, renderer())
    truth = np.tile(SKIN, (SIZE * SIZE, 1))
    truth[texels.index] = np.where(texels.interpolate(scalp[:, None]) > 0.5, hair, SKIN)
    camera, placed, photo = photographed(asset, to_bytes(truth.reshape(SIZE, SIZE, 3)))
    found = to_linear(project_texture(asset, placed, camera, photo, size=SIZE)).reshape(-1, 3)[texels.index]
    place = texels.interpolate(asset.template)
    crown = (place[:, 1] > 0.095) & (place[:, 2] < 0)
    nape = (np.abs(place[:, 1]) < 0.03) & (place[:, 2] < -0.02)
    np.testing.assert_allclose(np.median(found[crown], axis=0), hair, atol=0.02)
    np.testing.assert_allclose(np.median(found[nape], axis=0), SKIN, rtol=0.15)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 1000), st.integers(170, 700), st.integers(170, 700), st.booleans())
def test_any_size_and_grey_photos_give_the_same_map_twice(seed: int, width: int, height: int, grey: bool) -> None:
    asset = head()
    camera, placed, photo = photographed(asset, painted(asset, seed), 0.2, (width, height))
    if grey:
        photo = np.repeat(photo.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    first = project_texture(asset, placed, camera, photo, size=64)
    np.testing.assert_array_equal(first, project_texture(asset, placed, camera, photo, size=64))
    if grey:
        chroma = first.astype(int) - first.mean(axis=2, keepdims=True)
        assert np.abs(chroma).max() < 8


def test_empty_texels_take_the_nearest_colour_of_their_island() -> None:
    asset = head()
    camera, placed, photo = photographed(asset, to_bytes(np.tile(SKIN, (SIZE, SIZE, 1))))
    found = project_texture(asset, placed, camera, photo, size=SIZE)
    texels = Texels.of(asset, SIZE, renderer())
    empty = np.ones(SIZE * SIZE, bool)
    empty[texels.index] = False
    assert empty.any()
    own = {tuple(colour) for colour in found.reshape(-1, 3)[texels.index]}
    assert {tuple(colour) for colour in found.reshape(-1, 3)[empty]} <= own


def test_light_from_one_side_is_evened() -> None:
    asset = head()
    truth = to_bytes(np.tile(SKIN, (SIZE, SIZE, 1)))
    camera, placed = portrait(asset.template, size=(420, 520))
    light = shading.ambient(0.5) + shading.lamp((1, 0, 0.5), 0.6)
    photo = render_asset(dataclasses.replace(asset, albedo=truth), camera, placed, light=light, background=(60, 70, 90))
    found = to_linear(project_texture(asset, placed, camera, photo, size=SIZE)).mean(axis=2).reshape(-1)
    texels, trust = confidence(asset, camera, placed, photo)
    place = texels.interpolate(asset.template)
    cheeks = [(trust > 0.9) & (side * place[:, 0] > 0.03) & (np.abs(place[:, 1]) < 0.05) for side in (1, -1)]
    points = texels.interpolate(placed)[:, :]
    pixels = np.rint(camera.project(points) - 0.5).astype(int)
    shot = to_linear(photo).mean(axis=2)
    lit, shaded = (np.median(shot[pixels[cheek, 1], pixels[cheek, 0]]) for cheek in cheeks)
    found_lit, found_shaded = (np.median(found[texels.index[cheek]]) for cheek in cheeks)
    assert lit / shaded > 1.3
    assert np.log(found_lit / found_shaded) < 0.6 * np.log(lit / shaded)


def test_tone_field_keeps_what_is_known_and_spreads_it() -> None:
    asset = head()
    values = np.zeros((asset.vertex_count, 1))
    level = np.full((asset.vertex_count, 1), 0.3)
    above = asset.template[:, 1] > 0
    values[above] = 0.2
    field = tone_field(asset.template, asset.triangles, values, above.astype(float), level)
    inside = asset.template[:, 1] > 0.03
    np.testing.assert_allclose(field[inside], 0.2, atol=0.01)
    below = ~above
    assert (field[below] >= 0.2 - 1e-6).all()
    assert (field[below] <= 0.3 + 1e-6).all()
    lowest = asset.template[:, 1] < -0.18
    assert field[lowest].mean() > field[below & ~lowest].mean()
    nothing = tone_field(asset.template, asset.triangles, values, np.zeros(asset.vertex_count), level)
    np.testing.assert_allclose(nothing, 0.3)


def test_fitted_light_is_the_light() -> None:
    random = np.random.default_rng(2)
    normals = random.normal(size=(20000, 3)).astype(np.float32)
    normals[:, 2] = np.abs(normals[:, 2])
    unit = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    brightness = 0.3 * unit[:, 0] - 0.2 * unit[:, 1]
    brightness[:2000] -= 2  # beards and brows
    light = fit_light(normals, brightness, np.ones(len(normals)))
    expected = 0.3 * unit[2000:, 0] - 0.2 * unit[2000:, 1]
    shade = light.shade(normals[2000:])
    np.testing.assert_allclose(shade - np.median(shade), expected - np.median(expected), atol=0.06)


def test_skin_is_told_from_shirt_wall_and_hair() -> None:
    colours = {
        "skin": SKIN,
        "shade": SKIN * 0.65,
        "shirt": [0.9, 0.9, 0.9],
        "wall": [0.3, 0.32, 0.35],
        "hair": [0.03, 0.02, 0.014],
    }
    photo = np.concatenate([np.tile(value, (60, 60, 1)) for value in colours.values()], axis=1)
    photo = to_bytes(photo * np.random.default_rng(0).uniform(0.93, 1.07, (60, 300, 1)))
    columns = {name: slice(60 * i + 15, 60 * i + 45) for i, name in enumerate(colours)}
    face, scalp = np.zeros((60, 300), bool), np.zeros((60, 300), bool)
    face[:, columns["skin"]] = scalp[:, columns["hair"]] = True
    skin, haired = skin_and_hair(photo, face, scalp, 2.0)
    assert (haired <= scalp).all()
    assert haired[scalp].mean() > 0.9
    for name, column in columns.items():
        assert skin[15:45, column].mean() == pytest.approx(float(name in ("skin", "shade")), abs=0.05), name
    np.testing.assert_allclose(hair_colour(photo, haired, SKIN), colours["hair"], atol=0.004)
    assert not skin_and_hair(photo, face, face, 2.0)[1].any()  # a bald head


def test_white_hair_is_hair_and_white() -> None:
    """Bright and greyer than the face, as skin shows through it; a bald head in as bright a light keeps its hue."""
    random = np.random.default_rng(0)

    def scene(top: np.ndarray) -> np.ndarray:
        photo = np.concatenate([np.tile(SKIN * 0.6, (60, 60, 1)), np.tile(top, (60, 60, 1))], axis=1)
        return to_bytes(photo * random.uniform(0.95, 1.05, (60, 120, 1)))

    face, scalp = np.zeros((60, 120), bool), np.zeros((60, 120), bool)
    face[:, 10:50], scalp[:, 70:110] = True, True
    photo = scene(np.array([0.62, 0.52, 0.45]))
    white = skin_and_hair(photo, face, scalp, 2.0)[1]
    assert white.any()
    colour = hair_colour(photo, white, SKIN * 0.6)
    assert colour.mean() > 0.45
    assert colour[0] / colour[2] < 1.2
    assert not skin_and_hair(scene(SKIN), face, scalp, 2.0)[1].any()


def test_gloss_does_not_make_black_hair_grey() -> None:
    photo = to_bytes(np.tile(np.array([0.02, 0.015, 0.012]), (40, 40, 1)))
    photo[:, 18:] = np.arange(110, 198, 4)[:, None]
    everywhere = np.ones((40, 40), bool)
    assert hair_colour(photo, everywhere, SKIN).max() < 0.03
    photo[:] = 150
    assert hair_colour(photo, everywhere, SKIN * 0.1).mean() < 0.1 * SKIN.mean()


def test_arguments_are_checked() -> None:
    asset = head()
    camera, placed, photo = photographed(asset, painted(asset, 0))
    with pytest.raises(ParameterError, match=r"vertices have shape \(3, 3\)"):
        project_texture(asset, placed[:3], camera, photo)
    with pytest.raises(ParameterError, match="photo is uint8"):
        project_texture(asset, placed, camera, photo[:-1])
    with pytest.raises(ParameterError, match="4 pixels a side"):
        project_texture(asset, placed, camera, photo, size=4)
    with pytest.raises(ParameterError, match="not in the picture"):
        project_texture(asset, placed + np.array([5, 0, 0]), camera, photo)
    with pytest.raises(ParameterError, match="behind the camera"):
        project_texture(asset, placed + np.array([0, 0, 3]), camera, photo)
    bare = dataclasses.replace(asset, landmarks68_vertices=np.zeros((0, 3), int), landmarks68_weights=np.zeros((0, 3)))
    with pytest.raises(AssetError, match="landmarks68"):
        project_texture(bare, placed, camera, photo)


def test_the_face_is_between_jaw_and_brows() -> None:
    asset = head()
    weight = photo_view.face_weight(asset)
    template = asset.template
    front = template[:, 2] > 0.04
    middle = front & (np.abs(template[:, 0]) < 0.02) & (np.abs(template[:, 1]) < 0.02)
    assert weight[middle].min() == 1
    assert weight[template[:, 1] > 0.08].max() == 0
    assert weight[template[:, 1] < -0.1].max() == 0
    assert weight[template[:, 2] < -0.03].max() == 0
