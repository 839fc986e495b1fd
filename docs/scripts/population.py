"""Renders random people of a model from the front and from the side, women above and men below, to look at.

    python docs/scripts/population.py data/hack_open/hack-open.npz -o docs/pictures/population.jpg

Fronts have the model's colours, profiles are clay, where shape alone is to be judged.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fitting.preview import render_portrait
from hack_model.asset import ModelAsset
from hack_model.model import HACK

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

COLUMNS = 6
SEX = 0.75
"""Steps of the direction ``sex`` from the middle to the average woman and the average man."""


def random_shapes(asset: ModelAsset, count: int, seed: int) -> Float[Array, "n S"]:
    """Random shapes, women first: along the direction of sex each is near its own sex's average."""
    random = np.random.default_rng(seed)
    shapes = random.standard_normal((count, len(asset.shape_basis)))
    sex = asset.directions[list(asset.direction_names).index("sex")]
    along = shapes @ sex / (sex @ sex)
    wanted = np.where(np.arange(count) < count // 2, -SEX, SEX) + 0.25 * random.standard_normal(count)
    return shapes + (wanted - along)[:, None] * sex


def sheet(asset: ModelAsset, count: int, size: int, seed: int) -> Image.Image:
    """``count`` random people, each from the front and, beside it, in profile."""
    model = HACK.from_asset(asset)
    rows = -(-count // COLUMNS)
    picture = Image.new("RGB", (COLUMNS * 2 * size, rows * size), (236, 238, 241))
    for index, shape in enumerate(random_shapes(asset, count, seed)):
        vertices = np.asarray(model(shape=shape).vertices)
        column, row = index % COLUMNS, index // COLUMNS
        for view, yaw in enumerate((0.0, np.pi / 2)):
            tile = Image.fromarray(render_portrait(asset, vertices, yaw=yaw, size=int(1.5 * size), clay=view == 1))
            left = int((0.25 - 0.04 * view) * size)
            head = tile.crop((left, int(0.07 * size), left + size, int(0.07 * size) + size))
            picture.paste(head, ((2 * column + view) * size, row * size))
    return picture


def main() -> None:
    """The command; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--size", type=int, default=150)
    parser.add_argument("--seed", type=int, default=3)
    arguments = parser.parse_args()
    asset = ModelAsset.load(arguments.model)
    sheet(asset, arguments.count, arguments.size, arguments.seed).save(arguments.output, quality=82)


if __name__ == "__main__":
    main()
