from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hack_model.appearance.colour import lab, reflectance_to_rgb, to_bytes, to_linear
from hack_model.appearance.reflectance import reflectance, skin_colour

unit = st.floats(0, 1)
amounts = st.floats(0, 25)


@given(unit, amounts, unit, unit, st.floats(0.2, 2), unit)
def test_skin_reflects_a_part_of_the_light_at_every_wavelength(
    melanin: float, blood: float, oxygenation: float, red: float, thickness: float, horny: float
) -> None:
    spectrum = reflectance(melanin, blood, oxygenation, red, thickness, horny)
    assert np.isfinite(spectrum).all()
    assert spectrum.min() > 0
    assert spectrum.max() < 0.8
    colour = skin_colour(melanin, blood, oxygenation, red, thickness, horny)
    assert ((colour >= 0) & (colour <= 1)).all()


@given(st.floats(0, 0.95), amounts, unit)
def test_more_melanin_is_darker_in_every_channel(melanin: float, blood: float, oxygenation: float) -> None:
    lighter, darker = skin_colour(np.array([melanin, melanin + 0.05]), blood, oxygenation)
    assert (darker <= lighter).all()
    assert darker.sum() < lighter.sum()


@given(st.floats(0, 0.7), st.floats(0.1, 5))
def test_more_blood_is_redder_and_darker(melanin: float, blood: float) -> None:
    less, more = lab(skin_colour(melanin, np.array([blood, 1.5 * blood])))
    assert more[0] < less[0]
    assert more[1] > less[1]


def test_blood_without_oxygen_is_less_red() -> None:
    blue, red = lab(skin_colour(0.1, 3.0, np.array([0.2, 0.95])))
    assert blue[1] < red[1] - 1


def test_range_of_the_typology_angle_is_that_of_measured_people() -> None:
    # Del Bino and Bernerd (2013): very light above 55°, dark below -30°; the darkest groups reach about -50 to -60.
    # The angle is arctan((L* - 50) / b*) (Chardon, Cretois and Hourseau 1991).
    lightness, _, yellow = lab(skin_colour(np.linspace(0, 1, 21))).T
    angle = np.degrees(np.arctan2(lightness - 50, yellow))
    assert (np.diff(angle) < 0).all()
    assert 54 < angle[0] < 66
    assert -62 < angle[-1] < -48


def test_hue_and_chroma_lie_in_the_band_of_measured_skin() -> None:
    # Facial skin of all groups: hue 40-70°, chroma 12-26, a* 7-15 (Xiao et al. 2017: 188 people of four groups).
    _, red, yellow = lab(skin_colour(np.linspace(0, 1, 21), 1.2)).T
    hue, chroma = np.degrees(np.arctan2(yellow, red)), np.hypot(red, yellow)
    assert (hue > 38).all()
    assert (hue < 70).all()
    assert (chroma > 11).all()
    assert (chroma < 26).all()


def test_torch_gives_the_same_colour_and_gradients() -> None:
    torch = pytest.importorskip("torch")
    melanin = torch.linspace(0.05, 0.9, 5, dtype=torch.float64, requires_grad=True)
    colour = skin_colour(melanin, 1.3, 0.7, 0.3)
    np.testing.assert_allclose(
        colour.detach().numpy(), skin_colour(melanin.detach().numpy(), 1.3, 0.7, 0.3), atol=1e-12
    )
    colour.sum().backward()
    step = 1e-6
    moved = skin_colour(melanin.detach().numpy() + step, 1.3, 0.7, 0.3).sum(axis=1)
    slope = (moved - colour.detach().numpy().sum(axis=1)) / step
    np.testing.assert_allclose(melanin.grad.numpy(), slope, rtol=1e-4)


def test_perfect_white_is_white_and_colours_survive_their_encoding() -> None:
    np.testing.assert_allclose(reflectance_to_rgb().sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(lab(np.ones(3)), [100, 0, 0], atol=0.02)
    every = np.arange(256, dtype=np.uint8)
    assert (to_bytes(to_linear(every)) == every).mean() > 0.98
