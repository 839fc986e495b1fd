"""glTF 2.0 binary (.glb): a rigged head that any viewer, engine or animation program opens.

Specification: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html. Metres and Y up are glTF's own.

What the file carries: the identity; a skin with the base, the eight cervical joints and the eyes; the expressions as
morph targets under ARKit's names; the larynx as targets that its slide blends between; materials with maps of colour,
relief and roughness, wrinkled as in the clip's first frame, since pictures cannot be animated; and the clip's motion,
exact in every frame. The base joint carries the placement: rotation, translation and scale.

What glTF cannot say: that correctives follow the joints (a viewer that poses the neck by itself must drive the
``poseCorrective`` targets: the number is the feature's, of the 72 entries of R(pose) - I, the sign says which half of
its range; a clip's frames carry their weights), that the larynx' slide is one value, joint limits, and quads.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pygltflib as gltf

from hack_model.appearance.materials import plain_materials
from hack_model.appearance.texels import Chart
from hack_model.arrayfile import atomic_file
from hack_model.clip import Clip
from hack_model.formats.gltf_buffer import GltfBuffer
from hack_model.formats.gltf_materials import add_materials
from hack_model.formats.morphs import morph_targets
from hack_model.formats.skin import rest_transforms, skeleton_motion, skin_influences
from hack_model.formats.surface import MaterialMesh, material_meshes, turned_normals, vertex_normals, without_noise
from hack_model.formats.texture import encoded_image
from hack_model.names import SKELETON, SKELETON_PARENTS

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8

    from hack_model.appearance.materials import Material
    from hack_model.rig import Rig

    Array = np.ndarray

_SMALLEST_OFFSET = 1e-7
"""Metres below which a target does not move a vertex: sixty such targets together stay below a hundredth of 1 mm."""
_SMALLEST_NORMAL = 2e-3
"""Change of a normal that is not stored; it turns the surface by an eighth of a degree."""


def write_glb(
    path: str | Path,
    rig: Rig,
    clip: Clip | None = None,
    *,
    texture: str | Path | UInt8[Array, "H W 3"] | None = None,
    materials: Sequence[Material] | None = None,
    morph_normals: bool = True,
    placement: bool = True,
    idle_correctives: bool = True,
) -> Path:
    """Writes a rig, and a clip's motion where one is given; identity and scale are the rig's, whatever the clip's.

    A clip of one frame becomes the pose the file opens in, a longer one an animation at the clip's frame rate.
    ``materials`` are the asset's own by default; :func:`hack_model.appearance.materials.head_materials` gives them maps
    of colour, relief and roughness. ``texture``: PNG or JPEG file or sRGB pixels for the skin's colour instead of the
    material's. ``morph_normals`` adds the targets' normals (about twice the size, right shading of expressions in
    viewers). ``placement`` False leaves out the clip's rotation and translation and the rig's scale;
    ``idle_correctives`` False the pose correctives that the clip does not use, for a smaller file that nobody poses
    anew. Raises :class:`FormatError` for a texture that cannot be used and :class:`ParameterError` for a clip that uses
    an expression the model lacks.
    """
    path = Path(path)
    asset = rig.model.asset
    clip = Clip.neutral(asset) if clip is None else clip.for_model(asset, identity=False)
    writer = _Writer(rig, clip, placement, idle_correctives)
    document = writer.document(materials or plain_materials(asset), texture, morph_normals)
    with atomic_file(path) as stream:
        stream.write(b"".join(document.save_to_bytes()))
    return path


class _Writer:
    def __init__(self, rig: Rig, clip: Clip, placement: bool, idle_correctives: bool) -> None:
        self.rig, self.clip, self.asset = rig, clip, rig.model.asset
        self.buffer = GltfBuffer()
        self.rest = rest_transforms(rig)
        self.motion = skeleton_motion(rig, clip, self.rest, placement)
        self.targets = morph_targets(rig, clip, idle_correctives=idle_correctives)

    def document(
        self,
        materials: Sequence[Material],
        texture: str | Path | UInt8[Array, "H W 3"] | None,
        morph_normals: bool,
    ) -> gltf.GLTF2:
        document = gltf.GLTF2(
            asset=gltf.Asset(
                generator=f"hack-model {importlib.metadata.version('hack-model')}",
                copyright=f"Model {self.asset.name} {self.asset.version}: {self.asset.licence}",
            ),
            scene=0,
            scenes=[gltf.Scene(name="Scene", nodes=[0, 1])],
        )
        add_materials(document, self.buffer, materials, encoded_image(texture) if texture is not None else None)
        document.meshes = [self._mesh(materials, morph_normals)]
        document.nodes = [gltf.Node(name="head", mesh=0, skin=0), *self._joints()]
        document.skins = [self._skin()]
        if len(self.clip) > 1:
            document.animations = [self._animation()]
        self.buffer.finish(document)
        return document

    def _mesh(self, materials: Sequence[Material], morph_normals: bool) -> gltf.Mesh:
        triangles = self.asset.triangles
        rest = np.asarray(self.rig().rest, np.float32)
        normals = vertex_normals(rest, triangles)
        joints, weights = skin_influences(self.asset.weights)
        moved = [without_noise(target.offsets, _SMALLEST_OFFSET) for target in self.targets]
        turned = (
            [without_noise(turned_normals(rest, normals, each, triangles), _SMALLEST_NORMAL) for each in moved]
            if morph_normals
            else []
        )
        tangents = Chart.of(self.asset, rest).tangents if any(each.normal is not None for each in materials) else None
        primitives: list[gltf.Primitive] = []
        for mesh in material_meshes(self.asset):
            chosen = mesh.vertices
            material = materials[mesh.material]
            vertex_data = {"POSITION": rest[chosen], "NORMAL": normals[chosen]}
            if tangents is not None and material.normal is not None:
                vertex_data["TANGENT"] = tangents[mesh.coordinates]
            uv = mesh.uv * material.uv_scale + material.uv_offset
            vertex_data["TEXCOORD_0"] = (uv * [1, -1] + [0, 1]).astype(np.float32)
            primitive = self._primitive(mesh, vertex_data, joints[chosen], weights[chosen])
            primitive.targets = [gltf.Attributes(POSITION=self.buffer.add_offsets(each[chosen])) for each in moved]
            for target, each in zip(primitive.targets, turned, strict=False):
                target.NORMAL = self.buffer.add_offsets(each[chosen])
            primitives.append(primitive)
        names = [target.name for target in self.targets]
        weights0 = [float(target.weights[0]) for target in self.targets]
        return gltf.Mesh(name="head", primitives=primitives, weights=weights0, extras={"targetNames": names})

    def _primitive(
        self,
        mesh: MaterialMesh,
        vertex_data: dict[str, np.ndarray],
        joints: Int[Array, "n 4"],
        weights: Float[Array, "n 4"],
    ) -> gltf.Primitive:
        vertex_data |= {
            "JOINTS_0": joints.astype(np.uint8),
            "WEIGHTS_0": weights,
            # The model's own number of each vertex; glTF allows no 32-bit integers here, floats hold them exactly.
            "_HACK_VERTEX": mesh.vertices.astype(np.float32),
        }
        attributes = {
            name: self.buffer.add(data, target=gltf.ARRAY_BUFFER, bounds=name == "POSITION")
            for name, data in vertex_data.items()
        }
        index_type = np.uint16 if len(mesh.vertices) < 0xFFFF else np.uint32
        indices = self.buffer.add(mesh.triangles.ravel().astype(index_type), target=gltf.ELEMENT_ARRAY_BUFFER)
        return gltf.Primitive(attributes=gltf.Attributes(**attributes), indices=indices, material=mesh.material)

    def _joints(self) -> list[gltf.Node]:
        nodes: list[gltf.Node] = []
        for joint, name in enumerate(SKELETON):
            children = [1 + child for child, parent in enumerate(SKELETON_PARENTS) if parent == joint]
            node = gltf.Node(name=name, children=children, rotation=self.motion.rotation[0, joint].tolist())
            node.translation = self.motion.translation[0, joint].tolist()
            if joint == 0:
                node.scale = self.motion.scale[0, joint].tolist()
            nodes.append(node)
        return nodes

    def _skin(self) -> gltf.Skin:
        inverse = np.linalg.inv(self.rest)
        inverse[:, 3] = (0, 0, 0, 1)
        matrices = self.buffer.add(np.ascontiguousarray(inverse.swapaxes(1, 2), np.float32))
        joints = list(range(1, 1 + len(SKELETON)))
        return gltf.Skin(name="skeleton", joints=joints, skeleton=1, inverseBindMatrices=matrices)

    def _animation(self) -> gltf.Animation:
        """Channels for what moves: the nodes already stand as in the first frame."""
        animation = gltf.Animation(name="clip")
        times = self.buffer.add((np.arange(len(self.clip)) / self.clip.fps).astype(np.float32), bounds=True)

        def channel(node: int, path: str, values: np.ndarray) -> None:
            animation.samplers.append(gltf.AnimationSampler(input=times, output=self.buffer.add(values)))
            target = gltf.AnimationChannelTarget(node=node, path=path)
            animation.channels.append(gltf.AnimationChannel(sampler=len(animation.samplers) - 1, target=target))

        for joint in range(len(SKELETON)):
            for path in (gltf.TRANSLATION, gltf.ROTATION, gltf.SCALE):
                values = np.ascontiguousarray(getattr(self.motion, path)[:, joint], np.float32)
                if joint == 0 or path == gltf.ROTATION:
                    channel(1 + joint, path, values)
        weights = np.stack([target.weights for target in self.targets], axis=1)
        channel(0, gltf.WEIGHTS, np.ascontiguousarray(weights.ravel(), np.float32))
        return animation
