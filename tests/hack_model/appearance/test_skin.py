from __future__ import annotations

import numpy as np
import pytest

from hack_model import ModelAsset
from hack_model.appearance.anatomy import Anatomy
from hack_model.appearance.colour import lab, to_linear
from hack_model.appearance.parameters import Appearance
from hack_model.appearance.relief import encoded_normals
from hack_model.appearance.skin import Skin
from hack_model.borders import border_loops
from hack_model.errors import AssetError, ParameterError
from tests.support.synthetic import synthetic_asset

SMOOTH = {"freckles": 0.0, "moles": 0.0}


def around(skin: Skin, asset: ModelAsset, point: np.ndarray, radius: float = 0.007) -> np.ndarray:
    """The texels near a point of the template."""
    position = skin.texels.carry_vertices(asset.template)
    return np.flatnonzero(np.linalg.norm(position - point, axis=1) < radius)


def colour_at(skin: Skin, asset: ModelAsset, point: np.ndarray, radius: float = 0.007) -> np.ndarray:
    """Mean CIELAB about a point."""
    return lab(skin.colour[around(skin, asset, point, radius)].mean(axis=0))


def test_albedo_is_a_share_of_the_light(asset: ModelAsset) -> None:
    for look in ("melanin=0,haemoglobin=0.2", "melanin=1,haemoglobin=3,freckles=1,moles=1,beard=1,age=1"):
        skin = Skin.paint(asset, Appearance.parse(look), 128)
        assert np.isfinite(skin.colour).all()
        assert skin.colour.min() >= 0
        assert skin.colour.max() < 0.75


def test_melanin_darkens_the_face(asset: ModelAsset) -> None:
    def mean(melanin: float) -> float:
        return float(Skin.paint(asset, Appearance(melanin=melanin, **SMOOTH), 96).colour.mean())

    tones = [mean(melanin) for melanin in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert (np.diff(tones) < -0.02).all()


def test_places_have_their_colours(asset: ModelAsset, anatomy: Anatomy, skin: Skin) -> None:
    forehead = colour_at(skin, asset, anatomy.landmark(27) + np.array([0.0, 0.035, 0.0]))
    cheek = colour_at(skin, asset, anatomy.landmark(47) + np.array([0.012, -0.031, -0.006]))
    lips = colour_at(skin, asset, anatomy.landmark(57) + np.array([0.0, 0.004, 0.0]), 0.003)
    below = colour_at(skin, asset, anatomy.landmark(47) + np.array([-0.001, -0.008, 0.0]), 0.005)
    assert cheek[1] > forehead[1] + 1.5  # redder
    assert lips[1] > cheek[1] + 5
    assert below[0] < forehead[0] - 1  # darker …
    assert below[2] < forehead[2]  # … and bluer


def test_lips_are_red_to_their_corners(asset: ModelAsset, anatomy: Anatomy) -> None:
    """Nothing pale at the mouth's opening, from one corner to the other."""
    skin = Skin.paint(asset, Appearance(**SMOOTH), 512)
    middle = anatomy.lip_outline.mean(axis=0)
    loops = [anatomy.uv[loop] for loop in border_loops(anatomy.chart.triangles)]
    opening = min(loops, key=lambda loop: float(np.linalg.norm(loop.mean(axis=0) - middle)))
    assert np.ptp(opening[:, 0]) > 0.08
    apart = np.linalg.norm(skin.texels.uv[:, None] - opening[None], axis=2).min(axis=1)
    redness = lab(skin.colour[apart < 0.002])[:, 1]
    cheek = colour_at(skin, asset, anatomy.landmark(47) + np.array([0.012, -0.031, -0.006]))[1]
    assert len(redness) > 50
    assert redness.min() > cheek + 2


def test_sides_are_alike(asset: ModelAsset, anatomy: Anatomy, skin: Skin) -> None:
    size = 256
    picture = skin.texels.filled(skin.colour)[: size // 8 * 8, :]
    coarse = picture.reshape(size // 16, 16, size // 16, 16, 3).mean(axis=(1, 3))
    assert np.abs(coarse - coarse[:, ::-1]).max() < 0.045
    assert np.abs(coarse - coarse[:, ::-1]).mean() < 0.012
    outline = anatomy.lip_outline
    mirrored = outline * [-1, 1] + [1, 0]
    apart = np.linalg.norm(outline[:, None] - mirrored[None], axis=2).min(axis=1)
    assert apart.max() < 0.004


def test_roughness_follows_the_oil(asset: ModelAsset) -> None:
    matt, oily = (Skin.paint(asset, Appearance(sebum=sebum, **SMOOTH), 128).rough for sebum in (0.0, 1.0))
    assert oily.mean() < matt.mean() - 0.1
    assert matt.min() >= 0.1
    assert matt.max() <= 0.9


def test_normals_are_unit_and_turn_with_the_relief(asset: ModelAsset) -> None:
    rough = Skin.paint(asset, Appearance(age=0.9, pores=1.0, **SMOOTH), 512)
    smooth = Skin.paint(asset, Appearance(age=0.0, pores=0.0, **SMOOTH), 512)
    assert np.abs(rough.slopes).mean() > 1.5 * np.abs(smooth.slopes).mean()
    pixels = rough.maps().normal
    normals = (pixels.astype(float) - 128) / 127
    assert np.abs(np.linalg.norm(normals, axis=-1) - 1).max() < 0.02
    assert normals[..., 2].min() > 0
    assert np.abs(normals[..., :2].reshape(-1, 2).mean(axis=0)).max() < 0.01  # no side is preferred


def test_normals_survive_their_encoding() -> None:
    slopes = np.random.default_rng(0).normal(0, 0.4, (200, 2))
    normals = np.column_stack([-slopes, np.ones(200)])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    assert np.abs((encoded_normals(slopes).astype(float) - 128) / 127 - normals).max() < 0.01
    # OpenGL's green: a slope that rises upwards faces down.
    assert encoded_normals(np.array([0.0, 0.5]))[1] < 128


def test_a_larger_map_shows_the_same_skin(asset: ModelAsset) -> None:
    small, large = (Skin.paint(asset, Appearance(freckles=0.8), size) for size in (256, 512))
    halved = large.texels.filled(large.colour).reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
    apart = np.abs(halved - small.texels.filled(small.colour))
    assert np.median(apart) < 0.006
    assert np.quantile(apart, 0.98) < 0.08


def test_the_same_parameters_paint_the_same_maps(asset: ModelAsset) -> None:
    first, second, other = (Skin.paint(asset, Appearance(seed=seed, freckles=0.5), 128).maps() for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.albedo, second.albedo)
    assert (first.albedo != other.albedo).any()


@pytest.mark.parametrize(
    ("less", "more"),
    [({}, {"freckles": 0.9}), ({}, {"beard": 0.8}), ({}, {"scalp": 0.8}), ({"moles": 0.0}, {"moles": 1})],
)
def test_what_is_added_darkens(asset: ModelAsset, less: dict[str, float], more: dict[str, float]) -> None:
    plain, added = (Skin.paint(asset, Appearance(**(SMOOTH | options)), 256).colour for options in (less, more))
    change = added.sum(axis=1) - plain.sum(axis=1)
    assert (change < -0.05).sum() > 20
    assert change.max() < 0.02


def test_hair_colours_brows(asset: ModelAsset, anatomy: Anatomy) -> None:
    from hack_model.appearance.hair import hair_colour

    brow = 0.5 * (anatomy.landmark(42) + anatomy.landmark(45)) + np.array([0.0, 0.0195, 0.01])
    fair, dark = (
        colour_at(Skin.paint(asset, Appearance(hair=hair, brows=1.0, **SMOOTH), 512), asset, brow, 0.005)[0]
        for hair in (0.1, 1.0)
    )
    assert dark < fair - 8
    red = hair_colour(Appearance(hair=0.6, hair_red=1.0, grey=0.0))
    brown = hair_colour(Appearance(hair=0.6, hair_red=0.0, grey=0.0))
    assert red[0] / red[2] > brown[0] / brown[2] * 1.2
    grey = hair_colour(Appearance(hair=0.4, grey=1.0))
    assert np.ptp(grey) < 0.05


def test_sizes_and_models_that_cannot_be_painted_are_refused(asset: ModelAsset) -> None:
    with pytest.raises(ParameterError, match="wanted 64…4096"):
        Skin.paint(asset, None, 8)
    with pytest.raises(AssetError, match="lacks landmarks, regions or a material skin"):
        Skin.paint(synthetic_asset(), None, 64)


def test_the_default_models_own_map_is_the_default_appearance(asset: ModelAsset) -> None:
    from hack_model.build.materials import painted

    made = painted(asset).albedo
    assert made.shape == (512, 512, 3)
    linear = to_linear(made)
    assert linear.mean() == pytest.approx(Skin.paint(asset, None, 512).texels.filled(
        Skin.paint(asset, None, 512).colour).mean(), rel=0.03)  # fmt: skip
