"""`Head`: what every step of the builder works on: the placed, cut and refined head and its way back to MakeHuman."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from hack_model.build import uv
from hack_model.build.cut import head_faces
from hack_model.build.parts import Part
from hack_model.build.phenotype import Macro, Modifier, People
from hack_model.build.refine import catmull_clark
from hack_model.build.source import MakeHumanSource
from hack_model.build.symmetry import mirror_of

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    Array = np.ndarray

SCALE = 1.075
"""MakeHuman's average head is 21.0 cm high with pupils 57.8 mm apart; true adults have 22.5 cm and 62 mm."""
ORIGIN = (0.0, -0.7476, -0.0416)
"""Where MakeHuman's origin comes to lie, in metres: joints c7t1 and oc1 then agree with HACK's in the mean."""
TEMPLATE = Macro(age=35.0)
"""The adult average: the middle of the people sampled for the shape space."""


@dataclass(frozen=True)
class Head:
    """The adult average, cut, refined and placed.

    ``base`` (N, 3) metres: every vertex of MakeHuman's base mesh, helpers too, in the model's frame; ``scale`` turns a
    displacement of the source into the model's; ``skin_control`` the base vertices the skin's control mesh uses and
    ``control_faces`` its quads (indices into ``skin_control``); ``skin.embedding`` refines base displacements.
    """

    source: MakeHumanSource
    base: Float[Array, "N 3"]
    scale: float
    skin_control: Int[Array, " C"]
    control_faces: Int[Array, "G 4"]
    skin: Part
    inner: dict[str, Bool[Array, " V"]]
    """Skin that is not seen from outside: ``mouth_interior`` and ``eye_sockets``."""

    @property
    def groups(self) -> dict[str, Int[Array, " n"]]:
        """Base vertices of each MakeHuman group, helpers included."""
        return self.source.base.groups

    @cached_property
    def eye_centres(self) -> Float[Array, "2 3"]:
        """Centres of the left and the right eyeball."""
        return np.stack([self.base[self.groups[f"helper-{side}-eye"]].mean(axis=0) for side in "lr"])

    def target(self, name: str) -> Float[Array, "N 3"]:
        """A target's displacement of every base vertex, in the model's size."""
        return self.source.target(name) * np.float32(self.scale)

    @cached_property
    def skin_mirror(self) -> Int[Array, " V"]:
        """Index of each skin vertex's mirror image."""
        return mirror_of(self.skin.vertices)


def make_head(source: MakeHumanSource, modifiers: Sequence[Modifier] = ()) -> Head:
    """Cuts, refines and places the adult average, ``modifiers`` at their means."""
    mesh = source.base
    every = np.arange(len(mesh.vertices))
    people = People.load(source, every, [modifier for modifier in modifiers if modifier.mean])
    average = people.vertices(TEMPLATE).astype(np.float64)
    average = 0.5 * (average + average[mesh.mirror] * [-1, 1, 1])
    base = average * SCALE + ORIGIN
    chosen = head_faces(mesh)
    control, control_faces = np.unique(mesh.faces[chosen], return_inverse=True)
    control_faces = control_faces.reshape(-1, 4).astype(np.int32)
    matrix, faces = catmull_clark(control_faces, len(control))
    pick = sp.csr_matrix((np.ones(len(control)), control, np.arange(len(control) + 1)), (len(control), len(every)))
    embedding = sp.csr_matrix(matrix @ pick)
    islands = uv.inner_islands(mesh.uv, mesh.face_uv[chosen], base[mesh.faces[chosen]].mean(axis=1))
    coordinates, face_uv = uv.skin_coordinates(base[control], control_faces, mirror_of(base[control]), islands)
    skin = Part(
        "skin", embedding @ base, faces.astype(np.int32), coordinates, face_uv, ("skin",) * len(faces), embedding
    )
    hidden = {"mouth_interior": islands["mouth"][0], "eye_sockets": islands["left"][0] | islands["right"][0]}
    inner = {
        name: np.bincount(faces[np.repeat(~own, 4)].reshape(-1), minlength=len(skin.vertices)) == 0
        for name, own in hidden.items()
    }
    return Head(source, base, SCALE, control, control_faces, skin, inner)
