"""Reading and writing ``.npz`` files that may come from anywhere: no pickles, sizes checked before memory is taken."""

from __future__ import annotations

import errno
import os
import tempfile
import zipfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from hack_model.errors import HackError

MAX_TOTAL_BYTES = 4 << 30
MAX_COMPRESSION_RATIO = 2000  # deflate cannot exceed 1032:1; LZMA of all-zero arrays can, and none of ours is


def read_arrays(path: Path, error: type[HackError], *, skip_objects: bool = False) -> dict[str, np.ndarray]:
    """All arrays of an ``.npz`` file by name. Raises ``error`` for a missing, truncated, oversized or pickled file.

    ``skip_objects`` leaves pickled arrays out, unread, for foreign files that keep notes in them.
    """
    require_file(path, error)
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_members(archive, skip_objects)
    except _Refused as refused:
        raise error(f"{path}: {refused}") from refused
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as fault:
        raise error(f"{path}: not a readable .npz file ({fault}); it may be truncated or of another format") from fault
    except Exception as fault:  # zlib.error and lzma.LZMAError share no base below Exception
        if type(fault).__module__ not in {"zlib", "lzma", "_lzma"}:
            raise
        raise error(f"{path}: damaged compressed data ({fault})") from fault


def require_file(path: Path, error: type[HackError]) -> None:
    """Raises ``error`` when there is no file of that name."""
    if not path.is_file():
        raise error(f"{path}: is a folder, wanted a file" if path.is_dir() else f"{path}: no such file")


def read_array(path: Path, error: type[HackError]) -> np.ndarray:
    """The array of an ``.npy`` file. Raises ``error`` for a missing, truncated or pickled file."""
    require_file(path, error)
    try:
        with path.open("rb") as stream:
            _check_header(stream, path.name, path.stat().st_size)
            stream.seek(0)
            return np.lib.format.read_array(stream, allow_pickle=False)
    except _Refused as refused:
        raise error(f"{path}: {refused}") from refused
    except (EOFError, OSError, ValueError) as fault:
        raise error(f"{path}: not a readable .npy file ({fault}); it may be truncated or of another format") from fault


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Writes a compressed ``.npz`` atomically and reproducibly: the same arrays give the same bytes."""
    with atomic_file(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in arrays:
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w", force_zip64=True) as out:
                np.lib.format.write_array(out, np.asarray(arrays[name]), allow_pickle=False)
    return path


@contextmanager
def atomic_file(path: Path) -> Generator[BinaryIO]:
    """A binary file that takes ``path``'s place only when the block ends without an error."""
    path = Path(path)
    with _named_after(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
        umask = os.umask(0)
        os.umask(umask)
        with _named_after(path):
            Path(temporary).chmod(0o666 & ~umask)
            Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def _named_after(path: Path) -> Generator[None]:
    """System errors of the block bear the file's own name instead of the temporary one's or its folder's."""
    try:
        yield
    except OSError as fault:
        number = errno.ENOTDIR if isinstance(fault, FileExistsError) else fault.errno
        raise OSError(number, f"cannot be written ({os.strerror(number or 0)})", str(path)) from fault


class _Refused(Exception):
    pass


class _PickledError(_Refused):
    pass


def _read_members(archive: zipfile.ZipFile, skip_objects: bool) -> dict[str, np.ndarray]:
    members = archive.infolist()
    if sum(member.file_size for member in members) > MAX_TOTAL_BYTES:
        raise _Refused(f"unpacks to more than {MAX_TOTAL_BYTES >> 30} GiB")
    arrays: dict[str, np.ndarray] = {}
    for member in members:
        if not member.filename.endswith(".npy"):
            raise _Refused(f"holds {member.filename!r}, which is no array")
        if member.file_size > 1 << 20 and member.file_size > MAX_COMPRESSION_RATIO * max(member.compress_size, 1):
            raise _Refused(f"array {member.filename!r} is compressed implausibly far")
        try:
            arrays[member.filename.removesuffix(".npy")] = _read_member(archive, member)
        except _PickledError:
            if not skip_objects:
                raise
    return arrays


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as stream:
        _check_header(stream, member.filename, member.file_size)
    with archive.open(member) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _check_header(stream: IO[bytes], name: str, size: int) -> None:
    """Refuses a ``.npy`` stream of ``size`` bytes that holds pickles or claims more data than it has."""
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    if dtype.hasobject:
        raise _PickledError(f"array {name!r} holds pickled objects, which are never loaded")
    if int(np.prod(shape, dtype=object)) * dtype.itemsize > size:
        raise _Refused(f"array {name!r} claims more data than the file holds")
