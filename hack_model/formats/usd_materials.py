"""Materials of a USD file: UsdPreviewSurface with pictures of colour, relief and roughness.

Specification: https://openusd.org/release/spec_usdpreviewsurface.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hack_model.formats.texture import EncodedImage, encoded_image
from hack_model.names import unique_names

if TYPE_CHECKING:
    from hack_model.appearance.materials import Material

_ROLES: Final = ("albedo", "normal", "gloss")
Names = Mapping[tuple[str, str], str]
"""The file that shows a material's picture of a role."""


def material_pictures(
    materials: Sequence[Material], skin: EncodedImage | None, stem: str
) -> tuple[dict[str, EncodedImage], Names]:
    """Pictures by file name, and the names by material and role; one that several materials share stands once.

    ``skin`` replaces the colour of the material of that name. Files are called ``stem`` and the material's name, with
    _ for what file systems may not take.
    """
    files: dict[str, EncodedImage] = {}
    names: dict[tuple[str, str], str] = {}
    known: dict[int, str] = {}
    for material in materials:
        label = re.sub(r"[^\w-]", "_", material.name)
        for role in _ROLES:
            pixels: np.ndarray | None = getattr(material, role)
            if role == "albedo" and material.name == "skin" and skin is not None:
                image = skin
            elif pixels is None:
                continue
            elif id(pixels) in known:
                names[material.name, role] = known[id(pixels)]
                continue
            else:
                image = encoded_image(pixels if pixels.ndim == 3 else pixels[..., None].repeat(3, axis=2))
            suffix = "" if role == "albedo" else "_roughness" if role == "gloss" else f"_{role}"
            wanted = f"{stem}_{label}{suffix}"
            name = unique_names([wanted], taken=(file.rpartition(".")[0] for file in files))[0] + image.suffix
            files[name], names[material.name, role], known[id(pixels)] = image, name, name
    return files, names


def add_material(stage: Any, path: str, material: Material, names: Names) -> Any:
    """Defines a material at ``path`` with the pictures ``names`` has of it; returns it."""
    from pxr import Gf, Sdf, UsdShade

    types = Sdf.ValueTypeNames
    made = UsdShade.Material.Define(stage, path)
    surface = UsdShade.Shader.Define(stage, f"{path}/surface")
    surface.CreateIdAttr("UsdPreviewSurface")
    diffuse = surface.CreateInput("diffuseColor", types.Color3f)
    roughness = surface.CreateInput("roughness", types.Float)
    surface.CreateInput("metallic", types.Float).Set(0.0)
    surface.CreateInput("ior", types.Float).Set(material.ior)
    surface.CreateInput("opacity", types.Float).Set(material.color[3])
    made.CreateSurfaceOutput().ConnectToSource(surface.ConnectableAPI(), "surface")
    pictures = {role: names[material.name, role] for role in _ROLES if (material.name, role) in names}
    source = _coordinates(stage, path, material) if pictures else None
    if "albedo" in pictures:
        diffuse.ConnectToSource(_texture(stage, f"{path}/albedo", pictures["albedo"], source, "sRGB"), "rgb")
    else:
        diffuse.Set(Gf.Vec3f(*material.color[:3]))
    if "gloss" in pictures:
        roughness.ConnectToSource(_texture(stage, f"{path}/roughness", pictures["gloss"], source, "raw"), "r")
    else:
        roughness.Set(material.roughness)
    if "normal" in pictures:
        normal = _texture(stage, f"{path}/normal", pictures["normal"], source, "raw")
        shader = UsdShade.Shader.Get(stage, f"{path}/normal")
        shader.CreateInput("scale", types.Float4).Set(Gf.Vec4f(2, 2, 2, 1))
        shader.CreateInput("bias", types.Float4).Set(Gf.Vec4f(-1, -1, -1, 0))
        surface.CreateInput("normal", types.Normal3f).ConnectToSource(normal, "rgb")
    return made


def _coordinates(stage: Any, path: str, material: Material) -> Any:
    """Where pictures are looked up: the mesh's texture coordinates, moved where the material says so."""
    from pxr import Gf, Sdf, UsdShade

    types = Sdf.ValueTypeNames
    reader = UsdShade.Shader.Define(stage, f"{path}/st")
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", types.String).Set("st")
    if material.uv_scale == 1 and material.uv_offset == (0.0, 0.0):
        return reader.ConnectableAPI()
    moved = UsdShade.Shader.Define(stage, f"{path}/place")
    moved.CreateIdAttr("UsdTransform2d")
    moved.CreateInput("in", types.Float2).ConnectToSource(reader.ConnectableAPI(), "result")
    moved.CreateInput("scale", types.Float2).Set(Gf.Vec2f(material.uv_scale, material.uv_scale))
    moved.CreateInput("translation", types.Float2).Set(Gf.Vec2f(*material.uv_offset))
    return moved.ConnectableAPI()


def _texture(stage: Any, path: str, file: str, source: Any, space: str) -> Any:
    from pxr import Sdf, UsdShade

    types = Sdf.ValueTypeNames
    texture = UsdShade.Shader.Define(stage, path)
    texture.CreateIdAttr("UsdUVTexture")
    texture.CreateInput("file", types.Asset).Set(Sdf.AssetPath(f"./{file}"))
    texture.CreateInput("sourceColorSpace", types.Token).Set(space)
    texture.CreateInput("st", types.Float2).ConnectToSource(source, "result")
    for axis in ("wrapS", "wrapT"):
        texture.CreateInput(axis, types.Token).Set("repeat")
    return texture.ConnectableAPI()
