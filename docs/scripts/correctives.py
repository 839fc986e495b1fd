"""Pictures of the neck without and with pose correctives, in grey under a hard light from the side.

python docs/scripts/correctives.py                 # docs/pictures/correctives.jpg
python docs/scripts/correctives.py --turntable     # every pose from eight sides, to look at
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from contact_sheet import compose
from PIL import Image

from fitting.camera import Camera
from fitting.preview import render_asset
from fitting.shading import ambient, lamp
from hack_model import HACK, ModelAsset
from hack_model.posing import neck_pose
from hack_model.resources import default_model_path
from hack_model.training.spaces import uncorrected

POSES = {
    "flexion 50°": (50, 0, 0),
    "extension 60°": (-60, 0, 0),
    "turn 60°": (0, 60, 0),
    "turn 80°": (0, 80, 0),
    "tilt 35°": (0, 0, 35),
    "flexion 20°, turn 45°, tilt 15°": (20, 45, 15),
}
"""Whole neck, degrees."""
CHOSEN = (
    ("flexion 50°", 90, 1), ("extension 60°", -45, 1), ("turn 60°", 0, -1), ("turn 80°", 0, -1),
    ("tilt 35°", -30, 1), ("flexion 20°, turn 45°, tilt 15°", -30, -1),
)  # fmt: skip
"""Pose, the camera's azimuth towards the subject's left in degrees, the side the light comes from."""
CENTRE, WIDTH, DISTANCE = (0.0, -0.075, 0.01), 0.30, 1.3
BEHIND = (72, 74, 78)
ROWS = ("skinning alone", "with correctives")


def light(side: float) -> np.ndarray:
    """A lamp from one side and a little above, hardly anything from elsewhere."""
    return (ambient(0.16) + lamp((side, 0.45, 0.25), 1.05)).astype(np.float32)


def picture(asset: ModelAsset, vertices: np.ndarray, azimuth: float, side: float, size: int) -> np.ndarray:
    """The neck from one side."""
    turn = np.radians(azimuth)
    rows = np.array([[np.cos(turn), 0, -np.sin(turn)], [0, 1, 0], [np.sin(turn), 0, np.cos(turn)]])
    placed = (vertices - CENTRE) @ rows.T - [0, 0, DISTANCE]
    camera = Camera.centred(size / WIDTH * DISTANCE, size, size)
    return render_asset(asset, camera, placed.astype(np.float32), clay=True, light=light(side), background=BEHIND)


def main() -> None:
    """Renders the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parents[1] / "pictures" / "correctives.jpg")
    parser.add_argument("--model", type=Path, default=default_model_path())
    parser.add_argument("--size", type=int, default=200)
    parser.add_argument("--turntable", action="store_true")
    parser.add_argument("--sex", type=float, default=0.0, help="steps along the direction sex, to see other people")
    parser.add_argument("--weight", type=float, default=0.0, help="likewise")
    arguments = parser.parse_args()
    asset = ModelAsset.load(arguments.model)
    names = list(asset.direction_names)
    shape = sum(
        getattr(arguments, name) * np.asarray(asset.directions[names.index(name)], float) for name in ("sex", "weight")
    )
    models = [HACK.from_asset(uncorrected(asset)), HACK.from_asset(asset)]
    chosen = CHOSEN
    if arguments.turntable:
        chosen = tuple((name, azimuth, 1) for name in POSES for azimuth in range(-135, 181, 45))
    tiles: list[tuple[str, Image.Image]] = []
    for start in range(0, len(chosen), 6 if not arguments.turntable else 8):
        row = chosen[start : start + (6 if not arguments.turntable else 8)]
        for label, model in zip(ROWS, models, strict=True):
            for name, azimuth, side in row:
                pose = neck_pose(asset, *np.radians(POSES[name]))
                vertices = np.asarray(model(shape=shape, pose=pose).vertices)
                pixels = picture(asset, vertices, azimuth, side, arguments.size)
                tiles.append((f"{name}, {label}" if arguments.turntable else name, Image.fromarray(pixels)))
    columns = 8 if arguments.turntable else len(chosen)
    compose(tiles, columns).save(arguments.output, quality=85, optimize=True)


if __name__ == "__main__":
    main()
