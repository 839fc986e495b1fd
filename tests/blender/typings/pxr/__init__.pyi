"""USD's Python modules carry no types and fill themselves when they are imported."""

from typing import Any

def __getattr__(name: str) -> Any: ...
