"""What the panel shows for a head, without drawing it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING

from ..common.controls import controls
from ..common.head import EXPRESSIONS

if TYPE_CHECKING:
    import bpy


@dataclass(frozen=True)
class Row:
    """One line of a region: its label, the sliders on it (a text and a key each), and the words a search looks in."""

    region: str
    label: str
    keys: tuple[tuple[str, str], ...]
    text: str


def rows(rig: bpy.types.Object) -> Iterator[Row]:
    """The rows of a head in the panel's order; controls the head lacks are left out."""
    for row in _all_rows(rig[EXPRESSIONS]):
        keys = tuple((side, key) for side, key in row.keys if key in rig)
        if keys:
            yield Row(row.region, row.label, keys, row.text)


@lru_cache(maxsize=8)
def _all_rows(expressions: str) -> tuple[Row, ...]:
    """The rows of a model with these expressions (JSON, as the armature keeps them). Drawing asks for them often."""
    result: list[Row] = []
    for _, group in groupby(controls(json.loads(expressions)), key=lambda control: (control.region, control.row)):
        members = tuple(group)
        words = " ".join(f"{member.key} {member.label} {member.description}" for member in members)
        keys = tuple((member.side, member.key) for member in members)
        result.append(Row(members[0].region, members[0].label, keys, words))
    return tuple(result)
