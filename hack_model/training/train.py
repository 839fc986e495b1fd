"""Learns a model asset from a dataset of registered meshes, in stages that survive a kill."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.asset import ModelAsset
from hack_model.errors import FormatError, ParameterError
from hack_model.model import HACK
from hack_model.training.checkpoints import Checkpoints
from hack_model.training.components import streamed_components
from hack_model.training.dataset import Dataset
from hack_model.training.dynamic import PosedMeshes, iterate, pose_residuals, prepared
from hack_model.training.personal import Block, Residuals, learn_personal, subject_shapes
from hack_model.training.spaces import NOT_PERSONAL, generic
from hack_model.training.static import (
    Neutrals,
    Progress,
    expression_names,
    expression_residuals,
    learn_expressions,
    learn_larynx,
    projected_directions,
    with_larynx,
)

if TYPE_CHECKING:
    Array = np.ndarray

_DYNAMIC_FIELDS = ("joint_regressor_vertices", "joint_regressor_weights", "joint_offsets", "weights", "pose_basis")


@dataclass(frozen=True)
class Options:
    """How to train. ``noise`` is the registrations' standard deviation per coordinate in metres: the larger, the more
    the priors count. ``iterations`` are rounds of the dynamic stage; ``keep_joints`` and ``keep_weights`` leave it the
    template's joints and skinning weights. ``personal`` learns what expressions and correctives owe to shape."""

    shape_components: int = 200
    iterations: int = 6
    noise: float = 3e-4
    seed: int = 0
    name: str = "trained"
    personal: bool = True
    keep_joints: bool = False
    keep_weights: bool = False

    def __post_init__(self) -> None:
        if self.shape_components < 1 or self.iterations < 0 or self.seed < 0:
            raise ParameterError("shape_components must be at least 1, iterations and seed at least 0")
        if not 0 < self.noise < 0.1:
            raise ParameterError(f"noise is {self.noise}; wanted metres, above 0 and below 0.1")


def train(
    dataset: Dataset, output: str | Path, template: ModelAsset, options: Options | None = None, *, progress: Progress
) -> ModelAsset:
    """Trains, writes the model to ``output`` and returns it.

    ``template`` gives topology, joint frames and the priors' means. Finished stages lie in ``<output>.training`` until
    the model is written; the same call takes them up. Raises :class:`FormatError` where dataset and template disagree.
    """
    options, output = options or Options(), Path(output)
    if dataset.vertex_count != template.vertex_count:
        raise FormatError(
            f"{dataset.path}: meshes of {dataset.vertex_count} vertices, but template {template.name} has "
            f"{template.vertex_count}; pass the template the meshes were registered with"
        )
    if len(dataset.subject_names) < 2:
        raise FormatError(f"{dataset.path}: has one subject; a shape space needs at least two")
    facts = {"dataset": dataset.digest, "template": _digest(template), **dataclasses.asdict(options)}
    checkpoints = Checkpoints.create(output.with_name(output.name + ".training"), {**facts, "files": dataset.files()})
    asset, figures, neutrals = _static(dataset, template, options, checkpoints, progress)
    shapes = subject_shapes(asset, neutrals)
    common = (shapes, options, checkpoints, figures)
    if options.personal:
        asset = _personal("expression", asset, _of_expressions(asset, dataset, neutrals, progress), *common)
    meshes = PosedMeshes.of(dataset, neutrals, asset.expression_names, shapes)
    figures["posed_meshes"] = int(meshes.chosen.sum())
    if figures["posed_meshes"]:
        asset = _dynamic(asset, meshes, progress, *common)
    asset = replace(asset, provenance=json.dumps({**_provenance(template, facts), "figures": figures}))
    asset.save(output)
    checkpoints.clear()
    return asset


def _static(
    dataset: Dataset, template: ModelAsset, options: Options, checkpoints: Checkpoints, progress: Progress
) -> tuple[ModelAsset, dict[str, Any], Neutrals]:
    larynx = checkpoints.stage("larynx", lambda: learn_larynx(dataset, template, options.noise))
    asset = with_larynx(template, larynx)
    model = HACK.from_asset(asset)
    neutrals = Neutrals.create(checkpoints.path("neutral").with_suffix(".npy"), dataset, model, progress)
    shape = checkpoints.stage("shape", lambda: _shape_space(neutrals, options, progress))
    expressions = checkpoints.stage(
        "expressions", lambda: learn_expressions(dataset, neutrals, model, options.noise, progress)
    )
    basis = shape["basis"].reshape(len(shape["basis"]), -1, 3)
    names = expression_names(dataset, template)
    asset = replace(
        asset,
        name=options.name,
        version="1",
        licence=dataset.licence,
        template=shape["mean"].reshape(-1, 3),
        shape_basis=basis,
        directions=projected_directions(template, basis),
        expression_names=names,
        expression_basis=expressions["basis"],
        combination_basis=template.combination_basis.dense(),
        pose_basis=template.pose_basis.dense(),
        refinement=None,
        **NOT_PERSONAL,
    )
    figures = {
        "subjects": len(dataset.subject_names),
        "meshes": len(dataset),
        "shape_variance": float(shape["total_variance"]),
        "larynx_meshes": int(larynx["learned"]),
        "expressions_kept_from_template": [
            name for name, seen in zip(names, expressions["seen"], strict=True) if not seen
        ],
    }
    return asset, figures, neutrals


def _shape_space(neutrals: Neutrals, options: Options, progress: Progress) -> dict[str, np.ndarray]:
    progress("shape space", 0, 1)
    found = streamed_components(neutrals.stream, len(neutrals.open()), options.shape_components, options.seed)
    progress("shape space", 1, 1)
    if not len(found.basis):
        raise FormatError("all subjects have the same neutral head; a shape space needs differences")
    return {"mean": found.mean, "basis": found.basis, "total_variance": np.array(found.total_variance)}


def _personal(
    kind: str,
    asset: ModelAsset,
    residuals: Residuals,
    shapes: Array,
    options: Options,
    checkpoints: Checkpoints,
    figures: dict[str, Any],
    suffix: str = "",
) -> ModelAsset:
    stage = f"personal-{kind}{suffix}"
    found = checkpoints.stage(stage, lambda: learn_personal(asset, shapes, residuals, options.noise))
    figures[f"personal_{kind}_told_of_subjects_left_out"] = float(found["told"])
    return replace(asset, **{f"personal_{kind}_{part}": found[part] for part in ("basis", "pairs", "map")})


def _of_expressions(asset: ModelAsset, dataset: Dataset, neutrals: Neutrals, progress: Progress) -> Residuals:
    model, total = HACK.from_asset(asset), 2 * int((dataset.rest & ~dataset.neutral).sum())
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        progress("personal expressions", min(done, total), total)

    def blocks() -> Iterator[Block]:
        for numbers, weights, residual in expression_residuals(dataset, neutrals, model, count):
            yield Block(dataset.subject[numbers], weights, residual)

    return blocks


def _of_poses(asset: ModelAsset, meshes: PosedMeshes, progress: Progress) -> Residuals:
    total, done = 2 * int(meshes.chosen.sum()), 0

    def count(numbers: Array) -> None:
        nonlocal done
        done += len(numbers)
        progress("personal correctives", min(done, total), total)

    def blocks() -> Iterator[Block]:
        for numbers, features, residual in pose_residuals(asset, meshes, count):
            yield Block(meshes.dataset.subject[numbers], features, residual)

    return blocks


def _dynamic(
    asset: ModelAsset,
    meshes: PosedMeshes,
    progress: Progress,
    shapes: Array,
    options: Options,
    checkpoints: Checkpoints,
    figures: dict[str, Any],
) -> ModelAsset:
    """The rounds; the last knows the subjects' own correctives, which are then learned again from what it leaves."""

    def personal(current: ModelAsset, suffix: str) -> ModelAsset:
        shared = generic(current, "pose")
        residuals = _of_poses(shared, meshes, progress)
        return _personal("pose", shared, residuals, shapes, options, checkpoints, figures, suffix)

    start = asset
    asset = prepared(asset)
    for number in range(1, options.iterations + 1):
        if options.personal and number == options.iterations > 1:
            asset = personal(asset, "-first")

        def compute(current: ModelAsset = asset, number: int = number) -> dict[str, np.ndarray]:
            learned = iterate(
                current, start, meshes, options.noise, progress, number,
                keep_joints=options.keep_joints, keep_weights=options.keep_weights,
            )  # fmt: skip
            return {field: np.asarray(getattr(learned, field)) for field in _DYNAMIC_FIELDS}

        asset = replace(asset, **checkpoints.stage(f"neck-{number}", compute))
    return personal(asset, "") if options.personal else asset


def _digest(asset: ModelAsset) -> str:
    digest = hashlib.sha256()
    for name, value in asset.to_arrays().items():
        digest.update(name.encode() + np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _provenance(template: ModelAsset, facts: dict[str, Any]) -> dict[str, Any]:
    return {"command": "hack-model train", "template": f"{template.name} {template.version}", "training": facts}
