"""What every exporter needs to know about a head's surfaces: one description, whatever the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from hack_model.appearance.anatomy import can_be_drawn
from hack_model.appearance.eyes import MATERIALS as EYE_MATERIALS
from hack_model.appearance.eyes import EyeLayout, eye_image, iris_colour
from hack_model.appearance.hair import hair_colour
from hack_model.appearance.parameters import Appearance
from hack_model.appearance.skin import Skin
from hack_model.appearance.wrinkles import clip_weights
from hack_model.errors import ParameterError

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from hack_model.asset import ModelAsset
    from hack_model.clip import Clip

    Array = np.ndarray

SUBSURFACE_RADIUS: Final = (0.00367, 0.00137, 0.00068)
"""Diffuse mean free path 1/σtr of red, green and blue light in skin, metres: 3.67, 1.37, 0.68 mm from σs' and σa of
skin1 in H. W. Jensen et al., "A Practical Model for Subsurface Light Transport", SIGGRAPH 2001, table 1."""
SKIN_IOR: Final = 1.4
EYE_SIZE: Final = 512


@dataclass(frozen=True, eq=False)
class Material:
    """One surface of a head.

    ``color`` linear RGBA and ``roughness`` hold where the material has no picture of them. Pictures have their first
    row at v = 1: ``albedo`` sRGB (H, W, 3), ``normal`` tangent space with +Y up as in glTF, ``gloss`` roughness (H, W).
    The picture's coordinates are the asset's times ``uv_scale`` plus ``uv_offset``, and repeat. ``subsurface`` is the
    distance in metres that red, green and blue light go below the surface, zeros for a material that lets none in.
    """

    name: str
    color: tuple[float, float, float, float]
    roughness: float
    albedo: UInt8[Array, "H W 3"] | None = None
    normal: UInt8[Array, "H W 3"] | None = None
    gloss: UInt8[Array, "H W"] | None = None
    uv_scale: float = 1.0
    uv_offset: tuple[float, float] = (0.0, 0.0)
    subsurface: tuple[float, float, float] = (0.0, 0.0, 0.0)
    ior: float = 1.45


def plain_materials(asset: ModelAsset) -> tuple[Material, ...]:
    """The asset's own materials in its order: one colour each, and the asset's small colour map on the skin."""
    materials = [
        Material(name, (float(rgba[0]), float(rgba[1]), float(rgba[2]), float(rgba[3])), float(roughness))
        for name, rgba, roughness in zip(
            asset.material_names, asset.material_color, asset.material_roughness, strict=True
        )
    ]
    picture = asset.albedo if asset.albedo.size else None
    return tuple(
        replace(material, albedo=picture, subsurface=SUBSURFACE_RADIUS, ior=SKIN_IOR)
        if material.name == "skin"
        else material
        for material in materials
    )


def head_materials(
    asset: ModelAsset,
    appearance: Appearance | None = None,
    *,
    size: int = 1024,
    clip: Clip | None = None,
    frame: int = 0,
) -> tuple[Material, ...]:
    """The asset's materials in its order with the maps of an appearance, ``size`` pixels a side.

    With a ``clip``, the skin is wrinkled as in its frame. Raises :class:`AssetError` for a model without the landmarks
    and regions by which appearance is placed (:func:`hack_model.appearance.anatomy.can_be_drawn`).
    """
    skin = Skin.paint(asset, appearance, size)
    return materials_of_skin(asset, skin, clip_weights(clip, asset, frame) if clip is not None else None)


def materials_of_skin(
    asset: ModelAsset, skin: Skin, weights: Mapping[str, float] | None = None
) -> tuple[Material, ...]:
    """The asset's materials in its order with a painted skin, wrinkled as :meth:`Skin.maps` says, and eyes to match."""
    appearance, maps = skin.appearance, skin.maps(weights)
    layout = EyeLayout.of(asset)
    eye = eye_image(layout, appearance, EYE_SIZE) if layout is not None else None
    colours = material_colours(appearance)
    result: list[Material] = []
    for material in plain_materials(asset):
        if material.name in colours:
            material = replace(material, color=(*colours[material.name], material.color[3]))
        if material.name == "skin":
            material = replace(material, albedo=maps.albedo, normal=maps.normal, gloss=maps.roughness)
        elif material.name in EYE_MATERIALS and eye is not None and layout is not None:
            offset = 0.5 - layout.centre * layout.scale
            material = replace(
                material, albedo=eye, uv_scale=layout.scale, uv_offset=(float(offset[0]), float(offset[1]))
            )
        result.append(material)
    return tuple(result)


def material_colours(appearance: Appearance) -> Mapping[str, tuple[float, float, float]]:
    """Linear colours of the materials an appearance changes, for where they have no pictures."""
    iris = iris_colour(np.array([appearance.iris]))[0]
    return {
        "iris": _rgb(iris),
        "iris_inner": _rgb(1.15 * iris),
        "limbus": _rgb(0.4 * iris),
        "lashes": _rgb(0.5 * hair_colour(replace(appearance, grey=0.0, hair=min(1.0, appearance.hair + 0.15)))),
    }


def chosen_materials(
    asset: ModelAsset,
    appearance: Appearance | None,
    size: int,
    *,
    clip: Clip | None = None,
    frame: int = 0,
) -> tuple[Material, ...]:
    """What an export uses: the maps of ``appearance`` or of the default one; the asset's own materials for ``size`` 0
    and, when no appearance is asked for, for models that none can be drawn on.

    Raises :class:`ParameterError` when an appearance is asked for on no maps, :class:`AssetError` when it cannot be
    drawn on the asset.
    """
    if appearance is not None and size == 0:
        raise ParameterError("an appearance needs maps; choose their size, for instance 1024")
    if size == 0 or (appearance is None and not can_be_drawn(asset)):
        return plain_materials(asset)
    return head_materials(asset, appearance, size=size, clip=clip, frame=frame)


def _rgb(colour: Float[Array, "3"]) -> tuple[float, float, float]:
    clipped = np.clip(colour, 0, 1)
    return float(clipped[0]), float(clipped[1]), float(clipped[2])
