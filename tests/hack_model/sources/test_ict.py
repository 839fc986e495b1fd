"""A synthetic copy of ICT-FaceKit becomes a model; its own content stays exact, the template's is carried over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hack_model import HACK, FormatError
from hack_model.asset import ModelAsset, split_quads
from hack_model.names import CERVICAL_JOINTS, HACK_EXPRESSIONS, SKELETON
from hack_model.posing import neck_pose
from hack_model.sources.ict import IctModel, read_ict, read_spans
from hack_model.sources.ict_model import build_ict
from hack_model.sources.surface import Surface, mirror_vertices
from tests.support.ict_copy import EXTRA, IDENTITIES, IctCopy, ict_copy
from tests.support.synthetic import synthetic_asset


@pytest.fixture(scope="module")
def template() -> ModelAsset:
    return synthetic_asset(0, rings=40, segments=32)


@pytest.fixture(scope="module")
def copy(template: ModelAsset) -> IctCopy:
    return ict_copy(template)


@pytest.fixture(scope="module")
def source(copy: IctCopy, tmp_path_factory: pytest.TempPathFactory) -> IctModel:
    return read_ict(copy.write_folder(tmp_path_factory.mktemp("ict") / "ICT-FaceKit"))


@pytest.fixture(scope="module")
def model(source: IctModel, template: ModelAsset, copy: IctCopy) -> ModelAsset:
    return build_ict(source, template, copy.spans)


def test_folder_and_npz_hold_the_same(copy: IctCopy, source: IctModel, tmp_path: Path) -> None:
    packed = read_ict(copy.write_npz(tmp_path / "ict.npz"))
    for name in ("neutral", "faces", "uv", "face_uv", "landmarks68"):
        np.testing.assert_allclose(getattr(packed, name), getattr(source, name), atol=1e-5)
    assert set(packed.expression_names) == set(source.expression_names)
    order = [source.expression_names.index(name) for name in packed.expression_names]
    np.testing.assert_allclose(packed.expressions, source.expressions[order], atol=2e-3)
    np.testing.assert_allclose(packed.identities, source.identities, atol=2e-3)
    np.testing.assert_allclose(source.identities, copy.identities, atol=2e-5)


def test_folder_may_be_the_model_folder_itself(copy: IctCopy, source: IctModel, tmp_path: Path) -> None:
    folder = copy.write_folder(tmp_path / "copy")
    np.testing.assert_array_equal(read_ict(folder / "FaceXModel").neutral, source.neutral)


def test_identities_and_expressions_are_the_sources_own(model: ModelAsset, copy: IctCopy) -> None:
    head = HACK.from_asset(model, dtype="float64")
    assert model.expression_names == (*HACK_EXPRESSIONS, *EXTRA)
    assert len(model.shape_basis) == IDENTITIES
    neutral = np.asarray(head().vertices)
    np.testing.assert_allclose(neutral * 100, copy.neutral, atol=1e-4)
    for number in range(IDENTITIES):
        moved = np.asarray(head(shape=np.eye(IDENTITIES)[number]).vertices) - neutral
        np.testing.assert_allclose(moved * 100, copy.identities[number], atol=1e-4)
    for name in ("jawOpen", "mouthSmile_L", "PupilDilate_L"):
        moved = np.asarray(head(expression={name: 1.0}).vertices) - neutral
        np.testing.assert_allclose(moved * 100, copy.expressions[copy.expression_names.index(name)], atol=1e-4)


def test_joints_stand_where_the_templates_do_and_follow_the_identity(model: ModelAsset, template: ModelAsset) -> None:
    mine, theirs = (HACK.from_asset(asset, dtype="float64") for asset in (model, template))
    away = np.asarray(mine.joint_template)[:8] - np.asarray(theirs.joint_template)[:8]
    assert np.linalg.norm(away, axis=1).max() < 0.004
    np.testing.assert_allclose(np.asarray(mine.joint_template)[:8, 0], 0, atol=1e-7)
    assert np.abs(np.asarray(mine.joint_basis)[:, :8]).max() > 1e-4


def test_weights_are_few_and_smooth_and_sum_to_one(model: ModelAsset) -> None:
    weights = model.weights.astype(np.float64)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    assert ((weights > 0).sum(axis=1) <= 4).all()
    for part, joint in (("eye_left", "eye_left"), ("eye_right", "eye_right"), ("teeth_lower", "oc1")):
        assert (weights[model.part(part), SKELETON.index(joint)] == 1).all()
    edges = split_quads(model.faces)[:, :2]
    edges = edges[(edges < model.part("skin").stop).all(axis=1)]
    assert np.abs(weights[edges[:, 0]] - weights[edges[:, 1]]).max() < 0.6


@pytest.mark.parametrize("turn", [{"flexion": 0.6}, {"axial": 0.8}, {"lateral": 0.4}])
def test_neck_bends_as_the_templates_does(model: ModelAsset, template: ModelAsset, turn: dict[str, float]) -> None:
    posed = np.asarray(HACK.from_asset(model)(pose=neck_pose(model, **turn)).vertices)
    other = np.asarray(HACK.from_asset(template)(pose=neck_pose(template, **turn)).vertices)
    skin = template.part("skin").stop
    triangles = split_quads(template.faces)
    surface = Surface(other.astype(np.float64), triangles[(triangles < skin).all(axis=1)])
    outer = np.arange(model.part("skin").stop - 24)  # the last 24 are the sockets' corners
    rest = np.linalg.norm(posed[outer] - model.template[outer], axis=1)
    assert rest.max() > 0.03
    assert np.percentile(surface.closest(posed[outer].astype(np.float64)).distance, 95) < 0.0035


def test_larynx_is_as_high_and_slides(model: ModelAsset, template: ModelAsset) -> None:
    def bump(asset: ModelAsset, shift: float) -> tuple[float, float]:
        head = HACK.from_asset(asset, dtype="float64")
        still, raised = (np.asarray(head(larynx_size=size, larynx_shift=shift).vertices) for size in (0.0, 1.0))
        height = np.linalg.norm(raised - still, axis=1)
        return float(height.max()), float(height @ asset.template[:, 1] / height.sum())

    height, place = bump(model, 0.0)
    assert height == pytest.approx(bump(template, 0.0)[0], rel=0.15)
    assert place == pytest.approx(bump(template, 0.0)[1], abs=0.004)
    assert bump(model, 0.01)[1] - place == pytest.approx(0.01, abs=0.003)


def test_correctives_regions_landmarks_and_colours_are_carried(model: ModelAsset, template: ModelAsset) -> None:
    np.testing.assert_array_equal(model.pose_features, template.pose_features)
    dense, own = np.asarray(model.pose_basis), np.asarray(template.pose_basis)
    np.testing.assert_allclose(np.abs(dense).max(axis=(1, 2)), np.abs(own).max(axis=(1, 2)), rtol=0.3)
    assert model.region_names == template.region_names
    np.testing.assert_allclose(model.region_weights.max(axis=1), template.region_weights.max(axis=1), atol=0.05)
    places = [
        np.einsum("lk,lkc->lc", asset.landmarks478_weights, asset.template[asset.landmarks478_vertices])
        for asset in (model, template)
    ]
    # The copy names whole vertices of a coarse mesh as landmarks: half its edges, 5 mm, is what can be asked.
    assert np.median(np.linalg.norm(places[0] - places[1], axis=1)) < 0.006
    assert model.albedo.shape == (1024, 1024, 3)
    assert (model.uv >= 0).all()
    assert (model.uv <= 1).all()


def test_layout_is_symmetric_and_has_the_face_above(model: ModelAsset, copy: IctCopy) -> None:
    faces = {name: np.arange(span.faces.start, span.faces.stop) for name, span in copy.spans.items()}
    face, neck = (
        model.uv[corners[corners >= 0]]
        for corners in (model.face_uv[faces["face"]], model.face_uv[faces["head_and_neck"]])
    )
    assert face[:, 1].min() > neck[:, 1].max() - 1e-6
    assert np.ptp(face[:, 0]) == pytest.approx(np.ptp(copy.uv[: len(copy.uv) // 2, 0] % 1), abs=0.05)


def test_licence_and_notice_stay_in_the_asset(model: ModelAsset) -> None:
    provenance = json.loads(model.provenance)
    assert model.licence == "MIT"
    assert "USC Institute for Creative Technologies" in provenance["notice"]
    assert "synthetic" in provenance["carried_over"]
    assert provenance["template_distance_mm"]["median"] < 0.5


def test_model_survives_its_file(model: ModelAsset, tmp_path: Path) -> None:
    again = ModelAsset.load(model.save(tmp_path / "model.npz", packed=True))
    np.testing.assert_allclose(np.asarray(again.shape_basis), np.asarray(model.shape_basis), atol=2e-6)


def test_mirror_is_one_to_one_and_its_own_inverse(model: ModelAsset) -> None:
    mirror = mirror_vertices(model.template.astype(np.float64), model.faces)
    np.testing.assert_array_equal(mirror[mirror], np.arange(len(mirror)))
    skin = model.part("skin")
    away = model.template[mirror[skin]] * [-1, 1, 1] - model.template[skin]
    assert (np.linalg.norm(away, axis=1) < 5e-4).mean() > 0.95


def test_spans_are_the_papers_topology() -> None:
    spans = read_spans()
    skin = ("face", "head_and_neck", "mouth_socket", "eye_socket_left", "eye_socket_right")
    assert sum(spans[name].vertices.stop - spans[name].vertices.start for name in skin) == 14062
    assert sum(spans[name].faces.stop - spans[name].faces.start for name in skin) == 14034


def damage(copy: IctCopy, folder: Path, kind: str) -> Path:
    """A folder with one fault."""
    models = copy.write_folder(folder) / "FaceXModel"
    if kind == "gap":
        (models / "identity001.obj").unlink()
    elif kind == "expression":
        (models / "jawOpen.obj").unlink()
    elif kind == "unknown":
        (models / "vertex_indices.json").write_text(json.dumps({"idx_to_landmark_verts": copy.landmarks68.tolist()}))
        (models / "jawOpen.obj").unlink()
    elif kind == "count":
        (models / "identity002.obj").write_text("v 1 2 3\n")
    elif kind == "number":
        (models / "identity002.obj").write_text("v 1 2 three\n")
    elif kind == "neutral":
        (models / "generic_neutral_mesh.obj").unlink()
    elif kind == "indices":
        (models / "vertex_indices.json").write_text(json.dumps({"idx_to_landmark_verts": [10**6] * 68}))
    elif kind == "json":
        (models / "vertex_indices.json").write_text("{")
    elif kind == "landmarks":
        (models / "vertex_indices.json").write_text(json.dumps({"idx_to_landmark_verts": [1, 2]}))
    elif kind == "huge":
        (models / "vertex_indices.json").write_text(json.dumps({"idx_to_landmark_verts": [10**30] * 68}))
    elif kind == "fraction":
        (models / "vertex_indices.json").write_text(json.dumps({"idx_to_landmark_verts": [1.5] * 68}))
    elif kind == "names":
        (models / "vertex_indices.json").write_text(
            json.dumps({"idx_to_landmark_verts": [1] * 68, "expressions": [["a"]]})
        )
    elif kind == "list":
        (models / "vertex_indices.json").write_text("[1]")
    elif kind == "deep":
        (models / "vertex_indices.json").write_text("[" * 100_000)
    elif kind == "corner":
        file = models / "generic_neutral_mesh.obj"
        file.write_text(file.read_text() + f"f {10**30}/1 1/1 2/1\n")
    return folder


FAULTS = {
    "gap": "without a gap",
    "expression": "lacks the expressions jawOpen",
    "unknown": "lacks the expressions jawOpen",
    "count": "1 vertices, the neutral mesh has",
    "number": "cannot be read",
    "neutral": "no generic_neutral_mesh.obj.*--download",
    "indices": "landmarks68 hold indices outside",
    "json": "wanted ICT-FaceKit's indices",
    "landmarks": r"landmarks68 has shape \(2,\), wanted \(68,\)",
    "huge": "holds what is no index",
    "fraction": "holds what is no index",
    "names": "expressions holds what is no name",
    "list": "wanted ICT-FaceKit's indices",
    "deep": "wanted ICT-FaceKit's indices",
    "corner": r"generic_neutral_mesh\.obj:\d+: unreadable line",
}


@pytest.mark.parametrize("kind", FAULTS)
def test_damaged_copies_are_refused(copy: IctCopy, template: ModelAsset, tmp_path: Path, kind: str) -> None:
    folder = damage(copy, tmp_path / "copy", kind)
    with pytest.raises(FormatError, match=FAULTS[kind]):
        build_ict(read_ict(folder), template, copy.spans)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"neutral": None}, "lacks the arrays neutral"),
        ({"identities": np.zeros((2, 5, 3))}, "identities has shape"),
        ({"identities": np.zeros((0, 1065, 3))}, r"identities has shape \(0, .* without a 0"),
        ({"neutral": np.full((1065, 3), np.nan)}, "neutral hold values that are not finite"),
        ({"neutral": np.zeros((1065, 4))}, r"neutral has shape \(1065, 4\)"),
        ({"neutral": np.zeros((1065, 3), complex)}, "neutral is complex128"),
        ({"faces": np.full((1076, 4), 10**6)}, "faces hold indices outside"),
        ({"faces": np.full((1076, 4), 2**33)}, "faces hold indices outside"),
        ({"faces": np.full((1076, 4), np.nan)}, "faces is float64"),
        ({"faces_uv": np.zeros((4, 4), int)}, "face_uv has shape"),
        ({"uv": np.zeros(3000)}, "uv has shape"),
        ({"landmarks68": np.full(68, -1)}, "landmarks68 hold indices outside"),
        ({"expression_names": np.arange(56)}, "expression_names is int64"),
        ({"expressions": np.float32(3)}, "expressions is float32 of shape"),
        ({"expression_names": np.array([{}], dtype=object)}, "pickled objects"),
    ],
)
def test_damaged_npz_files_are_refused(copy: IctCopy, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = copy.write_npz(tmp_path / "ict.npz")
    with np.load(path) as file:
        arrays = {**file, **change}
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(FormatError, match=message):
        read_ict(path)


def test_another_mesh_is_refused(source: IctModel, template: ModelAsset) -> None:
    with pytest.raises(FormatError, match=r"vertices and .* faces, wanted 24591"):
        build_ict(source, template, read_spans())


def test_cervical_joints_are_complete(model: ModelAsset) -> None:
    assert model.joint_regressor_vertices.shape[0] == len(CERVICAL_JOINTS) + 2
