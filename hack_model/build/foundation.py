"""What a build begins with: the head and its parts, expressions, combinations, and the space of identities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hack_model.build import combinations, dentition, expressions, eyes, lashes
from hack_model.build.anthropometry import read_measures
from hack_model.build.assemble import Control, Geometry
from hack_model.build.combinations import Combinations
from hack_model.build.head import Head, make_head
from hack_model.build.identity import Identity, Progress, make_identity
from hack_model.build.lids import seat_lids
from hack_model.build.lips import close_lips
from hack_model.build.parts import Part
from hack_model.build.phenotype import read_modifiers
from hack_model.build.population import Population
from hack_model.build.regions import skin_regions
from hack_model.build.source import MakeHumanSource
from hack_model.build.symmetry import mirror_of_parts
from hack_model.errors import ParameterError
from hack_model.resources import data_folder

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    Array = np.ndarray


@dataclass(frozen=True)
class Foundation:
    """All that the later steps of a build, and those that learn from its people, start from."""

    source: MakeHumanSource
    head: Head
    parts: list[Part]
    geometry: Geometry
    expression_names: tuple[str, ...]
    expression_basis: Float[Array, "E V 3"]
    combinations: Combinations
    regions: dict[str, Float[Array, " V"]]
    control: Control
    identity: Identity


def lay_foundation(
    source: MakeHumanSource, *, seed: int = 0, identities: int = 2000, progress: Progress | None = None
) -> Foundation:
    """The first steps of a build; arguments as of :func:`hack_model.build.makehuman.build`."""
    if identities < 10:
        raise ParameterError(f"a shape space needs at least 10 identities, got {identities}")
    report = progress or silent
    tables = data_folder() / "hack_open"
    report("head", 0, 1)
    population = Population(source, read_modifiers(tables / "modifiers.csv", source), read_measures(tables, source))
    head = close_lips(seat_lids(make_head(source, population.modifiers)))
    parts = [head.skin, *eyes.build(head), *dentition.build(head), *lashes.build(head)]
    geometry = Geometry.join(parts, mirror_of_parts(parts))
    report("expressions", 0, 1)
    expression_names, expression_basis = expressions.build(head, parts)
    combined = combinations.build(head, parts, expression_names, expression_basis)
    regions = skin_regions(head)
    control = Control.of(parts, geometry.mirror)
    identity = make_identity(head, parts, control, population, regions, seed=seed, count=identities, report=report)
    return Foundation(
        source, head, parts, geometry, expression_names, expression_basis, combined, regions, control, identity
    )


def silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody sees."""
    del stage, done, total
