"""Principal components of more vectors than memory holds: randomised subspace iteration over a stream.

After Halko, Martinsson, Tropp, "Finding structure with randomness" (SIAM Review 2011), algorithm 4.4. Each pass reads
the stream once and keeps two (L, D) matrices, L = components + oversampling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

OVERSAMPLING = 16
PASSES = 4


@dataclass(frozen=True)
class Components:
    """``basis`` (K, D), each row one standard deviation long; ``variance`` (K,) of each.

    ``total_variance`` is the data's; variances are sums over all D coordinates.
    """

    mean: Float[Array, " D"]
    basis: Float[Array, "K D"]
    variance: Float[Array, " K"]
    total_variance: float


def streamed_components(
    stream: Callable[[], Iterable[Float[Array, "b D"]]],
    count: int,
    components: int,
    seed: int = 0,
    passes: int = PASSES,
) -> Components:
    """The first principal components of ``count`` vectors, which ``stream()`` gives in blocks, anew at each call.

    Exact, up to rounding, when ``count`` is at most ``components`` + :data:`OVERSAMPLING`; otherwise the subspace
    converges with the number of passes. The same seed and blocks give the same result. There are at most ``count - 1``.
    """
    total, mean = 0.0, None
    for block in stream():
        mean = block.sum(axis=0, dtype=np.float64) + (0 if mean is None else mean)
    if mean is None:
        raise ValueError("no vectors")
    centre = (mean / count).astype(np.float32)
    width = min(components + OVERSAMPLING, count, len(centre))
    basis = np.random.default_rng(seed).standard_normal((width, len(centre)), dtype=np.float32)
    basis = _orthonormal(basis)
    for _ in range(passes):
        applied = np.zeros_like(basis)
        for block in stream():
            centred = block - centre
            applied += (basis @ centred.T) @ centred
        basis = _orthonormal(applied)
    gram = np.zeros((width, width))
    for block in stream():
        centred = block - centre
        projected = (centred @ basis.T).astype(np.float64)
        gram += projected.T @ projected
        total += float(np.einsum("bd,bd->", centred, centred, dtype=np.float64))
    values, vectors = np.linalg.eigh(gram)
    kept = min(components, width, count - 1)
    # Fewer than count - 1 directions may vary at all; a component without variance says nothing.
    variance = np.clip(values[::-1][:kept], 0, None) / max(count - 1, 1)
    kept = int((variance > 1e-9 * max(float(variance[0]) if kept else 0.0, 1e-30)).sum())
    variance = variance[:kept]
    directions = vectors[:, ::-1][:, :kept].T.astype(np.float32) @ basis
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=1)[:, None], axis=1)
    scaled = directions * np.sign(largest) * np.sqrt(variance)[:, None].astype(np.float32)
    return Components(centre, scaled, variance, total / max(count - 1, 1))


def _orthonormal(rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.linalg.qr(rows.T)[0].T)
