"""Shape coefficients of a person, from a few plain words and a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from hack_model.errors import ParameterError

if TYPE_CHECKING:
    from jaxtyping import Float

    from hack_model.asset import ModelAsset

    Array = np.ndarray


def person(asset: ModelAsset, traits: Mapping[str, float], seed: int, variation: float) -> Float[Array, " S"]:
    """A person with these traits, in steps along the model's semantic directions, and features of their own.

    ``seed`` 0 has none of their own; any other number is a person drawn as the population's, times ``variation``.
    Raises :class:`ParameterError` for a trait the model does not know.
    """
    shape = np.zeros(len(asset.shape_basis))
    for name, steps in traits.items():
        if not steps:
            continue
        if name not in asset.direction_names:
            known = ", ".join(asset.direction_names) or "none"
            raise ParameterError(f"model {asset.name} has no direction {name!r}; it has {known}")
        shape += steps * asset.directions[asset.direction_names.index(name)]
    if seed:
        shape += np.random.default_rng(seed).standard_normal(len(shape)) * variation
    return shape
