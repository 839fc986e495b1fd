"""`ModelAsset`: everything of a model in one file that holds no pickle, checked when it is loaded."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model import packing
from hack_model.arrayfile import read_arrays, write_arrays
from hack_model.basis import Basis, Refinement
from hack_model.errors import AssetError
from hack_model.schema import FIELDS, FIXED_SIZES, READABLE_VERSIONS, SCHEMA_VERSION, Field

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jaxtyping import Float, Int, UInt8

    Array = np.ndarray

_SUM_TOLERANCE = 1e-3
_STORED: dict[str, tuple[type[np.generic], Any]] = {
    "float": (np.float32, np.finfo(np.float32)),
    "int": (np.int32, np.iinfo(np.int32)),
    "byte": (np.uint8, np.iinfo(np.uint8)),
}


def _none(*shape: int, dtype: type[np.generic] = np.float32) -> Callable[[], Array]:
    """Makes the default of a field that may be absent: an empty array."""
    return lambda: np.zeros(shape, dtype)


def _no_basis() -> Basis:
    return Basis(np.zeros((0, 0, 3)), 0)


@dataclass(frozen=True, eq=False)
class ModelAsset:
    """A parametric head and neck as arrays; see :data:`hack_model.schema.FIELDS` for each field's meaning.

    Metres, radians; +X subject's left, +Y up, +Z forward. Arrays are read-only: derive a new asset with
    :func:`dataclasses.replace`. Construction checks every field and raises :class:`AssetError`.

    The bases are :class:`hack_model.basis.Basis` objects, a few megabytes each: ``asset.expression_basis.at(vertices)``
    gives the dense displacements of chosen vertices, ``.dense()`` or ``np.asarray`` all. Dense arrays are taken, too.
    """

    name: str
    version: str
    licence: str
    provenance: str
    template: Float[Array, "V 3"]
    faces: Int[Array, "F 4"]
    uv: Float[Array, "T 2"]
    face_uv: Int[Array, "F 4"]
    part_names: tuple[str, ...]
    part_vertices: Int[Array, "P 2"]
    material_names: tuple[str, ...]
    material_color: Float[Array, "M 4"]
    material_roughness: Float[Array, " M"]
    face_material: Int[Array, " F"]
    shape_basis: Basis
    expression_names: tuple[str, ...]
    expression_basis: Basis
    joint_regressor_vertices: Int[Array, "G N"]
    joint_regressor_weights: Float[Array, "G N"]
    joint_offsets: Float[Array, "G 3"]
    joint_frames: Float[Array, "G 3 3"]
    joint_axes: Float[Array, "G 3 3"]
    joint_limits: Float[Array, "G 3 2"]
    joint_rhythm: Float[Array, "8 3"]
    weights: Float[Array, "V J"]
    larynx_map: Float[Array, "A B"]
    larynx_uv: Float[Array, "V 2"]
    larynx_direction: Float[Array, "3"]
    larynx_metres_per_v: float
    larynx_forward_map: Float[Array, "A B"] = dataclasses.field(default_factory=_none(0, 0))
    larynx_identity: Float[Array, " S"] = dataclasses.field(default_factory=_none(0))
    albedo: UInt8[Array, "H W 3"] = dataclasses.field(default_factory=_none(0, 0, 3, dtype=np.uint8))
    mirror_vertices: Int[Array, " V"] = dataclasses.field(default_factory=_none(0, dtype=np.int32))
    region_names: tuple[str, ...] = ()
    region_weights: Float[Array, "R V"] = dataclasses.field(default_factory=_none(0, 0))
    direction_names: tuple[str, ...] = ()
    directions: Float[Array, "D S"] = dataclasses.field(default_factory=_none(0, 0))
    combination_names: tuple[str, ...] = ()
    combination_sources: Int[Array, "X I"] = dataclasses.field(default_factory=_none(0, 0, dtype=np.int32))
    combination_peaks: Float[Array, "X I"] = dataclasses.field(default_factory=_none(0, 0))
    combination_basis: Basis = dataclasses.field(default_factory=_no_basis)
    personal_expression_basis: Float[Array, "U NU 3"] = dataclasses.field(default_factory=_none(0, 0, 3))
    personal_expression_pairs: Int[Array, "NU 2"] = dataclasses.field(default_factory=_none(0, 2, dtype=np.int32))
    personal_expression_map: Float[Array, "U S"] = dataclasses.field(default_factory=_none(0, 0))
    pose_basis: Basis = dataclasses.field(default_factory=_no_basis)
    pose_features: Int[Array, " K"] = dataclasses.field(default_factory=_none(0, dtype=np.int32))
    personal_pose_basis: Float[Array, "Q NQ 3"] = dataclasses.field(default_factory=_none(0, 0, 3))
    personal_pose_pairs: Int[Array, "NQ 2"] = dataclasses.field(default_factory=_none(0, 2, dtype=np.int32))
    personal_pose_map: Float[Array, "Q S"] = dataclasses.field(default_factory=_none(0, 0))
    landmarks68_vertices: Int[Array, "X 3"] = dataclasses.field(default_factory=_none(0, 3, dtype=np.int32))
    landmarks68_weights: Float[Array, "X 3"] = dataclasses.field(default_factory=_none(0, 3))
    landmarks478_vertices: Int[Array, "Y 3"] = dataclasses.field(default_factory=_none(0, 3, dtype=np.int32))
    landmarks478_weights: Float[Array, "Y 3"] = dataclasses.field(default_factory=_none(0, 3))
    refinement: Refinement | None = None
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        for field in FIELDS:
            object.__setattr__(self, field.name, _normalised(field, getattr(self, field.name)))
        _check_shapes(self)
        _check_meaning(self)

    def __repr__(self) -> str:
        sizes = (
            f"{self.vertex_count} vertices, {len(self.shape_basis)} shapes, {len(self.expression_names)} expressions"
        )
        return f"ModelAsset({self.name} {self.version}: {sizes})"

    @classmethod
    def load(cls, path: str | Path) -> ModelAsset:
        """Reads an asset. Raises :class:`AssetError` naming the file, the field and the fault."""
        path = Path(path)
        arrays = read_arrays(path, AssetError)
        try:
            return cls.from_arrays(packing.unpack(arrays))
        except AssetError as error:
            raise AssetError(f"{path}: {error}") from error

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> ModelAsset:
        """Makes an asset from arrays by name, as :meth:`to_arrays` gives them; a basis may also be one dense array.

        Missing and extra names are listed in the error.
        """
        arrays = {name: np.asarray(value) if not isinstance(value, Basis) else value for name, value in arrays.items()}
        names = packing.names(arrays)
        missing = [field.name for field in FIELDS if field.required and field.name not in names]
        extra = sorted(names - {field.name for field in FIELDS})
        if missing or extra:
            parts = [f"missing fields: {', '.join(missing)}"] * bool(missing)
            parts += [f"unknown fields: {', '.join(extra)}"] * bool(extra)
            raise AssetError(f"not a model asset of schema {SCHEMA_VERSION}: {'; '.join(parts)}")
        given = {name: value for name, value in arrays.items() if isinstance(value, Basis)}
        others, bases, refinement = packing.collect({n: v for n, v in arrays.items() if n not in given})
        fields: dict[str, Any] = {**others, **bases, **given}
        shared = (basis.refinement for basis in given.values() if basis.refinement is not None)
        return cls(**fields, refinement=refinement or next(shared, None))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything as arrays by name, the inverse of :meth:`from_arrays`; bases in their own form."""
        plain = {field.name: np.asarray(getattr(self, field.name)) for field in FIELDS if field.kind != "basis"}
        tables: dict[str, np.ndarray] = {}
        if self.refinement is not None:
            tables["refinement_vertices"], tables["refinement_weights"] = (
                self.refinement.vertices,
                self.refinement.weights,
            )
        return plain | tables | packing.plain({name: getattr(self, name) for name in packing.BASES})

    def save(self, path: str | Path, *, packed: bool = False) -> Path:
        """Writes the asset atomically (a temporary file, then a rename).

        ``packed`` rounds the bases to whole steps, at least half a micrometre, and codes them small: a tenth of the
        size at an error below 1e-6 m per unit coefficient.
        """
        arrays = self.to_arrays()
        return write_arrays(Path(path), packing.pack(arrays) if packed else arrays)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays in memory."""
        return sum(array.nbytes for array in self.to_arrays().values())

    @property
    def control_count(self) -> int:
        """C, the number of control vertices, which personalised bases are indexed by; V without a refinement."""
        return self.vertex_count if self.refinement is None else self.refinement.control_count

    @property
    def vertex_count(self) -> int:
        """V, the number of vertices of all parts."""
        return len(self.template)

    @property
    def combinations(self) -> list[dict[str, float]]:
        """The peak of each source expression, by name, of each combination."""
        rows = zip(self.combination_sources.tolist(), self.combination_peaks.tolist(), strict=True)
        return [
            {self.expression_names[source]: peak for source, peak in zip(sources, peaks, strict=True) if source >= 0}
            for sources, peaks in rows
        ]

    def part(self, name: str) -> slice:
        """The vertices of a part. Raises :class:`AssetError` listing the parts when there is none of that name."""
        if name not in self.part_names:
            raise AssetError(f"model {self.name} has no part {name!r}; its parts: {', '.join(self.part_names)}")
        start, stop = self.part_vertices[self.part_names.index(name)]
        return slice(int(start), int(stop))

    @cached_property
    def triangles(self) -> Int[Array, "N 3"]:
        """Faces as triangles: each quad split along its first diagonal, in the order of ``faces``."""
        return split_quads(self.faces)


def split_quads(faces: Int[Array, "F 4"]) -> Int[Array, "N 3"]:
    """Quads (fourth index -1 for a triangle) as triangles, in face order."""
    both = np.stack([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]], axis=1)
    keep = np.stack([np.ones(len(faces), bool), faces[:, 3] >= 0], axis=1)
    return both[keep]


def _normalised(field: Field, value: Any) -> Any:
    """The value in the field's own type, read-only. Raises on a wrong kind or values that are not finite."""
    if field.kind == "basis":
        return _normalised_basis(field, value)
    array = np.asarray(value)
    if field.kind == "text":
        if array.dtype.kind not in "US" and array.size:
            raise AssetError(f"field {field.name} holds {array.dtype}, wanted text")
        if array.ndim != len(field.dims):
            raise AssetError(f"field {field.name} has shape {array.shape}, wanted {len(field.dims)} dimensions")
        return str(array[()]) if not field.dims else tuple(str(item) for item in array)
    wanted = {"float": "f", "int": "iu", "byte": "u"}[field.kind]
    if array.dtype.kind not in wanted + ("iu" if field.kind == "float" else ""):
        raise AssetError(f"field {field.name} holds {array.dtype}, wanted {field.kind}")
    if field.kind == "float" and not np.isfinite(array).all():
        raise AssetError(f"field {field.name} holds values that are not finite")
    if not field.dims:
        if array.size != 1:
            raise AssetError(f"field {field.name} has shape {array.shape}, wanted one number")
        return float(array.reshape(())) if field.kind == "float" else int(array.reshape(()))
    dtype, limits = _STORED[field.kind]
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise AssetError(f"field {field.name} holds values outside {limits.min}…{limits.max}")
    array = np.ascontiguousarray(array, dtype)
    if array is value or array.base is not None:
        array = array.copy() if array.flags.writeable else array
    array.flags.writeable = False
    return array


def _normalised_basis(field: Field, value: Any) -> Basis:
    if isinstance(value, Basis):
        return value
    if np.ndim(value) != len(field.dims):
        raise AssetError(f"field {field.name} has shape {np.shape(value)}, wanted {_named(field)}")
    try:
        return Basis.of(value)
    except AssetError as error:
        raise AssetError(f"field {field.name} {error}") from error


def _named(field: Field) -> str:
    return "(" + ", ".join(str(dim) for dim in field.dims) + ")"


def _check_shapes(asset: ModelAsset) -> None:
    sizes = dict(FIXED_SIZES)
    for field in FIELDS:
        if not field.dims:
            continue
        value = getattr(asset, field.name)
        shape = (len(value),) if field.kind == "text" else value.shape
        if not field.required and 0 in shape:
            continue
        named = _named(field)
        if len(shape) != len(field.dims):
            raise AssetError(f"field {field.name} has shape {shape}, wanted {named}")
        for dim, size in zip(field.dims, shape, strict=True):
            wanted = dim if isinstance(dim, int) else sizes.setdefault(dim, size)
            if size != wanted:
                raise AssetError(f"field {field.name} has shape {shape}, wanted {named} with {dim} = {wanted}")


def _check_meaning(asset: ModelAsset) -> None:
    """Indices inside their ranges, weights that sum to one, parts that tile the vertices, names without repeats."""
    if asset.schema_version not in READABLE_VERSIONS:
        raise AssetError(
            f"schema version {asset.schema_version}, this program reads {' and '.join(map(str, READABLE_VERSIONS))}; "
            "rebuild the asset or update hack-model"
        )
    object.__setattr__(asset, "schema_version", SCHEMA_VERSION)
    vertices = len(asset.template)
    ranges = {
        "faces": (-1, vertices), "face_uv": (-1, len(asset.uv)), "face_material": (0, len(asset.material_names)),
        "joint_regressor_vertices": (0, vertices), "mirror_vertices": (0, vertices), "pose_features": (0, 72),
        "combination_sources": (-1, len(asset.expression_names)),
        "landmarks68_vertices": (0, vertices), "landmarks478_vertices": (0, vertices),
    }  # fmt: skip
    for name, (low, high) in ranges.items():
        value = getattr(asset, name)
        if value.size and (value.min() < low or value.max() >= high):
            raise AssetError(f"field {name} holds indices outside {low}…{high - 1}")
    for name in ("faces", "face_uv"):
        if (getattr(asset, name)[:, :3] < 0).any():
            raise AssetError(f"field {name} has a face of fewer than three corners")
    for name in ("weights", "joint_regressor_weights", "landmarks68_weights", "landmarks478_weights"):
        value = getattr(asset, name)
        if value.size and np.abs(value.sum(axis=-1) - 1).max() > _SUM_TOLERANCE:
            raise AssetError(f"field {name} has rows that do not sum to 1")
    if ((asset.faces[:, 3] < 0) != (asset.face_uv[:, 3] < 0)).any():
        raise AssetError("fields faces and face_uv disagree on which faces are triangles")
    for name in ("weights", "region_weights", "material_color", "material_roughness"):
        value = getattr(asset, name)
        if value.size and (value.min() < 0 or value.max() > 1 + _SUM_TOLERANCE):
            raise AssetError(f"field {name} holds values outside 0…1")
    _check_joints(asset)
    _check_combinations(asset)
    _check_refinement(asset)
    rows = {"expression": len(asset.expression_names) + len(asset.combination_names), "pose": len(asset.pose_basis)}
    for kind, count in rows.items():
        _check_personal(asset, kind, count)
    if asset.larynx_metres_per_v == 0:
        raise AssetError("field larynx_metres_per_v is zero")
    if abs(np.linalg.norm(asset.larynx_direction) - 1) > _SUM_TOLERANCE:
        raise AssetError("field larynx_direction is no unit vector")
    starts, stops = asset.part_vertices[:, 0], asset.part_vertices[:, 1]
    if not (
        len(starts)
        and starts[0] == 0
        and stops[-1] == vertices
        and (starts[1:] == stops[:-1]).all()
        and (stops > starts).all()
    ):
        raise AssetError("field part_vertices does not tile the vertices in order")
    for name in ("part_names", "material_names", "expression_names", "region_names", "direction_names",
                 "combination_names"):  # fmt: skip
        names = getattr(asset, name)
        if len(set(names)) != len(names):
            raise AssetError(f"field {name} repeats a name")
        odd = [each for each in names if not each.strip() or not each.isprintable()]
        if odd:
            raise AssetError(f"field {name} holds {odd[0]!r}; names are not empty and have no control characters")


def _check_joints(asset: ModelAsset) -> None:
    if (asset.joint_limits[..., 0] > asset.joint_limits[..., 1]).any():
        raise AssetError("field joint_limits has a lower limit above its upper one")
    if np.abs(asset.joint_rhythm.sum(axis=0) - 1).max() > _SUM_TOLERANCE:
        raise AssetError("field joint_rhythm has columns that do not sum to 1")
    for name in ("joint_frames", "joint_axes"):
        matrices = getattr(asset, name).astype(np.float64)
        drift = np.abs(matrices @ matrices.transpose(0, 2, 1) - np.eye(3)).max()
        if drift > _SUM_TOLERANCE or (np.linalg.det(matrices) < 0).any():
            raise AssetError(f"field {name} holds matrices that are no rotations")


def _check_combinations(asset: ModelAsset) -> None:
    sizes = {len(asset.combination_names), len(asset.combination_basis)}
    sizes |= {len(asset.combination_sources), len(asset.combination_peaks)}
    if len(sizes) > 1:
        raise AssetError("fields combination_names, _sources, _peaks and _basis differ in length; wanted all or none")
    taken = set(asset.expression_names) & set(asset.combination_names)
    if taken:
        raise AssetError(f"field combination_names has {min(taken)!r}, which is an expression's name")
    used = asset.combination_sources >= 0
    if len(used) and not used.any(axis=1).all():
        raise AssetError("field combination_sources has a combination of no expression")
    for row in asset.combination_sources.tolist():
        named = [source for source in row if source >= 0]
        if len(set(named)) != len(named):
            raise AssetError("field combination_sources names an expression twice in one combination")
    peaks = asset.combination_peaks[used]
    if (peaks <= 0).any() or (peaks > 1).any():
        raise AssetError("field combination_peaks holds values outside (0, 1]")


def _check_refinement(asset: ModelAsset) -> None:
    if asset.refinement is not None and asset.refinement.control_count > asset.vertex_count:
        raise AssetError(
            f"the control mesh has {asset.refinement.control_count} vertices, more than the {asset.vertex_count} of "
            "the model it is refined to"
        )
    if asset.refinement is not None and len(asset.refinement.vertices) != len(asset.template):
        raise AssetError(
            f"field refinement_vertices has {len(asset.refinement.vertices)} rows, wanted one for each of "
            f"{len(asset.template)} vertices"
        )
    for name in packing.BASES:
        other = getattr(asset, name).refinement
        if other is not None and other is not asset.refinement:
            raise AssetError(f"field {name} lies on another control mesh than the asset's refinement")


def _check_personal(asset: ModelAsset, kind: str, rows: int) -> None:
    basis, pairs, coefficients = (getattr(asset, f"personal_{kind}_{part}") for part in ("basis", "pairs", "map"))
    given = [bool(array.size) for array in (basis, pairs, coefficients)]
    if not any(given):
        return
    fields = f"personal_{kind}_basis, _pairs and _map"
    shapes = f"{basis.shape}, {pairs.shape}, {coefficients.shape}"
    if not all(given) or basis.shape[1] != len(pairs) or len(basis) != len(coefficients):
        raise AssetError(f"fields {fields} have shapes {shapes}, wanted all or none, and the same counts")
    if coefficients.shape[1] != len(asset.shape_basis):
        raise AssetError(f"field personal_{kind}_map has {coefficients.shape[1]} columns, wanted one for each shape")
    for column, (what, count) in enumerate((("rows", rows), ("control vertices", asset.control_count))):
        if pairs[:, column].min() < 0 or pairs[:, column].max() >= count:
            raise AssetError(f"field personal_{kind}_pairs holds {what} outside 0…{count - 1}")
    keys = pairs[:, 0].astype(np.int64) * asset.control_count + pairs[:, 1]
    if (np.diff(keys) <= 0).any():
        raise AssetError(f"field personal_{kind}_pairs is not sorted by row and vertex, or repeats a pair")
