"""ARKit's 52 names at the borders: which of the model's expressions each one is, and both ways between their values.

The table is ``data/facs/arkit52.csv``, in the order of Apple's ``ARFaceAnchor.BlendShapeLocation`` reference
(https://developer.apple.com/documentation/arkit/arfaceanchor/blendshapelocation). Two names, browInnerUp and cheekPuff,
move both sides at once where HACK has a shape per side; HACK's cheekRaiser has no ARKit name.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from hack_model.errors import AssetError, ParameterError
from hack_model.resources import data_folder
from hack_model.tables import read_table

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray


@cache
def arkit_table() -> dict[str, tuple[str, ...]]:
    """The expressions (one, or left and right) behind each of the 52 ARKit names, in Apple's order."""
    rows = read_table(data_folder() / "facs" / "arkit52.csv", AssetError, "arkit", "hack")
    return {row["arkit"]: tuple(row["hack"].split("+")) for _, row in rows}


def to_arkit(expression_names: Sequence[str], expression: Float[Array, "*batch E"]) -> Float[Array, "*batch 52"]:
    """Activations as ARKit reports them; a name that moves both sides gets their mean, one the model lacks gets 0.

    ``expression`` holds activations in [0, 1] in the order of ``expression_names``.
    """
    values = _checked(expression_names, expression)
    index = {name: position for position, name in enumerate(expression_names)}
    result = np.zeros((*values.shape[:-1], len(arkit_table())), np.float32)
    for column, members in enumerate(arkit_table().values()):
        present = [index[member] for member in members if member in index]
        if present:
            result[..., column] = values[..., present].mean(axis=-1)
    return result


def from_arkit(
    arkit_names: Sequence[str], values: Float[Array, "*batch N"], expression_names: Sequence[str]
) -> Float[Array, "*batch E"]:
    """Activations in the order of ``expression_names`` from values of ARKit names in any order or number.

    A name that moves both sides sets both; expressions without an ARKit name, or not given, are 0. Names are matched
    without regard to the first letter's case (recorders write EyeBlinkLeft). Raises :class:`ParameterError` for a name
    that is not one of the 52.
    """
    given = _checked(arkit_names, values)
    table = arkit_table()
    index = {name: position for position, name in enumerate(expression_names)}
    result = np.zeros((*given.shape[:-1], len(expression_names)), np.float32)
    for column, name in enumerate(arkit_names):
        members = table.get(name[:1].lower() + name[1:])
        if members is None:
            raise ParameterError(f"{name!r} is not one of ARKit's 52 names ({', '.join(list(table)[:3])}, …)")
        for member in members:
            if member in index:
                result[..., index[member]] = given[..., column]
    return result


def _checked(names: Sequence[str], values: Float[Array, "*batch N"]) -> Float[Array, "*batch N"]:
    array = np.asarray(values, np.float32)
    if array.ndim == 0 or array.shape[-1] != len(names):
        raise ParameterError(f"got values of shape {array.shape} for {len(names)} names; wanted (..., {len(names)})")
    return array
