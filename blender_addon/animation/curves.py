"""F-curves by the thousand, and across Blender's three ways of storing them (4.2, 4.4 with slots, 5.0)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray


@dataclass(frozen=True)
class Channel:
    """Values of one animated number over the frames: a data path of the owner, its index, its group's title."""

    path: str
    index: int
    group: str
    values: Float[Array, " F"]


def write_action(
    owner: bpy.types.Object, name: str, frames: Float[Array, " F"], channels: Iterable[Channel]
) -> bpy.types.Action:
    """Gives ``owner`` a new action with a linear key per frame and channel; the action it had stays in the file."""
    action = bpy.data.actions.new(name)
    curves = _new_curves(owner, action)
    for channel in channels:
        constant = np.ptp(channel.values) == 0
        keys = np.stack([frames, channel.values], axis=1)[: 1 if constant else None]
        curve = curves.new(channel.path, index=max(channel.index, 0))
        curve.group = _group(action, curves, channel.group)
        curve.keyframe_points.add(len(keys))
        curve.keyframe_points.foreach_set("co", keys.astype(np.float32).ravel())
        curve.keyframe_points.foreach_set("interpolation", np.ones(len(keys), np.int32))  # LINEAR
        curve.update()
    return action


def object_curves(owner: bpy.types.Object) -> Iterator[bpy.types.FCurve]:
    """The F-curves that animate an object now; none without an action."""
    data = owner.animation_data
    if data is None or data.action is None:
        return
    if not hasattr(data.action, "layers"):
        yield from data.action.fcurves
        return
    for layer in data.action.layers:
        for strip in layer.strips:
            bag = strip.channelbag(data.action_slot) if data.action_slot is not None else None
            if bag is not None:
                yield from bag.fcurves


def ease(curve: bpy.types.FCurve, frames: Sequence[float]) -> None:
    """Between the keys at these frames the curve starts and stops level: 3 s² - 2 s³ of the way."""
    keys = [min(curve.keyframe_points, key=lambda point: abs(point.co[0] - frame)) for frame in frames]
    for index, key in enumerate(keys):
        time, value = key.co
        before = (time - keys[index - 1].co[0]) / 3 if index else time - key.handle_left[0]
        after = (keys[index + 1].co[0] - time) / 3 if index + 1 < len(keys) else key.handle_right[0] - time
        key.interpolation = "BEZIER"
        key.handle_left_type = key.handle_right_type = "FREE"
        key.handle_left, key.handle_right = (time - before, value), (time + after, value)
    curve.update()


def _new_curves(owner: bpy.types.Object, action: bpy.types.Action) -> Any:
    data = owner.animation_data_create()
    data.action = action
    if not hasattr(action, "slots"):  # before 4.4
        return action.fcurves
    slot = action.slots.new("OBJECT", owner.name)
    data.action_slot = slot
    strip = action.layers.new("Layer").strips.new(type="KEYFRAME")
    return strip.channelbag(slot, ensure=True).fcurves


def _group(action: bpy.types.Action, curves: Any, name: str) -> bpy.types.ActionGroup:
    """The group of that title, where this version keeps groups: in the channel bag, or in the action before 4.4."""
    groups = action.layers[0].strips[0].channelbags[0].groups if hasattr(action, "slots") else action.groups
    return groups.get(name) or groups.new(name)
