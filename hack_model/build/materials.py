"""Materials of the default model, and the small colour map of its skin that fits and previews start from."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hack_model.appearance.materials import material_colours
from hack_model.appearance.parameters import Appearance
from hack_model.appearance.skin import Skin

if TYPE_CHECKING:
    from hack_model.asset import ModelAsset
    from hack_model.build.assemble import Geometry

SIZE: Final = 512
"""Pixels a side of the colour map in the file; larger ones with relief are painted when wanted."""
TABLE: Final = {
    "skin": ((0.47, 0.31, 0.25, 1.0), 0.5),
    "sclera": ((0.66, 0.60, 0.54, 1.0), 0.25),
    "limbus": ((0.10, 0.075, 0.055, 1.0), 0.25),
    "iris": ((0.115, 0.06, 0.025, 1.0), 0.3),
    "iris_inner": ((0.19, 0.10, 0.04, 1.0), 0.3),
    "pupil": ((0.003, 0.003, 0.003, 1.0), 0.6),
    "cornea": ((0.0, 0.0, 0.0, 0.08), 0.03),
    "teeth": ((0.70, 0.64, 0.53, 1.0), 0.18),
    "gums": ((0.46, 0.15, 0.14, 1.0), 0.35),
    "tongue": ((0.45, 0.15, 0.14, 1.0), 0.4),
    "lashes": ((0.012, 0.009, 0.007, 1.0), 0.6),
}
"""Linear RGBA and roughness of every material."""


def fields(geometry: Geometry) -> dict[str, Any]:
    """The asset's fields of materials, without the colour map."""
    index = {name: number for number, name in enumerate(TABLE)}
    return {
        "material_names": np.array(list(TABLE)),
        "material_color": np.array([color for color, _ in TABLE.values()]),
        "material_roughness": np.array([roughness for _, roughness in TABLE.values()]),
        "face_material": np.array([index[name] for name in geometry.face_material]),
    }


def painted(asset: ModelAsset) -> ModelAsset:
    """The asset with the default appearance's colours and its colour map, without freckles, moles and pores."""
    appearance = Appearance(freckles=0.0, moles=0.0, pores=0.0)
    colours = material_colours(appearance)
    rgba = np.array(asset.material_color)
    for name, colour in colours.items():
        rgba[asset.material_names.index(name), :3] = colour
    albedo = Skin.paint(asset, appearance, SIZE).maps().albedo
    return dataclasses.replace(asset, material_color=rgba, albedo=albedo)
