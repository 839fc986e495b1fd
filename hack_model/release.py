"""Reading the official HACK release (github ZoneLikeWonderland/HACK-Model) as it is, into a model asset.

The release is in centimetres with the joint c7t1 at its root; everything else of its conventions is this project's
already. What it computes and this reader reproduces:

* rest shape ``S.mean + beta · S.VT_std``, expressions ``E.mean`` (or ``blendshape.npy``), pose correctives ``P.mean``,
  whose features of the root joint count for nothing;
* joints that do not follow the identity: the regressor is empty and the offsets are the joints;
* the larynx: each vertex takes the texture coordinate of the first face corner that uses it.

How ``E`` and ``P`` vary between subjects is stored in the release, but the map from identity to it never appeared, so
their means serve every identity, as in the release's own examples.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hack_model.arrayfile import read_array
from hack_model.asset import ModelAsset
from hack_model.errors import AssetError, FormatError, MissingDependencyError
from hack_model.names import CERVICAL_JOINTS, HACK_EXPRESSIONS
from hack_model.numpy_pickle import read_pickled_arrays
from hack_model.resources import data_folder
from hack_model.schema import SCHEMA_VERSION
from hack_model.spine import joint_limits, read_spine
from hack_model.wavefront import ObjMesh, read_obj

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

METRES_PER_UNIT: Final = 0.01
METRES_PER_UV: Final = 0.358
"""The release's ``tau`` is in texture units; one is 358 mm along the neck."""

_TEMPLATE, _CHART_MESH = "000_generic_neutral_mesh.obj", "000_generic_neutral_mesh_newuv.obj"
_PARTS: Final = {
    "skin": (0, 11248), "mouth_socket": (11248, 13294), "eye_socket_left": (13294, 13678),
    "eye_socket_right": (13678, 14062),
}  # fmt: skip
"""Vertex ranges of ICT-FaceKit's topology, of which the release's template is the first part."""
_ROOT_FEATURES = 9


@dataclass(frozen=True)
class _Bases:
    """Template (V, 3), shape, expression and corrective bases in the release's centimetres; what files are missing."""

    template: Float[Array, "V 3"]
    shape: Float[Array, "S V 3"]
    expression: Float[Array, "E V 3"]
    pose: Float[Array, "K V 3"]
    missing: tuple[str, ...]


def read_release(folder: str | Path, *, require_bases: bool = True) -> ModelAsset:
    """The release below ``folder`` (its root or its ``model`` folder) as an asset in metres.

    ``S.npy``, ``P.npy`` and one of ``E.npy`` and ``blendshape.npy`` must be there, unless ``require_bases`` is False:
    then an absent basis is empty (no shape components, no expressions, no correctives), and the asset's provenance
    lists it under ``missing``. Raises :class:`AssetError` or :class:`FormatError` naming the file at fault.
    """
    root = Path(folder)
    root = root / "model" if (root / "model").is_dir() else root
    mesh, chart_mesh = read_obj(root / _TEMPLATE), read_obj(root / _CHART_MESH)
    count = len(mesh.vertices)
    if len(chart_mesh.vertices) != count:
        raise AssetError(f"{root / _CHART_MESH}: {len(chart_mesh.vertices)} vertices, the template has {count}")
    bases = _read_bases(root, mesh)
    if bases.missing and require_bases:
        raise AssetError(
            f"{root}: missing {', '.join(bases.missing)}; without them the release has no such basis "
            "(require_bases=False loads what is there)"
        )
    parts = _PARTS if count == _PARTS["eye_socket_right"][1] else {"skin": (0, count)}
    origins, frames = _read_bones(root / "bones_neutral.json")
    eyes = [_centre(mesh, parts.get(name), origins[-1]) for name in ("eye_socket_left", "eye_socket_right")]
    frames = np.concatenate([frames, np.tile(np.eye(3), (2, 1, 1))])
    limits, rhythm = _anatomy()
    return ModelAsset(
        schema_version=SCHEMA_VERSION,
        name="hack-release",
        version="2023",
        licence="none stated by its authors: for reading and testing, not for distribution",
        provenance=json.dumps(_provenance(root, bases.missing)),
        template=bases.template * METRES_PER_UNIT,
        faces=mesh.faces,
        uv=mesh.uv,
        face_uv=mesh.face_uv,
        part_names=tuple(parts),
        part_vertices=np.array(list(parts.values())),
        material_names=("skin",),
        material_color=np.array([[0.6, 0.38, 0.29, 1.0]]),
        material_roughness=np.array([0.5]),
        face_material=np.zeros(len(mesh.faces), np.int32),
        shape_basis=bases.shape * np.float32(METRES_PER_UNIT),
        expression_names=HACK_EXPRESSIONS if len(bases.expression) else (),
        expression_basis=bases.expression * np.float32(METRES_PER_UNIT),
        joint_regressor_vertices=np.zeros((10, 0), np.int32),
        joint_regressor_weights=np.zeros((10, 0), np.float32),
        joint_offsets=np.concatenate([origins, eyes]) * METRES_PER_UNIT,
        joint_frames=frames,
        joint_axes=anatomical_axes(frames),
        joint_limits=limits,
        joint_rhythm=rhythm,
        weights=_read_weights(root / "weight_map_smooth.npy", count),
        pose_basis=bases.pose * np.float32(METRES_PER_UNIT),
        pose_features=np.arange(_ROOT_FEATURES, 72)[: len(bases.pose)],
        larynx_map=_read_chart(root / "Lc_mid.png"),
        larynx_uv=first_corner_uv(chart_mesh),
        larynx_direction=_shaped(root / "ts_larynx.npy", read_array(root / "ts_larynx.npy", AssetError), (3,)),
        larynx_metres_per_v=METRES_PER_UV,
    )


def anatomical_axes(frames: Float[Array, "G 3 3"]) -> Float[Array, "G 3 3"]:
    """The signed local axes nearest to model space's +X, +Y and +Z: flexion, axial and lateral axis of each joint."""
    local = frames.transpose(0, 2, 1)
    nearest = np.abs(local).argmax(axis=1)
    axes = np.zeros_like(frames)
    for joint, axis in np.ndindex(nearest.shape):
        row = nearest[joint, axis]
        axes[joint, axis, row] = np.sign(local[joint, row, axis])
    return axes


def first_corner_uv(mesh: ObjMesh) -> Float[Array, "V 2"]:
    """The texture coordinate of the first face corner that uses each vertex; -9 for vertices of no face."""
    vertices, coordinates = mesh.faces.reshape(-1), mesh.face_uv.reshape(-1)
    used, first = np.unique(vertices, return_index=True)
    uv = np.full((len(mesh.vertices), 2), -9.0)
    uv[used[used >= 0]] = mesh.uv[coordinates[first[used >= 0]]]
    return uv


def _read_bases(root: Path, mesh: ObjMesh) -> _Bases:
    vertices = len(mesh.vertices)
    template, missing = mesh.vertices, []
    shape = np.zeros((0, vertices, 3), np.float32)
    expression, pose = shape, np.zeros((0, 0, 3), np.float32)
    if (path := root / "S.npy").is_file():
        arrays = _pca(path)
        template = _shaped(path, arrays["mean"], (vertices, 3), "mean")
        shape = _shaped(path, arrays["VT_std"], (None, vertices, 3), "VT_std")
    else:
        missing.append(path.name)
    count = len(HACK_EXPRESSIONS)
    if (path := root / "E.npy").is_file():
        expression = _shaped(path, _pca(path)["mean"], (count, vertices, 3), "mean")
    elif (path := root / "blendshape.npy").is_file():
        shapes = _shaped(path, read_array(path, AssetError), (count + 1, vertices, 3))
        expression = shapes[1:] - shapes[0]
    else:
        missing.append("E.npy or blendshape.npy")
    if (path := root / "P.npy").is_file():
        pose = _shaped(path, _pca(path)["mean"], (8, 3, 3, vertices, 3), "mean")
        pose = pose.reshape(72, vertices, 3)[_ROOT_FEATURES:]
    else:
        missing.append(path.name)
    return _Bases(template, shape, expression, pose, tuple(missing))


def _pca(path: Path) -> dict[str, np.ndarray]:
    arrays = read_pickled_arrays(path)
    if not {"mean", "VT_std"} <= set(arrays):
        raise AssetError(f"{path}: wanted entries mean and VT_std, got {', '.join(arrays) or 'none'}")
    return arrays


def _shaped(path: Path, array: np.ndarray, wanted: tuple[int | None, ...], entry: str = "") -> np.ndarray:
    """The array, when it has the wanted shape (None for any size) and holds finite numbers."""
    name = f"{path}: {entry}" if entry else f"{path}:"
    sizes = array.shape
    if len(sizes) != len(wanted) or any(w not in (None, s) for w, s in zip(wanted, sizes, strict=True)):
        raise AssetError(f"{name} has shape {sizes}, wanted {wanted}".replace("None", "any"))
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise AssetError(f"{name} holds {array.dtype} values that are not all finite numbers")
    return array


def _read_bones(path: Path) -> tuple[Float[Array, "8 3"], Float[Array, "8 3 3"]]:
    """Rest origins in centimetres and rest frames in model space.

    A bone's matrix and head are relative to its parent's frame, the head counted from the end of the parent's bone.
    """
    origins, frames = [np.zeros(3)], [np.eye(3)]
    end = 0.0
    try:
        bones = json.loads(path.read_text(encoding="utf-8"))
        if tuple(bones) != CERVICAL_JOINTS:
            raise ValueError(f"joints {', '.join(map(str, bones))}")
        for name, parent in zip(CERVICAL_JOINTS, (None, *CERVICAL_JOINTS), strict=False):
            bone = bones[name]
            if bone["parent"] != parent:
                raise ValueError(f"{name} has parent {bone['parent']}, wanted {parent}")
            head = np.array(bone["head"], np.float64).reshape(3) + np.array([0, end, 0])
            origins.append(origins[-1] + frames[-1] @ head)
            frames.append(frames[-1] @ np.array(bone["matrix"], np.float64).reshape(3, 3))
            end = float(bone["length"])
    except (OSError, KeyError, TypeError, ValueError) as fault:
        raise FormatError(f"{path}: wanted the eight cervical joints with matrix, head, length ({fault})") from fault
    return np.array(origins[1:]), np.array(frames[1:])


def _read_weights(path: Path, vertices: int) -> Float[Array, "V 11"]:
    """Normalised weights; the release has no fixed base and no eyeballs, so their columns are zero."""
    raw = _shaped(path, read_array(path, AssetError), (8, vertices)).astype(np.float64)
    total = raw.sum(axis=0)
    if (total <= 0).any():
        raise AssetError(f"{path}: vertex {int(np.argmin(total))} has no weight")
    weights = np.zeros((vertices, 11))
    weights[:, 1:9] = (raw / total).T
    return weights


def _read_chart(path: Path) -> Float[Array, "A B"]:
    """The larynx chart in metres, its first row at v = 0. The release reads grey / 255 as centimetres."""
    try:
        from PIL import Image
    except ImportError as fault:
        raise MissingDependencyError("reading the HACK release needs Pillow: install hack-model[build]") from fault
    try:
        with Image.open(path) as image:
            grey = np.asarray(image.convert("L"), np.float64)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as fault:
        raise FormatError(f"{path}: cannot be read as a picture ({fault})") from fault
    if max(grey[0].max(), grey[-1].max(), grey[:, 0].max(), grey[:, -1].max()) > 0:
        raise FormatError(f"{path}: the larynx chart's rim is not zero, so the bump would have no end")
    return grey[::-1] / 255 * METRES_PER_UNIT


def _centre(mesh: ObjMesh, part: tuple[int, int] | None, fallback: Float[Array, "3"]) -> Float[Array, "3"]:
    """The middle of a part; nothing is skinned to the release's eye joints, so their place is only nominal."""
    return mesh.vertices[slice(*part)].mean(axis=0) if part else fallback


def _anatomy() -> tuple[Float[Array, "10 3 2"], Float[Array, "8 3"]]:
    """Joint limits and rhythm from the table of the cervical spine; the release states neither."""
    table = read_spine(data_folder() / "hack_open" / "cervical_spine.csv")
    still = np.tile([-np.pi, np.pi], (2, 3, 1))
    return np.concatenate([joint_limits(table), still]), table.rhythm


def _provenance(root: Path, missing: tuple[str, ...]) -> dict[str, Any]:
    files = sorted(path for path in root.iterdir() if path.is_file())
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return {"source": "HACK release, https://github.com/ZoneLikeWonderland/HACK-Model", "missing": missing,
            "sha256": digests}  # fmt: skip
