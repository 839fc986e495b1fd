from __future__ import annotations

import gzip
import importlib.metadata
from pathlib import Path

import numpy as np
import pytest

from hack_model.build.source import MakeHumanSource, read_target
from hack_model.errors import FormatError, MissingDependencyError


def write(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["a.target", "a.target.gz"])
def test_target_gives_indices_and_displacements(tmp_path: Path, name: str):
    path = write(tmp_path / name, "# a comment\n3 1 2 3\n\n7 -.5 0 1e-2 # why not\n")
    indices, deltas = read_target(path, 8)
    assert indices.tolist() == [3, 7]
    np.testing.assert_array_equal(deltas, [[1, 2, 3], [-0.5, 0, 0.01]])


def test_empty_target_moves_nothing(tmp_path: Path):
    indices, deltas = read_target(write(tmp_path / "a.target", "# nothing\n"), 8)
    assert indices.shape == (0,)
    assert deltas.shape == (0, 3)


@pytest.mark.parametrize(
    "line", ["3 1 2", "3 1 2 3 4", "x 1 2 3", "3 1 two 3", "8 1 2 3", "-1 0 0 0", "1.5 0 0 0", "3 nan 0 0"]
)
def test_bad_line_of_a_target_is_named(tmp_path: Path, line: str):
    path = write(tmp_path / "a.target", f"# head\n0 0 0 1\n{line}\n1 0 0 1\n")
    with pytest.raises(FormatError, match=r"a\.target:3: "):
        read_target(path, 8)


def test_damaged_gzip_is_an_error(tmp_path: Path):
    path = tmp_path / "a.target.gz"
    path.write_bytes(gzip.compress(b"0 0 0 1\n" * 1000)[:20])
    with pytest.raises(FormatError, match=r"a\.target\.gz"):
        read_target(path, 8)


def test_folder_without_data_is_an_error(tmp_path: Path):
    with pytest.raises(FormatError, match=r"no MakeHuman data.*base\.obj"):
        MakeHumanSource.open(tmp_path)


def test_missing_distribution_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(MissingDependencyError, match=r"\[build\].*--from"):
        MakeHumanSource.open()


def test_folder_may_be_the_package_or_its_data(source: MakeHumanSource):
    assert MakeHumanSource.open(source.root.parent).root == source.root
    assert MakeHumanSource.open(source.root).root == source.root


def test_base_mesh_is_a_symmetric_person_in_metres(source: MakeHumanSource):
    base = source.base
    assert 1.5 < np.ptp(base.vertices[:13380, 1]) < 1.9
    assert (base.mirror[base.mirror] == np.arange(len(base.mirror))).all()
    np.testing.assert_allclose(base.vertices[base.mirror] * [-1, 1, 1], base.vertices, atol=1e-6)
    assert base.vertices[base.groups["joint-l-eye"], 0].mean() > 0.02
    assert base.vertices[base.groups["joint-l-eye"], 2].mean() > 0.08


def test_target_is_in_metres(source: MakeHumanSource):
    jaw = source.target("faceunits/jawOpen")
    assert jaw.shape == source.base.vertices.shape
    assert 0.01 < np.abs(jaw).max() < 0.05


def test_unknown_target_is_an_error(source: MakeHumanSource):
    with pytest.raises(FormatError, match="jawAjar"):
        source.target("faceunits/jawAjar")
