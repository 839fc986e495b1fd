"""The appearance of a head as custom properties of its armature: sliders that the next painting reads."""

from __future__ import annotations

import bpy
import numpy as np

from hack_model.appearance.parameters import TRAITS, Appearance

PREFIX, SEED, MAPS = "look_", "look_seed", "look_maps"
"""Keys of a trait's, the seed's and the maps' size's id-property."""
GROUPS = {
    "Skin": ("melanin", "pheomelanin", "haemoglobin", "oxygenation", "freckles", "moles"),
    "Surface": ("age", "pores", "sebum"),
    "Lips and Eyes": ("lip_colour", "iris", "veins"),
    "Hair": ("hair", "hair_red", "grey", "brows", "beard", "scalp"),
}
"""Traits as the panel groups them."""


def store(rig: bpy.types.Object, appearance: Appearance, size: int) -> None:
    """Writes an appearance, and the size of its maps, to the armature."""
    for trait in TRAITS:
        key = PREFIX + trait.name
        rig[key] = float(getattr(appearance, trait.name))
        rig.id_properties_ui(key).update(
            min=trait.low, max=trait.high, soft_min=trait.low, soft_max=trait.high, default=trait.default,
            description=f"{trait.name}: {trait.meaning}. Takes effect with Paint",
        )  # fmt: skip
    rig[SEED] = int(appearance.seed)
    rig.id_properties_ui(SEED).update(min=0, description="Where freckles, moles, hairs and blotches lie")
    rig[MAPS] = int(size)
    rig.id_properties_ui(MAPS).update(min=256, max=4096, description="Pixels a side of the skin's maps")


def stored(rig: bpy.types.Object) -> Appearance | None:
    """The appearance on an armature; ``None`` for a head without one."""
    if SEED not in rig:
        return None
    names = [trait.name for trait in TRAITS]
    return Appearance.from_array(np.array([float(rig[PREFIX + name]) for name in names]), int(rig[SEED]))
