"""The larynx's slide in a swallow, as keys."""

from __future__ import annotations

SWALLOW_SECONDS = 1.13
"""Mean length of a swallow: 1.13 ± 0.28 s, in which the larynx rises 10.4 ± 4.5 mm (Deng 2015, n = 40)."""
_SHARES = ((0.0, 0.0), (0.35, 1.0), (0.6, 1.0), (1.0, 0.0))
"""Share of the time and of the height: up, a short hold at the top, down. The proportions are our choice by eye; the
study gives the whole length only."""


def swallow_keys(seconds: float) -> list[tuple[float, float]]:
    """Times in seconds from the start, and the share of the full height at each."""
    return [(share * seconds, height) for share, height in _SHARES]
