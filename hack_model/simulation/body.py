"""What the neck is made of: which nodes belong to which bone, and the materials and fibres of each tetrahedron."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

from hack_model.build.skinning import head_line_height
from hack_model.simulation.anatomy import MUSCLES, Anatomy
from hack_model.simulation.volume import NeckVolume

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    Array = np.ndarray

BASE, SKULL = 0.0, 8.0
"""Ends of the scale of bones: thorax and shoulder girdle; between them seven vertebrae, C7 first; the skull."""
_VERTEBRA = (0.014, 0.012, -0.030)
"""Half-width of a vertebra, and its reach before and behind the joints' line, to the spinous process, metres
(after Panjabi et al., Spine 16 (1991) 861; rounded: what matters is that they are rigid and far from the skin)."""
_DISC = 0.3
"""Share of a joint's spacing over which, above and below it, the turn passes from one vertebra to the next."""
_CHEST_DEPTH, _CHEST_BELOW = 0.016, 0.006
"""Ribs and manubrium lie this deep under the skin, this far below the plane from c7t1 to the suprasternal notch."""
_NOTCH = (-0.0254, 0.049)  # y and z of the suprasternal notch from c7t1, metres
_BOUND = 0.005
"""Skin this far above the head line is bound to mandible, mastoid and occiput, metres."""
_FAT_DEPTH = 0.007
_OUTER_FIBRE = 1.6
_TENDON = 0.22
"""Share of a muscle's length at each end over which its active fibres pass into tendon."""


@dataclass(frozen=True)
class NeckBody:
    """The template's neck with bones, materials and fibres.

    ``bone`` (n,) places each fixed node on the scale from BASE to SKULL (between integers inside discs), NaN for soft
    tissue; ``young`` (t,) pascal; ``fibres`` lists, per muscle and side, its tetrahedra, their share of muscle and the
    fibres' direction.
    """

    volume: NeckVolume
    anatomy: Anatomy
    bone: Float[Array, " n"]
    young: Float[Array, " t"]
    fibres: tuple[Fibres, ...]

    @classmethod
    def of(cls, volume: NeckVolume, anatomy: Anatomy, joints: Float[Array, "8 3"]) -> NeckBody:
        """Fills a meshed neck with the anatomy of its template."""
        young, fibres = _materials(volume, anatomy)
        return cls(volume, anatomy, _bones(volume, anatomy, joints), young, fibres)

    def restricted(self, kept: Bool[Array, " t"]) -> NeckBody:
        """The neck without some of its tetrahedra."""
        number = np.cumsum(kept) - 1
        fibres = tuple(part.restricted(kept[part.tetrahedra], number) for part in self.fibres)
        volume = replace(self.volume, tetrahedra=self.volume.tetrahedra[kept])
        return replace(self, volume=volume, young=self.young[kept], fibres=fibres)


@dataclass(frozen=True)
class Fibres:
    """A muscle of one side: its tetrahedra, share of each that it fills, direction in the template; ``stiffness`` of
    stretched fibres and ``active`` stress at full activation, pascal, less towards the tendons."""

    muscle: str
    side: str
    tetrahedra: Int[Array, " m"]
    share: Float[Array, " m"]
    direction: Float[Array, "m 3"]
    stiffness: float
    active: Float[Array, " m"]

    def restricted(self, kept: Bool[Array, " m"], number: Int[Array, " t"]) -> Fibres:
        """Without some of the tetrahedra, which have new numbers."""
        return replace(
            self,
            tetrahedra=number[self.tetrahedra[kept]],
            share=self.share[kept],
            direction=self.direction[kept],
            active=self.active[kept],
        )


def _bones(volume: NeckVolume, anatomy: Anatomy, joints: np.ndarray) -> np.ndarray:
    nodes = volume.nodes
    bone = np.full(len(nodes), np.nan)
    column = _column(nodes, joints)
    bone[column >= 0] = column[column >= 0]
    depth = skin_depth(volume)
    chest = chest_plane(nodes, joints) - _CHEST_BELOW
    bone[(nodes[:, 1] < chest) & (depth > _CHEST_DEPTH) & np.isnan(bone)] = BASE
    for structure, place in (("clavicle", BASE), ("mandible", SKULL)):
        tissue = anatomy.tissues[structure]
        for course in anatomy.of(structure):
            near, _, _ = course.nearness(nodes, tissue.half_width, tissue.half_thickness)
            inside = (near < 1) & (depth > 0)
            bone[inside] = place
    skin = np.arange(len(nodes)) < len(volume.skin)
    bone[skin & (head_line_height(nodes) > _BOUND)] = SKULL
    bone[volume.top], bone[volume.bottom] = SKULL, BASE
    return bone


def chest_plane(points: Float[Array, "n 3"], joints: Float[Array, "j 3"]) -> Float[Array, " n"]:
    """Height, at each point's depth, of the plane from c7t1 to the suprasternal notch; level beyond these."""
    notch = joints[0] + [0, *_NOTCH]
    return np.interp(points[:, 2], [joints[0, 2], notch[2]], [joints[0, 1], notch[1]])


def _column(nodes: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Places in the vertebral column on the scale of bones; negative outside of it."""
    heights = joints[:, 1]
    centre = np.interp(nodes[:, 1], heights, joints[:, 2])
    side, front, back = _VERTEBRA
    depth = nodes[:, 2] - centre
    across = np.where(depth > 0, depth / front, depth / back)
    inside = (nodes[:, 0] / side) ** 2 + across**2 < 1
    level = np.interp(nodes[:, 1], heights, np.arange(1.0, 9.0), left=0.5, right=8.5)
    below = nodes[:, 1] < heights[0]
    level = np.where(below, np.maximum(1 + (nodes[:, 1] - heights[0]) / (heights[1] - heights[0]), 0.5), level)
    whole, part = np.floor(level), level % 1
    place = whole - 0.5 * np.clip(1 - part / _DISC, 0, 1) + 0.5 * np.clip((part - 1 + _DISC) / _DISC, 0, 1)
    return np.where(inside, np.clip(place, BASE, SKULL), -1.0)


def skin_depth(volume: NeckVolume) -> Float[Array, " n"]:
    """Distance of every node from the skin, metres."""
    skin = volume.nodes[: len(volume.skin)]
    samples = np.concatenate([skin, skin[volume.quads].mean(axis=1), skin[_sides(volume.quads)].mean(axis=1)])
    return KDTree(samples).query(volume.nodes)[0]


def _sides(quads: np.ndarray) -> np.ndarray:
    return np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)


def _materials(volume: NeckVolume, anatomy: Anatomy) -> tuple[np.ndarray, tuple[Fibres, ...]]:
    centres = volume.nodes[volume.tetrahedra].mean(axis=1)
    depth = skin_depth(volume)[volume.tetrahedra].mean(axis=1)
    tissues = anatomy.tissues
    inner = np.clip((depth - _FAT_DEPTH) / _FAT_DEPTH + 0.5, 0, 1)
    young = (1 - inner) * tissues["fat"].young + inner * tissues["muscle"].young
    fibres: list[Fibres] = []
    for course in anatomy.courses:
        tissue = tissues[course.structure]
        if not tissue.young:
            continue
        near, direction, place = course.nearness(centres, tissue.half_width, tissue.half_thickness)
        share = np.clip((_OUTER_FIBRE - near) / (_OUTER_FIBRE - 0.6), 0, 1)  # a section's edge within a tetrahedron
        young += share * np.maximum(tissue.young - young, 0)
        if course.structure in MUSCLES:
            chosen = np.flatnonzero(share > 0.02)
            fibres.append(
                Fibres(
                    course.structure,
                    course.side,
                    chosen,
                    share[chosen],
                    direction[chosen],
                    tissue.fibre,
                    tissue.active * np.clip(np.minimum(place, 1 - place)[chosen] / _TENDON, 0, 1),
                )
            )
    return young, tuple(fibres)
