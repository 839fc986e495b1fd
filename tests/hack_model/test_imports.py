from __future__ import annotations

import subprocess
import sys

import pytest

from hack_model import HACK, MissingDependencyError
from tests.support.synthetic import synthetic_asset

HEAVY = {"torch", "scipy", "PIL", "trimesh", "cv2", "pygltflib", "typer", "rich", "jaxtyping", "warp", "bpy", "skimage"}


def test_import_needs_numpy_and_little_else() -> None:
    code = (
        "import sys, hack_model, hack_model.posing, hack_model.release; "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert {"numpy", "array_api_compat", "hack_model"} <= loaded
    assert not loaded & HEAVY


def test_numpy_model_needs_no_torch() -> None:
    code = (
        "import sys, numpy; from tests.support.synthetic import *; from hack_model import HACK; a = synthetic_asset(); "
        "HACK.from_asset(a)(**random_parameters(a)); print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_torch_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"hack-model\[torch\]"):
        HACK.from_asset(synthetic_asset(), backend="torch")
