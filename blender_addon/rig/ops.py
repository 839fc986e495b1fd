"""Operators that add and remove heads, and put clips on them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import bpy
from bpy_extras.io_utils import ImportHelper

from hack_model.appearance.parameters import Appearance
from hack_model.clip import Clip
from hack_model.errors import FormatError, HackError

from ..animation.clip import apply_clip
from ..animation.ops import HeadOperator
from ..common.appearance import MAPS, store, stored
from ..common.blueprint import head_blueprint
from ..common.head import MODEL, expression_names, head_mesh, required_head
from ..common.identity import person
from ..common.looks import head_looks
from ..common.model import load_model
from ..common.naming import shape_key_names
from .build import build_head
from .materials import repaint

if TYPE_CHECKING:
    import numpy as np

    from hack_model.asset import ModelAsset


_TRAITS = ("sex", "age", "weight", "muscle")
"""Directions of the default model that "Add HACK head" offers."""


def _trait(name: str, description: str, low: float, high: float) -> Any:
    """A slider in steps of the model's direction; see ``hack-model info`` for what each model has."""
    return bpy.props.FloatProperty(
        name=name, description=description, soft_min=low, soft_max=high, min=-3, max=3, step=10
    )


class AddHead(bpy.types.Operator):
    """Add a rigged head and neck, at the 3D cursor."""

    bl_idname = "hack.add_head"
    bl_label = "HACK Head"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    filepath: bpy.props.StringProperty(  # pyright: ignore
        name="Clip",
        description="A clip whose person and motion the head gets; empty for the average head",
        subtype="FILE_PATH",
    )
    texture: bpy.props.StringProperty(  # pyright: ignore
        name="Texture",
        description="Colour image of the skin; empty for texture.png beside the clip, or the model's own",
        subtype="FILE_PATH",
    )
    model: bpy.props.StringProperty(  # pyright: ignore
        name="Model", description="A model asset; empty for the one that comes with the add-on", subtype="FILE_PATH"
    )
    seed: bpy.props.IntProperty(  # pyright: ignore
        name="Random Person",
        description="Another number, another person; 0 is the average of all",
        min=0,
        soft_max=1000,
    )
    variation: bpy.props.FloatProperty(  # pyright: ignore
        name="Variation",
        description="How far a random person is from the average",
        default=0.7,
        min=0,
        max=2,
        soft_max=1,
    )
    sex: _trait("Sex", "-1 a woman, 1 a man", -1, 1)  # pyright: ignore
    age: _trait("Age", "-1 is 20 years old, 0 is 40, 2 is 80", -1, 2)  # pyright: ignore
    weight: _trait("Weight", "-1 thin, 1 heavy", -1, 1)  # pyright: ignore
    muscle: _trait("Muscle", "-1 slight, 1 strong", -1, 1)  # pyright: ignore
    appearance: bpy.props.StringProperty(  # pyright: ignore
        name="Appearance",
        description="Names and values, for instance melanin=0.3,iris=0.1, or random:7; empty for the default",
    )
    maps: bpy.props.IntProperty(  # pyright: ignore
        name="Maps",
        description="Pixels a side of the skin's maps; 0 for plain colours",
        default=1024,
        min=0,
        max=4096,
    )
    placement: bpy.props.BoolProperty(  # pyright: ignore
        name="Clip's Placement",
        description="Also move, turn and size the whole head as in the clip, where the camera was at the origin",
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Builds the head. Reports what is wrong with a file that cannot be used."""
        try:
            rig = self._add(context)
        except HackError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"Added {rig.name}: its sliders are in the sidebar (N), tab HACK")
        return {"FINISHED"}

    def draw(self, context: bpy.types.Context) -> None:
        """The options that make sense for the head at hand."""
        layout = self.layout
        layout.use_property_split = True
        if self.filepath:
            layout.prop(self, "placement")
            layout.prop(self, "texture")
        else:
            for name in _TRAITS:
                layout.prop(self, name, slider=True)
            layout.prop(self, "seed")
            layout.prop(self, "variation")
        layout.prop(self, "appearance")
        layout.prop(self, "maps")

    def _add(self, context: bpy.types.Context) -> bpy.types.Object:
        if context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        model = load_model(_path(self.model))
        clip = Clip.load(_path(self.filepath)).for_model(model) if self.filepath else None
        shape = clip.shape if clip is not None else self._person(model.asset)
        name = Path(self.filepath).parent.name or "Head" if clip is not None else "Head"
        appearance = Appearance.parse(self.appearance)
        blueprint = head_blueprint(model, shape, head_looks(model.asset, appearance, self.maps))
        rig = build_head(blueprint, model.asset, shape, name, context, self._texture())
        if blueprint.looks.wrinkles:
            store(rig, appearance, self.maps)
        rig.location = context.scene.cursor.location
        if clip is not None:
            _apply(rig, clip, _path(self.filepath), context, placement=self.placement)
        return rig

    def _person(self, asset: ModelAsset) -> np.ndarray:
        traits = {name: getattr(self, name) for name in _TRAITS}
        return person(asset, traits, self.seed, self.variation)

    def _texture(self) -> Path | None:
        if self.texture:
            path = Path(_path(self.texture))
            if not path.is_file():
                raise FormatError(f"{path}: no such texture")
            return path
        beside = Path(_path(self.filepath)).parent / "texture.png"
        return beside if self.filepath and beside.is_file() else None


class ImportClip(bpy.types.Operator, ImportHelper):
    """Add the head of a clip that `hack-model fit` or `track` wrote: the person, the texture and the motion."""

    bl_idname = "hack.import_clip"
    bl_label = "Head from Clip"
    bl_options: ClassVar = {"REGISTER", "UNDO"}
    filename_ext = ".npz"
    filter_glob: bpy.props.StringProperty(default="*.npz", options={"HIDDEN"})  # pyright: ignore
    placement: bpy.props.BoolProperty(  # pyright: ignore
        name="Clip's Placement",
        description="Also place the whole head as in the clip, where the camera was at the origin",
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Adds a head for the chosen file."""
        return bpy.ops.hack.add_head(filepath=self.filepath, placement=self.placement)


class ApplyClip(HeadOperator, ImportHelper):
    """Put the motion of a clip on the active head from the current frame; the person stays who they are."""

    bl_idname = "hack.apply_clip"
    bl_label = "Motion from Clip"
    filename_ext = ".npz"
    filter_glob: bpy.props.StringProperty(default="*.npz", options={"HIDDEN"})  # pyright: ignore
    model: bpy.props.StringProperty(name="Model", subtype="FILE_PATH", options={"HIDDEN"})  # pyright: ignore
    placement: bpy.props.BoolProperty(name="Clip's Placement")  # pyright: ignore

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Sets a pose or makes an action."""
        rig = required_head(context)
        try:
            model = load_model(_path(self.model))
            title = f"{model.asset.name} {model.asset.version}"
            if rig[MODEL] != title:
                raise FormatError(f"{rig.name} was made with the model {rig[MODEL]}, this is {title}; add a new head")
            clip = Clip.load(_path(self.filepath)).for_model(model, identity=False)
            _apply(rig, clip, _path(self.filepath), context, placement=self.placement)
        except HackError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class PaintSkin(HeadOperator):
    """Paint skin and eyes again from the sliders of the panel's Appearance; a photo's colours go."""

    bl_idname = "hack.paint"
    bl_label = "Paint"

    random: bpy.props.BoolProperty(name="Random", description="Another person's appearance first")  # pyright: ignore
    seed: bpy.props.IntProperty(  # pyright: ignore
        name="Number", description="Number of the random appearance; 0 draws one", min=0
    )
    model: bpy.props.StringProperty(name="Model", subtype="FILE_PATH", options={"HIDDEN"})  # pyright: ignore

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Fills the pictures of the head's materials in place."""
        rig = required_head(context)
        mesh = head_mesh(rig)
        appearance = stored(rig)
        if mesh is None or appearance is None:
            self.report({"ERROR"}, f"{rig.name} has no skin to paint; add the head again")
            return {"CANCELLED"}
        try:
            asset = load_model(_path(self.model)).asset
            if rig[MODEL] != f"{asset.name} {asset.version}":
                raise FormatError(f"{rig.name} was made with the model {rig[MODEL]}; add the head again")
            if self.random:
                appearance = Appearance.random(self.seed or int(time.time() * 1000) % 100000)
            size = int(rig[MAPS])
            repaint(list(mesh.data.materials), head_looks(asset, appearance, size))
        except HackError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        store(rig, appearance, size)
        return {"FINISHED"}


class RemoveHead(HeadOperator):
    """Remove the active head with its mesh, armature, materials and actions that nothing else uses."""

    bl_idname = "hack.remove_head"
    bl_label = "Remove Head"

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Leaves nothing of the head in the file that only it used."""
        rig = required_head(context)
        mesh = head_mesh(rig)
        owners = [item for item in (mesh, rig) if item is not None]
        orphans: list[bpy.types.ID | None] = [owner.data for owner in owners]
        orphans += [owner.animation_data.action for owner in owners if owner.animation_data]
        orphans += [bone.custom_shape for bone in rig.pose.bones]
        orphans += list(mesh.data.materials) if mesh is not None else []
        for owner in owners:
            bpy.data.objects.remove(owner)
        _remove_unused(orphans)
        return {"FINISHED"}


class NameShapeKeys(HeadOperator):
    """Name the expression shape keys as the model does (eyeBlink_L) or as ARKit does (eyeBlinkLeft)."""

    bl_idname = "hack.name_shape_keys"
    bl_label = "Name Shape Keys"

    naming: bpy.props.EnumProperty(  # pyright: ignore
        name="Names",
        items=[
            ("HACK", "Model", "eyeBlink_L, as in HACK and ICT-FaceKit"),
            ("ARKIT", "ARKit", "eyeBlinkLeft, which face capture add-ons look for"),
        ],
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Renames in place; drivers follow."""
        rig = required_head(context)
        mesh = head_mesh(rig)
        if mesh is None:
            self.report({"ERROR"}, f"The mesh of {rig.name} was deleted; add the head again")
            return {"CANCELLED"}
        names = shape_key_names(expression_names(rig))
        for hack, arkit in names.items():
            old, new = (hack, arkit) if self.naming == "ARKIT" else (arkit, hack)
            block = mesh.data.shape_keys.key_blocks.get(old)
            if block is not None:
                block.name = new
        return {"FINISHED"}


def _apply(rig: bpy.types.Object, clip: Clip, path: str, context: bpy.types.Context, *, placement: bool) -> None:
    render = context.scene.render
    apply_clip(
        rig,
        clip,
        Path(path).stem,
        start=context.scene.frame_current,
        frame_rate=render.fps / render.fps_base,
        placement=placement,
    )
    rig.update_tag()


def _path(path: str) -> str:
    """Blender's paths may be relative to the file (//)."""
    return bpy.path.abspath(path) if path else ""


def _remove_unused(items: list[bpy.types.ID | None]) -> None:
    """Removes data nothing refers to any more, and the images and meshes only it referred to."""
    for item in dict.fromkeys(item for item in items if item is not None):
        if item.users > 0:
            continue
        inner: list[bpy.types.ID | None] = []
        if isinstance(item, bpy.types.Material) and item.node_tree:
            inner = [node.image for node in item.node_tree.nodes if node.type == "TEX_IMAGE"]
        elif isinstance(item, bpy.types.Object):
            inner = [item.data]
        bpy.data.batch_remove([item])
        _remove_unused(inner)


CLASSES = (
    AddHead,
    ImportClip,
    ApplyClip,
    PaintSkin,
    RemoveHead,
    NameShapeKeys,
)
