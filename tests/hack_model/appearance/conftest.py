from __future__ import annotations

import pytest

from hack_model import ModelAsset
from hack_model.appearance.anatomy import Anatomy, anatomy_of
from hack_model.appearance.parameters import Appearance
from hack_model.appearance.skin import Skin
from hack_model.resources import default_model_path


@pytest.fixture(scope="session")
def asset() -> ModelAsset:
    return ModelAsset.load(default_model_path())


@pytest.fixture(scope="session")
def anatomy(asset: ModelAsset) -> Anatomy:
    return anatomy_of(asset)


@pytest.fixture(scope="session")
def skin(asset: ModelAsset) -> Skin:
    """A skin without freckles and moles, which lie at random places."""
    return Skin.paint(asset, Appearance(freckles=0.0, moles=0.0), 256)
