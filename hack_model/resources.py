"""Where the files that travel with the package lie: the default model and the tables of facts."""

from __future__ import annotations

from pathlib import Path

from hack_model.errors import AssetError

_PACKAGE = Path(__file__).parent


def data_folder() -> Path:
    """The folder ``data``: inside an installed package, beside it in a source checkout."""
    for folder in (_PACKAGE / "data", _PACKAGE.parent / "data"):
        if folder.is_dir():
            return folder
    raise AssetError(f"the data folder is missing beside {_PACKAGE}; install hack-model again")


def default_model_path() -> Path:
    """The file of the default model, hack-open."""
    path = data_folder() / "hack_open" / "hack-open.npz"
    if not path.is_file():
        raise AssetError(f"{path}: the default model is missing; build it with `hack-model build --source makehuman`")
    return path
