"""How a head looks, as plain data: materials with their maps, and wrinkles with the formulas that fold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hack_model.appearance.anatomy import anatomy_of, can_be_drawn
from hack_model.appearance.materials import Material, materials_of_skin, plain_materials
from hack_model.appearance.skin import Skin
from hack_model.appearance.wrinkles import FULL_FLEXION, MAPS, NECK_FLEXION, Layer, layers, left_share
from hack_model.facs.catalogue import Side, catalogue

from .blueprint import HEAD_CONTROL, HEAD_ORDER
from .controls import HEAD_NOD, unit_keys
from .formulas import BoneRotation, Control, Formula, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, UInt8

    from hack_model.appearance.parameters import Appearance
    from hack_model.asset import ModelAsset

    Array = np.ndarray

PER_ATTRIBUTE = 3
"""Masks are vectors on the vertices: viewports read only about a dozen attributes."""


@dataclass(frozen=True)
class WrinkleMap:
    """One picture of folds (:meth:`hack_model.appearance.skin.Skin.wrinkle_images`) and what mixes it in.

    ``masks`` (A, V, 3) of the layers on both sides; ``left`` and ``right`` (A, 3) the formulas of their strengths,
    ``None`` where a vector has room left.
    """

    image: UInt8[Array, "H W 3"]
    masks: Float[Array, "A V 3"]
    left: tuple[tuple[Formula | None, ...], ...]
    right: tuple[tuple[Formula | None, ...], ...]


@dataclass(frozen=True)
class Looks:
    """``materials`` in the asset's order; ``wrinkles`` and ``left_share`` (V,) of each vertex, empty without maps."""

    materials: tuple[Material, ...]
    wrinkles: tuple[WrinkleMap, ...] = ()
    left_share: Float[Array, " V"] | None = None


def head_looks(asset: ModelAsset, appearance: Appearance, size: int) -> Looks:
    """The looks of a head; the asset's plain materials for ``size`` 0 and models no appearance can be drawn on."""
    if not size or not can_be_drawn(asset):
        return Looks(plain_materials(asset))
    skin = Skin.paint(asset, appearance, size)
    known = set(asset.expression_names)
    images = skin.wrinkle_images()
    maps = tuple(_wrinkle_map(number, images[number], skin.vertex_masks, known) for number in range(MAPS))
    return Looks(materials_of_skin(asset, skin), maps, left_share(anatomy_of(asset)))


def strength(layer: Layer, known: set[str]) -> Formula:
    """How far a layer is folded, from the sliders: its action units', their expressions' own, and the head's nod."""
    variables: dict[str, Control | BoneRotation] = {}
    parts: list[str] = []
    for term, share in layer.terms.items():
        if term == NECK_FLEXION:
            variables |= {"n": Control(HEAD_NOD), "b": BoneRotation(HEAD_CONTROL, "ROT_X", HEAD_ORDER)}
            parts.append(f"{number(share / FULL_FLEXION)}*(n+b)")
            continue
        for key, weight in _sources(term, layer.side, known).items():
            name = f"c{len(variables)}"
            variables[name] = Control(key)
            parts.append(f"{number(share * weight)}*{name}")
    return Formula(f"clamp({'+'.join(parts) or '0'},0,1)", variables)


def _sources(code: str, side: str, known: set[str]) -> dict[str, float]:
    """Sliders that show an action unit on a side, with their weights: the unit's, and each expression's own."""
    unit = catalogue()[code]
    wanted: Side = "left" if side == "left" else "right"
    shapes = {name: weight for name, weight in unit.shapes(wanted).items() if name in known}
    if not shapes:
        return {}
    keys = unit_keys(unit)
    slider = f"{code}{side[0].upper()}" if unit.two_sided else code
    return ({slider: 1.0} if slider in keys else {}) | {
        name: 1 / (weight * len(shapes)) for name, weight in shapes.items()
    }


def _wrinkle_map(index: int, image: UInt8[Array, "H W 3"], masks: Float[Array, "L V"], known: set[str]) -> WrinkleMap:
    chosen: dict[str, dict[str, int]] = {}
    for place, layer in enumerate(layers()):
        if layer.map == index:
            chosen.setdefault(layer.name[:-2], {})[layer.side] = place
    pairs = list(chosen.values())
    groups = [pairs[start : start + PER_ATTRIBUTE] for start in range(0, len(pairs), PER_ATTRIBUTE)]
    vectors = np.zeros((len(groups), masks.shape[1], PER_ATTRIBUTE), np.float32)
    for row, group in enumerate(groups):
        for column, pair in enumerate(group):
            vectors[row, :, column] = sum(masks[place] for place in pair.values())
    return WrinkleMap(image, vectors, _formulas(groups, "left", known), _formulas(groups, "right", known))


def _formulas(
    groups: Sequence[Sequence[Mapping[str, int]]], side: str, known: set[str]
) -> tuple[tuple[Formula | None, ...], ...]:
    every = layers()
    return tuple(
        tuple(
            strength(every[group[column][side]], known) if column < len(group) else None
            for column in range(PER_ATTRIBUTE)
        )
        for group in groups
    )
