"""Displacements of points that are bilinear in identity and activation: expressions, combinations, correctives.

A row of such a basis is the one everybody shares plus the identity's own part, whose coefficients are linear in shape:

    displacement = sum over rows r of  weight_r (G_r + sum over components m of (map · shape)_m Q_mr)

Each row's own part concerns few points, so it is kept row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from hack_model.personal import refinement_entries

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from hack_model.asset import ModelAsset
    from hack_model.combinations import Combinations

    Array = np.ndarray


@dataclass(frozen=True)
class OwnRows:
    """``shared`` (P, 3, R) metres of P points; ``points`` (n,), ``rows`` (n,) and ``own`` (n, 3, M) the entries that
    differ between identities, sorted by row, ``starts`` (R + 1,) where each row's begin; ``map`` (M, S)."""

    shared: Float[Array, "P 3 R"]
    points: Int[Array, " n"]
    rows: Int[Array, " n"]
    starts: Int[Array, " R+1"]
    own: Float[Array, "n 3 M"]
    map: Float[Array, "M S"]

    @classmethod
    def of(
        cls,
        asset: ModelAsset,
        kind: str,
        shared: Float[Array, "P 3 R"],
        vertices: Int[Array, "P 3"],
        factors: Float[Array, "P 3"],
    ) -> OwnRows:
        """The rows of a ``kind``, ``expression`` or ``pose``, at points that are weighted sums of three vertices."""
        count, row_count = len(shared), shared.shape[2]
        basis, pairs = getattr(asset, f"personal_{kind}_basis"), getattr(asset, f"personal_{kind}_pairs")
        components = getattr(asset, f"personal_{kind}_map").astype(np.float64)
        if not len(pairs):
            none = np.zeros(0, np.int64)
            return cls(
                shared, none, none, np.zeros(row_count + 1, np.int64), np.zeros((0, 3, 0)),
                np.zeros((0, len(asset.shape_basis))),
            )  # fmt: skip
        place, control, factor = refinement_entries(asset, vertices.reshape(-1))
        weight = factor * factors.reshape(-1)[place]
        carry = sp.csr_matrix((weight, (place // 3, control)), (count, asset.control_count))
        parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for row in range(row_count):
            here = pairs[:, 0] == row
            moved = carry[:, pairs[here, 1]]
            points = np.flatnonzero(moved.getnnz(axis=1))
            values = basis[:, here].astype(np.float64).transpose(1, 2, 0)
            own = moved[points] @ values.reshape(len(values), 3 * len(basis))  # rows of no pairs too
            parts.append((points, np.full(len(points), row), own.reshape(len(points), 3, len(basis))))
        points, rows, own = (np.concatenate(items) for items in zip(*parts, strict=True))
        starts = np.concatenate([[0], np.cumsum([len(part[0]) for part in parts])])
        return cls(shared, points, rows, starts, own, components)

    def displacement(self, shape: Float[Array, " S"], weights: Float[Array, " R"]) -> Float[Array, "P 3"]:
        """Displacement of the points, metres."""
        moved = self.shared @ weights
        return moved + self._mixed(weights) @ (self.map @ shape) if len(self.points) else moved

    def basis(self, shape: Float[Array, " S"]) -> Float[Array, "P 3 R"]:
        """The identity's rows: the derivative of the displacement by the weights."""
        result = self.shared.copy()
        result[self.points, :, self.rows] += self.own @ (self.map @ shape)
        return result

    def by_shape(self, weights: Float[Array, " R"]) -> Float[Array, "P 3 S"]:
        """Derivative of the displacement by the shape."""
        return self._mixed(weights) @ self.map

    def _mixed(self, weights: np.ndarray) -> Float[Array, "P 3 M"]:
        """The components' displacements, each row's by its weight."""
        result = np.zeros((*self.shared.shape[:2], self.own.shape[2]))
        for row in np.flatnonzero(weights):
            span = slice(self.starts[row], self.starts[row + 1])
            result[self.points[span]] += weights[row] * self.own[span]
        return result


@dataclass(frozen=True)
class Activation:
    """Weights of expressions and combinations as a function of the expressions, with derivatives."""

    expression_count: int
    sources: Int[Array, "I X"]
    rise: Float[Array, "I X"]
    start: Float[Array, "I X"]
    top: Float[Array, "I X"]
    fall: Float[Array, "I X"]

    @classmethod
    def of(cls, combinations: Combinations | None, expression_count: int) -> Activation:
        """The rule of a model in numpy."""
        if combinations is None:
            empty = np.zeros((1, 0))
            return cls(expression_count, empty.astype(int), empty, empty, empty, empty)
        names = ("rise", "start", "top", "fall")
        fields = {name: np.asarray(getattr(combinations, name), np.float64) for name in names}
        return cls(expression_count, np.stack([np.asarray(item) for item in combinations.sources]), **fields)

    def weights(self, expression: Float[Array, " E"]) -> Float[Array, " R"]:
        """Of all expressions, then all combinations."""
        return np.concatenate([expression, self._factors(expression)[0].prod(axis=0)])

    def derivative(self, expression: Float[Array, " E"]) -> Float[Array, "R E"]:
        """Of the weights by the expressions; at 0 and 1 from within, at a tent's top that of its rising side."""
        factor, slope = self._factors(expression)
        result = np.zeros((self.expression_count + factor.shape[1], self.expression_count))
        result[: self.expression_count] = np.eye(self.expression_count)
        columns = self.expression_count + np.arange(factor.shape[1])
        for index in range(len(factor)):
            others = np.delete(factor, index, axis=0).prod(axis=0)
            np.add.at(result, (columns, self.sources[index]), others * slope[index])
        return result

    def _factors(self, expression: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Factor of each source in each combination, and its slope."""
        value = expression[self.sources]
        rising, falling = self.rise * value + self.start, self.top - self.fall * value
        factor = np.minimum(rising, falling)
        slope = np.where(rising <= falling, self.rise, -self.fall)
        return np.maximum(factor, 0.0), np.where(factor >= 0, slope, 0.0)
