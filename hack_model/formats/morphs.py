"""The morph targets an exchange format stores, and their weights over a clip.

All weights lie in [0, 1] for a clip whose activations do: Blender's importer clamps what leaves that range after the
first frame. Order: ARKit's 52 names in Apple's order (those the model has), then the model's other expressions under
their own names, the combinations, the larynx, and the pose correctives. Everything the model adds to its rest shape is
linear in these weights but for the larynx' slide, which in-between targets approximate; a combination's weight, a
product of activations, is computed for each frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hack_model.formats.arkit import arkit_table
from hack_model.kinematics import rotation_matrix
from hack_model.names import unique_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import Float

    from hack_model.clip import Clip
    from hack_model.rig import Rig

    Array = np.ndarray

LARYNX_STEP = 0.0025
"""Metres of slide between two larynx targets."""

LARYNX_RANGE = (-0.005, 0.015)
"""Metres of slide the larynx targets cover at least; a swallow lifts it by 10.4 ± 4.5 mm (Deng 2015)."""

LARYNX_FORWARD = 0.01
"""Metres of forward glide at weight 1; a swallow's is 6.9 ± 2.5 mm (Deng 2015)."""

CORRECTIVE_PREFIX = "poseCorrective"


@dataclass(frozen=True)
class MorphTarget:
    """A named displacement of the rest shape: ``offsets`` (V, 3) in metres at weight 1, ``weights`` (F,) per frame."""

    name: str
    offsets: Float[Array, "V 3"]
    weights: Float[Array, " F"]


def morph_targets(rig: Rig, clip: Clip, *, idle_correctives: bool = True) -> list[MorphTarget]:
    """All targets of a rig, each with its weight in every frame of a clip with the rig's expressions.

    Where the model's own names meet each other or those given here, the later one gets a number behind it.
    ``idle_correctives`` False leaves out correctives that no frame needs: half of them in a still, all without a pose.
    """
    targets = [
        *_expressions(rig, clip),
        *_combinations(rig, clip),
        *_larynx(rig, clip),
        *_larynx_forward(rig, clip),
        *(target for target in _correctives(rig, clip) if idle_correctives or target.weights.any()),
    ]
    names = unique_names(target.name for target in targets)
    return [replace(target, name=name) for target, name in zip(targets, names, strict=True)]


def _expressions(rig: Rig, clip: Clip) -> Iterator[MorphTarget]:
    names = rig.model.expression_names
    offsets = np.asarray(rig.expression_basis)
    values = clip.expression
    index = {name: position for position, name in enumerate(names)}
    sides: list[MorphTarget] = []
    for arkit, members in arkit_table().items():
        present = [index.pop(member) for member in members if member in index]
        if not present:
            continue
        # Weights the sides share move ARKit's one shape; what one side has more of moves a shape of its own, so that
        # nothing is lost and every weight stays in [0, 1].
        shared = values[:, present].min(axis=1)
        yield MorphTarget(arkit, offsets[present].sum(axis=0), shared)
        if len(present) > 1:
            sides += [MorphTarget(names[place], offsets[place], values[:, place] - shared) for place in present]
    yield from (MorphTarget(name, offsets[place], values[:, place]) for name, place in index.items())
    yield from sides


def _combinations(rig: Rig, clip: Clip) -> Iterator[MorphTarget]:
    """A target per combination under its own name."""
    rule = rig.model.combinations
    if rule is None:
        return
    weights = np.asarray(rule.weights(np.asarray(clip.expression, np.float32)))
    offsets = np.asarray(rig.combination_basis)
    for index, name in enumerate(rig.asset.combination_names):
        yield MorphTarget(name, offsets[index], weights[:, index])


def _larynx(rig: Rig, clip: Clip) -> Iterator[MorphTarget]:
    """The bump at steps of its slide, as large as the clip's largest where that is above the model's mean of 1."""
    largest = max(1.0, float(clip.larynx_size.max()))
    yield from _sliding(rig, clip, "larynx", "larynx_size", largest, clip.larynx_size / largest)


def _larynx_forward(rig: Rig, clip: Clip) -> Iterator[MorphTarget]:
    """The forward glide likewise, and a backward one where the clip has it."""
    if not rig.model.asset.larynx_forward_map.size:
        return
    forward = clip.larynx_forward
    largest = max(LARYNX_FORWARD, float(np.abs(forward).max()))
    yield from _sliding(rig, clip, "larynxForward", "larynx_forward", largest, np.maximum(forward, 0) / largest)
    if forward.min() < 0:
        yield from _sliding(rig, clip, "larynxBack", "larynx_forward", -largest, np.maximum(-forward, 0) / largest)


def _sliding(
    rig: Rig, clip: Clip, name: str, parameter: str, value: float, weight: Float[Array, " F"]
) -> Iterator[MorphTarget]:
    """One parameter of the larynx, at ``value``, at every step of the slide."""
    shift = clip.larynx_shift
    first = int(np.floor(min(LARYNX_RANGE[0], shift.min()) / LARYNX_STEP + 1e-6))
    last = int(np.ceil(max(LARYNX_RANGE[1], shift.max()) / LARYNX_STEP - 1e-6))
    steps = np.arange(first, last + 1)
    shifts = (steps * LARYNX_STEP).astype(np.float32)
    offsets = _rest(rig, **{parameter: np.full_like(shifts, value)}, larynx_shift=shifts) - _rest(rig)
    for step, offset in zip(steps.tolist(), offsets, strict=True):
        tent = np.maximum(0, 1 - np.abs(shift / LARYNX_STEP - step))
        yield MorphTarget(_step_name(name, step), offset, weight * tent)


def _step_name(name: str, step: int) -> str:
    """``larynx`` in its place, ``larynxUp025`` 2.5 mm above it, ``larynxDown050`` 5 mm below."""
    if step == 0:
        return name
    return f"{name}{'Up' if step > 0 else 'Down'}{abs(step) * LARYNX_STEP * 1e4:03.0f}"


def _correctives(rig: Rig, clip: Clip) -> Iterator[MorphTarget]:
    """Two targets per corrective, for either sign of the pose feature that drives it, an entry of R(pose) - I."""
    weights = rig.model.pose_coefficients(rotation_matrix(clip.pose))
    if weights is None:
        return
    for index, feature in enumerate(rig.model.asset.pose_features.tolist()):
        offsets, weight = np.asarray(rig.pose_basis[index]), np.asarray(weights[:, index])
        if offsets.any():
            yield MorphTarget(f"{CORRECTIVE_PREFIX}{feature:02d}+", offsets, np.maximum(weight, 0))
            yield MorphTarget(f"{CORRECTIVE_PREFIX}{feature:02d}-", -offsets, np.maximum(-weight, 0))


def _rest(rig: Rig, **parameters: Float[Array, "..."]) -> Float[Array, "*batch V 3"]:
    return np.asarray(rig(**parameters).rest, np.float32)
