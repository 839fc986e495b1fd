"""Renders the pictures of README.md and docs/ from the default model: ``python docs/scripts/pictures.py``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from contact_sheet import Sheets, Studio, Tile, compose, quiet
from PIL import Image

from hack_model import HACK, ModelAsset
from hack_model.posing import neck_pose
from hack_model.resources import default_model_path

SMILE = {"mouthSmile_L": 0.9, "mouthSmile_R": 0.9, "cheekSquint_L": 0.5, "cheekSquint_R": 0.5}
SURPRISE = {
    "browInnerUp_L": 1.0, "browInnerUp_R": 1.0, "browOuterUp_L": 0.9, "browOuterUp_R": 0.9,
    "eyeWide_L": 0.8, "eyeWide_R": 0.8, "jawOpen": 0.45,
}  # fmt: skip
ANGER = {
    "browDown_L": 1.0, "browDown_R": 1.0, "noseSneer_L": 0.5, "noseSneer_R": 0.5,
    "mouthPress_L": 0.6, "mouthPress_R": 0.6,
}  # fmt: skip
WINK = {"eyeBlink_L": 1.0, "cheekSquint_L": 0.6, "mouthSmile_L": 0.8, "mouthSmile_R": 0.3}


def hero(asset: ModelAsset) -> list[Tile]:
    """People, expressions and necks in one row of six."""
    model = HACK.from_asset(asset)

    def person(label: str, azimuth: float, directions: dict[str, float], flexion=0.0, turn=0.0, tilt=0.0, **parameters):
        shape = sum(
            (step * asset.directions[asset.direction_names.index(name)] for name, step in directions.items()),
            np.zeros(len(asset.shape_basis), np.float32),
        )
        pose = neck_pose(asset, *np.radians([flexion, turn, tilt]))
        return Tile(label, np.asarray(model(shape=shape, pose=pose, **parameters).vertices), azimuth, "bust")

    return [
        person("", 25, {}, turn=10, larynx_size=np.array(0.6)),
        person("", 15, {"sex": -1.0, "asian": 1.0}, turn=25, tilt=8, expression=SMILE),
        person("", -20, {"sex": 1.0, "african": 1.0}, flexion=-20, turn=-25, larynx_size=np.array(1.2)),
        person("", 0, {"age": 1.5, "caucasian": 1.0}, tilt=-18, expression=WINK),
        person("", 30, {"sex": -1.0, "african": 1.0}, flexion=-6, expression=SURPRISE),
        person("", -35, {"sex": 1.0, "weight": 1.5}, turn=-55, flexion=8, expression=ANGER, larynx_size=np.array(1.0)),
    ]


def main() -> None:
    """Renders every picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parents[1] / "pictures")
    parser.add_argument("--only", default="hero,identities,expressions,neck,larynx,swallow")
    parser.add_argument("--samples", type=int, default=32)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    asset = ModelAsset.load(default_model_path())
    sheets = Sheets(asset, set())
    pictures = {
        "hero": (lambda: hero(asset), 3, 400),
        "identities": (sheets.identities, 5, 200),
        "expressions": (lambda: [tile for tile in sheets.expressions() if tile.azimuth == 0], 9, 150),
        "neck": (
            lambda: [
                replace(tile, label=tile.label.removeprefix("all "), frame="limits")
                for tile in sheets.joints()
                if tile.label.startswith("all ")
            ],
            6,
            220,
        ),
        "larynx": (sheets.larynx, 9, 150),
        "swallow": (sheets.swallow, 7, 200),
    }
    for name in arguments.only.split(","):
        tiles, columns, size = pictures[name]
        with quiet():
            studio = Studio(asset, size, arguments.samples)
        sheet: Image.Image = compose([(tile.label, studio.render(tile)) for tile in tiles()], columns)
        sheet.save(arguments.output / f"{name}.jpg", quality=85, optimize=True)


if __name__ == "__main__":
    main()
