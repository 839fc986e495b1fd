"""The larynx: a bump sampled from a chart of the front of the neck, which slides along the chart's v.

One rule serves every model. A texel lies at each corner of the chart (``align_corners`` in torch's words), heights
between are bilinear, and beyond the chart's rim they are zero. The official release samples with border padding
instead; its chart is zero all round the rim, so both rules agree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.asset import ModelAsset

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from hack_model.parameters import Backend

    Array = Any


@dataclass(frozen=True)
class Larynx:
    """The bump's height over each vertex as a function of the slide.

    A vertex's u never changes, so the chart is read along v only: ``profiles`` (N, A + 2) holds, for the N vertices
    that some slide can move, the heights along v with a zero before and after; ``rows`` (N,) is the unshifted place
    in it. ``columns`` (V,) is each vertex's row of ``profiles``, N for vertices that never move.
    """

    profiles: Float[Array, "N R"]
    rows: Float[Array, " N"]
    columns: Int[Array, " V"]
    rest: Float[Array, " V"]
    rows_per_metre: float
    backend: Backend

    @classmethod
    def of(cls, asset: ModelAsset, backend: Backend, vertices: Int[np.ndarray, " N"] | None = None) -> Larynx:
        """The chart of an asset, reduced to what it can move of the given vertices (all by default)."""
        uv = asset.larynx_uv if vertices is None else asset.larynx_uv[vertices]
        moving, profiles, rows = _profiles(asset.larynx_map.astype(np.float64), uv.astype(np.float64))
        columns = np.full(len(uv), len(moving))
        columns[moving] = np.arange(len(moving))
        still = cls(
            backend.constant(profiles),
            backend.constant(rows),
            backend.constant(columns),
            rest=None,
            rows_per_metre=(len(asset.larynx_map) - 1) / asset.larynx_metres_per_v,
            backend=backend,
        )
        return replace(still, rest=still.height(backend.constant(np.zeros(()))))

    def height(self, shift: Float[Array, "*batch"] | None = None) -> Float[Array, "*batch V"]:
        """Heights in metres at size 1 with the bump slid up by ``shift`` metres.

        A bump that has moved up by s shows at a vertex what lay s below it, so the chart is read at
        ``v - shift / larynx_metres_per_v``.
        """
        if shift is None:
            return self.rest
        xp = self.backend.xp
        count, length = self.profiles.shape
        place = xp.clip(self.rows - shift[..., None] * self.rows_per_metre, 0.0, float(length - 1))
        below = xp.clip(xp.floor(place), 0.0, float(length - 2))
        share = place - below
        index = xp.arange(count, device=self.backend.device) * length + xp.astype(below, xp.int64)
        heights = xp.reshape(self.profiles, (-1,))
        flat = xp.reshape(index, (-1,))
        low = xp.reshape(xp.take(heights, flat, axis=0), index.shape)
        high = xp.reshape(xp.take(heights, flat + 1, axis=0), index.shape)
        moved = low + share * (high - low)
        padded = xp.concat([moved, xp.zeros_like(moved[..., :1])] if count else [shift[..., None] * 0], axis=-1)
        return xp.take(padded, self.columns, axis=-1)


def _profiles(chart: np.ndarray, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices inside the chart whose line along v meets the bump, their heights along it, their rows on it."""
    height, width = chart.shape
    padded = np.pad(chart, 1)
    inside = np.flatnonzero(((uv >= 0) & (uv <= 1)).all(axis=1))
    column = uv[inside, 0] * (width - 1) + 1
    left = np.floor(column).astype(int)
    share = column - left
    profiles = (padded[:, left] * (1 - share) + padded[:, left + 1] * share).T
    moving = (profiles != 0).any(axis=1)
    return inside[moving], profiles[moving], uv[inside[moving], 1] * (height - 1) + 1
