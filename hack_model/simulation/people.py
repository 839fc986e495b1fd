"""Whose necks are simulated: the mean, and people sampled from the population, who differ in sex, weight and neck."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hack_model.errors import ParameterError
from hack_model.model import HACK

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

_SHIFT = 1.5
"""Standard deviations by which sampled people are moved along sex, weight and length of neck, Mahalanobis."""


def training_people(model: HACK, pairs: int, seed: int = 11) -> dict[str, Float[Array, " S"]]:
    """Shapes to learn from, by name: the mean, then ``pairs`` of people on opposite sides of it.

    Each is drawn from the population and moved along a random mix of sex, weight and length of neck, so that thick and
    thin, long and short necks of both sexes are among few people. Opposites keep the mean where it is.
    """
    random = np.random.default_rng(seed)
    directions = np.stack([_along(model, name) for name in ("sex", "weight", "neck")])
    people = {"mean": np.zeros(directions.shape[1])}
    for number in range(1, pairs + 1):
        mix = random.normal(size=3) @ directions
        shape = random.normal(size=len(mix)) + _SHIFT * mix / np.linalg.norm(mix)
        people |= {f"sampled {number}": shape, f"opposite {number}": -shape}
    return people


def extreme_people(model: HACK, far: float = 3.0) -> list[Float[Array, " S"]]:
    """Shapes to look for skin through skin with: the mean, and ``far`` standard deviations along sex and weight."""
    directions = [_along(model, name) for name in ("sex", "weight")]
    return [0 * directions[0], *(side * far * direction for direction in directions for side in (1, -1))]


def held_out_people(model: HACK, count: int = 6, seed: int = 7) -> dict[str, Float[Array, " S"]]:
    """Shapes to test with: random people."""
    random = np.random.default_rng(seed)
    return {f"random {number}": random.normal(size=len(model.shape_basis)) for number in range(1, count + 1)}


def _along(model: HACK, name: str) -> Float[Array, " S"]:
    """Unit direction in shape space: a semantic one of the asset, or the length of the neck."""
    asset = model.asset
    if name == "neck":
        direction = np.asarray(model.joint_basis[:, 7, 1] - model.joint_basis[:, 0, 1], float)
    elif name in asset.direction_names:
        direction = asset.directions[list(asset.direction_names).index(name)].astype(float)
    else:
        raise ParameterError(f"model {asset.name} has no direction {name!r} to choose people by")
    return direction / np.linalg.norm(direction)
