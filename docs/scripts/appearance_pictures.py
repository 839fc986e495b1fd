"""Renders the pictures of docs/appearance.md with the Blender add-on's own materials, in Cycles.

    python docs/scripts/appearance_pictures.py --only skins,wrinkles,maps

skins: six people from light to dark under three lights. wrinkles: faces at rest and folded. maps: what is painted.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from contact_sheet import compose, quiet
from PIL import Image

from hack_model import ModelAsset
from hack_model.appearance import wrinkles
from hack_model.appearance.eyes import EyeLayout, eye_image
from hack_model.appearance.parameters import Appearance
from hack_model.appearance.skin import Skin
from hack_model.resources import default_model_path

PEOPLE = (
    ("melanin=0.03,freckles=0.75,hair=0.45,hair_red=0.9,iris=0.2,age=0.2,seed=4", {"sex": -0.8, "age": -0.8}),
    ("melanin=0.16,hair=0.55,iris=0.05,age=0.35,beard=0.45,seed=2", {"sex": 0.9}),
    ("melanin=0.33,hair=0.95,iris=0.8,age=0.25,seed=3", {"sex": -0.7, "asian": 1.0}),
    ("melanin=0.52,hair=0.9,iris=0.7,age=0.75,grey=0.5,moles=0.5,seed=5", {"sex": 0.6, "age": 1.2}),
    ("melanin=0.74,hair=1,iris=0.8,age=0.25,seed=6", {"sex": -0.8, "african": 0.8}),
    ("melanin=0.95,hair=1,iris=0.95,age=0.4,beard=0.4,sebum=0.55,seed=7", {"sex": 0.8, "african": 1.0}),
)
"""An appearance and steps along the model's directions."""
LIGHTS = ("soft daylight", "hard side key", "warm indoor")
FACES: Mapping[str, tuple[str, dict[str, float]]] = {
    "at rest": ("", {}),
    "AU1+2": ("", {"AU1L": 1, "AU1R": 1, "AU2L": 1, "AU2R": 1}),
    "AU4": ("", {"AU4L": 1, "AU4R": 1}),
    "AU6+12": ("", {"AU6L": 1, "AU6R": 1, "AU12L": 0.8, "AU12R": 0.8}),
    "AU6+12 left": ("", {"AU6L": 1, "AU12L": 0.8}),
    "neck at rest": ("neck", {}),
    "AU20": ("neck", {"AU20L": 1, "AU20R": 1}),
    "AU21": ("neck", {"AU21L": 1, "AU21R": 1}),
    "AU21 left": ("neck", {"AU21L": 1}),
    "nod 35°": ("neck", {"head_nod": math.radians(35)}),
}


class Stage:
    """A Blender scene with one head of the add-on, one light and a camera."""

    def __init__(self, size: int, samples: int) -> None:
        import bpy

        import blender_addon

        self.bpy, self.size, self.samples = bpy, size, samples
        blender_addon.register()
        self.file = Path(tempfile.mkdtemp()) / "picture.png"

    def head(self, look: str, directions: Mapping[str, float], maps: int = 1024) -> Any:
        """A new scene with one head; returns its armature."""
        bpy = self.bpy
        bpy.ops.wm.read_factory_settings(use_empty=True)
        rig = _add_person(bpy, _shape(directions), look, maps)
        scene = bpy.context.scene
        scene.render.engine, scene.cycles.device = "CYCLES", "CPU"
        scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.max_bounces = self.samples, True, 6
        scene.render.resolution_x = scene.render.resolution_y = self.size
        scene.view_settings.view_transform = "Standard"
        return rig

    def light(self, kind: str) -> None:
        """One of :data:`LIGHTS` on the present scene."""
        scene = self.bpy.context.scene
        for lamp in [each for each in scene.objects if each.type == "LIGHT"]:
            self.bpy.data.objects.remove(lamp)
        world = self.bpy.data.worlds.new("world")
        scene.world = world
        if self.bpy.app.version < (5, 0, 0):
            world.use_nodes = True
        sky = world.node_tree.nodes["Background"]
        lamps = {
            "soft daylight": ((0.60, 0.66, 0.75), 0.45, [((0.8, -1.1, 1.2), 26, 0.9, (1.0, 0.97, 0.92)),
                                                         ((-1.2, -0.5, 0.4), 5, 1.0, (0.9, 0.95, 1.0))]),
            "hard side key": ((0.05, 0.052, 0.06), 0.6, [((1.2, -0.65, 0.4), 27, 0.16, (1.0, 0.98, 0.95)),
                                                        ((-0.9, 0.9, 0.6), 7, 0.4, (0.92, 0.96, 1.0))]),
            "warm indoor": ((0.30, 0.18, 0.10), 0.35, [((-0.7, -0.8, 1.0), 18, 0.35, (1.0, 0.70, 0.42)),
                                                       ((1.1, -0.4, 0.1), 4, 0.8, (1.0, 0.78, 0.55))]),
        }  # fmt: skip
        colour, strength, areas = lamps[kind]
        sky.inputs["Color"].default_value = (*colour, 1)
        sky.inputs["Strength"].default_value = strength
        for place, power, width, tint in areas:
            lamp = self.bpy.data.lights.new("lamp", "AREA")
            lamp.energy, lamp.size, lamp.color = power, width, tint
            holder = self.bpy.data.objects.new("lamp", lamp)
            holder.location = place
            holder.rotation_euler = (-holder.location).to_track_quat("-Z", "Y").to_euler()
            scene.collection.objects.link(holder)

    def render(self, frame: str, azimuth: float) -> Image.Image:
        """A picture of the head, the face or the neck from ``azimuth`` degrees."""
        bpy, scene = self.bpy, self.bpy.context.scene
        import mathutils

        targets = {"head": ((0, -0.045, 0.005), 1.2, 0.275), "face": ((0, -0.06, 0.032), 1.0, 0.19),
                   "neck": ((0, -0.04, -0.075), 1.1, 0.2)}  # fmt: skip
        target, distance, extent = targets[frame]
        angle = math.radians(azimuth)
        camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
        camera.location = (
            target[0] + distance * math.sin(angle), target[1] - distance * math.cos(angle), target[2] + 0.03
        )  # fmt: skip
        camera.rotation_euler = (mathutils.Vector(target) - camera.location).to_track_quat("-Z", "Y").to_euler()
        camera.data.sensor_fit, camera.data.sensor_width, camera.data.clip_start = "HORIZONTAL", 36, 0.05
        camera.data.lens = 36 * distance / extent
        scene.collection.objects.link(camera)
        scene.camera = camera
        scene.render.filepath = str(self.file)
        with quiet():
            bpy.ops.render.render(write_still=True)
        bpy.data.objects.remove(camera)
        with Image.open(self.file) as image:
            return image.convert("RGB")


def skins(stage: Stage) -> Image.Image:
    """Each person under each light."""
    rows: dict[str, list[Image.Image]] = {light: [] for light in LIGHTS}
    for look, directions in PEOPLE:
        with quiet():
            stage.head(look, directions)
        for light in LIGHTS:
            stage.light(light)
            rows[light].append(stage.render("head", 22))
    return compose([("", image) for row in rows.values() for image in row], len(PEOPLE))


def folds(stage: Stage) -> Image.Image:
    """Faces and necks at rest and folded."""
    images: list[tuple[str, Image.Image]] = []
    with quiet():
        rig = stage.head("melanin=0.3,age=0.45,hair=0.85,iris=0.6", {"sex": 0.4})
    stage.light("hard side key")
    keys = sorted({key for _, controls in FACES.values() for key in controls})
    for label, (frame, controls) in FACES.items():
        for key in keys:
            rig[key] = float(controls.get(key, 0.0))
        rig.update_tag()
        images.append((label, stage.render(frame or "face", 24 if frame != "neck" else 35)))
    return compose(images, 5)


def maps(asset: ModelAsset) -> Image.Image:
    """Albedo, normal with all wrinkles, roughness and eyes."""
    skin = Skin.paint(asset, Appearance(melanin=0.25, freckles=0.4, age=0.4, beard=0.3), 1024)
    folded = skin.maps({layer.name: 1.0 for layer in wrinkles.layers()})
    rough = folded.roughness[..., None].repeat(3, axis=2)
    pictures = [skin.maps().albedo, folded.normal, rough]
    tiles = [Image.fromarray(picture[60:900, 90:934]).resize((380, 380)) for picture in pictures]
    layout = EyeLayout.of(asset)
    if layout is not None:
        eyes = [eye_image(layout, Appearance(iris=value, seed=n), 512)[140:372, 140:372]
                for n, value in enumerate((0.0, 0.4, 0.65, 1.0))]  # fmt: skip
        column = np.concatenate([np.asarray(Image.fromarray(eye).resize((95, 95))) for eye in eyes])
        tiles.append(Image.fromarray(column))
    labels = ("albedo", "normal, all wrinkles", "roughness", "irises")
    return _row(list(zip(labels, tiles, strict=False)))


def _row(tiles: list[tuple[str, Image.Image]]) -> Image.Image:
    from PIL import ImageDraw

    sheet = Image.new("RGB", (sum(tile.width for _, tile in tiles), 400), "white")
    draw, left = ImageDraw.Draw(sheet), 0
    for label, tile in tiles:
        sheet.paste(tile, (left, 20))
        draw.text((left + 4, 4), label, fill="black")
        left += tile.width
    return sheet


def _shape(directions: Mapping[str, float]) -> np.ndarray:
    asset = ModelAsset.load(default_model_path())
    shape = np.zeros(len(asset.shape_basis), np.float32)
    for name, steps in directions.items():
        shape += steps * asset.directions[asset.direction_names.index(name)]
    return shape


def _add_person(bpy: Any, shape: np.ndarray, look: str, maps: int) -> Any:
    """A head of one identity, by way of a clip as a fit writes it."""
    import dataclasses

    from hack_model.clip import Clip

    asset = ModelAsset.load(default_model_path())
    with tempfile.TemporaryDirectory() as folder:
        path = dataclasses.replace(Clip.neutral(asset), shape=shape).save(Path(folder) / "clip.npz")
        bpy.ops.hack.add_head(filepath=str(path), appearance=look, maps=maps)
    return bpy.context.object


def main() -> None:
    """Renders the wanted pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parents[1] / "pictures")
    parser.add_argument("--only", default="maps,skins,wrinkles")
    parser.add_argument("--size", type=int, default=240)
    parser.add_argument("--samples", type=int, default=16)
    arguments = parser.parse_args()
    wanted = arguments.only.split(",")
    if "maps" in wanted:
        image = maps(ModelAsset.load(default_model_path()))
        image.save(arguments.output / "appearance_maps.jpg", quality=82, optimize=True)
    if {"skins", "wrinkles"} & set(wanted):
        with quiet():
            stage = Stage(arguments.size, arguments.samples)
        for name, make in (("skins", skins), ("wrinkles", folds)):
            if name in wanted:
                make(stage).save(arguments.output / f"appearance_{name}.jpg", quality=82, optimize=True)


if __name__ == "__main__":
    main()
