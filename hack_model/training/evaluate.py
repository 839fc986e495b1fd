"""Measures a model: compactness, generalisation and specificity of its spaces, and the error of held-out poses.

Definitions after Styner et al., "Evaluation of 3D correspondence methods for model building" (IPMI 2003). Errors are
root-mean-square distances between corresponding vertices in millimetres.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.arrayfile import atomic_file
from hack_model.asset import ModelAsset
from hack_model.errors import FormatError
from hack_model.model import HACK
from hack_model.training.dataset import Dataset
from hack_model.training.dynamic import PosedMeshes
from hack_model.training.static import Neutrals, Progress, activations, larynx_displacement

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

COUNTS = (1, 2, 5, 10, 20, 50, 100, 150, 200, 300)
PAPER_SHAPE_GENERALISATION_MM = {100: 0.43, 200: 0.27, 300: 0.20}
"""Read off a figure of the paper's release: RMSE of its shape space on its own held-out identities."""

_SAMPLES = 200
_MAX_EXPRESSION_SAMPLES = 2000
_MM = 1000.0


@dataclass(frozen=True)
class Space:
    """Orthogonal directions of a model's space, largest first: ``axes`` (K, D) of length one, ``variance`` (K,)."""

    axes: Float[Array, "K D"]
    variance: Float[Array, " K"]

    @classmethod
    def of(cls, basis: Float[Array, "K V 3"]) -> Space:
        """The principal axes of ``coefficients @ basis`` for independent coefficients of variance one."""
        flat = basis.reshape(len(basis), -1).astype(np.float64)
        values, vectors = np.linalg.eigh(flat @ flat.T)
        values, vectors = values[::-1], vectors[:, ::-1]
        kept = values > 1e-12 * max(float(values[0]), 1e-30)
        axes = (vectors[:, kept] / np.sqrt(values[kept])).T @ flat
        return cls(axes, values[kept])

    def compactness(self) -> list[float]:
        """Share of the model's variance in the first 1, 2, … axes."""
        return (np.cumsum(self.variance) / self.variance.sum()).tolist()

    def counts(self) -> list[int]:
        """The numbers of axes to report."""
        return sorted({count for count in COUNTS if count < len(self.axes)} | {len(self.axes)})

    def squared_errors(self, displacement: Float[Array, "b D"]) -> Float[Array, "b N"]:
        """Squared norm of what the first :meth:`counts` axes cannot say of displacements."""
        told = np.cumsum((displacement @ self.axes.T) ** 2, axis=1)
        whole = (displacement.astype(np.float64) ** 2).sum(axis=1)[:, None]
        return np.clip(whole - told[:, [count - 1 for count in self.counts()]], 0, None)


def evaluate(asset: ModelAsset, dataset: Dataset | None = None, *, seed: int = 0, progress: Progress) -> dict[str, Any]:
    """All figures as JSON-able values.

    Without data only compactness can be told; with data that the model has not seen also generalisation (how well it
    shows the data's people and expressions), specificity (how far random heads of the model lie from the nearest of the
    data's) and the error of poses by region. ``held_out`` is false when the model was trained on this very dataset.
    """
    shape, expression = Space.of(asset.shape_basis.dense()), Space.of(asset.expression_basis.dense())
    report: dict[str, Any] = {
        "model": f"{asset.name} {asset.version}",
        "shape": {"compactness": shape.compactness()},
        "expression": {"compactness": expression.compactness()},
        "paper": {"shape_generalisation_mm": {str(k): v for k, v in PAPER_SHAPE_GENERALISATION_MM.items()}},
    }
    if dataset is None:
        return report
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
    report["held_out"] = _trained_on(asset) != dataset.digest
    report["meshes"] = len(dataset)
    model, random = HACK.from_asset(asset), np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        neutrals = Neutrals.create(Path(folder) / "neutral.npy", dataset, model, progress)
        report["shape"] |= _shape_figures(asset, shape, neutrals, random, progress)
        report["expression"] |= _expression_figures(model, expression, dataset, neutrals, random, progress)
        meshes = PosedMeshes.of(dataset, neutrals, asset.expression_names)
        if meshes.chosen.any():
            report["pose"] = _pose_figures(asset, meshes, progress)
    return report


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
    except (ValueError, AttributeError):
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
            nearest[count] = np.minimum(nearest[count], _squared_distances(heads, displacement, space, count))
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


def _squared_distances(
    heads: Float[Array, "n K"], data: Float[Array, "b D"], space: Space, count: int
) -> Float[Array, " n"]:
    """Squared distance of each head to the nearest of the data, without making the heads' vertices."""
    inside = data @ space.axes[:count].T
    outside = np.clip((data.astype(np.float64) ** 2).sum(axis=1) - (inside**2).sum(axis=1), 0, None)
    between = (heads**2).sum(axis=1)[:, None] - 2 * heads @ inside.T + (inside**2).sum(axis=1)
    return np.clip((between + outside).min(axis=1), 0, None)


def _expression_figures(
    model: HACK,
    space: Space,
    dataset: Dataset,
    neutrals: Neutrals,
    random: np.random.Generator,
    progress: Progress,
) -> dict[str, Any]:
    """``activations_mm``: error when the dataset's own activations drive the model, without any fitting."""
    chosen = dataset.rest & ~dataset.neutral
    if not chosen.any():
        return {}
    asset = model.asset
    basis = asset.expression_basis.dense().reshape(len(asset.expression_basis), -1)
    active = activations(dataset, asset.expression_names)
    errors, driven, done = np.zeros(len(space.counts())), 0.0, 0
    shown = np.flatnonzero(active[chosen].any(axis=0))
    drawn = np.zeros((_SAMPLES, len(basis)))
    drawn[np.arange(_SAMPLES), random.choice(shown, _SAMPLES)] = random.uniform(size=_SAMPLES)
    heads = drawn @ basis @ space.axes.T
    nearest = np.full(_SAMPLES, np.inf)
    for numbers, vertices in dataset.batches(chosen):
        known = neutrals.of(dataset.subject[numbers]) + larynx_displacement(model, dataset.larynx[numbers])
        displacement = (vertices - known).reshape(len(numbers), -1)
        errors += space.squared_errors(displacement).sum(axis=0)
        driven += float(((displacement - active[numbers] @ basis) ** 2).sum())
        if done < _MAX_EXPRESSION_SAMPLES:
            nearest = np.minimum(nearest, _squared_distances(heads, displacement, space, len(space.axes)))
        done += len(numbers)
        progress("expressions", done, int(chosen.sum()))
    generalisation = _rms(errors / done, asset.vertex_count)
    return {
        "meshes": done,
        "activations_mm": float(_rms(np.array(driven / done), asset.vertex_count)),
        "generalisation_mm": {str(k): float(v) for k, v in zip(space.counts(), generalisation, strict=True)},
        "specificity_mm": {str(len(space.axes)): float(_rms(nearest, asset.vertex_count).mean())},
    }


def _pose_figures(asset: ModelAsset, meshes: PosedMeshes, progress: Progress) -> dict[str, Any]:
    """Error by region with the subject's own neutral head as template, with and without correctives."""
    regions = dict(zip(asset.region_names, asset.region_weights.astype(np.float64), strict=True))
    regions = {"all": np.ones(asset.vertex_count), **{n: w for n, w in regions.items() if w.sum() > 0}}
    result: dict[str, Any] = {"meshes": int(meshes.chosen.sum())}
    plain = replace(asset, pose_basis=asset.pose_basis[:0], pose_features=asset.pose_features[:0])
    for label, candidate in (("with_correctives_mm", asset), ("without_correctives_mm", plain)):
        squared, done = np.zeros(asset.vertex_count), 0
        for numbers, vertices, output in meshes.predictions(HACK.from_asset(candidate)):
            difference = np.swapaxes(vertices, 1, 2).astype(np.float64) - output.vertices
            squared += (difference**2).sum(axis=(0, 2))
            done += len(numbers)
            progress(f"poses {label.split('_')[0]} correctives", done, result["meshes"])
        squared /= done
        result[label] = {
            name: float(np.sqrt(weight @ squared / weight.sum()) * _MM) for name, weight in regions.items()
        }
    return result
