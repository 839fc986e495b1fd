"""The file of personalised expressions, which takes minutes to make: made once, kept, read by the builder.

python -m hack_model.build.transfer -o data/hack_open/personal.npz
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model import packing
from hack_model.arrayfile import read_arrays, write_arrays
from hack_model.build.combinations import other_side
from hack_model.errors import AssetError
from hack_model.simulation.correctives import faces_digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import Float, Int

    from hack_model.build.foundation import Foundation

    Array = np.ndarray

COMMAND = "python -m hack_model.build.transfer"
_FIELD = "personal_expression"
STEP = 1e-5
"""Components are kept as multiples of this, metres per standard deviation of their coefficients."""
_CHANGED = 0.02
"""Marks that differ by more than this share of the largest are of others than those learned from."""


@dataclass(frozen=True)
class Stamp:
    """What the file was learned from: a digest of the faces, names, and a mark of each shape and of each row: its inner
    product with a random field, which tells apart what differs in size, sign or order."""

    faces: str
    rows: tuple[str, ...]
    shape_marks: Float[Array, " S"]
    row_marks: Float[Array, " R"]

    @classmethod
    def of(cls, laid: Foundation) -> Stamp:
        """That of a build."""
        return cls(
            faces_digest(laid.geometry.faces),
            (*laid.expression_names, *laid.combinations.names),
            _marks(laid.identity.basis),
            _marks(np.concatenate([laid.expression_basis, laid.combinations.basis])),
        )

    def difference(self, other: Stamp) -> str | None:
        """What of this does not hold for ``other``, None when all does; the other may have further rows."""
        if self.faces != other.faces:
            return "the mesh has other faces"
        if missing := set(self.rows) - set(other.rows):
            return f"there is no expression or combination {min(missing)}"
        theirs = other.row_marks[[other.rows.index(name) for name in self.rows]]
        for what, own, others in (
            ("shape components", self.shape_marks, other.shape_marks), ("expressions", self.row_marks, theirs)
        ):  # fmt: skip
            if len(own) != len(others) or np.abs(own - others).max(initial=0) > _CHANGED * np.abs(own).max(initial=0):
                return f"the {what} have changed"
        return None


def _marks(basis: Float[Array, "K n 3"]) -> Float[Array, " K"]:
    field = np.random.default_rng(0).standard_normal(basis.shape[1:])
    return np.tensordot(basis.astype(np.float64), field, axes=2)


@dataclass(frozen=True)
class PersonalFile:
    """``basis`` (M, N, 3) metres, ``pairs`` (N, 2) sorted, ``map`` (M, S), as the asset's fields; ``figures`` JSON."""

    stamp: Stamp
    basis: Float[Array, "M N 3"]
    pairs: Int[Array, "N 2"]
    map: Float[Array, "M S"]
    figures: str

    def write(self, path: Path) -> Path:
        """Writes the file atomically, packed as in an asset."""
        learned = {f"{_FIELD}_basis": self.basis, f"{_FIELD}_pairs": self.pairs, f"{_FIELD}_map": self.map}
        stamp = {
            "faces": np.array(self.stamp.faces),
            "rows": np.array(self.stamp.rows),
            "shape_marks": self.stamp.shape_marks,
            "row_marks": self.stamp.row_marks,
            "figures": np.array(self.figures),
        }
        return write_arrays(path, packing.pack(learned) | stamp)

    @classmethod
    def read(cls, path: Path) -> PersonalFile:
        """Reads a file of :meth:`write`. Raises :class:`AssetError` when it is none."""
        arrays = read_arrays(path, AssetError)
        try:
            learned = packing.unpack(arrays)
            stamp = Stamp(
                str(arrays["faces"]),
                tuple(str(name) for name in arrays["rows"]),
                arrays["shape_marks"],
                arrays["row_marks"],
            )
            basis, pairs, components = (learned[f"{_FIELD}_{part}"] for part in ("basis", "pairs", "map"))
            return cls(stamp, basis, pairs, components, str(arrays["figures"]))
        except (AssetError, KeyError, ValueError, TypeError) as fault:
            raise AssetError(f"{path}: no personalised expressions ({fault}); make them with {COMMAND}") from fault


def personal_fields(path: Path, laid: Foundation) -> dict[str, Any]:
    """The asset's fields from a file; none when there is no file. Rows are found by name; expressions that the file
    does not know, which a warning names, have no part of their own.

    Raises :class:`AssetError` when the file is damaged or was learned from other shapes or expressions.
    """
    if not path.is_file():
        return {}
    found, stamp = PersonalFile.read(path), Stamp.of(laid)
    difference = found.stamp.difference(stamp)
    if difference is not None:
        raise AssetError(
            f"{path} belongs to another model: {difference}; make it anew with {COMMAND}, or remove it to build without"
        )
    rows = stamp.rows
    if further := [name for name in rows if name not in found.stamp.rows]:
        warnings.warn(f"{path} was learned without {', '.join(further)}, which everybody has alike", stacklevel=2)
    pairs = found.pairs.copy()
    pairs[:, 0] = np.array([rows.index(name) for name in found.stamp.rows])[pairs[:, 0]]
    order = np.lexsort(pairs.T[::-1])
    return {f"{_FIELD}_basis": found.basis[:, order], f"{_FIELD}_pairs": pairs[order], f"{_FIELD}_map": found.map}


def sorted_pairs(moved: np.ndarray) -> Int[Array, "N 2"]:
    """Pairs of a row and a control vertex where ``moved`` (R, C) holds, by row, then vertex."""
    return np.argwhere(moved).astype(np.int32)


def mirror_name(name: str) -> str:
    """The name of an expression's or combination's mirror image."""
    parts = (part.partition("@") for part in name.split("+"))
    return "+".join(other_side(source) + mark + peak for source, mark, peak in parts)


def mirror_rows(names: Sequence[str]) -> Int[Array, " R"]:
    """The row of each name's mirror image; a combination's sources may come in another order there."""
    place = {frozenset(name.split("+")): row for row, name in enumerate(names)}
    try:
        return np.array([place[frozenset(mirror_name(name).split("+"))] for name in names])
    except KeyError as missing:
        raise AssetError(f"no expression or combination is the mirror image of {sorted(missing.args[0])}") from missing
