"""ARKit's names for the model's expressions."""

from __future__ import annotations

from collections.abc import Iterable

from hack_model.formats.arkit import arkit_table


def shape_key_names(expressions: Iterable[str]) -> dict[str, str]:
    """The ARKit name of each expression that has one to itself.

    browInnerUp and cheekPuff move both sides at once where the model has a shape per side; those keep their names.
    """
    single = {members[0]: name for name, members in arkit_table().items() if len(members) == 1}
    return {name: single[name] for name in expressions if name in single}
