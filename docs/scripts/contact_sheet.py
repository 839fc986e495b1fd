"""Renders contact sheets of a model asset with Blender's Cycles, for a person to look at.

    python docs/scripts/contact_sheet.py data/hack_open/hack-open.npz -o sheets --sheets views,expressions

Sheets: views (default head from four sides), identities (ten random heads), expressions (each alone, with a view from
the side for jaw and lips), mouth and eyes (close-ups), joints (each at its limits), larynx (size and slide), swallow
(over time).
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from hack_model.asset import ModelAsset
from hack_model.larynx import SWALLOW_DURATION, swallow
from hack_model.model import HACK
from hack_model.names import CERVICAL_JOINTS

_FRAMES = {"neckTighten": "grimace", "grimace": "grimace", "nostril": "nose"}
"""What the camera frames of expressions that are not seen best with the whole face."""
SIDE_VIEWS = ("jaw", "mouth", "cheekPuff", "tongue")
COMBINATIONS = {
    "smile": {"mouthSmile_L": 1, "mouthSmile_R": 1},
    "smile, cheeks, jaw 0.2": {
        "mouthSmile_L": 1, "mouthSmile_R": 1, "cheekRaiser_L": 1, "cheekRaiser_R": 1,
        "cheekSquint_L": 0.6, "cheekSquint_R": 0.6, "jawOpen": 0.2,
    },
    "jawOpen + mouthClose": {"jawOpen": 1, "mouthClose": 1},
    "blink both": {"eyeBlink_L": 1, "eyeBlink_R": 1},
    "upper up, lower down": {
        "mouthUpperUp_L": 1, "mouthUpperUp_R": 1, "mouthLowerDown_L": 1, "mouthLowerDown_R": 1,
    },
    "tongue, jaw 0.3": {"tongueOut": 1, "jawOpen": 0.3},
    "press both": {"mouthPress_L": 1, "mouthPress_R": 1},
    "roll both": {"mouthRollLower": 1, "mouthRollUpper": 1},
    "surprise": {
        "browInnerUp_L": 1, "browInnerUp_R": 1, "browOuterUp_L": 1, "browOuterUp_R": 1,
        "eyeWide_L": 1, "eyeWide_R": 1, "jawOpen": 0.6,
    },
    "anger": {
        "browDown_L": 1, "browDown_R": 1, "noseSneer_L": 0.7, "noseSneer_R": 0.7, "eyeSquint_L": 0.6,
        "eyeSquint_R": 0.6, "mouthFrown_L": 0.7, "mouthFrown_R": 0.7, "mouthPress_L": 0.5, "mouthPress_R": 0.5,
    },
    "sadness": {
        "browInnerUp_L": 1, "browInnerUp_R": 1, "mouthFrown_L": 0.8, "mouthFrown_R": 0.8, "mouthShrugLower": 0.5,
        "eyeSquint_L": 0.3, "eyeSquint_R": 0.3,
    },
    "grimace": {
        "neckTighten_L": 1, "neckTighten_R": 1, "mouthStretch_L": 0.8, "mouthStretch_R": 0.8, "mouthLowerDown_L": 0.6,
        "mouthLowerDown_R": 0.6,
    },
    "kiss": {"mouthPucker": 1, "mouthFunnel": 0.4, "eyeBlink_L": 0.5, "eyeBlink_R": 0.5},
}  # fmt: skip


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet: a label, posed vertices, the azimuth in degrees, what the camera frames."""

    label: str
    vertices: np.ndarray
    azimuth: float = 0.0
    frame: str = "head"


class Studio:
    """A Blender scene with one mesh, soft light from three sides and a camera; renders posed vertices to pictures."""

    def __init__(self, asset: ModelAsset, size: int, samples: int) -> None:
        import bpy

        self.bpy, self.asset, self.size = bpy, asset, size
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.scene = bpy.context.scene
        self._set_render(samples)
        self.mesh = self._make_mesh()
        self._add_lights()
        camera = bpy.data.cameras.new("camera")
        camera.sensor_width, camera.clip_start = 36, 0.05
        self.camera = bpy.data.objects.new("camera", camera)
        self.scene.collection.objects.link(self.camera)
        self.scene.camera = self.camera
        self.file = Path(bpy.app.tempdir) / "tile.png"

    def render(self, tile: Tile) -> Image.Image:
        """The picture of a tile."""
        self.mesh.vertices.foreach_set("co", np.ascontiguousarray(blender_axes(tile.vertices), np.float32).ravel())
        self.mesh.update()
        centre, extent = framing(self.asset, tile)
        distance = max(0.5, extent * 85 / 36)
        self.camera.data.lens = 36 * distance / extent
        azimuth = math.radians(tile.azimuth)
        self.camera.location = blender_axes(
            centre + distance * np.array([math.sin(azimuth), 0.0, math.cos(azimuth)])
        ).tolist()
        self.camera.rotation_euler = (math.pi / 2, 0, azimuth)
        self.scene.render.filepath = str(self.file)
        with quiet():
            self.bpy.ops.render.render(write_still=True)
        with Image.open(self.file) as image:
            return image.convert("RGB")

    def _set_render(self, samples: int) -> None:
        render, scene = self.scene.render, self.scene
        render.engine = "CYCLES"
        scene.cycles.device = "CPU"
        scene.cycles.samples = samples
        scene.cycles.use_denoising = True
        scene.cycles.max_bounces, scene.cycles.transparent_max_bounces = 4, 8
        render.use_persistent_data = True
        render.resolution_x = render.resolution_y = self.size
        render.image_settings.file_format = "PNG"
        scene.view_settings.view_transform = "Standard"
        world = self.bpy.data.worlds.new("world")
        scene.world = world
        world.use_nodes = True
        world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.30, 0.31, 0.33, 1)
        world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.45

    def _add_lights(self) -> None:
        for place, power, width in (((0.7, 0.5, 1.0), 14, 0.7), ((-0.9, 0.2, 0.8), 6, 0.9), ((0.3, 0.8, -0.9), 8, 0.6)):
            light = self.bpy.data.lights.new("light", "AREA")
            light.energy, light.size = power, width
            holder = self.bpy.data.objects.new("light", light)
            holder.location = blender_axes(np.array(place)).tolist()
            holder.rotation_euler = (-holder.location).to_track_quat("-Z", "Y").to_euler()
            self.scene.collection.objects.link(holder)

    def _make_mesh(self):
        asset = self.asset
        mesh = self.bpy.data.meshes.new("head")
        sizes = (asset.faces >= 0).sum(axis=1)
        corners = asset.faces[asset.faces >= 0]
        mesh.vertices.add(len(asset.template))
        mesh.loops.add(len(corners))
        mesh.polygons.add(len(sizes))
        mesh.loops.foreach_set("vertex_index", corners.astype(np.int32))
        mesh.polygons.foreach_set("loop_start", np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32))
        mesh.vertices.foreach_set("co", blender_axes(asset.template).astype(np.float32).ravel())
        layer = mesh.uv_layers.new(name="uv")
        layer.data.foreach_set("uv", asset.uv[asset.face_uv[asset.faces >= 0]].astype(np.float32).ravel())
        for index in range(len(asset.material_names)):
            mesh.materials.append(self._make_material(index))
        mesh.polygons.foreach_set("material_index", asset.face_material.astype(np.int32))
        mesh.polygons.foreach_set("use_smooth", np.ones(len(sizes), bool))
        mesh.update(calc_edges=True)
        self.scene.collection.objects.link(self.bpy.data.objects.new("head", mesh))
        return mesh

    def _make_material(self, index: int):
        asset, name = self.asset, self.asset.material_names[index]
        material = self.bpy.data.materials.new(name)
        material.use_nodes = True
        tree = material.node_tree
        shader = tree.nodes["Principled BSDF"]
        shader.inputs["Base Color"].default_value = asset.material_color[index].tolist()
        shader.inputs["Roughness"].default_value = float(asset.material_roughness[index])
        shader.inputs["Alpha"].default_value = float(asset.material_color[index, 3])
        if name == "skin":
            shader.inputs["Subsurface Weight"].default_value = 0.15
            shader.inputs["Subsurface Radius"].default_value = (0.004, 0.0015, 0.0008)
            shader.inputs["Subsurface Scale"].default_value = 1.0
            if asset.albedo.size:
                texture = tree.nodes.new("ShaderNodeTexImage")
                texture.image = self._make_image()
                tree.links.new(texture.outputs["Color"], shader.inputs["Base Color"])
        return material

    def _make_image(self):
        pixels = self.asset.albedo
        image = self.bpy.data.images.new("albedo", pixels.shape[1], pixels.shape[0])
        rgba = np.ones((*pixels.shape[:2], 4), np.float32)
        rgba[..., :3] = pixels[::-1] / np.float32(255)
        image.pixels.foreach_set(rgba.ravel())
        image.pack()
        return image


def blender_axes(points: np.ndarray) -> np.ndarray:
    """Y-up points in Blender's Z-up axes."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], axis=-1)


def framing(asset: ModelAsset, tile: Tile) -> tuple[np.ndarray, float]:
    """Where the camera looks and how many metres the picture is wide there."""
    eyes = np.einsum("gn,gnc->gc", asset.joint_regressor_weights, asset.template[asset.joint_regressor_vertices])[8:]
    middle = eyes.mean(axis=0)
    offsets = {
        "head": ((0, -0.03, -0.05), 0.31),
        "neck": ((0, -0.075, -0.07), 0.46),
        "bust": ((0, -0.065, -0.06), 0.42),
        "limits": ((0, -0.07, -0.09), 0.50),
        "face": ((0, -0.035, 0.0), 0.17),
        "mouth": ((0, -0.065, 0.02), 0.085),
        "eyes": ((0, 0.0, 0.0), 0.11),
        "eye": ((0.031, 0.0, 0.0), 0.05),
        "throat": ((0, -0.15, 0.0), 0.17),
        "grimace": ((0, -0.115, 0.0), 0.22),
        "nose": ((0, -0.032, 0.045), 0.062),
    }
    offset, extent = offsets[tile.frame]
    return middle + np.array(offset), extent


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps Blender's messages off the terminal."""
    saved = os.dup(1)
    with Path(os.devnull).open("w") as sink:
        os.dup2(sink.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(saved, 1)
            os.close(saved)


def compose(images: list[tuple[str, Image.Image]], columns: int) -> Image.Image:
    """Labelled pictures in rows."""
    size = images[0][1].width
    rows = math.ceil(len(images) / columns)
    sheet = Image.new("RGB", (columns * size, rows * size), (40, 40, 40))
    draw = ImageDraw.Draw(sheet)
    for index, (label, image) in enumerate(images):
        corner = (index % columns * size, index // columns * size)
        sheet.paste(image, corner)
        draw.text((corner[0] + 5, corner[1] + 4), label, fill=(255, 255, 120))
    return sheet


class Sheets:
    """The tiles of every sheet."""

    def __init__(self, asset: ModelAsset, only: set[str]) -> None:
        self.asset, self.only = asset, only
        self.model = HACK.from_asset(asset)

    def posed(self, **parameters) -> np.ndarray:
        """Vertices for parameters that are not zero; ``expression`` may be a mapping by name."""
        return np.asarray(self.model(**parameters).vertices)

    def views(self) -> list[Tile]:
        """The default head from five sides."""
        rest = self.posed()
        angles = {"front": 0, "three-quarter": 40, "side": 90, "back": 180, "other side": -90}
        return [Tile(label, rest, angle, "neck") for label, angle in angles.items()] + [Tile("face", rest, 0, "face")]

    def identities(self) -> list[Tile]:
        """Ten random identities, front and three-quarter."""
        generator = np.random.default_rng(7)
        tiles = []
        for index in range(10):
            vertices = self.posed(shape=generator.normal(size=len(self.asset.shape_basis)))
            tiles += [Tile(f"identity {index}", vertices), Tile(f"identity {index}", vertices, 50)]
        return tiles

    def expressions(self) -> list[Tile]:
        """Each expression at 1, then combinations."""
        cases = {name: {name: 1.0} for name in self.asset.expression_names if not self.only or name in self.only}
        cases |= {label: case for label, case in COMBINATIONS.items() if self._has(label, case)}
        tiles = []
        for label, case in cases.items():
            vertices = self.posed(expression=case)
            tiles.append(Tile(label, vertices, 0, next((f for n, f in _FRAMES.items() if label.startswith(n)), "face")))
            if any(name.startswith(SIDE_VIEWS) for name in case):
                tiles.append(Tile(label, vertices, 65, "face"))
        return tiles

    def mouth(self) -> list[Tile]:
        """Close-ups of the mouth for every expression that moves it, and of the combinations."""
        names = [
            name for name in self.asset.expression_names if name.startswith(("jaw", "mouth", "cheekPuff", "tongue"))
        ]
        return self._close(names, "mouth", 40)

    def eyes(self) -> list[Tile]:
        """Close-ups of the eyes for every expression that moves lids or brows, at 0.5 and 1."""
        names = [name for name in self.asset.expression_names if name.startswith(("eye", "cheek", "brow"))]
        names = [name for name in names if name.endswith("_L") and (not self.only or name in self.only)]
        tiles = [Tile("rest", self.posed(), 0, "eyes"), Tile("rest", self.posed(), 0, "eye"),
                 Tile("rest", self.posed(), 50, "eye")]  # fmt: skip
        tiles += [
            Tile(f"{name} {value}", self.posed(expression={name: value}), 25, "eye")
            for name in names
            for value in (0.5, 1.0)
        ]
        return tiles

    def joints(self) -> list[Tile]:
        """Each joint at its limits, then the whole neck at its."""
        tiles = []
        labels = ("flexion", "axial", "lateral")
        for joint in range(8):
            for motion in range(3):
                for end in range(2):
                    pose = np.zeros((8, 3))
                    pose[joint] = self._limit(joint, motion, end)
                    label = f"{CERVICAL_JOINTS[joint]} {labels[motion]} {'-+'[end]}"
                    tiles.append(Tile(label, self.posed(pose=pose), 90 if motion == 0 else 0, "neck"))
        for motion in range(3):
            for end in range(2):
                pose = np.stack([self._limit(joint, motion, end) for joint in range(8)])
                tiles.append(
                    Tile(f"all {labels[motion]} {'-+'[end]}", self.posed(pose=pose), 90 if motion == 0 else 0, "neck")
                )
        for side, label in enumerate(("left", "right")):
            for motion in range(2):
                for end in range(2):
                    eye_pose = np.zeros((2, 3))
                    eye_pose[side] = self._limit(8 + side, motion, end)
                    tiles.append(
                        Tile(f"eye {label} {labels[motion]} {'-+'[end]}", self.posed(eye_pose=eye_pose), 0, "eyes")
                    )
        return tiles

    def larynx(self) -> list[Tile]:
        """The larynx at three sizes and three heights."""
        tiles = []
        for size in (0.0, 1.0, 2.0):
            for shift in (-0.01, 0.0, 0.01):
                vertices = self.posed(larynx_size=np.array(size), larynx_shift=np.array(shift))
                tiles.append(Tile(f"size {size:g}, {1000 * shift:+g} mm", vertices, 60, "throat"))
        return tiles

    def swallow(self) -> list[Tile]:
        """A swallow over time from the side: the slide alone in the first row, with the forward glide in the second."""
        tiles = []
        for glide in (False, True):
            for time in np.linspace(0, SWALLOW_DURATION, 7):
                shift, forward = swallow(time)
                larynx = {"larynx_shift": shift, **({"larynx_forward": forward} if glide else {})}
                label = f"{time:.2f} s, {1000 * shift:.1f} up" + f", {1000 * forward:.1f} forward" * glide
                vertices = self.posed(larynx_size=np.array(1.0), **{n: np.array(v) for n, v in larynx.items()})
                tiles.append(Tile(label, vertices, 80, "throat"))
        return tiles

    def _limit(self, joint: int, motion: int, end: int) -> np.ndarray:
        return self.asset.joint_axes[joint, motion] * self.asset.joint_limits[joint, motion, end]

    def _has(self, label: str, case: dict[str, float]) -> bool:
        return set(case) <= set(self.asset.expression_names) and (not self.only or label in self.only)

    def _close(self, names: list[str], frame: str, angle: float) -> list[Tile]:
        cases = {name: {name: 1.0} for name in names if not self.only or name in self.only}
        cases |= {label: case for label, case in COMBINATIONS.items() if self._has(label, case)}
        tiles = [Tile("rest", self.posed(), angle, frame) for angle in (0.0, angle)]
        for label, case in cases.items():
            vertices = self.posed(expression=case)
            tiles += [Tile(label, vertices, 0, frame), Tile(label, vertices, angle, frame)]
        return tiles


def main() -> None:
    """Renders the wanted sheets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("sheets"))
    parser.add_argument("--sheets", default="views,identities,expressions,mouth,eyes,joints,larynx,swallow")
    parser.add_argument("--only", default="", help="expressions and combinations by name, separated by ';'")
    parser.add_argument("--size", type=int, default=300, help="pixels of a tile")
    parser.add_argument("--samples", type=int, default=24)
    parser.add_argument("--columns", type=int, default=0)
    arguments = parser.parse_args()
    asset = ModelAsset.load(arguments.model)
    sheets = Sheets(asset, set(filter(None, arguments.only.split(";"))))
    arguments.output.mkdir(parents=True, exist_ok=True)
    with quiet():
        studio = Studio(asset, arguments.size, arguments.samples)
    for name in arguments.sheets.split(","):
        tiles = getattr(sheets, name)()
        images = [(tile.label, studio.render(tile)) for tile in tiles]
        columns = arguments.columns or {"views": 3, "larynx": 3, "swallow": 7, "eyes": 6, "mouth": 8}.get(name, 8)
        path = arguments.output / f"{name}.png"
        compose(images, min(columns, len(images))).save(path)
        print(path, file=sys.stderr)


if __name__ == "__main__":
    main()
