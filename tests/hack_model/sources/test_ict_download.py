"""The download against a git repository made here: what arrives is what commit and SHA-256 say, later changes show."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from hack_model import FormatError
from hack_model.names import HACK_EXPRESSIONS
from hack_model.sources import ict_download
from hack_model.sources.ict_download import COMMIT, REPOSITORY, DownloadError, check, published_sums

NEUTRAL = b"v 0 0 0\r\nv 1 0 0\n"
MESH = "FaceXModel/generic_neutral_mesh.obj"
PUBLISHED = {MESH: hashlib.sha256(NEUTRAL).hexdigest()}
pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def fetch(folder: Path, *, repository: str, commit: str) -> bool:
    return ict_download.fetch(folder, repository=repository, commit=commit, published=PUBLISHED)


def git(folder: Path, *words: str) -> str:
    options = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *options, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def remote(tmp_path: Path) -> tuple[str, str]:
    """A repository's address and its first commit; a second one changes the model."""
    folder = tmp_path / "remote"
    (folder / "FaceXModel").mkdir(parents=True)
    (folder / MESH).write_bytes(NEUTRAL)
    (folder / "FaceXModel/vertex_indices.json").write_text("{}")
    (folder / "LICENSE").write_text("MIT License\n\nCopyright someone\n")
    (folder / "huge.bin").write_bytes(b"not wanted")
    git(folder, "init", "--quiet")
    for option in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        git(folder, "config", option, "true")
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", "first")
    commit = git(folder, "rev-parse", "HEAD")
    (folder / MESH).write_text("v 9 9 9\n")
    git(folder, "commit", "--quiet", "-a", "-m", "second")
    return folder.as_uri(), commit


def test_commit_is_fetched_and_nothing_else(remote: tuple[str, str], tmp_path: Path) -> None:
    address, commit = remote
    folder = tmp_path / "cache" / "ICT-FaceKit"
    assert fetch(folder, repository=address, commit=commit)
    assert (folder / MESH).read_bytes() == NEUTRAL
    assert sorted(file.name for file in folder.iterdir()) == ["FaceXModel", "LICENSE", "SHA256SUMS"]
    assert "MIT License" in ict_download.licence_text(folder)
    assert [entry.name for entry in folder.parent.iterdir()] == ["ICT-FaceKit"], "no leftovers"
    sums = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=False)
    assert sums.returncode == 0


def test_second_time_takes_what_is_there(remote: tuple[str, str], tmp_path: Path) -> None:
    address, commit = remote
    fetch(tmp_path / "copy", repository=address, commit=commit)
    assert not fetch(tmp_path / "copy", repository="file:///nowhere", commit=commit)


@pytest.mark.parametrize("change", ["edit", "remove", "list"])
def test_changed_copies_are_refused(remote: tuple[str, str], tmp_path: Path, change: str) -> None:
    address, commit = remote
    folder = tmp_path / "copy"
    fetch(folder, repository=address, commit=commit)
    assert check(folder, PUBLISHED)
    if change == "edit":
        (folder / MESH).write_text("v 5 5 5\n")
    elif change == "remove":
        (folder / "FaceXModel/vertex_indices.json").unlink()
    else:
        (folder / "SHA256SUMS").write_text("0" * 64 + "  ../../outside\n")
    with pytest.raises(FormatError, match=r"changed since its download|unreadable line"):
        fetch(folder, repository=address, commit=commit)


def test_unknown_commits_and_absent_repositories_say_what_to_do(remote: tuple[str, str], tmp_path: Path) -> None:
    address, _ = remote
    for repository, commit in ((address, "0" * 40), ("file:///nowhere/at/all", COMMIT)):
        with pytest.raises(DownloadError, match=r"cannot be fetched.*--from"):
            fetch(tmp_path / "copy", repository=repository, commit=commit)
    assert not (tmp_path / "copy").exists()


def test_full_folders_are_left_alone(remote: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("dear")
    with pytest.raises(DownloadError, match="holds other files"):
        fetch(tmp_path, repository=remote[0], commit=remote[1])
    assert (tmp_path / "thesis.txt").read_text() == "dear"


def test_without_git_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DownloadError, match="git is needed"):
        fetch(tmp_path / "copy", repository=REPOSITORY, commit=COMMIT)


def test_content_without_its_published_sum_is_refused_though_the_commit_is_valid(
    remote: tuple[str, str], tmp_path: Path
) -> None:
    """The repository's second commit is as good to git as the first; its mesh is one that nobody published."""
    address, _ = remote
    second = git(tmp_path / "remote", "rev-parse", "HEAD")
    with pytest.raises(DownloadError, match=f"{MESH} is not the published file.*{PUBLISHED[MESH]}.*--from"):
        fetch(tmp_path / "cache" / "copy", repository=address, commit=second)
    assert not list((tmp_path / "cache").iterdir()), "nothing is kept"


def test_one_byte_more_in_one_of_many_files_is_found(remote: tuple[str, str], tmp_path: Path) -> None:
    address, commit = remote
    sums = {**PUBLISHED, "LICENSE": hashlib.sha256(b"MIT License\n\nCopyright someone\n ").hexdigest()}
    with pytest.raises(DownloadError, match="LICENSE is not the published file"):
        ict_download.fetch(tmp_path / "copy", repository=address, commit=commit, published=sums)
    with pytest.raises(DownloadError, match=r"absent\.obj is not the published file .*absent\)"):
        ict_download.fetch(
            tmp_path / "copy", repository=address, commit=commit, published={"FaceXModel/absent.obj": "0" * 64}
        )


def test_copy_whose_list_was_written_anew_is_refused(remote: tuple[str, str], tmp_path: Path) -> None:
    address, commit = remote
    fetch(tmp_path / "copy", repository=address, commit=commit)
    (tmp_path / "copy" / MESH).write_text("v 5 5 5\n")
    ict_download.write_sums(tmp_path / "copy")
    with pytest.raises(FormatError, match=f"{MESH} is not the published file"):
        fetch(tmp_path / "copy", repository=address, commit=commit)


def test_folder_without_a_list_is_not_checked(tmp_path: Path) -> None:
    assert not check(tmp_path)


def test_pinned_commit_is_whole_and_its_sums_are_of_the_neutral_mesh_and_every_expression() -> None:
    assert len(COMMIT) == 40
    assert REPOSITORY.startswith("https://github.com/")
    names = {Path(name).stem for name in published_sums()}
    assert names == {"generic_neutral_mesh", *HACK_EXPRESSIONS, "PupilDilate_L", "PupilDilate_R"}
    assert all(name == f"FaceXModel/{Path(name).stem}.obj" for name in published_sums())
    assert len(set(published_sums().values())) == len(names)


def test_pinned_sums_are_the_ones_that_a_download_must_have(remote: tuple[str, str], tmp_path: Path) -> None:
    address, commit = remote
    with pytest.raises(DownloadError, match=r"FaceXModel/\w+\.obj is not the published file"):
        ict_download.fetch(tmp_path / "copy", repository=address, commit=commit)


def test_table_of_sums_with_a_wrong_digit_names_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ict").mkdir()
    (tmp_path / "ict/sha256.csv").write_text(f"# sums\nfile,sha256,published\na.obj,{'g' * 64},x\n")
    monkeypatch.setattr(ict_download, "data_folder", lambda: tmp_path)
    with pytest.raises(FormatError, match=r"sha256\.csv:3: .*no SHA-256"):
        published_sums()
