from __future__ import annotations

from pathlib import Path

import pytest

from hack_model.errors import AssetError, FormatError
from hack_model.resources import data_folder
from hack_model.tables import read_table


def test_rows_come_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('# what it is\nname,value\n# why\none,1\n\n"two, or so",2\n', "utf-8")
    assert read_table(path, FormatError, "value") == [
        (f"{path}:4", {"name": "one", "value": "1"}),
        (f"{path}:6", {"name": "two, or so", "value": "2"}),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "lacks the columns name"),
        (b"# only this\nvalue\n1\n", "lacks the columns name"),
        (b"name,value\na,1\nb\n", r"t\.csv:3: wanted 2 columns"),
        (b"name,value\na,1,2\n", r"t\.csv:2: wanted 2 columns"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_damaged_tables_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(AssetError, match=message):
        read_table(tmp_path / "t.csv", AssetError, "name")
    with pytest.raises(AssetError, match=r"none\.csv: the table cannot be read"):
        read_table(tmp_path / "none.csv", AssetError)


@pytest.mark.parametrize("path", sorted(data_folder().rglob("*.csv")), ids=lambda path: path.name)
def test_every_table_of_the_project_can_be_read(path: Path) -> None:
    rows = read_table(path, AssetError)
    assert rows
    assert all(any(row.values()) for _, row in rows)
