"""Materials of a glTF file: metallic-roughness surfaces and the pictures they share.

glTF 2.0 specification, section 3.9: roughness lies in the green channel, metalness (none here) in the blue one; normals
in tangent space with green up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pygltflib as gltf

from hack_model.formats.gltf_buffer import GltfBuffer
from hack_model.formats.texture import EncodedImage, encoded_image

if TYPE_CHECKING:
    from jaxtyping import UInt8

    from hack_model.appearance.materials import Material

    Array = np.ndarray


def add_materials(
    document: gltf.GLTF2, buffer: GltfBuffer, materials: Sequence[Material], skin: EncodedImage | None
) -> None:
    """Adds materials in their order with their pictures; ``skin`` replaces the colour of the material of that name."""
    pictures = _Pictures(document, buffer)
    document.materials = [_material(each, skin if each.name == "skin" else None, pictures) for each in materials]


class _Pictures:
    """The document's textures; a picture that several materials use is stored once."""

    def __init__(self, document: gltf.GLTF2, buffer: GltfBuffer) -> None:
        self._document, self._buffer = document, buffer
        self._known: dict[int, int] = {}

    def add(self, name: str, picture: UInt8[Array, "H W 3"] | EncodedImage) -> int:
        """The texture's index."""
        if id(picture) in self._known:
            return self._known[id(picture)]
        image = picture if isinstance(picture, EncodedImage) else encoded_image(picture)
        document = self._document
        if not document.samplers:
            document.samplers = [
                gltf.Sampler(
                    magFilter=gltf.LINEAR, minFilter=gltf.LINEAR_MIPMAP_LINEAR, wrapS=gltf.REPEAT, wrapT=gltf.REPEAT
                )
            ]
        view = self._buffer.add_bytes(image.data)
        document.images.append(gltf.Image(name=name, mimeType=image.media_type, bufferView=view))
        document.textures.append(gltf.Texture(name=name, source=len(document.images) - 1, sampler=0))
        self._known[id(picture)] = len(document.textures) - 1
        return self._known[id(picture)]


def _material(material: Material, skin: EncodedImage | None, pictures: _Pictures) -> gltf.Material:
    picture = skin if skin is not None else material.albedo
    transparent = material.color[3] < 1
    surface = gltf.PbrMetallicRoughness(
        baseColorFactor=[1.0, 1.0, 1.0, material.color[3]] if picture is not None else list(material.color),
        metallicFactor=0.0,
        roughnessFactor=1.0 if material.gloss is not None else material.roughness,
    )
    result = gltf.Material(
        name=material.name,
        pbrMetallicRoughness=surface,
        alphaMode=gltf.BLEND if transparent else gltf.OPAQUE,
        alphaCutoff=None,
        # The mesh is open at the neck and lashes are sheets; only see-through surfaces must not be drawn twice.
        doubleSided=not transparent,
    )
    if picture is not None:
        surface.baseColorTexture = gltf.TextureInfo(index=pictures.add(material.name, picture))
    if material.gloss is not None:
        rough = np.zeros((*material.gloss.shape, 3), np.uint8)
        rough[..., 1] = material.gloss
        surface.metallicRoughnessTexture = gltf.TextureInfo(index=pictures.add(f"{material.name} roughness", rough))
    if material.normal is not None:
        index = pictures.add(f"{material.name} normal", material.normal)
        result.normalTexture = gltf.NormalMaterialTexture(index=index)
    return result
