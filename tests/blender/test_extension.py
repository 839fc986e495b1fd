"""The zip: that Blender takes it, and that what it installs works on its own."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import bpy
import numpy as np
import pytest

from hack_model import HACK, HackError, addon
from hack_model.clip import Clip
from hack_model.posing import neck_pose
from tests.blender.heads import EXACT, distance

SCRIPT = Path(__file__).with_name("installed_extension.py")
VALIDATOR = Path(bpy.utils.system_resource("SCRIPTS")) / "addons_core" / "bl_pkg" / "cli" / "blender_ext.py"


@pytest.fixture(scope="module")
def extension(asset_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return addon.build(tmp_path_factory.mktemp("extension") / "extension.zip", asset_path)


def _manifest(archive: Path) -> dict[str, object]:
    with zipfile.ZipFile(archive) as opened:
        return tomllib.loads(opened.read("blender_manifest.toml").decode())


@pytest.fixture(scope="module")
def installed(extension: Path, model: HACK, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """What a Python with nothing but bpy and numpy finds after installing the zip."""
    folder = tmp_path_factory.mktemp("installed")
    (folder / "extension.zip").write_bytes(extension.read_bytes())
    expression = np.zeros((1, len(model.expression_names)))
    expression[0, model.expression_names.index("jawOpen")] = 0.8
    shape = np.linspace(-1, 1, len(model.shape_basis))
    Clip(model.asset.name, model.asset.version, model.expression_names, expression, shape).save(folder / "clip.npz")
    packages = folder / "packages"
    packages.mkdir()
    for name in ("bpy", "numpy"):
        for entry in Path(str(importlib.metadata.distribution(name).locate_file(""))).glob(f"{name}*"):
            (packages / entry.name).symlink_to(entry)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(packages),
        "BLENDER_USER_RESOURCES": str(folder / "blender"),
    }
    command = [sys.executable, "-S", str(SCRIPT), str(folder)]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with np.load(folder / "results.npz") as results:
        return dict(results)


def _to_blender(vertices: np.ndarray) -> np.ndarray:
    return vertices @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])


def test_blender_validates_the_zip(extension: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(VALIDATOR), "validate", str(extension)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_same_sources_give_the_same_bytes(extension: Path, asset_path: Path, tmp_path: Path) -> None:
    assert addon.build(tmp_path / "again.zip", asset_path).read_bytes() == extension.read_bytes()


def test_version_is_the_projects(extension: Path) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert _manifest(extension)["version"] == project["version"]


def test_wheels_are_listed_pure_and_pip_reads_them(extension: Path, tmp_path: Path) -> None:
    wheels = _manifest(extension)["wheels"]
    with zipfile.ZipFile(extension) as archive:
        archive.extractall(tmp_path)
    assert len(wheels) == 2
    assert all(name.endswith("-py3-none-any.whl") for name in wheels)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    paths = [str(tmp_path / name) for name in wheels]
    done = subprocess.run([*command, str(tmp_path / "site"), *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "hack_model" / "data" / "hack_open" / "hack-open.npz").is_file()


def test_another_model_gives_another_wheel_version(extension: Path, model: HACK, tmp_path: Path) -> None:
    import dataclasses

    other = dataclasses.replace(model.asset, version="other").save(tmp_path / "other.npz")
    assert _manifest(addon.build(tmp_path / "other.zip", other))["wheels"] != _manifest(extension)["wheels"]


def test_no_model_no_zip(tmp_path: Path) -> None:
    with pytest.raises(HackError, match="no such file"):
        addon.build(tmp_path / "extension.zip", tmp_path / "gone.npz")
    assert not (tmp_path / "extension.zip").exists()


def test_licences_travel(extension: Path) -> None:
    with zipfile.ZipFile(extension) as archive:
        assert "GNU GENERAL PUBLIC LICENSE" in archive.read("LICENSE").decode()
        wheel = next(name for name in archive.namelist() if "hack_model" in name)
        with archive.open(wheel) as stream, zipfile.ZipFile(stream) as inner:
            licence = next(name for name in inner.namelist() if name.endswith("licenses/LICENSE"))
            assert "Apache License" in inner.read(licence).decode()


def test_installed_head_is_the_models(installed: dict[str, np.ndarray], model: HACK) -> None:
    assert distance(installed["neutral"], _to_blender(model.template)) < EXACT


def test_installed_head_keeps_its_keys(installed: dict[str, np.ndarray], model: HACK) -> None:
    pose = neck_pose(model.asset, axial=0.6)
    wanted = model.rig()(expression={"mouthSmile_L": 1}, pose=pose, larynx_size=1.0).vertices
    assert distance(installed["keyed"], _to_blender(wanted)) < EXACT


def test_installed_head_takes_a_clip(installed: dict[str, np.ndarray], model: HACK) -> None:
    wanted = model(shape=np.linspace(-1, 1, len(model.shape_basis)), expression={"jawOpen": 0.8}).vertices
    assert distance(installed["clip"], _to_blender(wanted)) < EXACT


def test_installed_head_is_removed_and_the_add_on_disabled(installed: dict[str, np.ndarray]) -> None:
    assert installed["objects_left"] == 0
    assert installed["unregistered"]


def test_installed_add_on_uses_its_own_model_and_no_heavy_package(installed: dict[str, np.ndarray]) -> None:
    assert "extensions/.local" in str(installed["hack_model"])
    heavy = {"torch", "numba", "rich", "typer", "scipy", "cv2", "pygltflib", "fitting"}
    assert not heavy & {str(name).partition(".")[0] for name in installed["modules"]}
