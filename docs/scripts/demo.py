"""Fits the model to scikit-image's portrait of an astronaut (public domain) and says where the results lie."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import skimage.data
from PIL import Image

from hack_model.cli import main


def run(output: Path) -> int:
    output.mkdir(parents=True, exist_ok=True)
    photo = output / "astronaut.png"
    Image.fromarray(skimage.data.astronaut()).save(photo)
    return main(["fit", str(photo), "-o", str(output)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("out/demo"), help="folder of the results")
    sys.exit(run(parser.parse_args().output))
