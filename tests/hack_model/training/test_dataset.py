from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hack_model.errors import FormatError
from hack_model.training.dataset import Dataset, DatasetWriter


def write(folder: Path, shard_size: int = 3) -> Dataset:
    random = np.random.default_rng(0)
    with DatasetWriter(folder, licence="CC0-1.0", shard_size=shard_size) as out:
        for subject in ("anna", "ben"):
            out.add(random.normal(size=(5, 3)), subject=subject, larynx_size=1.0)
            out.add(random.normal(size=(5, 3)), subject=subject, expression="jawOpen", larynx_size=1.0)
            pose = random.normal(scale=0.1, size=(8, 3))
            out.add(
                random.normal(size=(5, 3)),
                subject=subject,
                session="b",
                expression={"jawOpen": 0.5, "noseSneer_L": 0.25},
                pose=pose,
                larynx_size=0.9,
                larynx_shift=0.002,
            )
    return Dataset.open(folder)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    dataset = write(tmp_path, shard_size=4)
    assert len(dataset) == 6
    assert dataset.subject_names == ("anna", "ben")
    assert dataset.subject.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.session_names == ("", "", "b", "", "", "b")
    assert dataset.expression_names == ("jawOpen", "noseSneer_L")
    np.testing.assert_array_equal(dataset.expression[:3], [[0, 0], [1, 0], [0.5, 0.25]])
    assert dataset.rest.tolist() == [True, True, False] * 2
    assert dataset.neutral.tolist() == [True, False, False] * 2
    assert dataset.larynx[2].tolist() == [0.9, 0.002]
    random = np.random.default_rng(0)
    first = random.normal(size=(5, 3)).astype(np.float32)
    blocks = list(dataset.batches(np.ones(6, bool), size=3))
    assert [numbers.tolist() for numbers, _ in blocks] == [[0, 1, 2], [3], [4, 5]]
    np.testing.assert_array_equal(blocks[0][1][0], first)


@settings(max_examples=25, deadline=None)
@given(chosen=st.lists(st.booleans(), min_size=6, max_size=6), size=st.integers(1, 7), shard=st.integers(1, 7))
def test_batches_give_each_chosen_sample_once(
    chosen: list[bool], size: int, shard: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dataset = write(tmp_path_factory.mktemp("set"), shard)
    everything = np.concatenate([block for _, block in dataset.batches(np.ones(6, bool))])
    blocks = list(dataset.batches(np.array(chosen), size))
    numbers = [int(number) for part, _ in blocks for number in part]
    assert numbers == np.flatnonzero(chosen).tolist()
    for part, block in blocks:
        assert 1 <= len(part) <= size
        np.testing.assert_array_equal(block, everything[part])


def sample(number: int, **fields: Any) -> Callable[[dict[str, Any]], None]:
    def change(index: dict[str, Any]) -> None:
        index["shards"][0]["samples"][number].update(fields)

    return change


def top(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda index: index.update(fields)


def shard(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda index: index["shards"][1].update(fields)


ROW = [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (top(format="other"), "not a dataset of registered meshes"),
        (top(version=9), "version 9, this program reads 1"),
        (top(licence=3), "field licence: int, wanted str"),
        (top(vertex_count=True), "field vertex_count: bool, wanted int"),
        (top(vertex_count=-5), "vertex_count is -5"),
        (top(shards={}), "field shards: dict, wanted list"),
        (top(shards=[]), "lists no samples"),
        (top(shards=[1]), "shard 0: wanted an object, got int"),
        (shard(file="../meshes-00001.npz"), "shard 1, field file: '../meshes-00001.npz' is not the name"),
        (shard(file="/etc/passwd"), "is not the name of a file beside the index"),
        (shard(file="gone.npz"), "shard 1, field file: .*gone.npz does not exist"),
        (shard(file="meshes-00000.npz"), "lists a shard twice"),
        (sample(1, subject=7), r"meshes-00000.npz, sample 1, field subject: int, wanted str"),
        (sample(1, subject=""), "sample 1, field subject: empty"),
        (sample(1, session=[]), "sample 1, field session: list, wanted str"),
        (sample(1, colour="red"), "sample 1: unknown field 'colour'; a sample has expression"),
        (sample(2, expression=5), "sample 2, field expression: int, wanted a name or an object"),
        (sample(2, expression={"jawOpen": "much"}), "sample 2, field expression, jawOpen: str, wanted a number"),
        (sample(2, expression={"jawOpen": float("nan")}), "field expression, jawOpen: not a finite number"),
        (sample(2, expression={"jawOpen": 10**400}), "field expression, jawOpen: not a finite number"),
        (sample(2, expression={"jawOpen": 70}), "jawOpen: activation 70, wanted about 0 to 1"),
        (sample(2, expression="a\nb"), r"sample 2, field expression: 'a\\nb' is no name"),
        (sample(2, expression={"": 0.5}), "sample 2, field expression: '' is no name"),
        (sample(2, pose=[ROW] * 7), "sample 2, field pose: wanted 8 rows of 3 numbers, c7t1 first"),
        (sample(2, pose=[ROW] * 7 + [[0, 1]]), "field pose: wanted 8 rows"),
        (sample(2, pose=[ROW] * 7 + [[0, 40.0, 0]]), "field pose: turns a joint by more than half a circle"),
        (sample(2, larynx=[1, 0]), "sample 2, field larynx: wanted an object with size and shift"),
        (sample(2, larynx={"shift": 0}), "field larynx: wanted an object with size and shift"),
        (sample(2, larynx={"size": 1, "shift": 9}), "field larynx, shift: 9.0; wanted metres"),
        (sample(2, larynx=None), "sample 2, field larynx: missing, but other meshes of subject 'anna'"),
        (sample(0, expression="jawOpen"), "sample 0: subject 'anna' has no neutral mesh at rest"),
    ],
)
def test_a_bad_index_is_refused_by_name(tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    path = write(tmp_path).path
    index = json.loads(path.read_bytes())
    change(index)
    path.write_text(json.dumps(index))
    with pytest.raises(FormatError, match=message):
        Dataset.open(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_index_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dataset.json").write_bytes(content)
    with pytest.raises(FormatError, match=r"dataset\.json: not"):
        Dataset.open(tmp_path)


def test_a_missing_dataset_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"dataset\.json: no such file"):
        Dataset.open(tmp_path)


def broken(value: float) -> np.ndarray:
    vertices = np.zeros((3, 5, 3), np.float32)
    vertices[1, 2, 0] = value
    return vertices


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"vertices": broken(np.nan)}, "meshes-00001.npz: sample 1, field vertices: holds values that are not finite"),
        ({"vertices": broken(np.inf)}, "sample 1, field vertices: holds values that are not finite"),
        ({"vertices": broken(170.0)}, "sample 1, field vertices: lies 170 from the origin; wanted metres"),
        ({"vertices": np.zeros((2, 5, 3))}, r"field vertices is float64 \(2, 5, 3\), wanted .*lists 3 samples"),
        ({"vertices": np.zeros((3, 5, 3), int)}, "field vertices is int64"),
        ({"points": np.zeros((3, 5, 3))}, "holds points; a shard holds one array, vertices"),
        ({"vertices": np.array([{}], object)}, "holds pickled objects"),
    ],
)
def test_a_bad_shard_is_refused_by_name(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    dataset = write(tmp_path)
    np.savez(tmp_path / "meshes-00001.npz", **arrays)  # pyright: ignore[reportArgumentType]
    with pytest.raises(FormatError, match=message):
        list(dataset.batches(np.ones(6, bool)))


def test_an_interrupted_writer_leaves_no_dataset(tmp_path: Path) -> None:
    def write_two_sizes() -> None:
        with DatasetWriter(tmp_path, licence="x") as out:
            out.add(np.zeros((5, 3)), subject="a")
            out.add(np.zeros((6, 3)), subject="a")

    with pytest.raises(FormatError, match="a mesh of shape"):
        write_two_sizes()
    assert not (tmp_path / "dataset.json").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"vertices": np.full((5, 3), np.nan)}, "sample 1, field vertices: holds values that are not finite"),
        ({"pose": np.zeros((7, 3))}, "sample 1, field pose: wanted 8 rows"),
        ({"pose": np.full((8, 3), np.inf)}, "sample 1, field pose: not a finite number"),
        ({"expression": {"jawOpen": float("nan")}}, "sample 1, field expression, jawOpen: not a finite number"),
        ({"larynx_size": float("nan")}, "sample 1, field larynx, size: not a finite number"),
        ({"subject": ""}, "sample 1, field subject: empty"),
    ],
)
def test_the_writer_refuses_what_could_not_be_read(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with DatasetWriter(tmp_path, licence="x") as out:
        out.add(np.zeros((5, 3)), subject="a")
        with pytest.raises(FormatError, match=message):
            out.add(**{"vertices": np.zeros((5, 3)), "subject": "a", **given})
    assert len(Dataset.open(tmp_path)) == 1


def test_a_dataset_without_meshes_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no mesh was added"):
        DatasetWriter(tmp_path, licence="x").close()
    assert not list(tmp_path.iterdir())
