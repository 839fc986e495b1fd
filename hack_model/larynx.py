"""The larynx: a bump sampled from a chart of the front of the neck, which slides along the chart's v.

    L = direction · (size · e^(identity · shape) · B(u, v - shift) + forward · F(u, v - shift))

B is the bump of the mean identity, F says how far the skin follows a larynx that glides forward. One rule serves every
model. A texel lies at each corner of the chart (``align_corners`` in torch's words), heights
between are bilinear, and beyond the chart's rim they are zero. The official release samples with border padding
instead; its chart is zero all round the rim, so both rules agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj

from hack_model.asset import ModelAsset
from hack_model.errors import ParameterError

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from hack_model.parameters import Backend

    Array = Any


SWALLOW_DURATION: Final = 1.13
SWALLOW_RISE: Final = 0.0104
SWALLOW_FORWARD: Final = 0.0069
"""Seconds and metres of the mean swallow: 1.13 ± 0.28 s, 10.4 ± 4.5 mm up, then 6.9 ± 2.5 mm forward, and back (Deng
2015, Chinese Journal of Radiation Oncology 24:668, n = 40, measured at the laryngeal ventricle)."""

SWALLOW_KNOTS: Final = {
    "shift": ((0.0, 0.0), (0.38, 1.0), (0.66, 1.0), (1.0, 0.0)),
    "forward": ((0.0, 0.0), (0.26, 0.0), (0.56, 1.0), (0.66, 1.0), (1.0, 0.0)),
}
"""Share of the duration, and of the rise and the forward glide, where each movement starts and stops. The study gives
the order and the whole length; the proportions are our choice: the glide begins near the end of the rise."""


class Swallow(NamedTuple):
    """Slide and forward glide of the larynx in metres over a swallow, to be given as those parameters."""

    shift: Float[Array, "*t"]
    forward: Float[Array, "*t"]


def swallow(
    t: Float[Array, "*t"] | float,
    *,
    duration: float = SWALLOW_DURATION,
    rise: float = SWALLOW_RISE,
    forward: float = SWALLOW_FORWARD,
) -> Swallow:
    """The larynx at ``t`` seconds from the start of a swallow, zero before and after; for arrays of any library.

    Between knots (:data:`SWALLOW_KNOTS`) both go by 3 s² - 2 s³, so that velocity is zero at every knot: Blender's own
    curve between two keys with level handles. Raises :class:`ParameterError` for a duration that is not positive, a
    duration or extent that is not finite, and times that are no numbers.
    """
    numbers: dict[str, Any] = {"duration": duration, "rise": rise, "forward": forward}
    for name, value in numbers.items():
        if not isinstance(value, int | float | np.number) or not math.isfinite(value):
            raise ParameterError(f"{name}: wanted a finite number, got {value!r}")
    if duration <= 0:
        raise ParameterError(f"duration: wanted more than zero seconds, got {duration}")
    share = _times(t) / duration
    return Swallow(rise * _eased(share, SWALLOW_KNOTS["shift"]), forward * _eased(share, SWALLOW_KNOTS["forward"]))


def _times(t: Any) -> Any:
    """Numbers and lists of them as an array; arrays of any library as they are."""
    if is_array_api_obj(t) and not isinstance(t, np.ndarray | np.generic):
        return t
    try:
        array = np.asarray(t)
    except ValueError as fault:
        raise ParameterError(f"t: wanted seconds, got {t!r}") from fault
    if array.dtype.kind not in "fiu":
        raise ParameterError(f"t: wanted seconds, got {t!r}")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _eased(share: Float[Array, "*t"], knots: tuple[tuple[float, float], ...]) -> Float[Array, "*t"]:
    xp = array_namespace(share)
    value = share * 0
    for (start, low), (stop, high) in pairwise(knots):
        part = xp.clip((share - start) / (stop - start), 0.0, 1.0)
        value = value + (high - low) * part**2 * (3 - 2 * part)
    return value


@dataclass(frozen=True)
class Larynx:
    """Heights over each vertex as functions of the slide.

    A vertex's u never changes, so the chart is read along v only: ``profiles`` (N, A + 2) holds, for the N vertices
    that some slide can move, the bump's heights along v with a zero before and after, ``forward_profiles`` those of the
    forward glide, None in a model without; ``rows`` (N,) is the unshifted place in them. ``columns`` (V,) is each
    vertex's row of ``profiles``, N for vertices that never move.
    """

    profiles: Float[Array, "N R"]
    forward_profiles: Float[Array, "N R"] | None
    rows: Float[Array, " N"]
    columns: Int[Array, " V"]
    rest: Float[Array, " V"]
    rows_per_metre: float
    backend: Backend

    @classmethod
    def of(cls, asset: ModelAsset, backend: Backend, vertices: Int[np.ndarray, " N"] | None = None) -> Larynx:
        """The charts of an asset, reduced to what they can move of the given vertices (all by default)."""
        uv = asset.larynx_uv if vertices is None else asset.larynx_uv[vertices]
        charts = [asset.larynx_map, *([asset.larynx_forward_map] if asset.larynx_forward_map.size else [])]
        moving, profiles, rows = _profiles(np.stack(charts).astype(np.float64), uv.astype(np.float64))
        columns = np.full(len(uv), len(moving))
        columns[moving] = np.arange(len(moving))
        still = cls(
            profiles=backend.constant(profiles[0]),
            forward_profiles=backend.constant(profiles[1]) if len(profiles) > 1 else None,
            rows=backend.constant(rows),
            columns=backend.constant(columns),
            rest=None,
            rows_per_metre=(len(asset.larynx_map) - 1) / asset.larynx_metres_per_v,
            backend=backend,
        )
        return replace(still, rest=still.height(backend.constant(np.zeros(()))))

    def height(self, shift: Float[Array, "*batch"] | None = None) -> Float[Array, "*batch V"]:
        """Heights in metres of the mean identity's bump at size 1, slid up by ``shift`` metres."""
        if shift is None:
            return self.rest
        return self._on_vertices(self._read(self.profiles, shift), shift)

    def lift(
        self,
        size: Float[Array, "*batch"] | None,
        shift: Float[Array, "*batch"] | None,
        forward: Float[Array, "*batch"] | None,
    ) -> Float[Array, "*batch V"] | None:
        """Metres by which bump and forward glide lift each vertex along the larynx' direction; None without both.

        ``size`` counts the identity in. Raises :class:`ParameterError` for a glide of a model without its map.
        """
        xp = self.backend.xp
        if forward is not None and self.forward_profiles is None:
            if self.backend.check_finite and bool(xp.any(forward != 0)):
                raise ParameterError(
                    "larynx_forward: this model has no map of the larynx' forward glide (field larynx_forward_map); "
                    "leave it at 0"
                )
            forward = None
        if forward is None:
            return None if size is None else size[..., None] * self.height(shift)
        place = xp.zeros((), dtype=self.backend.dtype, device=self.backend.device) if shift is None else shift
        lifted = forward[..., None] * self._read(self.forward_profiles, place)
        if size is not None:
            lifted = lifted + size[..., None] * self._read(self.profiles, place)
        return self._on_vertices(lifted, place)

    def _read(self, profiles: Float[Array, "N R"], shift: Float[Array, "*batch"]) -> Float[Array, "*batch N"]:
        """Heights at the chart's places.

        What has moved up by s shows at a vertex what lay s below it, so the chart is read at
        ``v - shift / larynx_metres_per_v``.
        """
        xp = self.backend.xp
        count, length = profiles.shape
        place = xp.clip(self.rows - shift[..., None] * self.rows_per_metre, 0.0, float(length - 1))
        below = xp.clip(xp.floor(place), 0.0, float(length - 2))
        share = place - below
        index = xp.arange(count, device=self.backend.device) * length + xp.astype(below, xp.int64)
        heights = xp.reshape(profiles, (-1,))
        flat = xp.reshape(index, (-1,))
        low = xp.reshape(xp.take(heights, flat, axis=0), index.shape)
        high = xp.reshape(xp.take(heights, flat + 1, axis=0), index.shape)
        return low + share * (high - low)

    def _on_vertices(self, moved: Float[Array, "*batch N"], shift: Float[Array, "*batch"]) -> Float[Array, "*batch V"]:
        """Values of the moving vertices as values of all, zero for the others."""
        xp = self.backend.xp
        padded = xp.concat([moved, xp.zeros_like(moved[..., :1])], axis=-1) if len(self.rows) else shift[..., None] * 0
        return xp.take(padded, self.columns, axis=-1)


def _profiles(charts: np.ndarray, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices inside the charts whose line along v meets a bump, the heights along it in each, their rows on it."""
    _, height, width = charts.shape
    padded = np.pad(charts, ((0, 0), (1, 1), (1, 1)))
    inside = np.flatnonzero(((uv >= 0) & (uv <= 1)).all(axis=1))
    column = uv[inside, 0] * (width - 1) + 1
    left = np.floor(column).astype(int)
    share = column - left
    profiles = (padded[:, :, left] * (1 - share) + padded[:, :, left + 1] * share).swapaxes(1, 2)
    moving = (profiles != 0).any(axis=(0, 2))
    return inside[moving], profiles[:, moving], uv[inside[moving], 1] * (height - 1) + 1
