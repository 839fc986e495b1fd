"""`Skin`: the maps of one head's skin, painted once, then folded by the wrinkles of any frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from hack_model.appearance import wrinkles
from hack_model.appearance.anatomy import Anatomy, anatomy_of
from hack_model.appearance.colour import to_bytes
from hack_model.appearance.parameters import Appearance
from hack_model.appearance.pigmentation import Places, colour_map, places_of
from hack_model.appearance.relief import encoded_normals, pore_map, relief, roughness_map, shaded
from hack_model.appearance.texels import Texels, texels_of
from hack_model.asset import ModelAsset
from hack_model.errors import ParameterError

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    Array = np.ndarray

SIZES = (64, 4096)


@dataclass(frozen=True)
class SkinMaps:
    """Square maps of the skin in the asset's layout, first row at v = 1.

    ``albedo`` sRGB; ``normal`` tangent space as in glTF (+Y up); ``roughness`` linear.
    """

    albedo: UInt8[Array, "size size 3"]
    normal: UInt8[Array, "size size 3"]
    roughness: UInt8[Array, "size size"]


@dataclass(frozen=True, eq=False)
class Skin:
    """What the texels of a head's skin are like, before it folds.

    ``colour`` (n, 3) linear; ``slopes`` (n, 2) of the relief; ``rough`` (n,); ``folds`` (M, n, 2) slopes and ``depths``
    (M, n) darkness of each map of wrinkles at full strength; ``masks`` (L, n) of the layers.
    """

    appearance: Appearance
    texels: Texels
    colour: Float[Array, "n 3"]
    slopes: Float[Array, "n 2"]
    rough: Float[Array, " n"]
    folds: Float[Array, "M n 2"]
    depths: Float[Array, "M n"]
    vertex_masks: Float[Array, "L V"]

    @classmethod
    def paint(cls, asset: ModelAsset, appearance: Appearance | None = None, size: int = 1024) -> Skin:
        """Paints a skin on maps of ``size`` pixels a side.

        Raises :class:`ParameterError` for a size outside 64…4096 and :class:`AssetError` for a model whose landmarks,
        regions or layout do not say where things are.
        """
        appearance = appearance or Appearance()
        if not SIZES[0] <= size <= SIZES[1]:
            raise ParameterError(f"size {size}: wanted {SIZES[0]}…{SIZES[1]} pixels")
        ground = _ground(asset, size)
        anatomy, texels, places = ground.anatomy, ground.texels, ground.places
        pores = pore_map(texels, places, appearance)
        folded, rest = ground.heights(appearance.seed)
        rest = rest * np.float32(_at_rest(appearance.age))
        height = relief(texels, places, appearance, pores) + rest
        colour = colour_map(anatomy, texels, places, appearance)
        colour = shaded(colour, 0.35 * pores * appearance.pores + 0.7 * wrinkles.hollows(rest))
        folds = np.stack([texels.slopes(texels.image(values)) for values in folded])
        return cls(
            appearance,
            texels,
            np.clip(colour, 0, 1),
            texels.slopes(texels.filled(height)),
            roughness_map(texels, places, appearance, pores),
            folds,
            wrinkles.hollows(folded),
            ground.masks,
        )

    def maps(self, weights: Mapping[str, float] | None = None) -> SkinMaps:
        """The maps, with each layer of wrinkles folded as far as ``weights`` says (0 where it says nothing).

        Raises :class:`ParameterError` for a layer that does not exist or a weight that is not finite.
        """
        amounts = self._amounts(weights or {})
        colour, slopes = self.colour, self.slopes
        if amounts.any():
            strength = amounts @ self.masks
            slopes = slopes + np.einsum("mn,mnc->nc", strength, self.folds)
            colour = shaded(colour, (strength * self.depths).sum(axis=0))
        normal = np.full((self.texels.size**2, 3), (128, 128, 255), np.uint8)
        normal[self.texels.index] = encoded_normals(slopes)
        size = self.texels.size
        rough = np.clip(np.rint(self.texels.filled(self.rough) * 255), 0, 255).astype(np.uint8)
        return SkinMaps(to_bytes(self.texels.filled(colour)), normal.reshape(size, size, 3), rough)

    def wrinkle_images(self) -> UInt8[Array, "M size size 3"]:
        """The maps of wrinkles for engines that mix them: red and green are what full strength adds to the normal
        map's (128 is nothing), blue is how dark the folds are."""
        size = self.texels.size
        pixels = np.tile(np.array([128, 128, 0], np.uint8), (wrinkles.MAPS, size * size, 1))
        normals = encoded_normals(self.folds)
        pixels[:, self.texels.index, :2] = normals[..., :2]
        pixels[:, self.texels.index, 2] = np.rint(self.depths * 255)
        return pixels.reshape(wrinkles.MAPS, size, size, 3)

    @cached_property
    def masks(self) -> Float[Array, "L n"]:
        """How much of each layer of :func:`hack_model.appearance.wrinkles.layers` there is at each texel."""
        return self.texels.carry_vertices(self.vertex_masks.T).T

    def _amounts(self, weights: Mapping[str, float]) -> Float[Array, "M L"]:
        layers = wrinkles.layers()
        unknown = sorted(set(weights) - {layer.name for layer in layers})
        if unknown:
            known = ", ".join(layer.name for layer in layers)
            raise ParameterError(f"no layer of wrinkles called {', '.join(unknown)}; there are {known}")
        amounts = np.zeros((wrinkles.MAPS, len(layers)), np.float32)
        for number, layer in enumerate(layers):
            amounts[layer.map, number] = weights.get(layer.name, 0.0)
        if not np.isfinite(amounts).all():
            raise ParameterError("wrinkles: strengths hold values that are not finite")
        return amounts


@dataclass(eq=False)
class _Ground:
    """What of a map does not depend on the appearance but for its seed; kept, since sliders paint again and again."""

    anatomy: Anatomy
    texels: Texels
    _heights: dict[int, tuple[Float[Array, "M n"], Float[Array, " n"]]] = field(default_factory=dict)

    @cached_property
    def places(self) -> Places:
        return places_of(self.anatomy, self.texels)

    @cached_property
    def masks(self) -> Float[Array, "L V"]:
        return wrinkles.masks(self.anatomy)

    def heights(self, seed: int) -> tuple[Float[Array, "M n"], Float[Array, " n"]]:
        if seed not in self._heights:
            self._heights = {seed: wrinkles.heights(self.anatomy, self.texels, seed)}
        return self._heights[seed]


_GROUNDS: WeakKeyDictionary[ModelAsset, _Ground] = WeakKeyDictionary()


def _ground(asset: ModelAsset, size: int) -> _Ground:
    """The ground of an asset's maps; that of the last size is remembered as long as the asset lives."""
    ground = _GROUNDS.get(asset)
    if ground is None or ground.texels.size != size:
        ground = _GROUNDS[asset] = _Ground(anatomy_of(asset), texels_of(asset, size))
    return ground


def _at_rest(age: float) -> float:
    """Share of the resting folds that a skin of this age shows: none in a child, all at 85 (age 1)."""
    return float(np.clip((age - 0.15) / 0.75, 0, 1.1) ** 1.3)
