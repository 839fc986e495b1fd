"""Renders ``docs/pictures/ict.jpg`` from a model that `hack-model build --source ict` made: ``sources.py MODEL``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from fitting.preview import render_portrait
from hack_model import HACK, ModelAsset
from hack_model.posing import neck_pose

SIDE = 190
PEOPLE = (1, 4, 9, 12)


def tiles(asset: ModelAsset) -> list[np.ndarray]:
    """Random people, expressions, the neck at its limits, the larynx; seven in a row."""
    model = HACK.from_asset(asset)

    def picture(yaw: float, clay: bool = False, **parameters: object) -> np.ndarray:
        vertices = np.asarray(model(**parameters).vertices)  # pyright: ignore[reportArgumentType]
        return render_portrait(asset, vertices, yaw=yaw, size=SIDE, clay=clay)

    random = [np.random.default_rng(seed).normal(size=len(asset.shape_basis)) for seed in PEOPLE]
    smile = {"mouthSmile_L": 1.0, "mouthSmile_R": 1.0}
    sneer = {"browDown_L": 1.0, "browDown_R": 1.0, "noseSneer_L": 1.0, "noseSneer_R": 1.0}
    shown = [picture(0.3), *(picture(0.3, shape=shape) for shape in random)]
    shown += [picture(0.3, expression=smile), picture(0.3, expression=sneer)]
    turns = ({"flexion": 0.87}, {"flexion": -1.2}, {"axial": 1.2}, {"lateral": 0.7})
    shown += [picture(1.2 if "flexion" in turn else 0.0, True, pose=neck_pose(asset, **turn)) for turn in turns]
    shown += [picture(1.2, True, larynx_size=1.0, larynx_shift=shift) for shift in (-0.005, 0.0, 0.012)]
    return shown


def main() -> None:
    """Renders the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parents[1] / "pictures" / "ict.jpg")
    arguments = parser.parse_args()
    shown = tiles(ModelAsset.load(arguments.model))
    rows = [np.concatenate(shown[start : start + 7], axis=1) for start in range(0, len(shown), 7)]
    Image.fromarray(np.concatenate(rows)).save(arguments.output, quality=85, optimize=True)


if __name__ == "__main__":
    main()
