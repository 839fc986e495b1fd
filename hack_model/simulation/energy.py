"""Elastic energy of the neck with gradient and Hessian, for all elements at once.

Soft tissue: the stable neo-Hookean solid of Smith, de Goes and Kim ("Stable Neo-Hookean Flesh Simulation", ACM TOG 37,
2018) with its volume term on patches of tetrahedra, as F-bar for linear tetrahedra (de Souza Neto, Andrade Pires and
Owen, Int. J. Numer. Meth. Engng 62, 2005), because single linear tetrahedra lock when nearly incompressible. Muscle
fibres resist stretch and pull with a stress that follows activation. The skin is a net of the control mesh's edges and
diagonals that resists stretch, and compression a little.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.cluster.vq import kmeans2

from hack_model.simulation.body import NeckBody
from hack_model.simulation.volume import signed_volumes

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

POISSON, _ELEMENT_POISSON = 0.4985, 0.46
"""Poisson's ratio of the tissue, and the part of it that single tetrahedra carry; patches carry the rest."""
_PATCH = 9
_SKIN_COMPRESSION = 0.15
"""Stiffness of compressed skin relative to stretched: it folds."""
_NET = 0.6
"""Width of skin that an edge of the net stands for, relative to its length."""


@dataclass(frozen=True)
class Elastic:
    """The neck of one identity at rest: what its energy needs, per tetrahedron (t), patch (p) and edge (s)."""

    body: NeckBody
    rest: Float[Array, "n 3"]

    def __post_init__(self) -> None:
        if (signed_volumes(self.rest, self.body.volume.tetrahedra) <= 0).any():
            raise ValueError("a tetrahedron at rest has no volume")

    @cached_property
    def volumes(self) -> Float[Array, " t"]:
        """Volumes at rest, cubic metres."""
        return signed_volumes(self.rest, self.body.volume.tetrahedra)

    @cached_property
    def gradients(self) -> Float[Array, "t 4 3"]:
        """Gradients of the shape functions at rest."""
        corners = self.rest[self.body.volume.tetrahedra]
        inner = np.linalg.inv(corners[:, 1:] - corners[:, :1]).swapaxes(1, 2)
        return np.concatenate([-inner.sum(axis=1, keepdims=True), inner], axis=1)

    @cached_property
    def _operator(self) -> Float[Array, "t 9 12"]:
        """Deformation gradient (row-major) from the corners' coordinates."""
        result = np.zeros((len(self.gradients), 3, 3, 4, 3))
        for axis in range(3):
            result[:, axis, :, :, axis] = self.gradients.swapaxes(1, 2)
        return result.reshape(-1, 9, 12)

    @cached_property
    def _lame(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Shear modulus, volume modulus of a tetrahedron and of its patch, pascal."""
        young = self.body.young
        shear = young / (2 * (1 + POISSON))
        single = young * _ELEMENT_POISSON / ((1 + _ELEMENT_POISSON) * (1 - 2 * _ELEMENT_POISSON))
        whole = young * POISSON / ((1 + POISSON) * (1 - 2 * POISSON))
        return shear, single, whole - single

    @cached_property
    def patches(self) -> Int[Array, " t"]:
        """Number of the patch of each tetrahedron: some nine neighbours each."""
        centres = self.body.volume.nodes[self.body.volume.tetrahedra].mean(axis=1)
        start = centres[np.random.default_rng(0).choice(len(centres), len(centres) // _PATCH, replace=False)]
        label = kmeans2(centres, start, iter=8, minit="matrix", missing="warn")[1]
        return np.unique(label, return_inverse=True)[1]

    @cached_property
    def _patch_stiffness(self) -> np.ndarray:
        volume = np.bincount(self.patches, self.volumes)
        return np.bincount(self.patches, self.volumes * self._lame[2]) / volume

    @cached_property
    def _patch_nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Nodes of each patch (p, w), padded with -1, and the place in it of each tetrahedron's corners (t, 4)."""
        count = int(self.patches.max()) + 1
        size = len(self.rest)
        keys = self.patches[:, None] * size + self.body.volume.tetrahedra
        known, inverse = np.unique(keys, return_inverse=True)
        owner = known // size
        first = np.searchsorted(owner, np.arange(count))
        place = np.arange(len(known)) - first[owner]
        nodes = np.full((count, place.max() + 1), -1)
        nodes[owner, place] = known % size
        return nodes, place[inverse].reshape(-1, 4)

    @cached_property
    def _fibres(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Tetrahedra, directions, stiffness and active stress times share, and the muscle's number, of all fibres."""
        parts = self.body.fibres
        tetrahedra = np.concatenate([part.tetrahedra for part in parts])
        template = self.body.volume.nodes[self.body.volume.tetrahedra[tetrahedra]]
        direction = np.concatenate([part.direction for part in parts])
        # Directions follow the identity: carried by the map from the template to this neck.
        inner = np.linalg.inv(template[:, 1:] - template[:, :1])
        own = self.rest[self.body.volume.tetrahedra[tetrahedra]]
        direction = np.einsum("ti,tij,tjk->tk", direction, inner, own[:, 1:] - own[:, :1])
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        stiffness = np.concatenate([part.share * part.stiffness for part in parts])
        active = np.concatenate([part.share * part.active for part in parts])
        number = np.repeat(np.arange(len(parts)), [len(part.tetrahedra) for part in parts])
        return tetrahedra, direction, stiffness, active, number

    @cached_property
    def net(self) -> tuple[Int[Array, "s 2"], Float[Array, " s"], Float[Array, " s"]]:
        """Edges of the skin's net, their lengths at rest and their stiffness in newton per unit strain."""
        quads = self.body.volume.quads
        sides = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
        edges = np.concatenate([sides, quads[:, [0, 2]], quads[:, [1, 3]]])
        edges = np.unique(np.sort(edges, axis=1), axis=0)
        length = np.linalg.norm(self.rest[edges[:, 0]] - self.rest[edges[:, 1]], axis=1)
        skin = self.body.anatomy.tissues["skin"]
        return edges, length, skin.young * skin.half_thickness * _NET * length

    def deformation(self, nodes: Float[Array, "n 3"]) -> Float[Array, "t 3 3"]:
        """Deformation gradient of each tetrahedron."""
        return nodes[self.body.volume.tetrahedra].swapaxes(1, 2) @ self.gradients

    def energy(self, nodes: Float[Array, "n 3"], activation: Float[Array, " m"]) -> float:
        """Energy in joule; ``activation`` of each of the body's fibres."""
        shear, single, _ = self._lame
        gradient = self.deformation(nodes)
        ratio = np.linalg.det(gradient)
        density = (
            0.5 * shear * ((gradient**2).sum(axis=(1, 2)) - 3) - shear * (ratio - 1) + 0.5 * single * (ratio - 1) ** 2
        )
        total = float(self.volumes @ density)
        swelling, patch_volume = self._swelling(ratio)
        total += float(0.5 * (self._patch_stiffness * patch_volume * swelling**2).sum())
        tetrahedra, _, stiffness, _, _ = self._fibres
        stretch = np.linalg.norm(self._spun(gradient), axis=1)
        pulled = 0.5 * stiffness * np.maximum(stretch - 1, 0) ** 2 + self._pull(activation) * stretch
        total += float(self.volumes[tetrahedra] @ pulled)
        edges, length, force = self.net
        strain = np.linalg.norm(nodes[edges[:, 0]] - nodes[edges[:, 1]], axis=1) / length - 1
        return total + float((0.5 * np.where(strain > 0, 1, _SKIN_COMPRESSION) * force * length * strain**2).sum())

    def derivatives(
        self, nodes: Float[Array, "n 3"], activation: Float[Array, " m"]
    ) -> tuple[Float[Array, "n 3"], list[tuple[Int[Array, "b w"], Float[Array, "b q q"]]]]:
        """Gradient of the energy and its Hessian in blocks: nodes (-1 pads) and the positive block over their axes."""
        shear, single, _ = self._lame
        tetrahedra = self.body.volume.tetrahedra
        gradient = self.deformation(nodes)
        cofactor = _cofactor(gradient)
        ratio = (gradient[:, 0] * cofactor[:, 0]).sum(axis=1)
        swelling, patch_volume = self._swelling(ratio)
        pressure = -shear + single * (ratio - 1) + (self._patch_stiffness * swelling)[self.patches]
        stress = shear[:, None, None] * gradient + pressure[:, None, None] * cofactor
        hessian = _positive_hessian(gradient, shear, single, pressure)
        self._add_fibres(gradient, activation, stress, hessian)
        hessian *= self.volumes[:, None, None]
        force = np.einsum("tij,taj,t->tai", stress, self.gradients, self.volumes)
        total = np.zeros_like(nodes)
        np.add.at(total, tetrahedra, force)
        blocks = [(tetrahedra, self._operator.swapaxes(1, 2) @ hessian @ self._operator)]
        swell = np.einsum("tij,taj,t->tai", cofactor, self.gradients, self.volumes)
        patch_nodes, place = self._patch_nodes
        row = np.zeros((*patch_nodes.shape, 3))
        np.add.at(row, (self.patches[:, None], place), swell)
        row = row.reshape(len(row), -1)
        scale = self._patch_stiffness / patch_volume
        blocks.append((patch_nodes, scale[:, None, None] * row[:, :, None] * row[:, None]))
        blocks.append(self._add_net(nodes, total))
        return total, blocks

    def _swelling(self, ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Change of volume of each patch, relative, and its volume at rest."""
        rest = np.bincount(self.patches, self.volumes)
        return np.bincount(self.patches, self.volumes * ratio) / rest - 1, rest

    def _spun(self, gradient: np.ndarray) -> np.ndarray:
        tetrahedra, direction = self._fibres[:2]
        return (gradient[tetrahedra] @ direction[:, :, None])[..., 0]

    def _pull(self, activation: np.ndarray) -> np.ndarray:
        return self._fibres[3] * activation[self._fibres[4]]

    def _add_fibres(
        self, gradient: np.ndarray, activation: np.ndarray, stress: np.ndarray, hessian: np.ndarray
    ) -> None:
        tetrahedra, direction, stiffness, _, _ = self._fibres
        spun = self._spun(gradient)
        stretch = np.linalg.norm(spun, axis=1)
        along = spun / stretch[:, None]
        tension = stiffness * np.maximum(stretch - 1, 0) + self._pull(activation)
        np.add.at(stress, tetrahedra, tension[:, None, None] * along[:, :, None] * direction[:, None])
        straight = np.where(stretch > 1, stiffness, 0) - tension / stretch
        turn = straight[:, None, None] * along[:, :, None] * along[:, None]
        turn[:, np.arange(3), np.arange(3)] += (tension / stretch)[:, None]
        block = np.einsum("tik,tj,tl->tijkl", turn, direction, direction).reshape(-1, 9, 9)
        np.add.at(hessian, tetrahedra, block)

    def _add_net(self, nodes: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        edges, length, force = self.net
        span = nodes[edges[:, 0]] - nodes[edges[:, 1]]
        now = np.linalg.norm(span, axis=1)
        along = span / now[:, None]
        strain = now / length - 1
        stiffness = np.where(strain > 0, 1, _SKIN_COMPRESSION) * force
        tension = stiffness * strain
        np.add.at(total, edges[:, 0], tension[:, None] * along)
        np.add.at(total, edges[:, 1], -tension[:, None] * along)
        across = np.maximum(tension, 0) / now  # what compressed edges would buckle by is left out: positive, too
        core = ((stiffness / length) - across)[:, None, None] * along[:, :, None] * along[:, None]
        core[:, np.arange(3), np.arange(3)] += across[:, None]
        return edges, np.block([[core, -core], [-core, core]])


def _cofactor(matrix: Float[Array, "t 3 3"]) -> Float[Array, "t 3 3"]:
    a, b, c = matrix[:, 0], matrix[:, 1], matrix[:, 2]
    return np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=1)


def _positive_hessian(
    gradient: Float[Array, "t 3 3"], shear: Float[Array, " t"], single: Float[Array, " t"], pressure: Float[Array, " t"]
) -> Float[Array, "t 9 9"]:
    """Second derivative of the solid's energy density, its negative eigenvalues set to zero.

    In the frame of the singular value decomposition it falls apart into a 3 × 3 block of stretches and three 2 × 2
    blocks of shears, [[μ, -pσ], [-pσ, μ]] with the third singular value σ (Smith, de Goes and Kim 2018, section 4).
    """
    left, value, right = np.linalg.svd(gradient)
    flip = np.linalg.det(left @ right) < 0
    left[flip, :, 2] *= -1
    value[flip, 2] *= -1
    others = np.stack([value[:, 1] * value[:, 2], value[:, 2] * value[:, 0], value[:, 0] * value[:, 1]], axis=1)
    stretch = single[:, None, None] * others[:, :, None] * others[:, None]
    stretch[:, np.arange(3), np.arange(3)] += shear[:, None]
    local = np.zeros((len(gradient), 9, 9))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        coupling = pressure * value[:, k]
        stretch[:, i, j] += coupling
        stretch[:, j, i] += coupling
        twist, bend = np.maximum(shear + coupling, 0), np.maximum(shear - coupling, 0)
        first, second = 3 * i + j, 3 * j + i
        local[:, first, first] = local[:, second, second] = 0.5 * (twist + bend)
        local[:, first, second] = local[:, second, first] = 0.5 * (bend - twist)
    eigenvalue, vector = np.linalg.eigh(stretch)
    local[:, ::4, ::4] = (vector * np.maximum(eigenvalue, 0)[:, None]) @ vector.swapaxes(1, 2)
    frame = (left.swapaxes(1, 2)[:, :, None, :, None] * right[:, None, :, None, :]).reshape(-1, 9, 9)
    return frame.swapaxes(1, 2) @ local @ frame


class Assembly:
    """Adds blocks over nodes into a sparse matrix of the free degrees of freedom, whose pattern is kept."""

    def __init__(self, blocks: list[Int[Array, "b w"]], degrees: Int[Array, " n3"]) -> None:
        """``degrees`` numbers the free degrees of freedom, -1 elsewhere."""
        self.size = int(degrees.max()) + 1
        keys, self._chosen = [], []
        for nodes in blocks:
            freedom = np.where(nodes[:, :, None] >= 0, degrees.reshape(-1, 3)[nodes], -1).reshape(len(nodes), -1)
            row, column = freedom[:, :, None], freedom[:, None]
            chosen = (row >= 0) & (column >= 0)
            keys.append((row * self.size + column)[chosen])
            self._chosen.append(chosen)
        known, self._place = np.unique(np.concatenate(keys), return_inverse=True)
        self._indices = (known % self.size).astype(np.int32)
        self._start = np.searchsorted(known // self.size, np.arange(self.size + 1)).astype(np.int32)

    def matrix(self, blocks: list[Float[Array, "b q q"]]) -> sp.csc_matrix:
        """The sum of the blocks (symmetric, so rows serve as columns)."""
        values = np.concatenate([block[chosen] for block, chosen in zip(blocks, self._chosen, strict=True)])
        data = np.bincount(self._place, values, len(self._indices))
        return sp.csc_matrix((data, self._indices, self._start), (self.size, self.size))
