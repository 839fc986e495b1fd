"""The names of bpy the add-on uses. bpy ships no types; what is dynamic there is Any here."""

from typing import Any

from . import types as types

app: Any
context: types.Context
data: Any
ops: Any
path: Any
props: Any
utils: Any
