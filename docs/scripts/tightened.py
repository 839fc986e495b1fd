"""Renders docs/pictures/tightened.jpg: neck and nostrils at rest and drawn by their muscles, as clay under a side lamp.

python docs/scripts/tightened.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy.spatial.transform import Rotation

from fitting.camera import Camera
from fitting.preview import render_asset
from fitting.shading import ambient, lamp
from hack_model import HACK, ModelAsset
from hack_model.posing import neck_pose
from hack_model.resources import default_model_path

SIZE, COLUMNS, DISTANCE = 240, 6, 1.1
LIGHT = ambient(0.12) + lamp((-0.8, 0.35, 0.55), 0.95)
NECK, NOSE = ((0.0, -0.085, 0.05), 0.20), ((0.0, 0.004, 0.11), 0.056)
"""Middle of the picture and its height, metres."""


def both(name: str) -> dict[str, float]:
    """An expression of both sides."""
    return {f"{name}_{side}": 1.0 for side in "LR"}


CASES = (
    ("at rest", {}, 0, NECK, (0, 0)),
    ("AU21", both("neckTighten"), 0, NECK, (0, 0)),
    ("AU21", both("neckTighten"), 0, NECK, (40, 0)),
    ("AU21 left", {"neckTighten_L": 1.0}, 0, NECK, (0, -25)),
    ("AU20 + 21 + 27", both("neckTighten") | both("mouthStretch") | {"jawOpen": 0.3}, 0, NECK, (40, 0)),
    ("AU21, turned 45°", both("neckTighten"), 45, NECK, (0, 0)),
    ("at rest", {}, 0, NOSE, (0, 0)),
    ("AU38", both("nostrilDilate"), 0, NOSE, (0, 0)),
    ("AU39", both("nostrilCompress"), 0, NOSE, (0, 0)),
    ("at rest", {}, 0, NOSE, (0, -45)),
    ("AU38", both("nostrilDilate"), 0, NOSE, (0, -45)),
    ("AU39", both("nostrilCompress"), 0, NOSE, (0, -45)),
)
"""Label, expression, degrees of turn, frame, degrees the camera goes to the subject's left and up."""


def main() -> None:
    """Renders the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parents[1] / "pictures/tightened.jpg")
    arguments = parser.parse_args()
    asset = ModelAsset.load(default_model_path())
    model = HACK.from_asset(asset)
    sheet = Image.new("RGB", (SIZE * COLUMNS, SIZE * -(-len(CASES) // COLUMNS)))
    draw = ImageDraw.Draw(sheet)
    for index, (label, expression, turned, (middle, height), (yaw, pitch)) in enumerate(CASES):
        vertices = model(expression=expression or None, pose=neck_pose(asset, 0.0, np.radians(turned))).vertices
        seen_from = Rotation.from_euler("yx", (-yaw, pitch), degrees=True)
        placed = seen_from.apply(np.asarray(vertices, np.float64) - middle) - [0, 0, DISTANCE]
        camera = Camera.centred(SIZE * DISTANCE / height, SIZE, SIZE)
        image = render_asset(asset, camera, placed.astype(np.float32), clay=True, light=LIGHT)
        corner = (index % COLUMNS * SIZE, index // COLUMNS * SIZE)
        sheet.paste(Image.fromarray(image), corner)
        draw.text((corner[0] + 4, corner[1] + 2), label, fill="black")
    sheet.save(arguments.output, quality=85, optimize=True)


if __name__ == "__main__":
    main()
