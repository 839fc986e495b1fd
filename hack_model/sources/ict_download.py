"""Fetching ICT-FaceKit from its public repository, at one commit.

The commit's name is a hash of all its content, and git checks what it receives against it; so the pinned name pins
every file. A list of the files' SHA-256 is left beside them, and whoever uses the folder later is told of a file that
has changed since.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from hack_model.arrayfile import atomic_file
from hack_model.errors import FormatError, HackError
from hack_model.sources.ict import FOLDER

REPOSITORY: Final = "https://github.com/USC-ICT/ICT-FaceKit"
COMMIT: Final = "da5f95a607f5e6b37755b38d3385d7f2853732e5"
LICENCE: Final = "LICENSE"
SUMS: Final = "SHA256SUMS"


class DownloadError(HackError):
    """ICT-FaceKit could not be fetched; says how to get it by hand."""


def default_folder() -> Path:
    """Where a download goes when no folder is named: the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(cache) / "hack-model" / "ICT-FaceKit"


def fetch(folder: Path, *, repository: str = REPOSITORY, commit: str = COMMIT) -> bool:
    """Puts ICT-FaceKit's model and licence into a folder; False when an untouched copy was there already.

    Raises :class:`DownloadError` when the repository cannot be reached, :class:`FormatError` when a copy is there but
    has been changed.
    """
    if (folder / SUMS).is_file():
        check(folder)
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
    lines = [f"{_sha256(file)}  {file.relative_to(folder).as_posix()}\n" for file in _files(folder)]
    with atomic_file(folder / SUMS) as stream:
        stream.write("".join(lines).encode())


def check(folder: Path) -> bool:
    """Compares a folder with its list of SHA-256; False when it has none.

    Raises :class:`FormatError` naming a file that is missing or has changed.
    """
    sums = folder / SUMS
    if not sums.is_file():
        return False
    for number, line in enumerate(sums.read_text(encoding="utf-8").splitlines(), 1):
        wanted, _, name = line.partition("  ")
        file = folder / name
        if len(wanted) != 64 or not name or not file.resolve().is_relative_to(folder.resolve()):
            raise FormatError(f"{sums}:{number}: unreadable line {line!r}")
        if not file.is_file() or _sha256(file) != wanted:
            raise FormatError(f"{file}: missing or changed since its download; remove {folder} and fetch it again")
    return True


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


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
