"""The model's materials as Principled shaders; the skin takes an image, packed into the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import bpy
import numpy as np

if TYPE_CHECKING:
    from ..common.blueprint import Blueprint, Surface

_SKIN_RADIUS = (0.00367, 0.00137, 0.00068)
"""Diffuse mean free path 1/σtr of red, green and blue light in skin, metres: 3.67, 1.37, 0.68 mm from σs' and σa of
skin1 in Jensen et al. 2001, "A Practical Model for Subsurface Light Transport", table 1."""
_SEE_THROUGH = 0.5
"""Alpha below which a material is blended, as the cornea is."""


def build_materials(blueprint: Blueprint, name: str, texture: Path | None) -> list[bpy.types.Material]:
    """New materials in the asset's order. ``texture`` replaces the asset's colour map on the skin."""
    image = _load(texture) if texture is not None else _albedo(blueprint.albedo, f"{name} albedo")
    return [_material(surface, f"{name} {surface.name}", image) for surface in blueprint.surfaces]


def _material(surface: Surface, name: str, image: bpy.types.Image | None) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    if bpy.app.version < (5, 0, 0):  # from then on a material always has nodes
        material.use_nodes = True
    tree = material.node_tree
    shader = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Base Color"].default_value = surface.color
    shader.inputs["Roughness"].default_value = surface.roughness
    shader.inputs["Alpha"].default_value = surface.color[3]
    material.diffuse_color = surface.color
    material.roughness = surface.roughness
    if surface.color[3] < _SEE_THROUGH:
        material.surface_render_method = "BLENDED"
        material.use_transparency_overlap = False
    if surface.name == "skin":
        shader.inputs["Subsurface Weight"].default_value = 1.0
        shader.inputs["Subsurface Radius"].default_value = _SKIN_RADIUS
        shader.inputs["Subsurface Scale"].default_value = 1.0
        if image is not None:
            node = tree.nodes.new("ShaderNodeTexImage")
            node.image = image
            node.location = (shader.location[0] - 320, shader.location[1])
            tree.links.new(node.outputs["Color"], shader.inputs["Base Color"])
    return material


def _load(path: Path) -> bpy.types.Image:
    image = bpy.data.images.load(str(path))
    image.pack()
    return image


def _albedo(pixels: np.ndarray, name: str) -> bpy.types.Image | None:
    if pixels.size == 0:
        return None
    height, width = pixels.shape[:2]
    image = bpy.data.images.new(name, width, height, alpha=False)
    image.colorspace_settings.name = "sRGB"
    rgba = np.ones((height, width, 4), np.float32)
    rgba[..., :3] = pixels[::-1] / np.float32(255)  # Blender's first row is the lowest
    image.pixels.foreach_set(rgba.ravel())
    image.pack()
    return image
