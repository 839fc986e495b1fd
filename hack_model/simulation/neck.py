"""A person's neck that follows the spine: quasi-static equilibrium at each pose, reached in small steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import SuperLU, splu
from scipy.spatial.transform import Rotation

from hack_model.kinematics import joint_transforms, rotation_matrix
from hack_model.model import HACK
from hack_model.names import CERVICAL_JOINTS
from hack_model.posing import to_anatomical
from hack_model.simulation.body import NeckBody
from hack_model.simulation.contact import Contact
from hack_model.simulation.energy import Assembly, Elastic
from hack_model.simulation.volume import SimulationError, signed_volumes
from hack_model.spine import WHOLE_NECK

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

    Array = np.ndarray

_STEP = np.radians(16.0)
"""The whole neck turns by at most this from one equilibrium to the next."""
_ITERATIONS, _TOLERANCE, _LONGEST_STEP = 40, 2e-4, 0.02
_FLATTENED = 2e-3
"""Share of tetrahedra that may turn inside out on the way from the template to another neck; these flat ones go."""
_CRUSHED, _CRUSHED_SHARE = 0.02, 1e-3
"""A tetrahedron left with less than this share of its volume is crushed; such may make up this share of the tissue."""


@dataclass
class Counts:
    """What a simulation did: equilibria found, Newton steps, poses that failed."""

    equilibria: int = 0
    iterations: int = 0
    failures: int = 0


class NeckSimulation:
    """The neck of one identity. ``rest`` (n, 3) are its nodes at rest in metres, skin first."""

    def __init__(self, model: HACK, body: NeckBody, shape: Float[Array, " S"] | None = None) -> None:
        asset, volume = model.asset, body.volume
        rig = model.rig(shape)
        self.asset, self.body = asset, body
        self.joints = np.asarray(rig.joints, float)
        skin = np.asarray(rig.template, float).T[volume.skin]
        self.rest = _morphed(
            body, asset.template[volume.skin], skin, np.asarray(model.joint_template, float), self.joints
        )
        sound = signed_volumes(self.rest, volume.tetrahedra) > 0
        if (~sound).mean() > _FLATTENED:
            raise SimulationError("a neck of this shape turns tetrahedra inside out; take a less extreme identity")
        self.body = body = body.restricted(sound)
        self.elastic = Elastic(body, self.rest)
        self.contact = Contact.of(self.rest[: len(volume.skin)], volume.skin_triangles)
        self.weights = _weights(body, asset.weights[volume.skin])
        self.counts = Counts()
        self._fixed = np.isfinite(body.bone)
        self._bones = _hats(body.bone[self._fixed])
        self._degrees, self._assembly = self._numbered()

    def skinned(self, pose: Float[Array, "8 3"]) -> Float[Array, "n 3"]:
        """All nodes by linear blend skinning."""
        return _blend(self._transforms(pose), self.weights, self.rest)

    def bones(self, pose: Float[Array, "8 3"]) -> Float[Array, "f 3"]:
        """Places of the fixed nodes: rigid with their bone, turned by a part of the joint's rotation inside discs."""
        transforms = self._transforms(pose)
        place = self.body.bone[self._fixed]
        lower = np.minimum(place.astype(int), len(CERVICAL_JOINTS) - 1)
        part = place - lower
        rotation = transforms[:, :3, :3]
        relative = Rotation.from_matrix(rotation[:-1].swapaxes(1, 2) @ rotation[1:]).as_rotvec()
        turn = Rotation.from_rotvec(relative[lower] * part[:, None]).as_matrix()
        centre = self.joints[lower]
        local = (turn @ (self.rest[self._fixed] - centre)[..., None])[..., 0] + centre
        return (rotation[lower] @ local[..., None])[..., 0] + transforms[lower, :3, 3]

    def activation(self, pose: Float[Array, "8 3"]) -> Float[Array, " m"]:
        """Activation of each of the body's fibres: grows with the square of the whole neck's turn, tilt and flexion."""
        flexion, axial, lateral = np.degrees(to_anatomical(self.asset, np.asarray(pose, float)).sum(axis=0))
        result: list[float] = []
        for part in self.body.fibres:
            side = 1 if part.side == "left" else -1
            moves = np.array([
                -side * axial / WHOLE_NECK["axial"],
                -side * lateral / WHOLE_NECK["lateral"],
                flexion / WHOLE_NECK["flexion"],
                -flexion / WHOLE_NECK["extension"],
            ])  # fmt: skip
            result.append(float(self.body.anatomy.activation[part.muscle] @ np.clip(moves, 0, 1.1) ** 2))
        return np.minimum(result, 1)

    def follow(self, poses: Float[Array, "p 8 3"]) -> list[Float[Array, "n 3"] | None]:
        """Equilibria at poses that follow each other, from rest on; None for those that were not found.

        Between two poses the way is taken in steps of :data:`_STEP`; a step that fails is halved once.
        """
        found: list[np.ndarray | None] = []
        nodes, at = self.rest, np.zeros((len(CERVICAL_JOINTS), 3))
        for pose in poses:
            reached = self._way(nodes, at, pose)
            found.append(reached)
            if reached is None:
                self.counts.failures += 1
                continue
            nodes, at = reached, pose
            self.counts.equilibria += 1
        return found

    def adapt(self, pose: Float[Array, "8 3"], moved: Float[Array, "n 3"]) -> Float[Array, "n 3"] | None:
        """The equilibrium at a pose nearest to what another person's tissue does there; None when none was found.

        ``moved`` are that person's nodes at equilibrium less the same by skinning: Newton's method then needs no way
        from rest, which takes three times as long and ends within 0.15 mm (rms) of the same place.
        """
        found = self._equilibrium(self.rest + moved, np.zeros((len(CERVICAL_JOINTS), 3)), pose)
        if found is None:
            self.counts.failures += 1
        else:
            self.counts.equilibria += 1
        return found

    def _way(self, nodes: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray | None:
        angle = np.linalg.norm(np.abs(to_anatomical(self.asset, end - start)).sum(axis=0))
        for refined in (1, 2):
            steps = refined * max(1, int(np.ceil(angle / _STEP)))
            now: np.ndarray | None = nodes
            before = start
            for share in np.arange(1, steps + 1) / steps:
                pose = (1 - share) * start + share * end
                now = self._equilibrium(now, before, pose)
                if now is None:
                    break
                before = pose
            if now is not None:
                return now
        return None

    def _equilibrium(self, nodes: np.ndarray, before: np.ndarray, pose: np.ndarray) -> np.ndarray | None:
        nodes = nodes + self.skinned(pose) - self.skinned(before)
        nodes[self._fixed] = self.bones(pose)
        activation = self.activation(pose)
        count = len(self.body.volume.skin)
        free = self._degrees >= 0
        order = self._degrees[free]
        for _ in range(_ITERATIONS):
            self.counts.iterations += 1
            pairs = self.contact.pairs(nodes[:count])
            gradient, blocks = self.elastic.derivatives(nodes, activation)
            matrix = self._assembly.matrix([block for _, block in blocks])
            if len(pairs.point):
                pushed, stiff = pairs.derivatives(nodes[:count])
                gradient[:count] += pushed
                matrix = matrix + _scattered(pairs.nodes, stiff, self._degrees, self._assembly.size)
            right = np.zeros(self._assembly.size)
            right[order] = -gradient.reshape(-1)[free]
            solved = factorised(matrix).solve(right)
            step = np.zeros(nodes.size)
            step[free] = solved[order]
            step = step.reshape(nodes.shape)
            longest = np.linalg.norm(step, axis=1).max()
            if not np.isfinite(longest):
                return None
            step *= min(1, _LONGEST_STEP / max(longest, 1e-12))
            share = self._descended(nodes, step, activation, pairs, float((gradient * step).sum()))
            if share is None:
                return nodes if longest < 10 * _TOLERANCE and self._sound(nodes) else None
            nodes = nodes + share * step
            if longest * share < _TOLERANCE:
                return nodes if self._sound(nodes) else None
        return None

    def _descended(
        self, nodes: np.ndarray, step: np.ndarray, activation: np.ndarray, pairs: Any, slope: float
    ) -> float | None:
        """Share of a step that lowers the energy as Armijo asks; None when none does."""
        count = len(self.body.volume.skin)
        start = self.elastic.energy(nodes, activation) + pairs.energy(nodes[:count])
        share = 1.0
        for _ in range(12):
            moved = nodes + share * step
            energy = self.elastic.energy(moved, activation) + pairs.energy(moved[:count])
            if energy <= start + 1e-4 * share * slope:
                return share
            share /= 2
        return None

    def _sound(self, nodes: np.ndarray) -> bool:
        """Next to no soft tissue is crushed or turned inside out."""
        ratio = np.linalg.det(self.elastic.deformation(nodes))
        soft = ~self._fixed[self.body.volume.tetrahedra].all(axis=1)
        volumes = self.elastic.volumes[soft]
        return bool(volumes[ratio[soft] < _CRUSHED].sum() < _CRUSHED_SHARE * volumes.sum())

    def _transforms(self, pose: np.ndarray) -> np.ndarray:
        rotations = rotation_matrix(np.concatenate([np.asarray(pose, float), np.zeros((2, 3))]))
        frames = self.asset.joint_frames.astype(float)
        return np.asarray(joint_transforms(self.joints, frames, rotations))[: len(CERVICAL_JOINTS) + 1]

    def _numbered(self) -> tuple[np.ndarray, Assembly]:
        """Numbers of the free degrees of freedom in an order that keeps the factors sparse."""
        free = np.repeat(~self._fixed, 3)
        degrees = np.full(len(free), -1)
        degrees[free] = np.arange(free.sum())
        blocks = self.elastic.derivatives(self.rest, np.zeros(len(self.body.fibres)))[1]
        nodes = [item[0] for item in blocks]
        first = Assembly(nodes, degrees)
        order = splu(first.matrix([item[1] for item in blocks]), permc_spec="MMD_AT_PLUS_A", options=_SYMMETRIC).perm_c
        degrees[free] = np.asarray(order)
        return degrees, Assembly(nodes, degrees)


_SYMMETRIC = {"SymmetricMode": True, "DiagPivotThresh": 0.0}


def factorised(matrix: sp.csc_matrix) -> SuperLU:
    """Factors of a matrix whose unknowns are ordered already."""
    return splu(sp.csc_matrix(matrix), permc_spec="NATURAL", options=_SYMMETRIC)


def _scattered(nodes: np.ndarray, blocks: np.ndarray, degrees: np.ndarray, size: int) -> sp.csc_matrix:
    freedom = degrees.reshape(-1, 3)[nodes].reshape(len(nodes), -1)
    row = np.broadcast_to(freedom[:, :, None], blocks.shape)
    column = np.broadcast_to(freedom[:, None], blocks.shape)
    chosen = (row >= 0) & (column >= 0)
    return sp.csc_matrix((blocks[chosen], (row[chosen], column[chosen])), (size, size))


def _hats(place: Float[Array, " n"]) -> Float[Array, "n 9"]:
    """Shares of base and joints of places on the scale of bones."""
    return np.maximum(1 - np.abs(place[:, None] - np.arange(len(CERVICAL_JOINTS) + 1)), 0)


def _harmonic(body: NeckBody, known: Bool[Array, " n"], values: Float[Array, "k d"]) -> Float[Array, "n d"]:
    """Values at all nodes that are smooth between the known ones."""
    tetrahedra = body.volume.tetrahedra
    pairs = np.concatenate([tetrahedra[:, [a, b]] for a, b in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))])
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    nodes = body.volume.nodes
    weight = 1 / np.linalg.norm(nodes[pairs[:, 0]] - nodes[pairs[:, 1]], axis=1)
    graph = sp.coo_matrix((weight, pairs.T), (len(nodes),) * 2)
    graph = sp.csr_matrix(graph + graph.T)
    laplacian = sp.csr_matrix(sp.diags(np.asarray(graph.sum(axis=1)).ravel()) - graph)
    result = np.zeros((len(nodes), values.shape[1]))
    result[known] = values
    result[~known] = splu(laplacian[~known][:, ~known].tocsc()).solve(-(laplacian[~known][:, known] @ values))
    return result


def _weights(body: NeckBody, skin: Float[Array, "k 11"]) -> Float[Array, "n 9"]:
    """Skinning weights of all nodes: the model's on the skin, the bones' in the bones, smooth between."""
    known = np.isfinite(body.bone)
    values = np.zeros((len(known), len(CERVICAL_JOINTS) + 1))
    values[known] = _hats(body.bone[known])
    values[: len(skin)] = skin[:, : values.shape[1]]
    known[: len(skin)] = True
    return _harmonic(body, known, values[known])


def _morphed(
    body: NeckBody, template: np.ndarray, skin: np.ndarray, template_joints: np.ndarray, joints: np.ndarray
) -> Float[Array, "n 3"]:
    """The template's nodes moved to another neck: the skin as it is, the spine with its joints, the rest between."""
    nodes = body.volume.nodes
    column = np.isfinite(body.bone) & (body.bone > 0.5) & (body.bone < len(CERVICAL_JOINTS) - 0.5)
    known = column.copy()
    known[: len(skin)] = True
    moved = np.zeros_like(nodes)
    heights, shift = template_joints[: len(CERVICAL_JOINTS), 1], (joints - template_joints)[: len(CERVICAL_JOINTS)]
    for axis in range(3):
        moved[column, axis] = np.interp(nodes[column, 1], heights, shift[:, axis])
    moved[: len(skin)] = skin - template
    return nodes + _harmonic(body, known, moved[known])


def _blend(transforms: np.ndarray, weights: np.ndarray, points: np.ndarray) -> Float[Array, "n 3"]:
    blended = np.tensordot(weights, transforms[:, :3], axes=1)
    return (blended[..., :3] @ points[..., None])[..., 0] + blended[..., 3]
