from collections.abc import Iterable

class Vector:
    def __init__(self, values: Iterable[float]) -> None: ...
