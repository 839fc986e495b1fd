"""Combinations of expressions: what several at once, or one half-way, look like beyond the sum of their shapes.

A combination's weight is the product of one factor per source expression: with peak 1 the activation clipped to
[0, 1], with a peak p below 1 (an in-between) the tent that is 0 at 0 and 1 and 1 at p.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from hack_model.asset import ModelAsset
    from hack_model.parameters import Backend

    Array = Any


@dataclass(frozen=True)
class Combinations:
    """The rule in a model's array library: each factor is ``min(rise · w + start, top - fall · w)``, at least 0."""

    sources: tuple[Int[Array, " X"], ...]
    rise: Float[Array, "I X"]
    start: Float[Array, "I X"]
    top: Float[Array, "I X"]
    fall: Float[Array, "I X"]
    backend: Backend

    @classmethod
    def of(cls, asset: ModelAsset, backend: Backend) -> Combinations | None:
        """The rule of an asset's combinations; None when it has none."""
        if not asset.combination_names:
            return None
        sources, peaks = asset.combination_sources.T, asset.combination_peaks.T.astype(np.float64)
        used, tent = sources >= 0, (sources >= 0) & (peaks < 1)
        fall = np.where(tent, 1 / np.where(tent, 1 - peaks, 1), 0)
        return cls(
            sources=tuple(backend.constant(np.maximum(column, 0)) for column in sources),
            rise=backend.constant(np.where(used, 1 / np.where(used, peaks, 1), 0)),
            start=backend.constant(np.where(used, 0.0, 1.0)),
            top=backend.constant(np.where(tent, fall, 1.0)),
            fall=backend.constant(fall),
            backend=backend,
        )

    def weights(self, expression: Float[Array, "*batch E"]) -> Float[Array, "*batch X"]:
        """Weight of each combination, in [0, 1]; differentiable but at the tents' kinks and the clips."""
        xp = self.backend.xp
        result = None
        for index, source in enumerate(self.sources):
            value = xp.take(expression, source, axis=-1)
            rising, falling = self.rise[index] * value + self.start[index], self.top[index] - self.fall[index] * value
            factor = xp.minimum(rising, falling)
            factor = xp.maximum(factor, xp.zeros_like(factor))
            result = factor if result is None else result * factor
        return result
