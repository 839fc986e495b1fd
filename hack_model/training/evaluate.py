"""Measures a model: compactness, generalisation and specificity of its spaces, and the error of held-out poses.

Definitions after Styner et al., "Evaluation of 3D correspondence methods for model building" (IPMI 2003). Errors are
root-mean-square distances between corresponding vertices in millimetres.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.arrayfile import atomic_file
from hack_model.asset import ModelAsset
from hack_model.errors import FormatError
from hack_model.kinematics import rotation_matrix
from hack_model.model import HACK
from hack_model.training.dataset import BATCH_SIZE, Dataset
from hack_model.training.dynamic import PosedMeshes, rest_residuals, subject_rig
from hack_model.training.personal import subject_shapes
from hack_model.training.spaces import PersonalSpace, Space, generic, uncorrected
from hack_model.training.static import Neutrals, Progress, activations, larynx_displacement

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

PAPER_SHAPE_GENERALISATION_MM = {100: 0.43, 200: 0.27, 300: 0.20}
"""Read off a figure of the paper's release: RMSE of its shape space on its own held-out identities."""

_SAMPLES = 200
_MAX_SPECIFICITY_SAMPLES = 2000
_MM = 1000.0


def evaluate(asset: ModelAsset, dataset: Dataset | None = None, *, seed: int = 0, progress: Progress) -> dict[str, Any]:
    """All figures as JSON-able values.

    Without data only compactness can be told; with data that the model has not seen also generalisation (how well each
    space shows the data), specificity (how far random members of it lie from the nearest of the data) and the error of
    expressions and poses, by region, with and without correctives and personalisation. ``held_out`` is false when the
    model was trained on this very dataset.
    """
    spaces = {
        "shape": Space.of(asset.shape_basis.dense()),
        "expression": Space.of(asset.expression_basis.dense()),
        "corrective": Space.of(asset.pose_basis.dense()),
    }
    personal = {kind: PersonalSpace.of(asset, kind) for kind in ("expression", "pose")}
    all_spaces = {**spaces, **{f"personal_{kind}": found.space for kind, found in personal.items()}}
    report: dict[str, Any] = {
        "model": f"{asset.name} {asset.version}",
        **{name: {"compactness": space.compactness()} for name, space in all_spaces.items() if len(space.axes)},
        "paper": {"shape_generalisation_mm": {str(k): v for k, v in PAPER_SHAPE_GENERALISATION_MM.items()}},
    }
    if dataset is None:
        return report
    _check_fits(asset, dataset)
    report["held_out"] = _trained_on(asset) != dataset.digest
    report["meshes"] = len(dataset)
    model, random = HACK.from_asset(asset), np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        neutrals = Neutrals.create(Path(folder) / "neutral.npy", dataset, model, progress)
        shapes = subject_shapes(asset, neutrals)
        report["shape"] |= _shape_figures(asset, spaces["shape"], neutrals, random, progress)
        expressive = Expressive(dataset, neutrals, shapes)
        if expressive.count:
            report["expression"] |= _expression_figures(model, spaces["expression"], expressive, random, progress)
            if asset.personal_expression_basis.size:
                blocks = expressive.residuals(generic(asset, "expression"), progress)
                report["personal_expression"] |= _personal_figures(personal["expression"], blocks, random)
        meshes = PosedMeshes.of(dataset, neutrals, asset.expression_names, shapes)
        if meshes.chosen.any():
            report["pose"] = _pose_figures(asset, meshes, progress)
            if len(spaces["corrective"].axes):
                report["corrective"] |= _corrective_figures(asset, spaces["corrective"], meshes, random)
            if asset.personal_pose_basis.size:
                blocks = _pose_blocks(generic(asset, "pose"), meshes)
                report["personal_pose"] |= _personal_figures(personal["pose"], blocks, random)
    return report


def _check_fits(asset: ModelAsset, dataset: Dataset) -> None:
    if dataset.vertex_count != asset.vertex_count:
        raise FormatError(
            f"{dataset.path}: meshes of {dataset.vertex_count} vertices, but model {asset.name} has "
            f"{asset.vertex_count}"
        )
    unknown = [name for name in dataset.expression_names if name not in asset.expression_names]
    if unknown:
        raise FormatError(
            f"{dataset.path}: shows the expression {unknown[0]!r}, which model {asset.name} does not have"
        )


def save_report(report: dict[str, Any], folder: Path) -> list[Path]:
    """Writes evaluation.json and the plots; returns the files."""
    from hack_model.training.plots import draw

    file = folder / "evaluation.json"
    with atomic_file(file) as stream:
        stream.write(json.dumps(report, indent=1, allow_nan=False).encode())
    return [file, *draw(report, folder)]


def _trained_on(asset: ModelAsset) -> str | None:
    try:
        training = json.loads(asset.provenance).get("training", {})
        return training.get("dataset")
    except (ValueError, AttributeError, RecursionError):
        return None


def _rms(squared: Float[Array, "..."], vertices: int) -> Float[Array, "..."]:
    """Root-mean-square vertex distance in millimetres of mean squared norms over all vertices."""
    return np.sqrt(np.asarray(squared) / vertices) * _MM


def _shape_figures(
    asset: ModelAsset, space: Space, neutrals: Neutrals, random: np.random.Generator, progress: Progress
) -> dict[str, Any]:
    mean = asset.template.reshape(-1)
    people = len(neutrals.open())
    errors = np.zeros(len(space.counts()))
    samples = _random_heads(space, random)
    nearest = {count: np.full(_SAMPLES, np.inf) for count in samples}
    done, spread = 0, 0.0
    for block in neutrals.stream():
        displacement = block - mean
        errors += space.squared_errors(displacement).sum(axis=0)
        spread += float((displacement.astype(np.float64) ** 2).sum())
        for count, heads in samples.items():
            nearest[count] = np.minimum(nearest[count], space.squared_distances(heads, displacement, count))
        done += len(block)
        progress("identities", done, people)
    vertices = asset.vertex_count
    generalisation = _rms(errors / people, vertices)
    return {
        "identities": people,
        "mean_head_mm": float(_rms(np.array(spread / people), vertices)),
        "generalisation_mm": {str(k): float(v) for k, v in zip(space.counts(), generalisation, strict=True)},
        "specificity_mm": {str(k): float(_rms(value, vertices).mean()) for k, value in nearest.items()},
    }


def _random_heads(space: Space, random: np.random.Generator) -> dict[int, Float[Array, "n K"]]:
    """Coordinates along the axes of random heads with the first axes alone, for each number of axes."""
    drawn = random.normal(size=(_SAMPLES, len(space.axes))) * np.sqrt(space.variance)
    return {count: drawn[:, :count] for count in space.counts()}


@dataclass(frozen=True)
class Expressive:
    """The expressive meshes at rest of a dataset."""

    dataset: Dataset
    neutrals: Neutrals
    shapes: Float[Array, "subjects S"]

    @property
    def count(self) -> int:
        """How many there are."""
        return int((self.dataset.rest & ~self.dataset.neutral).sum())

    def displacements(self, model: HACK) -> Generator[tuple[Float[Array, "b E"], Float[Array, "b D"]]]:
        """Activations and displacements from each subject's own neutral head and larynx, flat."""
        active = activations(self.dataset, model.expression_names)
        for numbers, vertices in self.dataset.batches(self.dataset.rest & ~self.dataset.neutral):
            known = self.neutrals.of(self.dataset.subject[numbers])
            known = known + larynx_displacement(model, self.dataset.larynx[numbers])
            yield active[numbers], (vertices - known).reshape(len(numbers), -1)

    def residuals(self, asset: ModelAsset, progress: Progress) -> Generator[tuple[Array, Float[Array, "b D"]]]:
        """Weights of the expressions and combinations, and what the asset driven by them leaves, flat."""
        model, done = HACK.from_asset(asset), 0
        active = activations(self.dataset, model.expression_names).astype(np.float32)
        for numbers, vertices in self.dataset.batches(self.dataset.rest & ~self.dataset.neutral):
            subjects = self.dataset.subject[numbers]
            size, shift = np.nan_to_num(self.dataset.larynx[numbers]).T
            rig = subject_rig(model, self.neutrals.of(subjects), self.shapes[subjects])
            shown = rig(active[numbers], larynx_size=size, larynx_shift=shift).vertices
            weights = np.asarray(model.expression_coefficients(active[numbers]), np.float64)
            yield weights, (vertices - shown).reshape(len(numbers), -1)
            done += len(numbers)
            progress("expressions", done, self.count)


def _expression_figures(
    model: HACK, space: Space, expressive: Expressive, random: np.random.Generator, progress: Progress
) -> dict[str, Any]:
    """``activations_mm``: error when the dataset's own activations drive the model, without any fitting."""
    asset = model.asset
    active = activations(expressive.dataset, asset.expression_names)
    shown = np.flatnonzero(active.any(axis=0))
    drawn = np.zeros((_SAMPLES, len(active.T)))
    drawn[np.arange(_SAMPLES), random.choice(shown, _SAMPLES)] = random.uniform(size=_SAMPLES)
    heads = drawn @ asset.expression_basis.dense().reshape(len(drawn.T), -1) @ space.axes.T
    result: dict[str, Any] = {
        "meshes": expressive.count,
        **_figures(space, (block for _, block in expressive.displacements(model)), heads),
        "activations_mm": _driven(expressive, asset, progress),
    }
    if asset.personal_expression_basis.size:
        plain = _driven(expressive, generic(asset, "expression"), progress)
        result["activations_without_personalisation_mm"] = plain
    return result


def _driven(expressive: Expressive, asset: ModelAsset, progress: Progress) -> float:
    squared = sum(float((block.astype(np.float64) ** 2).sum()) for _, block in expressive.residuals(asset, progress))
    return float(_rms(np.array(squared / expressive.count), asset.vertex_count))


def _figures(space: Space, blocks: Iterable[Float[Array, "b D"]], heads: Float[Array, "n K"]) -> dict[str, Any]:
    """Generalisation by the number of axes, and specificity of heads given along them."""
    errors, nearest, done, vertices = np.zeros(len(space.counts())), np.full(len(heads), np.inf), 0, 1
    for block in blocks:
        errors += space.squared_errors(block).sum(axis=0)
        if done < _MAX_SPECIFICITY_SAMPLES:
            nearest = np.minimum(nearest, space.squared_distances(heads, block))
        done, vertices = done + len(block), block.shape[1] // 3
    generalisation = _rms(errors / max(done, 1), vertices)
    return {
        "generalisation_mm": {str(k): float(v) for k, v in zip(space.counts(), generalisation, strict=True)},
        "specificity_mm": {str(len(space.axes)): float(_rms(nearest, vertices).mean())},
    }


def _corrective_figures(
    asset: ModelAsset, space: Space, meshes: PosedMeshes, random: np.random.Generator
) -> dict[str, Any]:
    """What skinning alone leaves of posed meshes, carried back to rest, against the space of the correctives.

    Random members of it are made by features of the data's poses, each joint's taken from another pose.
    """
    seen = _rotation_features(meshes)
    joints = random.integers(0, len(seen), (_SAMPLES, 8))
    drawn = seen.reshape(len(seen), 8, 9)[joints, np.arange(8)].reshape(_SAMPLES, 72)[:, asset.pose_features]
    heads = drawn @ asset.pose_basis.dense().reshape(len(asset.pose_basis), -1) @ space.axes.T
    return _figures(space, (block for _, block in _pose_blocks(uncorrected(asset), meshes)), heads)


def _rotation_features(meshes: PosedMeshes) -> Float[Array, "n 72"]:
    rotations = rotation_matrix(meshes.dataset.pose[meshes.chosen].astype(np.float64))
    return (rotations - np.eye(3)).reshape(len(rotations), 72)


def _pose_blocks(asset: ModelAsset, meshes: PosedMeshes) -> Generator[tuple[Array, Float[Array, "b D"]]]:
    for numbers, missing in rest_residuals(asset, meshes):
        rotations = rotation_matrix(meshes.dataset.pose[numbers].astype(np.float64))
        features = (rotations - np.eye(3)).reshape(len(numbers), 72)[:, asset.pose_features]
        yield features, missing.reshape(len(numbers), -1)


def _personal_figures(
    personal: PersonalSpace, blocks: Iterable[tuple[Array, Float[Array, "b D"]]], random: np.random.Generator
) -> dict[str, Any]:
    """What the shared model leaves against the space of identities' own parts; random members are of random people."""
    space = personal.space
    errors, done, vertices = np.zeros(len(space.counts())), 0, personal.asset.vertex_count
    kept: list[Array] = []
    members: list[Array] = []
    for weights, block in blocks:
        errors += personal.squared_errors(weights, block).sum(axis=0)
        done += len(block)
        if len(kept) * BATCH_SIZE < _SAMPLES:
            amounts = random.normal(size=(len(block), len(space.axes))) * np.sqrt(space.variance)
            members.append(np.einsum("bk,bkd->bd", amounts, personal.shown(weights)))
            kept.append(block.astype(np.float64))
    data, drawn = np.concatenate(kept), np.concatenate(members)
    between = (drawn**2).sum(axis=1)[:, None] - 2 * drawn @ data.T + (data**2).sum(axis=1)
    nearest = np.clip(between.min(axis=1), 0, None)
    generalisation = _rms(errors / done, vertices)
    return {
        "generalisation_mm": {str(k): float(v) for k, v in zip(space.counts(), generalisation, strict=True)},
        "specificity_mm": {str(len(space.axes)): float(_rms(nearest, vertices).mean())},
    }


def _pose_figures(asset: ModelAsset, meshes: PosedMeshes, progress: Progress) -> dict[str, Any]:
    """Error by region with the subject's own neutral head as template, with and without parts of the model."""
    regions = dict(zip(asset.region_names, asset.region_weights.astype(np.float64), strict=True))
    regions = {"all": np.ones(asset.vertex_count), **{n: w for n, w in regions.items() if w.sum() > 0}}
    result: dict[str, Any] = {"meshes": int(meshes.chosen.sum())}
    candidates = {"with_correctives_mm": asset, "without_correctives_mm": uncorrected(asset)}
    if asset.personal_expression_basis.size or asset.personal_pose_basis.size:
        plain = generic(asset, "expression", "pose")
        candidates["without_personalisation_mm"] = plain
        candidates["without_correctives_and_personalisation_mm"] = uncorrected(plain)
    for label, candidate in candidates.items():
        squared, done = np.zeros(asset.vertex_count), 0
        for numbers, vertices, output in meshes.predictions(HACK.from_asset(candidate)):
            difference = np.swapaxes(vertices, 1, 2).astype(np.float64) - output.vertices
            squared += (difference**2).sum(axis=(0, 2))
            done += len(numbers)
            progress(f"poses {label.removesuffix('_mm').replace('_', ' ')}", done, result["meshes"])
        squared /= done
        result[label] = {
            name: float(np.sqrt(weight @ squared / weight.sum()) * _MM) for name, weight in regions.items()
        }
    return result
