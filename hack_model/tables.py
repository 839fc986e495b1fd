"""The tables of facts below ``data``: CSV files whose lines that start with ``#`` are comments."""

from __future__ import annotations

import csv
from pathlib import Path

from hack_model.errors import HackError


def read_table(path: Path, error: type[HackError], *columns: str) -> list[tuple[str, dict[str, str]]]:
    """The rows of a table by column name, each with its place ``file:line``.

    Raises ``error`` for a file that cannot be read, a table without the wanted ``columns``, or a row of another length.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise error(f"{path}: the table cannot be read ({fault})") from fault
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line and not line.startswith("#")]
    reader = csv.DictReader(line for _, line in numbered)
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        raise error(f"{path}: the table lacks the columns {', '.join(missing)}")
    rows: list[tuple[str, dict[str, str]]] = []
    for (number, _), row in zip(numbered[1:], reader, strict=True):
        if None in row or None in row.values():
            raise error(f"{path}:{number}: wanted {len(reader.fieldnames or ())} columns")
        rows.append((f"{path}:{number}", row))
    return rows
