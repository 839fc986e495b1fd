"""The synthetic model by backend and precision."""

from __future__ import annotations

import pytest

from hack_model import HACK, ModelAsset
from tests.support.synthetic import (
    synthetic_asset,
)


@pytest.fixture(scope="module")
def asset() -> ModelAsset:
    return synthetic_asset()


@pytest.fixture(scope="module")
def model(asset: ModelAsset) -> HACK:
    return HACK.from_asset(asset)


@pytest.fixture(scope="module")
def exact(asset: ModelAsset) -> HACK:
    return HACK.from_asset(asset, dtype="float64")


@pytest.fixture(scope="module")
def tensors(asset: ModelAsset) -> HACK:
    return HACK.from_asset(asset, backend="torch", dtype="float64")
