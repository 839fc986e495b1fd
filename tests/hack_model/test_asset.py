from __future__ import annotations

import io
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hack_model import HACK, AssetError, ModelAsset
from hack_model.arrayfile import atomic_file, read_array, write_arrays
from hack_model.basis import Basis, Refinement
from hack_model.packing import BASES, pack
from hack_model.resources import default_model_path
from hack_model.schema import FIELDS
from tests.support.synthetic import random_parameters, synthetic_asset

REQUIRED = [field.name for field in FIELDS if field.required]


@pytest.fixture(scope="module")
def asset() -> ModelAsset:
    return synthetic_asset()


@pytest.fixture(scope="module")
def saved(asset: ModelAsset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asset.save(tmp_path_factory.mktemp("asset") / "model.npz")


def equal(first: ModelAsset, second: ModelAsset) -> None:
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name), err_msg=field.name)


def damaged(asset: ModelAsset, path: Path, **changes: Any) -> Path:
    """The asset's file with other arrays; a basis that changes is given whole, in place of all its own arrays."""
    changed_bases = tuple(f"{name}_" for name in changes if name in BASES)
    kept = {name: value for name, value in asset.to_arrays().items() if not name.startswith(changed_bases or ("-",))}
    arrays = {**kept, **changes}
    return write_arrays(path, {name: value for name, value in arrays.items() if value is not None})


def test_save_and_load_round_trip_byte_for_byte(asset: ModelAsset, saved: Path, tmp_path: Path) -> None:
    loaded = ModelAsset.load(saved)
    equal(asset, loaded)
    assert loaded.save(tmp_path / "again.npz").read_bytes() == saved.read_bytes()
    equal(asset, ModelAsset.from_arrays(asset.to_arrays()))
    with zipfile.ZipFile(saved) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}, "no clock in the bytes"


def test_packed_round_trip_is_within_a_micrometre(asset: ModelAsset, tmp_path: Path) -> None:
    loaded = ModelAsset.load(asset.save(tmp_path / "packed.npz", packed=True))
    for name in (*BASES, "personal_expression_basis", "personal_pose_basis"):
        assert np.abs(np.asarray(getattr(loaded, name)) - np.asarray(getattr(asset, name))).max() < 5e-7, name
    for field in FIELDS:
        if field.kind == "int":
            np.testing.assert_array_equal(getattr(loaded, field.name), getattr(asset, field.name), err_msg=field.name)
    parameters = random_parameters(asset)
    first, second = HACK.from_asset(asset)(**parameters), HACK.from_asset(loaded)(**parameters)
    assert np.abs(first.vertices - second.vertices).max() < 1e-5
    equal(loaded, ModelAsset.load(loaded.save(tmp_path / "twice.npz")))


def test_packed_shape_basis_lives_on_the_control_mesh(asset: ModelAsset, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    control = random.normal(scale=1e-3, size=(len(asset.shape_basis), 40, 3)).astype(np.float32)
    vertices = random.integers(0, 40, (asset.vertex_count, 4))
    weights = random.dirichlet(np.ones(4), asset.vertex_count).astype(np.float32)
    refinement = Refinement(vertices, weights, 40)
    expected = np.einsum("vn,svnc->svc", weights, control[:, vertices])
    basis = Basis.on_control(control, refinement)
    np.testing.assert_allclose(basis.dense(), expected, atol=1e-9)
    refined = replace(plain_asset(asset), shape_basis=basis, refinement=refinement)
    path = refined.save(tmp_path / "refined.npz", packed=True)
    loaded = ModelAsset.load(path)
    assert np.abs(loaded.shape_basis.dense() - expected).max() < 1e-6
    assert loaded.refinement is not None
    np.testing.assert_allclose(
        loaded.save(tmp_path / "b.npz", packed=True).stat().st_size, path.stat().st_size, rtol=0.01
    )
    bad = loaded.to_arrays()
    bad["refinement_vertices"] = bad["refinement_vertices"] + 1
    with pytest.raises(AssetError, match="refinement_vertices holds indices outside 0…39"):
        ModelAsset.load(write_arrays(tmp_path / "bad.npz", bad))
    bare = {name: value for name, value in bad.items() if not name.startswith("shape_basis")}
    bare["refinement_vertices"] = np.where(np.arange(4) == 3, 2**31 - 2, bad["refinement_vertices"])
    with pytest.raises(AssetError, match="control mesh has 2147483647 vertices, more than the 485"):
        ModelAsset.load(write_arrays(tmp_path / "huge.npz", {**bare, "shape_basis": asset.shape_basis.dense()}))


def test_the_default_model_is_small_in_memory_and_on_disk() -> None:
    """The sum of the arrays, float32 or smaller each, and what loading leaves allocated, by whatever holds it."""
    path = default_model_path()
    tracemalloc.start()
    asset = ModelAsset.load(path)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert asset.nbytes < 40e6
    assert asset.nbytes < held < asset.nbytes + 1e6
    assert path.stat().st_size <= 8_000_000


def test_arrays_are_read_only_and_not_shared_with_the_caller(asset: ModelAsset) -> None:
    template = asset.template.copy()
    derived = replace(asset, template=template)
    template += 1
    np.testing.assert_array_equal(derived.template, asset.template)
    with pytest.raises(ValueError, match="read-only"):
        derived.template[0] = 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 1, exclude_max=True))
def test_truncated_files_are_refused(saved: Path, tmp_path: Path, fraction: float) -> None:
    content = saved.read_bytes()
    path = tmp_path / "cut.npz"
    path.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(AssetError, match=r"cut\.npz"):
        ModelAsset.load(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=20))
def test_flipped_bytes_are_refused_or_harmless(saved: Path, tmp_path: Path, flips: list[tuple[float, int]]) -> None:
    content = bytearray(saved.read_bytes())
    for place, value in flips:
        content[int(place * len(content))] = value
    path = tmp_path / "flipped.npz"
    path.write_bytes(content)
    with suppress(AssetError):  # any other error fails the test
        ModelAsset.load(path)


@pytest.mark.parametrize("name", REQUIRED)
def test_missing_fields_are_named(asset: ModelAsset, tmp_path: Path, name: str) -> None:
    with pytest.raises(AssetError, match=f"missing fields: {name}"):
        ModelAsset.load(damaged(asset, tmp_path / "model.npz", **{name: None}))


def test_unknown_fields_are_named_together_with_missing_ones(asset: ModelAsset, tmp_path: Path) -> None:
    path = damaged(asset, tmp_path / "model.npz", weights=None, wheights=asset.weights, extra=np.zeros(3))
    with pytest.raises(AssetError, match="missing fields: weights; unknown fields: extra, wheights"):
        ModelAsset.load(path)


def changed(name: str, index: Any, value: Any) -> Callable[[ModelAsset], dict[str, np.ndarray]]:
    def make(asset: ModelAsset) -> dict[str, np.ndarray]:
        old = np.asarray(getattr(asset, name))
        array = old.astype(np.result_type(old, np.asarray(value).dtype))
        array[index] = value
        return {name: array}

    return make


FAULTS: list[tuple[Any, str]] = [
    (changed("template", (0, 1), np.nan), "field template holds values that are not finite"),
    (changed("expression_basis", (3, 2, 1), -np.inf), "field expression_basis holds values that are not finite"),
    (changed("shape_basis", (0, 0, 0), np.float64(1e300)), "field shape_basis holds values outside"),
    (changed("faces", (5, 0), -1), "field faces has a face of fewer than three corners"),
    (changed("faces", (5, 3), -2), "field faces holds indices outside -1…484"),
    (changed("faces", (5, 1), 485), "field faces holds indices outside -1…484"),
    (changed("faces", (5, 1), np.int64(1 << 32)), "field faces holds values outside"),
    (changed("face_uv", (0, 0), 10**6), "field face_uv holds indices outside"),
    (changed("face_material", 0, 2), "field face_material holds indices outside 0…1"),
    (changed("face_material", 0, -1), "field face_material holds indices outside 0…1"),
    (changed("mirror_vertices", 0, 485), "field mirror_vertices holds indices outside"),
    (changed("joint_regressor_vertices", (0, 0), -5), "field joint_regressor_vertices holds indices outside"),
    (changed("landmarks478_vertices", (0, 0), 2**31 - 1), "field landmarks478_vertices holds indices outside"),
    (changed("pose_features", 0, 72), "field pose_features holds indices outside 0…71"),
    (changed("weights", (0, 0), 0.5), "field weights has rows that do not sum to 1"),
    (changed("weights", (0, slice(0, 2)), np.array([1.5, -0.5])), "field weights holds values outside 0…1"),
    (changed("joint_regressor_weights", (0, 0), 3.0), "field joint_regressor_weights has rows that do not sum"),
    (changed("joint_frames", (0, 0, 0), 2.0), "field joint_frames holds matrices that are no rotations"),
    (changed("joint_axes", (0, 0, 0), -1.0), "field joint_axes holds matrices that are no rotations"),
    (changed("face_uv", (0, 3), -1), "faces and face_uv disagree on which faces are triangles"),
    (changed("material_color", (0, 3), 1.5), "field material_color holds values outside 0…1"),
    (changed("region_weights", (0, 0), -0.1), "field region_weights holds values outside 0…1"),
    (changed("joint_limits", (2, 1, 0), 3.0), "field joint_limits has a lower limit above its upper one"),
    (changed("joint_rhythm", (0, 0), 0.9), "field joint_rhythm has columns that do not sum to 1"),
    (changed("larynx_direction", 0, 1.0), "field larynx_direction is no unit vector"),
    (changed("part_vertices", (1, 0), 3), "field part_vertices does not tile the vertices"),
    (lambda a: {"part_vertices": np.zeros((0, 2), int), "part_names": np.zeros(0, "U1")}, "does not tile"),
    (lambda a: {"template": a.template.astype(str)}, "field template holds <U32, wanted float"),
    (lambda a: {"template": a.template.astype(complex)}, "field template holds complex128, wanted float"),
    (lambda a: {"faces": a.faces.astype(float)}, "field faces holds float64, wanted int"),
    (lambda a: {"albedo": a.albedo.astype(np.uint16) + 300}, "field albedo holds values outside 0…255"),
    (lambda a: {"name": np.array(3)}, "field name holds int64, wanted text"),
    (lambda a: {"name": np.array(["a", "b"])}, r"field name has shape \(2,\), wanted 0 dimensions"),
    (lambda a: {"part_names": np.array("skin")}, r"field part_names has shape \(\), wanted 1 dimensions"),
    (lambda a: {"larynx_metres_per_v": np.zeros(2)}, "field larynx_metres_per_v has shape"),
    (lambda a: {"larynx_metres_per_v": np.array(0.0)}, "field larynx_metres_per_v is zero"),
    (lambda a: {"template": a.template[:-1]}, r"holds vertices outside 0…483|with V = 484"),
    (lambda a: {"template": a.template.T}, "field template has shape"),
    (
        lambda a: {"shape_basis": a.shape_basis.dense()[0]},
        r"field shape_basis has shape \(485, 3\), wanted \(S, V, 3\)",
    ),
    (lambda a: {"weights": a.weights[:, :10]}, "wanted .* with J = 11"),
    (lambda a: {"schema_version": np.array(3)}, "schema version 3, this program reads 1 and 2"),
    (lambda a: {"expression_names": np.array([*a.expression_names[:-1], "jawOpen"])}, "expression_names repeats"),
    (lambda a: {"expression_names": np.array([*a.expression_names[:-1], "a\nb"])}, r"expression_names holds 'a\\nb'"),
    (lambda a: {"material_names": np.array(["", *a.material_names[1:]])}, "material_names holds ''; names are not"),
    (lambda a: {"part_names": np.array([" ", *a.part_names[1:]])}, "part_names holds ' '"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS)
def test_wrong_values_name_the_field(asset: ModelAsset, tmp_path: Path, fault: Any, message: str) -> None:
    with pytest.raises(AssetError, match=message) as caught:
        ModelAsset.load(damaged(asset, tmp_path / "model.npz", **fault(asset)))
    assert "model.npz" in str(caught.value)


PERSONAL_FAULTS: list[tuple[Any, str]] = [
    (changed("combination_sources", (0, 0), 56), "field combination_sources holds indices outside -1…55"),
    (changed("combination_sources", (0, 0), -2), "field combination_sources holds indices outside -1…55"),
    (changed("combination_sources", 1, -1), "field combination_sources has a combination of no expression"),
    (changed("combination_peaks", (0, 0), 0.0), r"field combination_peaks holds values outside \(0, 1\]"),
    (changed("combination_peaks", (0, 1), 1.5), r"field combination_peaks holds values outside \(0, 1\]"),
    (changed("combination_peaks", (0, 1), np.nan), "field combination_peaks holds values that are not finite"),
    (lambda a: {"combination_sources": a.combination_sources[:2]}, "wanted .* with X = 3"),
    (lambda a: {"combination_names": a.combination_names[:0]}, "combination_names, _sources, _peaks and _basis differ"),
    (lambda a: {"combination_names": np.array(["a", "b", "b"])}, "combination_names repeats a name"),
    (lambda a: {"combination_names": np.array(["a", "b", "jawOpen"])}, "'jawOpen', which is an expression's name"),
    (changed("personal_expression_pairs", (0, 1), 485), "personal_expression_pairs holds control vertices outside"),
    (changed("personal_expression_pairs", (-1, 0), 59), "personal_expression_pairs holds rows outside 0…58"),
    (changed("personal_pose_pairs", (0, 0), -1), "personal_pose_pairs holds rows outside 0…5"),
    (lambda a: {"personal_pose_pairs": a.personal_pose_pairs[::-1]}, "personal_pose_pairs is not sorted"),
    (lambda a: {"personal_pose_pairs": a.personal_pose_pairs[[0, *range(len(a.personal_pose_pairs) - 1)]]}, "repeats"),
    (lambda a: {"personal_pose_map": np.zeros((0, 0))}, "personal_pose_basis, _pairs and _map have shapes .* all or"),
    (lambda a: {"personal_pose_map": a.personal_pose_map[:2]}, "wanted .* with Q = 3"),
    (lambda a: {"personal_pose_map": a.personal_pose_map[:, :2]}, "wanted .* with S = 6"),
    (lambda a: {"personal_expression_basis": a.personal_expression_basis[:, :9]}, "wanted .*NU"),
    (changed("personal_expression_basis", (0, 0, 0), np.inf), "personal_expression_basis holds values that are not"),
    (lambda a: {"pose_basis": a.pose_basis.dense()[:3]}, "wanted .* with K = "),
    (lambda a: {"combination_basis_values": np.zeros((4, 3))}, "combination_basis is damaged"),
    (lambda a: {"combination_basis_vertices": None}, "combination_basis is there twice, or in part|lacks one of its"),
    (lambda a: {"combination_basis_vertices": sparse(a)["vertices"] + 485}, "combination_basis holds vertices outside"),
    (lambda a: {"combination_basis_vertices": sparse(a)["vertices"][::-1]}, "combination_basis holds vertices that do"),
    (lambda a: {"combination_basis_vertices": sparse(a)["vertices"] * 1.0}, "combination_basis has indices of type"),
    (lambda a: {"combination_basis_starts": sparse(a)["starts"][::-1]}, "combination_basis has rows that do not cover"),
    (lambda a: {"combination_basis_starts": sparse(a)["starts"][:-1]}, "combination_basis has rows that do not cover"),
    (lambda a: {"refinement_weights": np.ones((485, 2))}, "refinement_vertices and refinement_weights|damaged"),
]


def sparse(asset: ModelAsset) -> dict[str, Any]:
    arrays = asset.to_arrays()
    return {part: arrays[f"combination_basis_{part}"] for part in ("starts", "vertices", "values")}


@pytest.mark.parametrize(("fault", "message"), PERSONAL_FAULTS)
def test_wrong_combinations_and_personal_bases_name_the_field(
    asset: ModelAsset, tmp_path: Path, fault: Any, message: str
) -> None:
    with pytest.raises(AssetError, match=message):
        ModelAsset.load(damaged(asset, tmp_path / "model.npz", **fault(asset)))


def plain_asset(asset: ModelAsset) -> ModelAsset:
    """An asset as schema 1 knew it."""
    return synthetic_asset(int(asset.version), personal=False)


def test_files_of_schema_1_load_as_they_are(asset: ModelAsset, tmp_path: Path) -> None:
    old = plain_asset(asset)
    arrays = {
        name: v for name, v in old.to_arrays().items() if not name.startswith(("personal", "combination", *BASES))
    }
    bases = {name: getattr(old, name).dense() for name in ("shape_basis", "expression_basis", "pose_basis")}
    loaded = ModelAsset.load(write_arrays(tmp_path / "1.npz", {**arrays, **bases, "schema_version": np.array(1)}))
    equal(loaded, old)
    assert loaded.schema_version == 2
    for name, values in bases.items():
        scale = (np.abs(values).max(axis=(1, 2)) / 32767).astype(np.float32)
        steps = np.moveaxis(np.rint(values / scale[:, None, None]).astype(np.int16), -1, 1)
        arrays |= {f"{name}_quantised": np.stack([steps >> 8, steps & 255]).astype(np.uint8), f"{name}_scale": scale}
    packed = ModelAsset.load(write_arrays(tmp_path / "2.npz", {**arrays, "schema_version": np.array(1)}))
    for name, values in bases.items():
        np.testing.assert_allclose(getattr(packed, name).dense(), values, atol=1e-6)


@pytest.mark.parametrize("part", ["steps", "scale", "mask", "deltas"])
def test_damaged_packed_arrays_name_the_field(asset: ModelAsset, tmp_path: Path, part: str) -> None:
    """Every packed array cut short, of another type, of another depth, or gone where its field needs it."""
    packed = pack(asset.to_arrays())
    for name in [name for name in packed if name.endswith(f"_{part}") and packed[name].size]:
        array = packed[name]
        for wrong in (None, array[:-1], array[..., :-1], array.astype(np.int64), array[0], array[..., None]):
            if wrong is None and part == "deltas":
                continue
            arrays = {**packed, name: wrong} if wrong is not None else {n: v for n, v in packed.items() if n != name}
            with pytest.raises(AssetError, match="field" if part == "deltas" else name.split("_basis")[0]):
                ModelAsset.load(write_arrays(tmp_path / "bad.npz", arrays))


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("pickle-was-run"),))


def zipped(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def header(shape: tuple[int, ...], kind: str = "<f4") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def hostile_members() -> dict[str, tuple[dict[str, bytes], str]]:
    return {
        "pickled objects": ({"template.npy": header((), "|O") + pickle.dumps(_Bomb())}, "pickled objects"),
        "a pickle for an array": ({"template.npy": pickle.dumps(_Bomb())}, "not a readable"),
        "a lying header": ({"template.npy": header((1 << 40, 3)) + b"\0" * 64}, "claims more data"),
        "an overflowing header": ({"template.npy": header((1 << 62, 1 << 62)) + b"\0" * 64}, "claims more data"),
        "no array": ({"readme.txt": b"hello"}, "which is no array"),
        "nothing": ({}, "missing fields"),
    }


@pytest.mark.parametrize("name", hostile_members())
def test_hostile_archives_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    members, message = hostile_members()[name]
    with pytest.raises(AssetError, match=message):
        ModelAsset.load(zipped(tmp_path / "hostile.npz", members))
    assert not Path("pickle-was-run").exists()


def test_zip_bombs_are_refused_before_they_unpack(tmp_path: Path) -> None:
    content = header((1 << 28,)) + bytes(1 << 22)
    for compression in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        path = zipped(tmp_path / "bomb.npz", {"template.npy": content}, compression)
        with pytest.raises(AssetError, match=r"implausibly far|claims more data"):
            ModelAsset.load(path)
    packed = bytearray(zipped(tmp_path / "size.npz", {"template.npy": header((4,)) + bytes(16)}).read_bytes())
    directory = packed.rindex(b"PK\x01\x02")
    packed[directory + 24 : directory + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    (tmp_path / "size.npz").write_bytes(packed)
    with pytest.raises(AssetError, match=r"implausibly far|more than 4 GiB"):
        ModelAsset.load(tmp_path / "size.npz")


def test_files_that_are_not_there_or_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="no such file"):
        ModelAsset.load(tmp_path / "absent.npz")
    with pytest.raises(AssetError, match="is a folder"):
        ModelAsset.load(tmp_path)
    (tmp_path / "text.npz").write_text("not an archive")
    with pytest.raises(AssetError, match=r"not a readable \.npz file"):
        ModelAsset.load(tmp_path / "text.npz")


def _write_half(stream: BinaryIO) -> None:
    stream.write(b"half")
    raise KeyboardInterrupt


def test_a_failed_write_leaves_the_old_file_and_no_litter(asset: ModelAsset, tmp_path: Path) -> None:
    path = asset.save(tmp_path / "model.npz")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="allow_pickle"):
        write_arrays(path, {"template": asset.template, "broken": np.array([object()])})
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as stream:
        _write_half(stream)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.npz"]


@pytest.mark.parametrize(("place", "reason"), [("folder", "Is a directory"), ("file/model.npz", "Not a directory")])
def test_a_place_that_cannot_be_written_is_named(asset: ModelAsset, tmp_path: Path, place: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=rf"cannot be written \({reason}.*{place}'$"):
        asset.save(tmp_path / place)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


def test_single_arrays_are_read_with_the_same_care(tmp_path: Path) -> None:
    path = tmp_path / "array.npy"
    np.save(path, np.arange(6.0))
    np.testing.assert_array_equal(read_array(path, AssetError), np.arange(6.0))
    for content in (path.read_bytes()[:-1], header((1 << 50,)), header((), "|O") + pickle.dumps(_Bomb()), b"", b"x"):
        path.write_bytes(content)
        with pytest.raises(AssetError, match=r"array\.npy"):
            read_array(path, AssetError)
    with pytest.raises(AssetError, match="no such file"):
        read_array(tmp_path / "absent.npy", AssetError)


def test_parts_by_name(asset: ModelAsset) -> None:
    assert asset.part("eye_left") == slice(385, 435)
    with pytest.raises(AssetError, match="no part 'nose'; its parts: skin, eye_left, eye_right"):
        asset.part("nose")
