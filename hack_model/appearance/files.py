"""An appearance as files: pictures that any renderer loads, and the parameters they were painted from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hack_model.appearance.eyes import EyeLayout, eye_image
from hack_model.appearance.materials import EYE_SIZE
from hack_model.appearance.skin import Skin
from hack_model.arrayfile import atomic_file
from hack_model.formats.texture import encoded_image

if TYPE_CHECKING:
    from hack_model.appearance.parameters import Appearance
    from hack_model.asset import ModelAsset


def write_maps(
    folder: str | Path,
    asset: ModelAsset,
    appearance: Appearance,
    *,
    size: int = 1024,
    weights: Mapping[str, float] | None = None,
) -> list[Path]:
    """Writes ``albedo, normal, roughness, eye, wrinkles_0`` and ``wrinkles_1`` as PNG, and ``appearance.json``.

    The first three are wrinkled as ``weights`` says (:func:`hack_model.appearance.wrinkles.weights`); the wrinkles'
    pictures hold the folds themselves (:meth:`Skin.wrinkle_images`). Returns the files written; raises as
    :meth:`Skin.paint` and :meth:`Skin.maps` do.
    """
    skin = Skin.paint(asset, appearance, size)
    maps = skin.maps(weights)
    pictures = {
        "albedo": maps.albedo,
        "normal": maps.normal,
        "roughness": maps.roughness[..., None].repeat(3, axis=2),
        **{f"wrinkles_{number}": image for number, image in enumerate(skin.wrinkle_images())},
    }
    layout = EyeLayout.of(asset)
    if layout is not None:
        pictures["eye"] = eye_image(layout, appearance, EYE_SIZE)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = {f"{name}.png": encoded_image(pixels).data for name, pixels in pictures.items()}
    files["appearance.json"] = (json.dumps(dataclasses.asdict(appearance), indent=2) + "\n").encode()
    for name, data in files.items():
        with atomic_file(folder / name) as stream:
            stream.write(data)
    return [folder / name for name in files]
