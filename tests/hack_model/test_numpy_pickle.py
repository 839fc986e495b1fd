"""Pickled models in every dialect, and pickles that ask for more than arrays."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from hack_model import AssetError
from hack_model.numpy_pickle import read_pickled_model
from tests.support.flame_files import pretended_chumpy

VALUES = np.arange(12.0).reshape(4, 3)


def write(path: Path, content: Any, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_numpy_chumpy_and_scipy(tmp_path: Path, protocol: int) -> None:
    matrix = sp.random(5, 7, 0.4, random_state=0).toarray()
    with pretended_chumpy() as wrap:
        path = write(
            tmp_path / "model.pkl",
            {"plain": VALUES.astype(np.float32), "wrapped": wrap(VALUES), "columns": sp.csc_matrix(matrix),
             "rows": sp.csr_matrix(matrix), "counts": np.arange(3, dtype=np.uint32), "bs_type": "lrotmin", "n": 3},
            protocol,
        )  # fmt: skip
    arrays = read_pickled_model(path)
    assert set(arrays) == {"plain", "wrapped", "columns", "rows", "counts"}
    np.testing.assert_array_equal(arrays["plain"], VALUES)
    np.testing.assert_array_equal(arrays["wrapped"], VALUES)
    np.testing.assert_array_equal(arrays["columns"], matrix)
    np.testing.assert_array_equal(arrays["rows"], matrix)
    assert arrays["counts"].dtype == np.uint32


def test_python_2_strings_and_module_names(tmp_path: Path) -> None:
    """As Python 2 wrote it: array content as a byte string, copy_reg and __builtin__ by their old names."""
    content = np.array([1.5, -2.0]).tobytes()
    text = (
        b"(dS'x'\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(I2\ntcnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS"
        + repr(content).removeprefix("b").encode()
        + b"\ntbsS'c'\nccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\nobject\nNtR(dS'x'\n"
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I1\nt"
        b"cnumpy\ndtype\n(S'i4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x07\\x00\\x00\\x00'\ntbsbs."
    )
    path = tmp_path / "old.pkl"
    path.write_bytes(text)
    arrays = read_pickled_model(path)
    np.testing.assert_array_equal(arrays["x"], [1.5, -2.0])
    np.testing.assert_array_equal(arrays["c"], [7])


class _Run:
    def __reduce__(self) -> tuple[Any, ...]:
        return (eval, ("__import__('pathlib').Path('pickle-was-run').touch()",))


def hostile() -> dict[str, tuple[bytes, str]]:
    broken = sp.csc_matrix(np.eye(3))
    broken.indices = np.array([0, 1, 900], np.int32)
    long = sp.csc_matrix(np.eye(3))
    long.indptr = np.array([0, 5, 2, 3], np.int32)
    huge = sp.csr_matrix((10**6, 10**6))
    with pretended_chumpy() as wrap:
        run = wrap(VALUES)
        run.__dict__["x"] = _Run()
        empty = wrap(VALUES)
        del empty.__dict__["x"]
        looped = wrap(VALUES)
        looped.__dict__["x"] = looped
        wrapped = {
            "code in chumpy": (pickle.dumps({"v": run}, 2), "asks for __builtin__.eval"),
            "chumpy without array": (pickle.dumps({"v": empty}, 2), "without its array x"),
            "chumpy of itself": (pickle.dumps({"v": looped}, 2), "not a readable pickle"),
        }
    return wrapped | {
        "code": (pickle.dumps(_Run(), 2), "asks for __builtin__.eval"),
        "code, new": (pickle.dumps({"v": _Run()}, 4), "asks for builtins.eval"),
        "system": (b"cos\nsystem\n(S'touch pickle-was-run'\ntR.", "asks for os.system"),
        "getattr": (b"c__builtin__\ngetattr\n.", "asks for __builtin__.getattr"),
        "dotted": (b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.dumps\x93.", "asks for numpy.ndarray.dumps"),
        "another chumpy": (b"cchumpy.ch\nload\n.", "asks for chumpy.ch.load"),
        "reconstructor": (
            b"ccopy_reg\n_reconstructor\n(c__builtin__\nobject\nc__builtin__\nobject\nNtR.",
            "another kind",
        ),
        "bytes": (b"c_codecs\nencode\n(S'a'\nS'rot13'\ntR.", "bytes in an unknown form"),
        "sparse indices": (pickle.dumps({"v": broken}, 2), "damaged sparse matrix"),
        "sparse starts": (pickle.dumps({"v": long}, 2), "damaged sparse matrix"),
        "sparse size": (pickle.dumps({"v": huge}, 2), "damaged sparse matrix"),
        "a list": (pickle.dumps([VALUES], 2), "no dictionary"),
        "objects": (pickle.dumps({"v": np.array([None, {}])}, 2), "without plain data|type 'O8'"),
        "cut short": (pickle.dumps({"v": VALUES}, 2)[:-40], "not a readable pickle"),
        "nothing": (b"", "not a readable pickle"),
    }


HOSTILE = hostile()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_and_damaged_pickles_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    content, message = HOSTILE[name]
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with pytest.raises(AssetError, match=message):
        read_pickled_model(path)
    assert not Path("pickle-was-run").exists()


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=60), place=st.integers(0, 400))
def test_no_damage_does_more_than_raise(tmp_path_factory: pytest.TempPathFactory, data: bytes, place: int) -> None:
    whole = pickle.dumps({"a": VALUES, "b": sp.csc_matrix(np.eye(4))}, 2)
    path = tmp_path_factory.getbasetemp() / "damaged.pkl"
    path.write_bytes(whole[:place] + data + whole[place + len(data) :])
    try:
        arrays = read_pickled_model(path)
    except AssetError:
        return
    assert all(isinstance(array, np.ndarray) for array in arrays.values())
