"""The wheel on its own: installed beside the core dependencies it declares and nothing else, away from the sources."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import PathDistribution, distribution
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

import hack_model
from hack_model.addon import build as build_addon

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages: the unpacked wheel and links to what it requires without extras."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "dist"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    site = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (information,) = site.glob("*.dist-info")
    wanted, linked = list(PathDistribution(information).requires or ()), set[str]()
    while wanted:
        requirement = Requirement(wanted.pop())
        if requirement.name in linked or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        linked.add(requirement.name)
        required = distribution(requirement.name)
        wanted += required.requires or ()
        for name in {file.parts[0] for file in required.files or ()} - {"..", "__pycache__"}:
            if not (site / name).exists():
                (site / name).symlink_to(Path(str(required.locate_file(name))))
    return site


def run(site: Path, folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Runs code in ``folder`` where Python finds the packages of ``site`` alone."""
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({str(site)!r}); {code}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def hack(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(site, folder, f"from hack_model.cli import main; sys.argv[1:] = {list(words)!r}; main()")


def test_the_model_of_the_wheel_is_the_same(site: Path, tmp_path: Path) -> None:
    code = (
        "import hack_model, numpy; m = hack_model.load(); print(hack_model.__file__); "
        "numpy.save('v.npy', m(larynx_size=1.0).vertices); hack_model.Clip.neutral(m).save('clip.npz')"
    )
    done = run(site, tmp_path, code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(site / "hack_model" / "__init__.py")
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), hack_model.load()(larynx_size=1.0).vertices)
    for suffix in (".glb", ".obj", ".ply"):
        done = hack(site, tmp_path, "export", "clip.npz", "-o", f"head{suffix}")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / f"head{suffix}").stat().st_size > 1e6
    assert "hack-open" in hack(site, tmp_path, "info").stdout


def test_the_wheel_builds_the_same_extension(site: Path, tmp_path: Path) -> None:
    done = hack(site, tmp_path, "addon", "-o", "hack.zip")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "hack.zip").read_bytes() == build_addon(tmp_path / "sources.zip").read_bytes()


@pytest.mark.parametrize(
    "command", [("fit", "photo.png", "-o", "out"), ("build", "--source", "makehuman", "-o", "x.npz")]
)
def test_what_needs_more_names_its_extra(site: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    done = hack(site, tmp_path, *command)
    assert done.returncode == 1
    assert done.stderr.startswith("error: this command needs the package ")
    assert done.stderr.endswith(f"pip install 'hack-model[{command[0]}]'\n")
    assert list(tmp_path.iterdir()) == []
