"""The eyes: an iris whose colour is its melanin, its dark rim, and a white with a few veins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hack_model.appearance.colour import reflectance_to_rgb, to_bytes, wavelengths
from hack_model.appearance.noise import splats
from hack_model.appearance.parameters import Appearance
from hack_model.appearance.reflectance import eumelanin, pheomelanin_absorption
from hack_model.asset import ModelAsset, split_quads

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    Array = np.ndarray

MATERIALS: Final = ("sclera", "limbus", "iris", "iris_inner")
"""The materials that take the picture of the eye."""
_TILES: Final = 2
"""The picture repeats this often between one eye's place in the layout and the other's, so that one serves both."""
_STROMA, _BORDER = 0.020, 0.006
"""Thickness in centimetres of the iris' stroma, and of the border layer before it, which holds the melanin."""
_FIBRES: Final = 13.0
"""Scattering of the stroma's fibres at 500 nm, 1/cm; thin fibres scatter about λ^-2.5, which is why an iris without
melanin is blue (C. W. Mason, "Blue eyes", J. Phys. Chem. 28, 1924)."""
_GRANULES: Final = (8.5, 100.0, 0.6)
"""Scattering of the melanin's granules, 1/cm, at this absorption, and the power of the absorption it grows with: dense
granules shade each other."""
_LEAST, _MOST = 1.6, 1600.0
"""Absorption at 500 nm of the border layer's melanin at iris 0 and 1, 1/cm."""
_SCLERA: Final = (0.66, 0.60, 0.54)


@dataclass(frozen=True)
class EyeLayout:
    """How the asset's texture coordinates show the eyes: discs, polar angle from the front pole as distance.

    ``centre`` (2,) of the left eye's disc, ``step`` to the right eye's along u, ``radius`` of a polar angle of 180°.
    ``iris`` and ``pupil`` are polar angles in radians.
    """

    centre: Float[Array, "2"]
    step: float
    radius: float
    iris: float
    pupil: float

    @classmethod
    def of(cls, asset: ModelAsset) -> EyeLayout | None:
        """The layout of an asset, ``None`` where it has no such eyes."""
        if not {*MATERIALS, "pupil"} <= set(asset.material_names) or not {"eye_left", "eye_right"} <= set(
            asset.part_names
        ):
            return None
        discs = {side: _coordinates(asset, "pupil", f"eye_{side}") for side in ("left", "right")}
        if min(map(len, discs.values())) == 0:
            return None
        left, right = (0.5 * (uv.min(axis=0) + uv.max(axis=0)) for uv in discs.values())
        reach = {name: _reach(asset, name, left) for name in ("sclera", "limbus", "pupil")}
        if reach["sclera"] < 4 * reach["limbus"] or right[0] == left[0]:
            return None
        radius = reach["sclera"]
        turn = np.pi / max(radius, 1e-9)
        return cls(left, float(right[0] - left[0]), float(radius), reach["limbus"] * turn, reach["pupil"] * turn)

    def transform(self, uv: Float[Array, "n 2"]) -> Float[Array, "n 2"]:
        """The asset's texture coordinates as the picture's, which repeats; v up."""
        return (np.asarray(uv, np.float64) - self.centre) * self.scale + 0.5

    @property
    def scale(self) -> float:
        """Units of the picture's coordinates per unit of the asset's."""
        return _TILES / abs(self.step)

    @property
    def half_angle(self) -> float:
        """Polar angle at the middle of the picture's sides, radians."""
        return 0.5 / self.scale / self.radius * np.pi


def eye_image(layout: EyeLayout, appearance: Appearance, size: int = 512) -> UInt8[Array, "size size 3"]:
    """The picture of an eye from before, sRGB, first row at v = 1; polar angle grows with distance from the middle."""
    grid = (np.arange(size) + 0.5) / size - 0.5
    x, y = np.meshgrid(grid, -grid)
    polar = np.hypot(x, y) * 2 * layout.half_angle
    turn = np.arctan2(y, x)
    along = polar / layout.iris
    white = _white(layout, appearance, polar, turn, size)
    iris = _iris(appearance, along, turn, layout.pupil / layout.iris)
    inside = np.clip((1.02 - along) / 0.09, 0, 1)[..., None]
    inside = inside * inside * (3 - 2 * inside)
    return to_bytes(white + inside * (iris - white))


def iris_colour(melanin: Float[Array, "*n"]) -> Float[Array, "*n 3"]:
    """Linear colour of an iris with this much melanin (0…1): blue by scattering, brown by absorption.

    Kubelka and Munk's layers: fibres over the black epithelium, before them a layer of melanin that filters what they
    scatter, and whose granules scatter a little themselves.
    """
    amount = np.asarray(melanin, np.float64)[..., None]
    nanometres = wavelengths()
    relative = nanometres / 500
    pigment = 0.5 * eumelanin() / np.interp(500, nanometres, eumelanin())
    pigment += 0.5 * pheomelanin_absorption() / np.interp(500, nanometres, pheomelanin_absorption())
    absorbed = _LEAST * (_MOST / _LEAST) ** amount
    fibres, _ = _layer(np.full_like(relative, 0.6), _FIBRES * relative**-2.5, _STROMA)
    scattering = _GRANULES[0] * (absorbed / _GRANULES[1]) ** _GRANULES[2] * relative**-0.6
    granules, through = _layer(absorbed * pigment, scattering, _BORDER)
    spectrum = granules + through**2 * fibres / (1 - granules * fibres)
    return np.clip(spectrum @ reflectance_to_rgb(), 0, 1)


def _layer(
    absorption: Float[Array, "*n W"], scattering: Float[Array, "*n W"], depth: float
) -> tuple[Float[Array, "*n W"], Float[Array, "*n W"]]:
    """Reflectance and transmittance of a layer by Kubelka and Munk (K, S in 1/cm)."""
    a = 1 + absorption / scattering
    b = np.sqrt(a * a - 1)
    x = np.minimum(b * scattering * depth, 40)
    total = a * np.sinh(x) + b * np.cosh(x)
    return np.sinh(x) / total, b / total


def _iris(
    appearance: Appearance, along: Float[Array, "s s"], turn: Float[Array, "s s"], pupil: float
) -> Float[Array, "s s 3"]:
    """Fibres from the pupil outwards, the brighter collarette, crypts, the dark rim."""
    generator = np.random.default_rng([appearance.seed, 88])
    fibres = sum(
        strength * np.cos(count * turn + phase + 1.3 * np.sin(3 * turn + shift) + bend * along)
        for count, strength, phase, shift, bend in zip(
            (23, 37, 61, 89, 131),
            (0.35, 0.5, 0.6, 0.6, 0.4),
            generator.uniform(0, 2 * np.pi, 5),
            generator.uniform(0, 2 * np.pi, 5),
            generator.uniform(-2, 2, 5),
            strict=True,
        )
    )
    ring = pupil + 0.22 + 0.035 * np.cos(5 * turn + generator.uniform(0, 6)) + 0.02 * np.cos(11 * turn)
    collarette = np.exp(-(((along - ring) / 0.07) ** 2))
    inner = 1 / (1 + np.exp((along - ring) / 0.045))
    rim = np.clip((along - 0.80) / 0.19, 0, 1) ** 1.5
    melanin = appearance.iris + 0.055 * fibres * (0.4 + 0.6 * np.clip(along * 1.3, 0, 1))
    melanin = melanin + (0.14 * inner + 0.05 * collarette) * (1 - abs(2 * appearance.iris - 1) * 0.5) + 0.10 * rim
    steps = np.linspace(-0.15, 1.1, 126)
    table = iris_colour(steps)
    colour = np.stack([np.interp(melanin, steps, channel) for channel in table.T], axis=-1)
    light = 1 + 0.16 * fibres * (1 - 0.5 * inner) + 0.30 * collarette
    dark = (1 - 0.82 * rim) * np.clip((along - pupil * 0.9) / 0.08, 0.25, 1)
    return np.clip(colour * (np.clip(light, 0.35, 1.8) * dark)[..., None] * 1.25, 0, 1)


def _white(
    layout: EyeLayout, appearance: Appearance, polar: Float[Array, "s s"], turn: Float[Array, "s s"], size: int
) -> Float[Array, "s s 3"]:
    """Sclera: warmer outwards, bluish near the iris in the young, veins that come in from both corners."""
    outwards = np.clip((polar - layout.iris) / (layout.half_angle - layout.iris), 0, 1)[..., None]
    white = np.array(_SCLERA) * (1 - 0.05 * outwards) - outwards * np.array([0.0, 0.05, 0.07]) * (
        0.4 + appearance.veins
    )
    white = white - appearance.age * np.array([0.0, 0.015, 0.05])
    corners = np.abs(np.cos(turn))[..., None] ** 2 * outwards
    white = white * (1 - corners * appearance.veins * np.array([0.06, 0.22, 0.22]))
    veins = _veins(layout, appearance, size)[..., None] * np.clip(outwards * 1.6, 0, 1) * (1 - outwards**4)
    return white * (1 - veins * np.array([0.16, 0.48, 0.46]))


def _veins(layout: EyeLayout, appearance: Appearance, size: int) -> Float[Array, "s s"]:
    """Wandering vessels from the sides towards the iris."""
    generator = np.random.default_rng([appearance.seed, 89])
    places: list[np.ndarray] = []
    for number in range(int(14 + 34 * appearance.veins)):
        side = 1 if number % 2 else -1
        angle = generator.normal(0, 0.55) + (0 if side > 0 else np.pi)
        steps = int(generator.uniform(40, 110))
        start = np.array([np.cos(angle), np.sin(angle)]) * generator.uniform(0.40, 0.5)
        heading = angle + np.pi + np.cumsum(generator.normal(0, 0.16, steps)) * 0.6 + generator.normal(0, 0.2)
        step = np.stack([np.cos(heading), np.sin(heading)], axis=1) * 0.0026
        places.append(start + np.cumsum(step, axis=0))
    points = np.concatenate(places) + 0.5
    inside = ((points > 0) & (points < 1)).all(axis=1)
    points = points[inside]
    height = np.full(len(points), 0.16 + 0.30 * appearance.veins)
    return 1 - np.exp(-splats(size, points, np.full(len(points), 0.0016), height))


def _coordinates(asset: ModelAsset, material: str, part: str) -> Float[Array, "n 2"]:
    """Texture coordinates of a material's faces on a part."""
    chosen = asset.face_material == asset.material_names.index(material)
    vertices = asset.part(part)
    chosen &= (asset.faces[:, 0] >= vertices.start) & (asset.faces[:, 0] < vertices.stop)
    return asset.uv[np.unique(split_quads(asset.face_uv[chosen]))].astype(np.float64)


def _reach(asset: ModelAsset, material: str, centre: Float[Array, "2"]) -> float:
    uv = _coordinates(asset, material, "eye_left")
    distance = np.linalg.norm(uv - centre, axis=1)
    return float(np.sort(distance)[: max(len(distance), 1)].max()) if len(uv) else 0.0
