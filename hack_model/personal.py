"""What an identity changes of the expressions, combinations and correctives everyone shares.

The asset holds, for some (row, control vertex) pairs of a shared basis, components of displacement, and a linear map
from shape to their coefficients: zero for the mean identity, where the shared basis holds exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from hack_model.asset import ModelAsset
    from hack_model.parameters import Backend

    Array = Any


@dataclass(frozen=True)
class SparseSums:
    """A constant sparse matrix in a model's array library, applied along the last axis of arrays.

    Results with equally many terms are a group, which lies together: ``terms`` holds, group by group and term by term,
    the places read and their factors; ``order`` brings the groups' results into place.
    """

    terms: tuple[tuple[tuple[Int[Array, " g"], Float[Array, " g"]], ...], ...]
    empty: int
    order: Int[Array, " n"]
    backend: Backend

    @classmethod
    def of(
        cls,
        backend: Backend,
        rows: Int[np.ndarray, " t"],
        columns: Int[np.ndarray, " t"],
        factors: Float[np.ndarray, " t"],
        count: int,
    ) -> SparseSums:
        """The matrix of ``count`` rows with the given entries."""
        sort = np.argsort(rows, kind="stable")
        columns, factors = columns[sort], factors[sort]
        counts = np.bincount(rows, minlength=count)
        starts = np.cumsum(counts) - counts
        groups: list[tuple[tuple[Array, Array], ...]] = []
        members = [np.flatnonzero(counts == 0)]
        for size in np.unique(counts[counts > 0]).tolist():
            here = np.flatnonzero(counts == size)
            members.append(here)
            places = [starts[here] + term for term in range(size)]
            groups.append(tuple((backend.constant(columns[p]), backend.constant(factors[p])) for p in places))
        order = np.empty(count, np.int64)
        order[np.concatenate(members)] = np.arange(count)
        return cls(tuple(groups), len(members[0]), backend.constant(order), backend)

    def __call__(self, values: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        """The matrix times ``values``."""
        xp = self.backend.xp
        zeros = xp.zeros((*values.shape[:-1], self.empty), dtype=values.dtype, device=self.backend.device)
        parts = [zeros] if self.empty or not self.terms else []
        for group in self.terms:
            total = None
            for columns, factors in group:
                term = xp.take(values, columns, axis=-1) * factors
                total = term if total is None else total + term
            parts.append(total)
        return xp.take(parts[0] if len(parts) == 1 else xp.concat(parts, axis=-1), self.order, axis=-1)


@dataclass(frozen=True)
class Personal:
    """One personalised basis (of expressions and combinations, or of correctives) of a model, on its vertices.

    ``components`` (U, 3 N) move N pairs of a row and a control vertex; ``rows`` (N,) are the pairs' rows of the
    shared basis, ``columns`` (N,) their control vertices; ``refine`` carries those to the
    ``vertex_count`` vertices, given as entries (vertex, control vertex, factor).
    """

    map: Float[Array, "S U"]
    components: Float[Array, "U 3N"]
    rows: Int[np.ndarray, " N"]
    columns: Int[np.ndarray, " N"]
    refine: tuple[Int[np.ndarray, " t"], Int[np.ndarray, " t"], Float[np.ndarray, " t"]]
    control_count: int
    vertex_count: int
    backend: Backend

    @classmethod
    def of(cls, asset: ModelAsset, kind: str, backend: Backend, vertices: Int[np.ndarray, " n"]) -> Personal | None:
        """The personalised basis of a kind, ``expression`` or ``pose``, at some vertices; None when there is none."""
        basis, pairs = getattr(asset, f"personal_{kind}_basis"), getattr(asset, f"personal_{kind}_pairs")
        if not len(pairs):
            return None
        refine = refinement_entries(asset, vertices)
        needed = np.zeros(asset.control_count, bool)
        needed[refine[1]] = True
        kept = needed[pairs[:, 1]]
        components = np.moveaxis(basis[:, kept], -1, 1)
        return cls(
            map=backend.constant(np.ascontiguousarray(getattr(asset, f"personal_{kind}_map").T)),
            components=backend.basis(components.reshape(len(basis), -1)),
            rows=pairs[kept, 0].astype(np.int64),
            columns=pairs[kept, 1].astype(np.int64),
            refine=refine,
            control_count=asset.control_count,
            vertex_count=len(vertices),
            backend=backend,
        )

    def offsets(self, shape: Float[Array, "*batch S"]) -> Float[Array, "*batch 3 N"]:
        """Displacement of each pair for an identity, metres at weight 1 of its row."""
        found = self.backend.product(shape @ self.map, self.components)
        return self.backend.xp.reshape(found, (*found.shape[:-1], 3, len(self.rows)))

    def moved(
        self, offsets: Float[Array, "*batch 3 N"], weights: Float[Array, "*batch R"]
    ) -> Float[Array, "*batch 3 V"]:
        """Displacement of the vertices for the weights of the shared basis' rows."""
        by_pair = self.backend.xp.take(weights, self._row_constant, axis=-1)
        return self._refined(self._on_control(offsets * by_pair[..., None, :]))

    def added(self, basis: Float[Array, "R 3V"], offsets: Float[Array, "3 N"]) -> Float[Array, "R 3V"]:
        """The shared basis, coordinates first, with the identity's own part."""
        places, sums = self._entries
        values = self.backend.xp.reshape(sums(offsets), (-1,))
        return self.backend.added(basis, places, values)

    @cached_property
    def _row_constant(self) -> Array:
        return self.backend.constant(self.rows)

    @cached_property
    def _on_control(self) -> SparseSums:
        pair = np.arange(len(self.rows))
        return SparseSums.of(self.backend, self.columns, pair, np.ones(len(pair)), self.control_count)

    @cached_property
    def _refined(self) -> SparseSums:
        vertex, control, factor = self.refine
        moved = np.zeros(self.control_count, bool)
        moved[self.columns] = True
        kept = moved[control]
        return SparseSums.of(self.backend, vertex[kept], control[kept], factor[kept], self.vertex_count)

    @cached_property
    def _entries(self) -> tuple[Int[Array, " 3Q"], SparseSums]:
        """Flat places in the (R, 3 V) basis of every entry that changes, and the sums over pairs that give them."""
        vertex, control, factor = self.refine
        sort = np.argsort(control, kind="stable")
        counts = np.bincount(control, minlength=self.control_count)
        starts = np.cumsum(counts) - counts
        repeats = counts[self.columns]
        pair = np.repeat(np.arange(len(self.rows)), repeats)
        within = np.arange(len(pair)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        entry = sort[starts[self.columns[pair]] + within]
        keys = self.rows[pair] * self.vertex_count + vertex[entry]
        changed = np.zeros((int(self.rows.max(initial=-1)) + 1) * self.vertex_count, bool)
        changed[keys] = True
        unique, place = np.flatnonzero(changed), (np.cumsum(changed) - 1)[keys]
        row, vertices = np.divmod(unique, max(self.vertex_count, 1))
        flat = row * 3 * self.vertex_count + vertices
        flat = np.concatenate([flat + axis * self.vertex_count for axis in range(3)])
        sums = SparseSums.of(self.backend, place, pair, factor[entry], len(unique))
        return self.backend.constant(flat), sums


def refinement_entries(
    asset: ModelAsset, vertices: Int[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " t"], Int[np.ndarray, " t"], Float[np.ndarray, " t"]]:
    """Entries (place in ``vertices``, control vertex, factor) of the asset's refinement; the identity without one."""
    if asset.refinement is None:
        return np.arange(len(vertices)), np.asarray(vertices, np.int64), np.ones(len(vertices))
    weights = asset.refinement.weights[vertices]
    place, column = np.nonzero(weights)
    control = asset.refinement.vertices[vertices][place, column]
    return place, control.astype(np.int64), weights[place, column].astype(np.float64)
