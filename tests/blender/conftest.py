"""One bpy for all tests of this folder: the add-on registered from source, an empty scene for each test."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack_model import HACK, ModelAsset
from tests.blender.heads import Head
from tests.support.synthetic import synthetic_asset

# bpy's wheel serves one Python version; elsewhere the rest of the suite still runs.
collect_ignore_glob = ["test_*.py"] if importlib.util.find_spec("bpy") is None else []


@pytest.fixture(scope="session")
def asset() -> ModelAsset:
    return synthetic_asset(seed=3, all_correctives=True)


@pytest.fixture(scope="session")
def model(asset: ModelAsset) -> HACK:
    return HACK.from_asset(asset)


@pytest.fixture(scope="session")
def asset_path(asset: ModelAsset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asset.save(tmp_path_factory.mktemp("asset") / "synthetic.npz")


@pytest.fixture(scope="session")
def _registered() -> Iterator[None]:
    import blender_addon

    blender_addon.register()
    yield
    blender_addon.unregister()


@pytest.fixture
def scene(_registered: None) -> object:
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy.context.scene


@pytest.fixture
def head(scene: object, asset_path: Path) -> Head:
    """The average head of the synthetic asset."""
    return Head.add(model=str(asset_path))
