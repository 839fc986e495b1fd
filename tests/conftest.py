"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")  # a busy machine is no fault of the code


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Real photos, recordings and meshes that may not be shipped; named by the environment variable HACK_TEST_DATA."""
    folder = os.environ.get("HACK_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set HACK_TEST_DATA to the folder of real photos and recordings")
    return Path(folder)
