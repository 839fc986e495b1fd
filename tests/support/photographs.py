"""Made-up photographs of a head whose colours are known."""

from __future__ import annotations

import dataclasses

import numpy as np

from fitting import shading
from fitting.camera import Camera
from fitting.preview import portrait, render_asset
from hack_model.asset import ModelAsset


def photographed(
    asset: ModelAsset, texture: np.ndarray, yaw: float = 0.0, size: tuple[int, int] = (420, 520), background: int = 128
) -> tuple[Camera, np.ndarray, np.ndarray]:
    """A photo, under light that is the same everywhere, of the asset with a known colour map."""
    camera, placed = portrait(asset.template, yaw, 0.0, size)
    photo = render_asset(
        dataclasses.replace(asset, albedo=texture),
        camera,
        placed,
        light=shading.ambient(1.0),
        background=(background, background, background),
    )
    return camera, placed, photo
