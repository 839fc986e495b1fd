"""The spaces of a model that an evaluation measures: their axes, largest first, and how far data lies from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.asset import ModelAsset
from hack_model.basis import Basis

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

NOT_PERSONAL: dict[str, Any] = {
    f"personal_{kind}_{part}": np.zeros(shape, dtype)
    for kind in ("expression", "pose")
    for part, shape, dtype in (("basis", (0, 0, 3), float), ("pairs", (0, 2), int), ("map", (0, 0), float))
}
"""The fields of an asset without personalised bases."""
COUNTS = (1, 2, 5, 10, 20, 50, 100, 150, 200, 300)


@dataclass(frozen=True)
class Space:
    """Orthogonal directions of a model's space, largest first: ``axes`` (K, D) of length one, ``variance`` (K,)."""

    axes: Float[Array, "K D"]
    variance: Float[Array, " K"]

    @classmethod
    def of(cls, basis: Float[Array, "K V 3"]) -> Space:
        """The principal axes of ``coefficients @ basis`` for independent coefficients of variance one."""
        if not basis.size:
            return cls(np.zeros((0, basis.shape[1] * 3)), np.zeros(0))
        flat = np.asarray(basis, np.float64).reshape(len(basis), -1)
        values, vectors = np.linalg.eigh(flat @ flat.T)
        values, vectors = values[::-1], vectors[:, ::-1]
        kept = values > 1e-12 * max(float(values[0]), 1e-30)
        axes = (vectors[:, kept] / np.sqrt(values[kept])).T @ flat
        return cls(axes, values[kept])

    def compactness(self) -> list[float]:
        """Share of the model's variance in the first 1, 2, … axes."""
        return (np.cumsum(self.variance) / max(float(self.variance.sum()), 1e-30)).tolist()

    def counts(self) -> list[int]:
        """The numbers of axes to report."""
        return sorted({count for count in COUNTS if count < len(self.axes)} | {len(self.axes)})

    def squared_errors(self, displacement: Float[Array, "b D"]) -> Float[Array, "b N"]:
        """Squared norm of what the first :meth:`counts` axes cannot say of displacements."""
        told = np.cumsum((displacement @ self.axes.T) ** 2, axis=1)
        whole = (displacement.astype(np.float64) ** 2).sum(axis=1)[:, None]
        return np.clip(whole - told[:, [count - 1 for count in self.counts()]], 0, None)

    def squared_distances(
        self, heads: Float[Array, "n K"], data: Float[Array, "b D"], count: int | None = None
    ) -> Float[Array, " n"]:
        """Squared distance of heads, given along the first ``count`` axes, to the nearest of the data."""
        inside = data @ self.axes[:count].T
        outside = np.clip((data.astype(np.float64) ** 2).sum(axis=1) - (inside**2).sum(axis=1), 0, None)
        between = (heads**2).sum(axis=1)[:, None] - 2 * heads @ inside.T + (inside**2).sum(axis=1)
        return np.clip((between + outside).min(axis=1), 0, None)


@dataclass(frozen=True)
class PersonalSpace:
    """A personalised basis along its principal axes over the population.

    ``space`` has the axes in the basis' own pairs; what a mesh shows of them depends on its weights of the rows.
    """

    space: Space
    asset: ModelAsset
    kind: str

    @classmethod
    def of(cls, asset: ModelAsset, kind: str) -> PersonalSpace:
        """The space of a kind, ``expression`` or ``pose``; without axes where the asset has none."""
        basis = getattr(asset, f"personal_{kind}_basis").astype(np.float64)
        into = getattr(asset, f"personal_{kind}_map").astype(np.float64)
        # Coefficients map @ shape with independent shapes are a square root of their covariance times independent ones.
        values, vectors = np.linalg.eigh(into @ into.T)
        root = vectors * np.sqrt(np.clip(values, 0, None))
        return cls(Space.of(np.tensordot(root.T, basis, 1)), asset, kind)

    def shown(self, weights: Float[Array, "b R"]) -> Float[Array, "b K D"]:
        """Displacement of the model's vertices by one unit of each axis, for the weights of the rows, flat."""
        pairs = getattr(self.asset, f"personal_{self.kind}_pairs")
        axes = self.space.axes.reshape(len(self.space.axes), len(pairs), 3)
        moved = np.zeros((len(weights), len(axes), self.asset.control_count, 3))
        for row in np.unique(pairs[:, 0]):
            here = np.flatnonzero(pairs[:, 0] == row)
            moved[:, :, pairs[here, 1]] += weights[:, row, None, None, None] * axes[:, here]
        if self.asset.refinement is not None:
            moved = self.asset.refinement.apply(moved)
        return moved.reshape(len(weights), len(axes), -1)

    def squared_errors(self, weights: Float[Array, "b R"], residual: Float[Array, "b D"]) -> Float[Array, "b N"]:
        """Squared norm of what the first :meth:`Space.counts` axes, each mesh with the best amounts of them, leave."""
        result = np.zeros((len(weights), len(self.space.counts())))
        for number, (axes, wanted) in enumerate(zip(self.shown(weights), residual.astype(np.float64), strict=True)):
            for place, count in enumerate(self.space.counts()):
                amounts = np.linalg.lstsq(axes[:count] @ axes[:count].T, axes[:count] @ wanted, rcond=None)[0]
                result[number, place] = ((wanted - amounts @ axes[:count]) ** 2).sum()
        return result


def generic(asset: ModelAsset, *kinds: str) -> ModelAsset:
    """The asset without the personalised bases of these kinds."""
    return replace(asset, **{name: none for name, none in NOT_PERSONAL.items() if name.split("_")[1] in kinds})


def summed(asset: ModelAsset) -> ModelAsset:
    """The asset whose expressions merely add up: without combinations and personalised expressions."""
    return replace(
        generic(asset, "expression"),
        combination_names=(),
        combination_sources=asset.combination_sources[:0],
        combination_peaks=asset.combination_peaks[:0],
        combination_basis=asset.combination_basis[[]],
    )


def uncorrected(asset: ModelAsset) -> ModelAsset:
    """The asset without correctives."""
    none = Basis.of(np.zeros((0, 0, 3)))
    return replace(generic(asset, "pose"), pose_basis=none, pose_features=np.zeros(0, np.int32))
