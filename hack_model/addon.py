"""Builds the Blender extension: the add-on's files and, as wheels, the part of this package that runs inside Blender.

Blender unpacks the wheels a manifest lists into its own site-packages, so that the add-on imports ``hack_model`` as
any program does: no ``sys.path`` edits, no pip. All wheels are pure Python and serve every Python Blender ships (3.11
up to Blender 5.0, 3.13 from 5.1). See https://docs.blender.org/manual/en/latest/advanced/extensions/python_wheels.html
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import io
import re
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from hack_model.arrayfile import atomic_file
from hack_model.asset import ModelAsset
from hack_model.errors import HackError
from hack_model.resources import data_folder, default_model_path

_PACKAGE = Path(__file__).parent
_DEFAULT_MODEL = "hack_open/hack-open.npz"
"""Where below ``data`` the package looks for its model; see :func:`hack_model.resources.default_model_path`."""
_LEFT_OUT = {
    "addon.py",
    "cli.py",
    "console.py",
    "build",
    "interop",
    "simulation",
    "sources",
    "training",
    "data",
    "blender_addon",
}
"""What of the package Blender has no use for; most of it needs scipy, torch or a terminal."""
_TABLES = ("facs", "appearance")
"""Folders below ``data`` that the add-on reads."""
_DEPENDENCY = "array-api-compat"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def build(output: str | Path, model: str | Path | None = None) -> Path:
    """Writes the extension as a zip that Blender 4.2 and newer installs; the same sources give the same bytes.

    ``model`` is the asset that "Add HACK head" uses, by default hack-open. Returns the path of the zip. Raises
    :class:`HackError` when the model or the add-on's files are missing, or ``output`` is not called ``.zip``.
    """
    output = Path(output)
    require_zip(output)
    model = Path(model) if model is not None else default_model_path()
    ModelAsset.load(model)
    source = _addon_folder()
    manifest = (source / "blender_manifest.toml").read_text("utf-8")
    wheels = dict([_own_wheel(tomllib.loads(manifest)["version"], model), _dependency_wheel(_DEPENDENCY)])
    files = _tree(source)
    files["blender_manifest.toml"] = _with_wheels(manifest, sorted(wheels)).encode()
    files |= {f"wheels/{name}": content for name, content in wheels.items()}
    with atomic_file(output) as stream:
        stream.write(_zipped(files))
    return output


def require_zip(output: Path) -> None:
    """Raises :class:`HackError` for a name that Blender does not take an extension from."""
    if output.suffix.lower() != ".zip":
        raise HackError(f"{output}: Blender installs extensions from files called .zip; name it {output.stem}.zip")


def _addon_folder() -> Path:
    for folder in (_PACKAGE / "blender_addon", _PACKAGE.parent / "blender_addon"):
        if (folder / "blender_manifest.toml").is_file():
            return folder
    raise HackError(f"the add-on's files are missing beside {_PACKAGE}; install hack-model again")


def _with_wheels(manifest: str, names: list[str]) -> str:
    listed = ",\n".join(f'  "./wheels/{name}"' for name in names)
    filled, count = re.subn(r"(?m)^wheels = \[\]$", f"wheels = [\n{listed},\n]", manifest)
    if count != 1:
        raise HackError("blender_manifest.toml has no line `wheels = []` to fill; restore it")
    return filled


def _own_wheel(version: str, model: Path) -> tuple[str, bytes]:
    """The package without :data:`_LEFT_OUT`, with the tables of facts and the model.

    The version carries a digest of the content, because Blender keeps an unpacked wheel of the same version.
    """
    files = {f"hack_model/{name}": content for name, content in _tree(_PACKAGE, _LEFT_OUT).items()}
    data = data_folder()
    tables = {f"{part}/{name}": content for part in _TABLES for name, content in _tree(data / part).items()}
    documents = {path.relative_to(data).as_posix(): path.read_bytes() for path in (data / "hack_open").glob("*.md")}
    travelling = tables | documents | {_DEFAULT_MODEL: model.read_bytes()}
    files |= {f"hack_model/data/{name}": content for name, content in travelling.items()}
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    full_version = f"{version}+{digest.hexdigest()[:8]}"
    metadata = f"Metadata-Version: 2.1\nName: hack-model\nVersion: {full_version}\nLicense: Apache-2.0\n"
    licence = importlib.metadata.distribution("hack-model").read_text("licenses/LICENSE")
    if licence is None:
        raise HackError("the licence text of hack-model is missing among its installed files; install hack-model again")
    return _wheel(
        "hack_model", full_version, files, {"METADATA": metadata.encode(), "licenses/LICENSE": licence.encode()}
    )


def _dependency_wheel(name: str) -> tuple[str, bytes]:
    """An installed pure-Python package, packed again as a wheel. Raises :class:`HackError` if it is not pure."""
    distribution = importlib.metadata.distribution(name)
    if "Root-Is-Purelib: true" not in (distribution.read_text("WHEEL") or ""):
        raise HackError(f"package {name} is not pure Python and cannot travel in the Blender extension")
    package = name.replace("-", "_")
    files: dict[str, bytes] = {}
    information: dict[str, bytes] = {}
    for entry in distribution.files or ():
        if "__pycache__" in entry.parts or ".." in entry.parts:
            continue
        content = Path(str(distribution.locate_file(entry))).read_bytes()
        if not entry.parts[0].endswith(".dist-info"):
            files[entry.as_posix()] = content
        elif entry.name not in {"INSTALLER", "RECORD", "REQUESTED", "WHEEL", "direct_url.json"}:
            information[PurePosixPath(*entry.parts[1:]).as_posix()] = content
    return _wheel(package, distribution.version, files, information)


def _wheel(
    package: str, version: str, files: Mapping[str, bytes], information: Mapping[str, bytes]
) -> tuple[str, bytes]:
    """File name and content of a pure-Python wheel, as
    https://packaging.python.org/en/latest/specifications/binary-distribution-format/ describes it.
    """
    folder = f"{package}-{version}.dist-info"
    tags = "Wheel-Version: 1.0\nGenerator: hack-model\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    members = dict(files) | {f"{folder}/{name}": content for name, content in information.items()}
    members[f"{folder}/WHEEL"] = tags.encode()
    rows = [f"{name},sha256={_record_digest(members[name])},{len(members[name])}" for name in sorted(members)]
    members[f"{folder}/RECORD"] = "\n".join([*rows, f"{folder}/RECORD,,", ""]).encode()
    return f"{package}-{version}-py3-none-any.whl", _zipped(members)


def _record_digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _tree(folder: Path, left_out: set[str] | frozenset[str] = frozenset()) -> dict[str, bytes]:
    """Files below a folder by relative path, without caches, hidden files and top-level entries ``left_out``."""
    files: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and parts[0] not in left_out and not any(p == "__pycache__" or p[0] == "." for p in parts):
            files["/".join(parts)] = path.read_bytes()
    return files


def _zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip archive that depends on names and contents alone; what is compressed already is stored."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(name, date_time=_EPOCH)
            member.external_attr = 0o644 << 16
            packed = name.endswith((".whl", ".npz", ".png", ".jpg"))
            member.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            archive.writestr(member, files[name])
    return buffer.getvalue()
