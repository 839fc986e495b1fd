"""Renders docs/pictures/combinations.jpg: sums of expressions above, the same with combination shapes below.

python docs/scripts/combinations.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from fitting.camera import Camera
from fitting.preview import render_asset
from hack_model import HACK, ModelAsset
from hack_model.resources import default_model_path
from hack_model.training.spaces import summed

MOUTH, EYES = (0.0, 0.10), (0.070, 0.13)
"""Height of the picture's middle above the lips, and its height, metres."""
CASES = {
    "mouthSmile": ({"mouthSmile_L": 1, "mouthSmile_R": 1}, 30, MOUTH),
    "roll + roll": ({"mouthRollLower": 1, "mouthRollUpper": 1}, 30, MOUTH),
    "sneer + upperUp": ({f"{name}_{side}": 1 for name in ("noseSneer", "mouthUpperUp") for side in "LR"}, 0, MOUTH),
    "funnel + pucker": ({"mouthFunnel": 1, "mouthPucker": 1}, 30, MOUTH),
    "blink + wide": ({f"{name}_{side}": 1 for name in ("eyeBlink", "eyeWide") for side in "LR"}, 0, EYES),
    "blink + lookDown": ({f"{name}_{side}": 1 for name in ("eyeBlink", "eyeLookDown") for side in "LR"}, 0, EYES),
    "blink + squint": ({f"{name}_{side}": 1 for name in ("eyeBlink", "eyeSquint") for side in "LR"}, 0, EYES),
}
SIZE = 200


def picture(model: HACK, expression: dict[str, float], azimuth: float, frame: tuple[float, float]) -> Image.Image:
    """A close-up seen from ``azimuth`` degrees to the subject's left."""
    vertices = np.asarray(model(expression=expression).vertices, np.float64)
    rest = np.asarray(model().vertices, np.float64)
    lips = np.asarray(model.landmarks(rest, "multipie68"))[62]
    angle = np.radians(azimuth)
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    placed = (vertices - lips - [0, frame[0], -0.03]) @ turn.T - [0, 0, 1.0]
    camera = Camera.centred(SIZE / frame[1], SIZE, SIZE)
    return Image.fromarray(render_asset(model.asset, camera, placed.astype(np.float32)))


def main() -> None:
    """Renders the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parents[1] / "pictures/combinations.jpg")
    arguments = parser.parse_args()
    asset = ModelAsset.load(default_model_path())
    models = [HACK.from_asset(summed(asset)), HACK.from_asset(asset)]
    sheet = Image.new("RGB", (SIZE * len(CASES), 2 * SIZE + 16), "white")
    draw = ImageDraw.Draw(sheet)
    for column, (label, case) in enumerate(CASES.items()):
        draw.text((column * SIZE + 4, 2), label, fill="black")
        for row, model in enumerate(models):
            sheet.paste(picture(model, *case), (column * SIZE, 16 + row * SIZE))
    sheet.save(arguments.output, quality=85, optimize=True)


if __name__ == "__main__":
    main()
