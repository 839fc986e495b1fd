"""From simulated necks to registered meshes of the whole model, and back to the control mesh."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from hack_model.asset import ModelAsset
from hack_model.build.refine import Edges
from hack_model.errors import AssetError
from hack_model.simulation.volume import control_faces

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray


@dataclass(frozen=True)
class ControlNeck:
    """The control vertices of the neck's skin, and what they move: ``matrix`` (V, k) carries their displacements on."""

    control: Int[Array, " k"]
    control_count: int
    matrix: sp.csr_matrix
    skin: Int[Array, " k"]

    @classmethod
    def of(cls, asset: ModelAsset, skin: Int[Array, " k"]) -> ControlNeck:
        """``skin``: vertices of the model that stem from control vertices. Raises :class:`AssetError` without these."""
        refinement = asset.shape_basis.refinement
        count = control_faces(asset)[1]
        if refinement is None or skin.max() >= count:
            raise AssetError(f"{asset.name}: has no control mesh; correctives are learned on one")
        rows = np.repeat(np.arange(len(refinement.vertices)), refinement.vertices.shape[1])
        whole = sp.csr_matrix(
            (refinement.weights.astype(float).ravel(), (rows, refinement.vertices.ravel())),
            (len(refinement.vertices), refinement.control_count),
        )
        # The vertices that stem from control vertices come first; each lies nearest to its own.
        control = np.asarray(whole[skin].argmax(axis=1)).ravel()
        if len(np.unique(control)) != len(control):
            raise AssetError(f"{asset.name}: two vertices of the neck stem from one control vertex")
        return cls(control, refinement.control_count, sp.csr_matrix(whole[:, control]), skin)

    def controls(self, moved: Float[Array, "*batch k 3"]) -> Float[Array, "*batch k 3"]:
        """Displacements of the control vertices that move the neck's skin by ``moved``, less what the refinement
        smoothes."""
        columns = np.moveaxis(moved, -2, 0).reshape(len(self.skin), -1)
        smooth = np.moveaxis((self._on_skin @ columns).reshape(len(self.skin), *moved.shape[:-2], 3), 0, -2)
        return 2 * moved - smooth

    def spread(self, moved: Float[Array, "k 3"]) -> Float[Array, "V 3"]:
        """Displacements of all vertices that move the neck's skin by ``moved``, less what the refinement smoothes."""
        return self.matrix @ self.controls(moved)

    @cached_property
    def _on_skin(self) -> sp.csr_matrix:
        return sp.csr_matrix(self.matrix[self.skin])

    def fitted(self, basis: Float[Array, "K V 3"]) -> Float[Array, "K k 3"]:
        """Control displacements whose refinement is nearest to bases of all vertices, by least squares."""
        normal = (self.matrix.T @ self.matrix + 1e-4 * sp.eye(len(self.control))).tocsc()
        flat = np.moveaxis(np.asarray(basis, float), 0, 1).reshape(basis.shape[1], -1)
        found = splu(normal).solve(np.ascontiguousarray(self.matrix.T @ flat))
        return np.moveaxis(found.reshape(len(self.control), len(basis), 3), 1, 0)


def smoothed(
    basis: Float[Array, "K k 3"], quads: Int[Array, "q 4"], strength: Float[Array, " k"]
) -> Float[Array, "K k 3"]:
    """Values on a mesh without what changes from vertex to vertex: one implicit step of the umbrella operator's square,
    as strong as told, which leaves broad folds as high as they are.

    Desbrun et al., "Implicit Fairing of Irregular Meshes" (SIGGRAPH 1999).
    """
    edges, count = Edges.of(quads).vertices, basis.shape[1]
    graph = sp.csr_matrix((np.ones(2 * len(edges)), np.concatenate([edges, edges[:, ::-1]]).T), (count, count))
    mean = sp.diags(1 / np.maximum(np.asarray(graph.sum(axis=1)).ravel(), 1)) @ graph
    umbrella = sp.eye(count) - mean
    system = (sp.eye(count) + sp.diags(strength) @ umbrella @ umbrella).tocsc()
    flat = np.ascontiguousarray(np.moveaxis(basis, 0, 1).reshape(count, -1), float)
    return np.moveaxis(splu(system).solve(flat).reshape(count, len(basis), 3), 1, 0)
