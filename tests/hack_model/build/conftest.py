"""The MakeHuman data and the head cut from it; tests skip where the data is not installed."""

from __future__ import annotations

import pytest

from hack_model.build.anthropometry import read_measures
from hack_model.build.head import Head, make_head
from hack_model.build.phenotype import read_modifiers
from hack_model.build.population import Population
from hack_model.build.source import MakeHumanSource
from hack_model.errors import MissingDependencyError
from hack_model.resources import data_folder


@pytest.fixture(scope="session")
def source() -> MakeHumanSource:
    try:
        return MakeHumanSource.open()
    except MissingDependencyError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def head(source: MakeHumanSource) -> Head:
    tables = data_folder() / "hack_open"
    modifiers = read_modifiers(tables / "modifiers.csv", source)
    return make_head(source, Population(source, modifiers, read_measures(tables, source)).modifiers)
