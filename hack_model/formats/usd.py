"""Universal Scene Description (.usda, .usdc, .usdz): a rigged head for Houdini, Maya, Unreal, Omniverse, Blender.

Schemas: https://openusd.org/release/api/usd_skel_page_front.html and UsdPreviewSurface. Metres, Y up.

What the file carries: the identity; a skeleton with the base, the eight cervical joints and the eyes; the quads with
normals and texture coordinates, one subset of faces per material; the expressions as blend shapes under ARKit's names,
and everything else :mod:`hack_model.formats.morphs` makes of the model; the clip's motion, exact in every frame, time
code 0 being the first. Its rotation and translation are on the base joint, the scale on the root.

Names that a prim cannot have are spelled otherwise, numbered where two would be one; its display name is the model's.

What it cannot say is what glTF cannot: see :mod:`hack_model.formats.glb`.
"""

from __future__ import annotations

import importlib.metadata
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.appearance.materials import plain_materials
from hack_model.arrayfile import atomic_file
from hack_model.clip import Clip
from hack_model.errors import FormatError, MissingDependencyError
from hack_model.formats.morphs import MorphTarget, morph_targets
from hack_model.formats.skin import INFLUENCES, rest_transforms, skeleton_motion, skin_influences
from hack_model.formats.surface import turned_normals, vertex_normals, without_noise
from hack_model.formats.texture import encoded_image
from hack_model.formats.usd_materials import add_material, material_pictures
from hack_model.names import SKELETON, SKELETON_PARENTS, unique_names

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from hack_model.appearance.materials import Material
    from hack_model.asset import ModelAsset
    from hack_model.formats.usd_materials import Names
    from hack_model.rig import Rig

    Array = np.ndarray

SUFFIXES = (".usda", ".usdc", ".usdz")
_SMALLEST_OFFSET = 1e-7
_SMALLEST_NORMAL = 2e-3
"""As in GLB: offsets and changes of normals that are not stored."""
_FRAMES_AT_ONCE = 16


def write_usd(
    path: str | Path,
    rig: Rig,
    clip: Clip | None = None,
    *,
    texture: str | Path | UInt8[Array, "H W 3"] | None = None,
    materials: Sequence[Material] | None = None,
    morph_normals: bool = True,
    placement: bool = True,
) -> list[Path]:
    """Writes a rig, and a clip's motion where one is given; returns the files written.

    Identity and scale are the rig's, whatever the clip's. ``materials`` are the asset's own by default;
    :func:`hack_model.appearance.materials.head_materials` gives them maps of colour, relief and roughness. ``texture``:
    PNG or JPEG file or sRGB pixels for the skin's colour instead of the material's. Pictures go into a ``.usdz``, and
    beside the others as ``NAME_skin.png`` (or .jpg), ``NAME_skin_normal.png`` and so on.
    ``morph_normals`` adds the blend shapes' normals. ``placement`` False leaves out the clip's rotation and translation
    and the rig's scale. Raises :class:`MissingDependencyError` without usd-core, :class:`FormatError` for another
    suffix or a texture that cannot be used and :class:`ParameterError` for a clip with an expression the model lacks.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise FormatError(f"{path}: cannot write {path.suffix or 'a file without suffix'}; use {', '.join(SUFFIXES)}")
    try:
        from pxr import Usd, UsdUtils
    except ImportError as fault:
        raise MissingDependencyError(
            f"USD needs usd-core ({fault}); install it with: pip install 'hack-model[usd]'"
        ) from fault
    asset = rig.model.asset
    clip = Clip.neutral(asset) if clip is None else clip.for_model(asset, identity=False)
    materials = materials or plain_materials(asset)
    own = encoded_image(texture) if texture is not None else None
    pictures, names = material_pictures(materials, own, path.stem)
    packed = path.suffix.lower() == ".usdz"
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder) / (path.stem + (".usdc" if packed else path.suffix.lower()))
        for name, image in pictures.items():
            (Path(folder) / name).write_bytes(image.data)
        stage = Usd.Stage.CreateNew(str(scene))
        _Writer(stage, rig, clip, placement, materials, names).write(morph_normals)
        stage.GetRootLayer().Save()
        del stage
        files = {path: scene, **{path.with_name(name): Path(folder) / name for name in pictures}}
        if packed:
            package = Path(folder) / "package.usdz"
            if not UsdUtils.CreateNewUsdzPackage(str(scene), str(package)):
                raise FormatError(f"{path}: USD could not pack the file")
            files = {path: package}
        for target, source in files.items():
            with atomic_file(target) as stream:
                stream.write(source.read_bytes())
    return list(files)


class _Writer:
    """Fills a stage: /head is the root, below it skeleton, animation, mesh with its blend shapes, and materials."""

    def __init__(
        self,
        stage: Any,
        rig: Rig,
        clip: Clip,
        placement: bool,
        materials: Sequence[Material],
        pictures: Names,
    ) -> None:
        self.stage, self.rig, self.clip, self.materials, self.pictures = stage, rig, clip, materials, pictures
        self.asset: ModelAsset = rig.model.asset
        self.placement = placement
        self.targets = morph_targets(rig, clip)
        self.names = unique_names(_identifier(target.name) for target in self.targets)

    def write(self, morph_normals: bool) -> None:
        from pxr import Kind, Sdf, Usd, UsdGeom, UsdSkel

        stage, clip = self.stage, self.clip
        UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
        stage.SetTimeCodesPerSecond(clip.fps)
        stage.SetFramesPerSecond(clip.fps)
        stage.SetStartTimeCode(0)
        stage.SetEndTimeCode(len(clip) - 1)
        stage.GetRootLayer().documentation = f"Model {self.asset.name} {self.asset.version}: {self.asset.licence}"
        stage.GetRootLayer().customLayerData = {"creator": f"hack-model {importlib.metadata.version('hack-model')}"}
        root = UsdSkel.Root.Define(stage, "/head")
        stage.SetDefaultPrim(root.GetPrim())
        Usd.ModelAPI(root.GetPrim()).SetKind(Kind.Tokens.component)
        if self.placement and self.rig.scale is not None:
            scale = float(np.asarray(self.rig.scale))
            root.AddScaleOp(UsdGeom.XformOp.PrecisionDouble).Set((scale, scale, scale))
        self._skeleton()
        mesh = self._mesh(morph_normals)
        self._materials(mesh)
        low, high = self._extent()
        UsdGeom.Boundable(root).CreateExtentAttr(_vectors(np.stack([low, high])))
        binding = UsdSkel.BindingAPI.Apply(root.GetPrim())
        binding.CreateSkeletonRel().SetTargets([Sdf.Path("/head/skeleton")])

    def _skeleton(self) -> None:
        from pxr import Gf, Sdf, UsdSkel, Vt

        rest = rest_transforms(self.rig)
        motion = skeleton_motion(self.rig, self.clip, rest, self.placement)
        paths: list[str] = []
        for name, parent in zip(SKELETON, SKELETON_PARENTS, strict=True):
            paths.append(name if parent < 0 else f"{paths[parent]}/{name}")
        local = [
            matrix if parent < 0 else np.linalg.solve(rest[parent], matrix)
            for matrix, parent in zip(rest, SKELETON_PARENTS, strict=True)
        ]
        skeleton = UsdSkel.Skeleton.Define(self.stage, "/head/skeleton")
        skeleton.CreateJointsAttr(paths)
        skeleton.CreateJointNamesAttr(list(SKELETON))
        skeleton.CreateBindTransformsAttr(Vt.Matrix4dArray([Gf.Matrix4d(matrix.T.tolist()) for matrix in rest]))
        skeleton.CreateRestTransformsAttr(Vt.Matrix4dArray([Gf.Matrix4d(matrix.T.tolist()) for matrix in local]))
        animation = UsdSkel.Animation.Define(self.stage, "/head/skeleton/clip")
        animation.CreateJointsAttr(paths)
        animation.CreateBlendShapesAttr(self.names)
        translations, rotations = animation.CreateTranslationsAttr(), animation.CreateRotationsAttr()
        animation.CreateScalesAttr(Vt.Vec3hArray.FromNumpy(np.ones((len(SKELETON), 3), np.float16)))
        weights = animation.CreateBlendShapeWeightsAttr()
        size = 1.0 if not self.placement or self.rig.scale is None else float(np.asarray(self.rig.scale))
        # The root scales what the base joint moves, so that joint's own translation is in the model's unscaled size.
        moved = motion.translation.copy()
        moved[:, 0] /= size
        values = np.stack([target.weights for target in self.targets], axis=1).astype(np.float32)
        for frame in range(len(self.clip)):
            turns = [Gf.Quatf(w, x, y, z) for x, y, z, w in motion.rotation[frame].tolist()]
            translations.Set(_vectors(moved[frame]), frame)
            rotations.Set(Vt.QuatfArray(turns), frame)
            weights.Set(Vt.FloatArray.FromNumpy(np.ascontiguousarray(values[frame])), frame)
        binding = UsdSkel.BindingAPI.Apply(skeleton.GetPrim())
        binding.CreateAnimationSourceRel().SetTargets([Sdf.Path("/head/skeleton/clip")])

    def _mesh(self, morph_normals: bool) -> Any:
        from pxr import Gf, Sdf, UsdGeom, UsdSkel, Vt

        asset = self.asset
        rest = np.asarray(self.rig().rest, np.float32)
        normals = vertex_normals(rest, asset.triangles)
        mesh = UsdGeom.Mesh.Define(self.stage, "/head/mesh")
        corners = asset.faces >= 0
        mesh.CreateFaceVertexCountsAttr(_integers(corners.sum(axis=1)))
        mesh.CreateFaceVertexIndicesAttr(_integers(asset.faces[corners]))
        mesh.CreatePointsAttr(_vectors(rest))
        mesh.CreateNormalsAttr(_vectors(normals))
        mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
        mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
        mesh.CreateExtentAttr(_vectors(np.stack([rest.min(axis=0), rest.max(axis=0)])))
        # The mesh is open at the neck, and lashes are sheets.
        mesh.CreateDoubleSidedAttr(True)
        primvars = UsdGeom.PrimvarsAPI(mesh)
        st = primvars.CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.faceVarying)
        st.Set(Vt.Vec2fArray.FromNumpy(np.ascontiguousarray(asset.uv, np.float32)))
        st.SetIndices(_integers(asset.face_uv[corners]))
        binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
        joints, weights = skin_influences(asset.weights)
        binding.CreateJointIndicesPrimvar(False, INFLUENCES).Set(_integers(joints.ravel()))
        binding.CreateJointWeightsPrimvar(False, INFLUENCES).Set(Vt.FloatArray.FromNumpy(weights.ravel()))
        binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1))
        binding.CreateSkeletonRel().SetTargets([Sdf.Path("/head/skeleton")])
        paths = [
            self._blend_shape(name, target, rest, normals if morph_normals else None)
            for name, target in zip(self.names, self.targets, strict=True)
        ]
        binding.CreateBlendShapesAttr(self.names)
        binding.CreateBlendShapeTargetsRel().SetTargets(paths)
        return mesh

    def _blend_shape(
        self, name: str, target: MorphTarget, rest: Float[Array, "V 3"], normals: Float[Array, "V 3"] | None
    ) -> Any:
        """Defines one blend shape with only the vertices it moves or turns; returns its path."""
        from pxr import UsdSkel

        offsets = without_noise(target.offsets, _SMALLEST_OFFSET)
        turned = np.zeros_like(offsets)
        if normals is not None:
            turned = without_noise(turned_normals(rest, normals, offsets, self.asset.triangles), _SMALLEST_NORMAL)
        moved = np.flatnonzero(offsets.any(axis=1) | turned.any(axis=1))
        shape = UsdSkel.BlendShape.Define(self.stage, f"/head/mesh/{name}")
        shape.CreateOffsetsAttr(_vectors(offsets[moved]))
        shape.CreateNormalOffsetsAttr(_vectors(turned[moved]))
        shape.CreatePointIndicesAttr(_integers(moved))
        _show_name(shape.GetPrim(), target.name)
        return shape.GetPath()

    def _materials(self, mesh: Any) -> None:
        """One material and one subset of the faces for each of the asset's materials that has faces."""
        from pxr import UsdGeom, UsdShade

        UsdGeom.Scope.Define(self.stage, "/head/materials")
        # The subsets of the faces lie beside the blend shapes.
        names = unique_names(map(_identifier, self.asset.material_names), taken=self.names)
        for index in np.unique(self.asset.face_material).tolist():
            name, own = names[index], self.asset.material_names[index]
            material = add_material(self.stage, f"/head/materials/{name}", self.materials[index], self.pictures)
            faces = _integers(np.flatnonzero(self.asset.face_material == index))
            subset = UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).CreateMaterialBindSubset(name, faces)
            UsdShade.MaterialBindingAPI.Apply(subset.GetPrim()).Bind(material)
            for prim in (material.GetPrim(), subset.GetPrim()):
                _show_name(prim, own)

    def _extent(self) -> tuple[Float[Array, "3"], Float[Array, "3"]]:
        """The box, before the root's scale, that holds the head in every frame."""
        low, high = np.full(3, np.inf), np.full(3, -np.inf)
        left_out = () if self.placement else ("global_rotation", "translation")
        size = 1.0 if self.rig.scale is None else np.asarray(self.rig.scale)
        for start in range(0, len(self.clip), _FRAMES_AT_ONCE):
            motion = self.clip.motion(slice(start, start + _FRAMES_AT_ONCE))
            vertices = np.asarray(self.rig(**{n: v for n, v in motion.items() if n not in left_out}).vertices) / size
            low, high = np.minimum(low, vertices.min(axis=(0, 1))), np.maximum(high, vertices.max(axis=(0, 1)))
        return low, high


def _identifier(name: str) -> str:
    """A name as a prim may have it; the signs of correctives in words."""
    from pxr import Tf

    return Tf.MakeValidIdentifier(name.replace("+", "Plus").replace("-", "Minus"))


def _show_name(prim: Any, name: str) -> None:
    """Keeps the model's own name of a prim where it could not have it."""
    if prim.GetName() != name:
        prim.SetDisplayName(name)


def _vectors(values: Float[Array, "n 3"]) -> Any:
    from pxr import Vt

    return Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(values, np.float32))


def _integers(values: Array) -> Any:
    from pxr import Vt

    return Vt.IntArray.FromNumpy(np.ascontiguousarray(values, np.int32))
