"""The model's materials as Principled shaders; their maps are packed into the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from .wrinkles import add_wrinkles

if TYPE_CHECKING:
    from hack_model.appearance.materials import Material

    from ..common.blueprint import Blueprint
    from ..common.looks import Looks

_SEE_THROUGH = 0.5
"""Alpha below which a material is blended, as the cornea is."""
SKIN = "skin"
ROLE = "hack_role"
"""Id-property of a material and of an image: which of the head's it is, so that it can be painted again."""


def build_materials(
    blueprint: Blueprint, name: str, texture: Path | None, armature: bpy.types.Object
) -> list[bpy.types.Material]:
    """New materials in the asset's order. ``texture`` replaces the skin's colour map."""
    images: dict[int, bpy.types.Image] = {}
    return [
        _material(entry, blueprint.looks, f"{name} {entry.name}", texture, images, armature)
        for entry in blueprint.looks.materials
    ]


def repaint(materials: list[bpy.types.Material], looks: Looks) -> None:
    """Puts the maps and colours of ``looks`` into materials that :func:`build_materials` made."""
    for material, entry in zip(materials, looks.materials, strict=True):
        shader = _shader(material)
        _set_colour(material, shader, entry)
        pictures = _pictures(entry) | _wrinkle_pictures(entry, looks)
        for node in material.node_tree.nodes:
            if node.type == "TEX_IMAGE" and node.image is not None and node.image.get(ROLE) in pictures:
                _fill(node.image, pictures[node.image[ROLE]])


def _material(
    entry: Material,
    looks: Looks,
    name: str,
    texture: Path | None,
    images: dict[int, bpy.types.Image],
    armature: bpy.types.Object,
) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    if bpy.app.version < (5, 0, 0):  # from then on a material always has nodes
        material.use_nodes = True
    material[ROLE] = entry.name
    shader = _shader(material)
    _set_colour(material, shader, entry)
    if entry.color[3] < _SEE_THROUGH:
        material.surface_render_method = "BLENDED"
        material.use_transparency_overlap = False
    if any(entry.subsurface):
        shader.inputs["Subsurface Weight"].default_value = 1.0
        shader.inputs["Subsurface Radius"].default_value = entry.subsurface
        shader.inputs["Subsurface Scale"].default_value = 1.0
    shader.inputs["IOR"].default_value = entry.ior
    place = _placement(material, entry)
    nodes: dict[str, Any] = {}
    for role, pixels in _pictures(entry).items():
        if role == "albedo" and texture is not None and entry.name == SKIN:
            image = bpy.data.images.load(str(texture))
            image.pack()
        else:
            image = images.get(id(pixels)) or _image(pixels, f"{name} {role}", role)
            images[id(pixels)] = image
        nodes[role] = _image_node(material, image, place, len(nodes))
    _connect(material, shader, nodes, looks if entry.name == SKIN else None, armature, name)
    return material


def _connect(
    material: bpy.types.Material,
    shader: Any,
    nodes: dict[str, Any],
    looks: Looks | None,
    armature: bpy.types.Object,
    name: str,
) -> None:
    links = material.node_tree.links
    colour = nodes["albedo"].outputs["Color"] if "albedo" in nodes else None
    normal = nodes["normal"].outputs["Color"] if "normal" in nodes else None
    if looks is not None and looks.wrinkles and colour is not None and normal is not None:
        for index, wrinkle in enumerate(looks.wrinkles):
            image = _image(wrinkle.image, f"{name} wrinkles {index}", f"wrinkles{index}")
            node = _image_node(material, image, None, len(nodes) + index)
            colour, normal = add_wrinkles(material, node, wrinkle, index, (colour, normal), armature)
    if colour is not None:
        links.new(colour, shader.inputs["Base Color"])
    if "gloss" in nodes:
        links.new(nodes["gloss"].outputs["Color"], shader.inputs["Roughness"])
    if normal is not None:
        bump = material.node_tree.nodes.new("ShaderNodeNormalMap")
        bump.location = (shader.location[0] - 220, shader.location[1] - 460)
        links.new(normal, bump.inputs["Color"])
        links.new(bump.outputs["Normal"], shader.inputs["Normal"])


def _shader(material: bpy.types.Material) -> Any:
    return next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")


def _set_colour(material: bpy.types.Material, shader: Any, entry: Material) -> None:
    shader.inputs["Base Color"].default_value = entry.color
    shader.inputs["Roughness"].default_value = entry.roughness
    shader.inputs["Alpha"].default_value = entry.color[3]
    material.diffuse_color = entry.color
    material.roughness = entry.roughness


def _placement(material: bpy.types.Material, entry: Material) -> Any:
    """The output of a mapping node, ``None`` where the picture lies as the texture coordinates do."""
    if entry.albedo is None or (entry.uv_scale == 1 and entry.uv_offset == (0.0, 0.0)):
        return None
    nodes, links = material.node_tree.nodes, material.node_tree.links
    source = nodes.new("ShaderNodeUVMap")
    source.uv_map = "UVMap"
    source.location = (-1100, 0)
    mapping = nodes.new("ShaderNodeMapping")
    mapping.inputs["Scale"].default_value = (entry.uv_scale, entry.uv_scale, 1)
    mapping.inputs["Location"].default_value = (*entry.uv_offset, 0)
    mapping.location = (-900, 0)
    links.new(source.outputs["UV"], mapping.inputs["Vector"])
    return mapping.outputs["Vector"]


def _image_node(material: bpy.types.Material, image: bpy.types.Image, place: Any, row: int) -> Any:
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    node.location = (-1500 if place is None and row else -640, 300 - 300 * row)
    if place is not None:
        material.node_tree.links.new(place, node.inputs["Vector"])
    return node


def _pictures(entry: Material) -> dict[str, np.ndarray]:
    pictures = {"albedo": entry.albedo, "normal": entry.normal, "gloss": entry.gloss}
    return {role: pixels for role, pixels in pictures.items() if pixels is not None}


def _wrinkle_pictures(entry: Material, looks: Looks) -> dict[str, np.ndarray]:
    if entry.name != SKIN:
        return {}
    return {f"wrinkles{index}": wrinkle.image for index, wrinkle in enumerate(looks.wrinkles)}


def _image(pixels: np.ndarray, name: str, role: str) -> bpy.types.Image:
    height, width = pixels.shape[:2]
    image = bpy.data.images.new(name, width, height, alpha=False)
    image.colorspace_settings.name = "sRGB" if role == "albedo" else "Non-Color"
    image[ROLE] = role
    _fill(image, pixels)
    return image


def _fill(image: bpy.types.Image, pixels: np.ndarray) -> None:
    height, width = pixels.shape[:2]
    if tuple(image.size) != (width, height):
        image.scale(width, height)
    rgba = np.ones((height, width, 4), np.float32)
    rgba[..., :3] = (pixels if pixels.ndim == 3 else pixels[..., None])[::-1] / np.float32(255)  # lowest row first
    image.pixels.foreach_set(rgba.ravel())
    image.update()
    image.pack()
