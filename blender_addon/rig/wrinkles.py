"""Shader nodes that fold the skin: pictures of wrinkles, mixed in by drivers on the head's sliders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from hack_model.appearance.relief import HOLLOW_LOSS

from .drivers import drive

if TYPE_CHECKING:
    from ..common.formulas import Formula
    from ..common.looks import Looks, WrinkleMap

LEFT = "hack_left"
"""Mesh attribute: how much each vertex belongs to the subject's left side."""
_NOTHING = 128 / 255


def add_masks(mesh: bpy.types.Mesh, looks: Looks) -> None:
    """Stores on the vertices where each layer of wrinkles is."""
    if looks.left_share is None:
        return
    _store(mesh, LEFT, "FLOAT", looks.left_share)
    for index, wrinkle in enumerate(looks.wrinkles):
        for row, vectors in enumerate(wrinkle.masks):
            _store(mesh, _mask_name(index, row), "FLOAT_VECTOR", vectors)


def add_wrinkles(
    material: bpy.types.Material,
    image: Any,
    wrinkle: WrinkleMap,
    index: int,
    sources: tuple[Any, Any],
    armature: bpy.types.Object,
) -> tuple[Any, Any]:
    """Adds one map's folds to the sockets of colour and (encoded) normal; returns the sockets of the results."""
    colour, normal = sources
    amount = _amount(material, wrinkle, index, armature)
    tree = material.node_tree
    offset = _math(tree, "SUBTRACT", image.outputs["Color"], (_NOTHING, _NOTHING, 0.0))
    flat = _math(tree, "MULTIPLY", offset, (1.0, 1.0, 0.0))
    scaled = _scaled(tree, flat, amount)
    separate = tree.nodes.new("ShaderNodeSeparateColor")
    tree.links.new(image.outputs["Color"], separate.inputs["Color"])
    depth = _number(tree, "MULTIPLY", separate.outputs["Blue"], amount)
    loss = _scaled(tree, tuple(-share for share in HOLLOW_LOSS), depth)
    darker = tree.nodes.new("ShaderNodeVectorMath")
    darker.operation = "MULTIPLY_ADD"
    for socket, source in zip(darker.inputs, (colour, loss, colour), strict=False):
        tree.links.new(source, socket)
    return darker.outputs["Vector"], _math(tree, "ADD", normal, scaled)


def _amount(material: bpy.types.Material, wrinkle: WrinkleMap, index: int, armature: bpy.types.Object) -> Any:
    """How far the map is folded at a point: masks times strengths, the left side's and the right side's."""
    tree = material.node_tree
    sides = [
        _sum(tree, [_folded(material, index, row, side, triple, armature) for row, triple in enumerate(formulas)])
        for side, formulas in (("left", wrinkle.left), ("right", wrinkle.right))
    ]
    where = tree.nodes.new("ShaderNodeAttribute")
    where.attribute_name = LEFT
    mixed = tree.nodes.new("ShaderNodeMix")
    mixed.data_type = "FLOAT"
    tree.links.new(where.outputs["Fac"], mixed.inputs[0])
    tree.links.new(sides[1], mixed.inputs[2])
    tree.links.new(sides[0], mixed.inputs[3])
    return mixed.outputs[0]


def _folded(
    material: bpy.types.Material,
    index: int,
    row: int,
    side: str,
    formulas: tuple[Formula | None, ...],
    armature: bpy.types.Object,
) -> Any:
    tree = material.node_tree
    mask = tree.nodes.new("ShaderNodeAttribute")
    mask.attribute_name = _mask_name(index, row)
    product = tree.nodes.new("ShaderNodeVectorMath")
    product.operation = "DOT_PRODUCT"
    product.name = f"wrinkles {index} {row} {side}"
    tree.links.new(mask.outputs["Vector"], product.inputs[0])
    product.inputs[1].default_value = (0, 0, 0)
    for place, formula in enumerate(formulas):
        if formula is not None:
            drive(product.inputs[1], "default_value", place, formula, armature)
    return product.outputs["Value"]


def _sum(tree: Any, sockets: list[Any]) -> Any:
    total = sockets[0]
    for socket in sockets[1:]:
        total = _number(tree, "ADD", total, socket)
    return total


def _number(tree: Any, operation: str, first: Any, second: Any) -> Any:
    node = tree.nodes.new("ShaderNodeMath")
    node.operation = operation
    tree.links.new(first, node.inputs[0])
    tree.links.new(second, node.inputs[1])
    return node.outputs["Value"]


def _math(tree: Any, operation: str, first: Any, second: Any) -> Any:
    """Vector arithmetic of a socket with a socket or a constant."""
    node = tree.nodes.new("ShaderNodeVectorMath")
    node.operation = operation
    tree.links.new(first, node.inputs[0])
    if isinstance(second, tuple):
        node.inputs[1].default_value = second
    else:
        tree.links.new(second, node.inputs[1])
    return node.outputs["Vector"]


def _scaled(tree: Any, vector: Any, amount: Any) -> Any:
    node = tree.nodes.new("ShaderNodeVectorMath")
    node.operation = "SCALE"
    if isinstance(vector, tuple):
        node.inputs[0].default_value = vector
    else:
        tree.links.new(vector, node.inputs[0])
    tree.links.new(amount, node.inputs["Scale"])
    return node.outputs["Vector"]


def _mask_name(index: int, row: int) -> str:
    return f"hack_wrinkles_{index}_{row}"


def _store(mesh: bpy.types.Mesh, name: str, kind: str, values: np.ndarray) -> None:
    attribute = mesh.attributes.new(name, kind, "POINT")
    flat = np.ascontiguousarray(values, np.float32).ravel()
    attribute.data.foreach_set("value" if kind == "FLOAT" else "vector", flat)
