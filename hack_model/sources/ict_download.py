"""Fetching ICT-FaceKit from its public repository, at one commit.

The commit's name is a hash of all its content, and git checks what it receives against it; so the pinned name pins
every file. The files whose SHA-256 others have published (``data/ict/sha256.csv``: the neutral mesh and every
expression) are compared with it before anything is used. A list of all files' SHA-256 is left beside them, and whoever
uses the folder later is told of a file that has changed since.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hack_model.arrayfile import atomic_file
from hack_model.errors import FormatError, HackError
from hack_model.resources import data_folder
from hack_model.sources.ict import FOLDER
from hack_model.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Mapping

REPOSITORY: Final = "https://github.com/USC-ICT/ICT-FaceKit"
COMMIT: Final = "da5f95a607f5e6b37755b38d3385d7f2853732e5"
LICENCE: Final = "LICENSE"
SUMS: Final = "SHA256SUMS"
_SHA256: Final = re.compile("[0-9a-f]{64}")


class DownloadError(HackError):
    """ICT-FaceKit could not be fetched; says how to get it by hand."""


def default_folder() -> Path:
    """Where a download goes when no folder is named: the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(cache) / "hack-model" / "ICT-FaceKit"


def published_sums() -> dict[str, str]:
    """SHA-256 that others published of files of :data:`COMMIT`, by path in the repository: ``data/ict/sha256.csv``."""
    table = data_folder() / "ict" / "sha256.csv"
    sums: dict[str, str] = {}
    for place, row in read_table(table, FormatError, "file", "sha256", "published"):
        if not _SHA256.fullmatch(row["sha256"]):
            raise FormatError(f"{place}: {row['sha256']!r} is no SHA-256 of 64 hexadecimal digits")
        sums[row["file"]] = row["sha256"]
    return sums


def fetch(
    folder: Path, *, repository: str = REPOSITORY, commit: str = COMMIT, published: Mapping[str, str] | None = None
) -> bool:
    """Puts ICT-FaceKit's model and licence into a folder; False when an untouched copy was there already.

    ``published`` are the SHA-256 that files of the commit must have, by path; those of :data:`COMMIT` when left out.
    Raises :class:`DownloadError` when the repository cannot be reached or what came has another SHA-256,
    :class:`FormatError` when a copy is there but has been changed.
    """
    published = published_sums() if published is None else published
    if (folder / SUMS).is_file():
        check(folder, published)
        return False
    if folder.exists() and any(folder.iterdir()):
        raise DownloadError(f"{folder}: holds other files; name an empty or new folder for the download")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".ict-facekit-") as temporary:
        work = Path(temporary) / "copy"
        _checkout(work, repository, commit)
        shutil.rmtree(work / ".git")
        if not (work / FOLDER).is_dir() or not (work / LICENCE).is_file():
            raise DownloadError(f"{repository} at {commit}: holds no {FOLDER} with a {LICENCE}")
        _compare(work, published, f"{repository} at {commit}")
        write_sums(work)
        if folder.exists():
            folder.rmdir()
        work.rename(folder)
    return True


def licence_text(folder: Path) -> str:
    """The licence that came with a copy; empty when there is none."""
    file = folder / LICENCE
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def write_sums(folder: Path) -> None:
    """Writes the SHA-256 of every file below a folder, as the program sha256sum does."""
    lines = [f"{_digest(file)}  {file.relative_to(folder).as_posix()}\n" for file in _files(folder)]
    with atomic_file(folder / SUMS) as stream:
        stream.write("".join(lines).encode())


def check(folder: Path, published: Mapping[str, str] | None = None) -> bool:
    """Compares a folder with its list of SHA-256, and the list with the published ones; False when it has no list.

    ``published`` as in :func:`fetch`. Raises :class:`FormatError` naming a file that is missing or has changed.
    """
    sums = folder / SUMS
    if not sums.is_file():
        return False
    again = f"remove {folder} and fetch it again"
    listed: dict[str, str] = {}
    for number, line in enumerate(sums.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        wanted, _, name = line.partition("  ")
        file = folder / name
        if not _SHA256.fullmatch(wanted) or not name or not file.resolve().is_relative_to(folder.resolve()):
            raise FormatError(f"{sums}:{number}: unreadable line {line!r}; {again}")
        if not file.is_file() or _digest(file) != wanted:
            raise FormatError(f"{file}: missing or changed since its download; {again}")
        listed[name] = wanted
    for name, wanted in (published_sums() if published is None else published).items():
        if listed.get(name) != wanted:
            raise FormatError(f"{sums}: {name} is not the published file (SHA-256 {wanted}); {again}")
    return True


def _compare(folder: Path, published: Mapping[str, str], origin: str) -> None:
    """Raises :class:`DownloadError` for the first file that is absent or has not its published SHA-256."""
    for name, wanted in published.items():
        file = folder / name
        got = _digest(file) if file.is_file() else "none: the file is absent"
        if got != wanted:
            raise DownloadError(
                f"{origin}: {name} is not the published file (wanted SHA-256 {wanted}, got {got}); "
                "nothing was kept: do not use this source, name a copy you trust with --from"
            )


def _checkout(folder: Path, repository: str, commit: str) -> None:
    """The commit's model folder and licence, and nothing else of the repository."""
    if shutil.which("git") is None:
        raise DownloadError(_advice("git is needed for the download and is not installed", repository, commit))
    steps = (
        ("init", "--quiet", str(folder)),
        ("-C", str(folder), "remote", "add", "origin", repository),
        ("-C", str(folder), "config", "remote.origin.promisor", "true"),
        ("-C", str(folder), "config", "remote.origin.partialclonefilter", "blob:none"),
        ("-C", str(folder), "sparse-checkout", "set", "--no-cone", f"/{FOLDER}/", f"/{LICENCE}"),
        ("-C", str(folder), "fetch", "--quiet", "--depth", "1", "--filter=blob:none", "origin", commit),
        ("-C", str(folder), "-c", "core.autocrlf=false", "checkout", "--quiet", commit),
    )
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    for step in steps:
        done = subprocess.run(["git", *step], capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["git failed"])[-1]
            raise DownloadError(_advice(f"{repository} cannot be fetched ({reason})", repository, commit))


def _advice(reason: str, repository: str, commit: str) -> str:
    return (
        f"{reason}; without a connection take a copy of {repository} at commit {commit} from elsewhere "
        f"and name its folder with --from"
    )


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and file.name != SUMS)


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
