"""Whose necks are simulated: the mean, and people of the shape space who differ in sex, weight and length of neck."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hack_model.errors import ParameterError
from hack_model.model import HACK

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

_FAR = 2.0
"""Standard deviations from the mean, Mahalanobis."""


def training_people(model: HACK) -> dict[str, Float[Array, " S"]]:
    """Shapes to learn from, by name: the mean, then pairs on either side of it."""
    sex, weight, length = (_along(model, name) for name in ("sex", "weight", "neck"))
    return {
        "mean": np.zeros(len(sex)),
        "sex plus, heavy": _scaled(sex + weight),
        "sex plus, long neck": _scaled(sex + length),
        "sex minus, light": _scaled(-sex - weight),
        "sex minus, short neck": _scaled(-sex - length),
        "heavy, short neck": _scaled(weight - length),
    }


def held_out_people(model: HACK, count: int = 2, seed: int = 7) -> dict[str, Float[Array, " S"]]:
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


def _scaled(direction: np.ndarray) -> np.ndarray:
    return _FAR * direction / np.linalg.norm(direction)
