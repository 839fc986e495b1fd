"""How long painting takes. Run with ``--benchmark-enable`` for figures."""

from __future__ import annotations

from typing import Any

import pytest

from hack_model import ModelAsset
from hack_model.appearance.parameters import Appearance
from hack_model.appearance.skin import Skin
from hack_model.resources import default_model_path


@pytest.mark.parametrize("size", [1024, pytest.param(2048, marks=pytest.mark.slow)])
def test_a_skin_is_painted(benchmark: Any, size: int) -> None:
    """As a program does it once: what is known of the asset has to be found first."""

    def paint() -> Skin:
        asset = ModelAsset.load(default_model_path())
        return Skin.paint(asset, Appearance(freckles=0.5), size)

    skin = benchmark.pedantic(paint, rounds=1)
    assert len(skin.colour) > 0.5 * size * size


def test_a_skin_is_painted_again(benchmark: Any) -> None:
    """As a slider does it."""
    asset = ModelAsset.load(default_model_path())
    Skin.paint(asset, Appearance(), 1024)
    skin = benchmark.pedantic(lambda: Skin.paint(asset, Appearance(melanin=0.5), 1024), rounds=1)
    assert skin.maps().albedo.shape == (1024, 1024, 3)
