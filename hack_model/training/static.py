"""The static stage: what meshes at rest say of throat, identity and expression.

Every estimate is the most probable one under Gaussian noise of the vertices and a Gaussian prior whose mean is the
template model, so what the data does not show stays the template's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.asset import ModelAsset
from hack_model.model import HACK
from hack_model.training.dataset import BATCH_SIZE, Dataset

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

Progress = Callable[[str, int, int], None]

_EXPRESSION_SD = 0.02
"""Prior of an expression's difference from the template's, metres at activation 1."""
_BUMP_SLOPE_SD = 0.1
"""Prior of the change between neighbouring texels of the larynx map's difference from the template's, as a share of the
template's highest bump per hundredth of the map's width."""


@dataclass(frozen=True)
class Neutrals:
    """The neutral head of each subject without its larynx, (subjects, V, 3) float32 in a file read as needed."""

    path: Path

    @classmethod
    def create(cls, path: Path, dataset: Dataset, model: HACK, progress: Progress) -> Neutrals:
        """The mean of each subject's neutral meshes at rest, less the annotated larynx; done already if the file is."""
        if path.is_file():
            return cls(path)
        chosen = dataset.neutral
        counts = np.bincount(dataset.subject[chosen], minlength=len(dataset.subject_names))
        shape = (len(dataset.subject_names), dataset.vertex_count, 3)
        partial = path.with_suffix(".partial.npy")
        sums = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=shape)
        done = 0
        for numbers, vertices in dataset.batches(chosen):
            subjects = dataset.subject[numbers]
            free = vertices - larynx_displacement(model, dataset.larynx[numbers])
            np.add.at(sums, subjects, free / counts[subjects, None, None].astype(np.float32))
            done += len(numbers)
            progress("neutral heads", done, int(chosen.sum()))
        sums.flush()
        del sums
        partial.replace(path)
        return cls(path)

    def open(self) -> Float[Array, "subjects V 3"]:
        """The heads, mapped from the file and read-only."""
        return np.load(self.path, mmap_mode="r", allow_pickle=False)

    def of(self, subjects: Int[Array, " b"]) -> Float[Array, "b V 3"]:
        """Copies of the heads of some subjects."""
        return np.asarray(self.open()[subjects])

    def stream(self) -> Generator[Float[Array, "b D"]]:
        """All heads, flat, in blocks. The file is opened anew, so pages read before need no memory."""
        count = len(self.open())
        for start in range(0, count, 4 * BATCH_SIZE):
            yield self.of(np.arange(start, min(start + 4 * BATCH_SIZE, count))).reshape(
                -1, math.prod(self.open().shape[1:])
            )


def larynx_displacement(model: HACK, larynx: Float[Array, "b 2"]) -> Float[Array, "b V 3"]:
    """Metres by which an annotated larynx (size, shift) moves each vertex; zero where it is not annotated."""
    size, shift = np.nan_to_num(larynx).astype(np.float32).T
    height = np.asarray(model.larynx.height(shift)) * size[:, None]
    return height[..., None] * np.asarray(model.larynx_direction)


def learn_larynx(dataset: Dataset, template: ModelAsset, noise: float) -> dict[str, np.ndarray]:
    """Map and direction of the larynx from subjects whose neutral meshes show it at several sizes or heights.

    Each subject has an own unknown neutral, so only differences between a subject's meshes count: a least-squares
    problem in the texels of a map with three components, smooth in its difference from the template's. Its best single
    direction follows by singular value decomposition, and the heights along it by the same problem again. Without such
    subjects the template's are returned.
    ``learned`` is the number of meshes used.
    """
    kept = {"map": template.larynx_map, "direction": template.larynx_direction, "learned": np.array(0)}
    chosen = dataset.neutral & dataset.annotated
    chosen &= _varied(dataset, chosen)[dataset.subject]
    region = np.flatnonzero(((template.larynx_uv >= 0) & (template.larynx_uv <= 1)).all(axis=1))
    if not chosen.any() or not len(region):
        return kept
    from scipy.sparse import csr_matrix, kron
    from scipy.sparse import eye as identity
    from scipy.sparse.linalg import splu

    rows, columns = template.larynx_map.shape
    texels = rows * columns
    sums: dict[int, list[Any]] = {}
    normal, right = csr_matrix((texels, texels)), np.zeros((texels, 3))
    for numbers, vertices in dataset.batches(chosen):
        for number, mesh in zip(numbers, vertices[:, region].astype(np.float64), strict=True):
            size, shift = dataset.larynx[number]
            row = _sampling(template, region, shift) * size
            normal, right = normal + row.T @ row, right + row.T @ mesh
            entry = sums.setdefault(int(dataset.subject[number]), [0, csr_matrix(row.shape), np.zeros_like(mesh)])
            entry[0], entry[1], entry[2] = entry[0] + 1, entry[1] + row, entry[2] + mesh
    for count, row, mesh in sums.values():
        normal, right = normal - row.T @ row / count, right - row.T @ mesh / count
    slopes = [_differences(n) for n in (rows, columns)]
    slope = [kron(slopes[0], identity(columns)), kron(identity(rows), slopes[1])]
    scale = _BUMP_SLOPE_SD * max(float(np.abs(template.larynx_map).max()), 1e-3) * 100 / max(rows, columns)
    prior = sum(part.T @ part for part in slope) * (noise / scale) ** 2
    # Beyond the rim the bump is zero, and so it must be on it.
    inner = np.zeros((rows, columns), bool)
    inner[1:-1, 1:-1] = True
    free = np.flatnonzero(inner)
    solver = splu((normal + prior).tocsr()[free][:, free].tocsc())

    def solve(start: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        found = start.copy()
        found[free] += solver.solve((wanted - normal @ start)[free])
        return found

    heights = template.larynx_map.reshape(texels).astype(np.float64)
    seen = np.sqrt(np.clip(normal.diagonal(), 0, None))[
        :, None
    ]  # texels no throat showed have the template's direction
    direction = np.linalg.svd(seen * solve(heights[:, None] * template.larynx_direction, right), full_matrices=False)[
        2
    ][0]
    direction *= np.sign(direction @ template.larynx_direction) or 1.0
    return {
        "map": solve(heights, right @ direction).reshape(rows, columns),
        "direction": direction,
        "learned": np.array(int(chosen.sum())),
    }


def _differences(count: int) -> Any:
    """The matrix (count - 1, count) of differences between neighbours."""
    from scipy.sparse import eye as identity

    return identity(count - 1, count, k=1) - identity(count - 1, count)


def _varied(dataset: Dataset, chosen: np.ndarray) -> np.ndarray:
    """Which subjects' chosen meshes differ in size or shift of the larynx."""
    count = len(dataset.subject_names)
    low, high = np.full((count, 2), np.inf), np.full((count, 2), -np.inf)
    np.minimum.at(low, dataset.subject[chosen], dataset.larynx[chosen])
    np.maximum.at(high, dataset.subject[chosen], dataset.larynx[chosen])
    return (high > low).any(axis=1)


def _sampling(template: ModelAsset, region: np.ndarray, shift: float) -> Any:
    """The matrix (region, texels) that reads a map as :class:`hack_model.larynx.Larynx` does, bilinearly."""
    from scipy.sparse import csr_matrix

    rows, columns = template.larynx_map.shape
    uv = template.larynx_uv[region].astype(np.float64)
    across, up = uv[:, 0] * (columns - 1), (uv[:, 1] - shift / template.larynx_metres_per_v) * (rows - 1)
    left, low = np.floor(across).astype(int), np.floor(up).astype(int)
    entries: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for right, above in np.ndindex(2, 2):
        column, row = left + right, low + above
        weight = (1 - np.abs(across - column)) * (1 - np.abs(up - row))
        inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        entries.append((weight[inside], np.flatnonzero(inside), (row * columns + column)[inside]))
    values, vertices, texels = (np.concatenate(part) for part in zip(*entries, strict=True))
    return csr_matrix((values, (vertices, texels)), shape=(len(region), rows * columns))


def expression_names(dataset: Dataset, template: ModelAsset) -> tuple[str, ...]:
    """The template's expressions, then those only the dataset has."""
    return (*template.expression_names, *(n for n in dataset.expression_names if n not in template.expression_names))


def activations(dataset: Dataset, names: tuple[str, ...]) -> Float[Array, "n E"]:
    """The dataset's activations in the order of the model's names."""
    result = np.zeros((len(dataset), len(names)))
    result[:, [names.index(name) for name in dataset.expression_names]] = dataset.expression
    return result


def combination_displacement(model: HACK, active: Float[Array, "b E"]) -> Float[Array, "b V 3"] | float:
    """Metres by which the model's combinations move each vertex at these activations of its own expressions."""
    if model.combinations is None:
        return 0.0
    weights = np.asarray(model.combinations.weights(active[:, : len(model.expression_names)].astype(np.float32)))
    return np.tensordot(weights, np.asarray(model.combination_basis), 1)


def expression_residuals(
    dataset: Dataset, neutrals: Neutrals, model: HACK, progress: Callable[[int], None]
) -> Generator[tuple[Int[Array, " b"], Float[Array, "b E"], Float[Array, "b V 3"]]]:
    """Sample numbers, activations and what the shared expressions leave of expressive meshes at rest, metres."""
    weights = activations(dataset, model.expression_names)
    basis = model.asset.expression_basis.dense().reshape(len(model.expression_names), -1)
    for numbers, vertices in dataset.batches(dataset.rest & ~dataset.neutral):
        known = neutrals.of(dataset.subject[numbers]) + larynx_displacement(model, dataset.larynx[numbers])
        known = known + combination_displacement(model, weights[numbers])
        shown = (weights[numbers].astype(np.float32) @ basis).reshape(vertices.shape)
        yield numbers, weights[numbers], vertices - known - shown
        progress(len(numbers))


def learn_expressions(
    dataset: Dataset, neutrals: Neutrals, model: HACK, noise: float, progress: Progress
) -> dict[str, np.ndarray]:
    """The expressions all subjects share, (E, V, 3) metres at activation 1, by regularised least squares.

    Differences from each subject's own neutral are explained by their activations; ``seen`` (E,) counts the meshes that
    show each expression. Unseen ones stay the template's (zero for names it lacks).
    """
    names = expression_names(dataset, model.asset)
    weights = activations(dataset, names)
    start = np.zeros((len(names), model.vertex_count, 3))
    start[: len(model.expression_names)] = model.asset.expression_basis.dense()
    chosen = dataset.rest & ~dataset.neutral
    normal = np.eye(len(names)) * (noise / _EXPRESSION_SD) ** 2
    right = np.zeros((len(names), 3 * model.vertex_count))
    done = 0
    for numbers, vertices in dataset.batches(chosen):
        known = neutrals.of(dataset.subject[numbers]) + larynx_displacement(model, dataset.larynx[numbers])
        active = weights[numbers]
        known = known + combination_displacement(model, active)
        missing = (vertices - known).reshape(len(numbers), -1) - active @ start.reshape(len(names), -1)
        normal += active.T @ active
        right += active.T @ missing
        done += len(numbers)
        progress("expressions", done, int(chosen.sum()))
    basis = start + np.linalg.solve(normal, right).reshape(start.shape)
    return {"basis": basis.astype(np.float32), "seen": (weights[chosen] != 0).sum(axis=0)}


def projected_directions(asset: ModelAsset, basis: Float[Array, "S V 3"]) -> Float[Array, "D S"]:
    """The template's semantic directions in a new shape basis, nearest in the least-squares sense."""
    if not asset.directions.size:
        return asset.directions
    wanted = np.tensordot(asset.directions, asset.shape_basis.dense(), axes=1).reshape(len(asset.directions), -1)
    flat = basis.reshape(len(basis), -1).astype(np.float64)
    return np.linalg.lstsq(flat @ flat.T, flat @ wanted.T, rcond=None)[0].T


def with_larynx(asset: ModelAsset, found: dict[str, np.ndarray]) -> ModelAsset:
    """The asset with a learned larynx.

    Annotated sizes are those of the bump itself, whoever shows it, so the identity takes no part in them.
    """
    return replace(
        asset, larynx_map=found["map"], larynx_direction=found["direction"], larynx_identity=np.zeros(0, np.float32)
    )
