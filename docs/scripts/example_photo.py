"""Saves scikit-image's portrait of an astronaut (NASA, public domain) to the file named as its argument."""

from __future__ import annotations

import sys
from pathlib import Path

import skimage.data
from PIL import Image

if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(skimage.data.astronaut()).save(path)
