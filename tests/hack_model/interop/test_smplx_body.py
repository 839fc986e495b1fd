"""A head on a body: one closed mesh, smooth at the seam, its head turned by the body's joints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from typer.testing import CliRunner

pytest.importorskip("smplx")

from hack_model import FormatError, ParameterError
from hack_model.asset import ModelAsset
from hack_model.borders import border_edges
from hack_model.cli import app
from hack_model.clip import Clip
from hack_model.interop.seam import border_loop, cut, strip
from hack_model.interop.smpl_family import HEAD, NECK, Body
from hack_model.interop.smplx_body import HeadOnBody, write_mesh
from hack_model.posing import neck_pose
from tests.support.flame_files import smplx_arrays
from tests.support.synthetic import synthetic_asset


@pytest.fixture(scope="module")
def model() -> ModelAsset:
    """The synthetic model with the tip of its nose where a face has it."""
    asset = synthetic_asset(0, rings=40, segments=32, personal=False)
    below = asset.template - asset.template[asset.part("eye_left").start :].mean(axis=0)
    near = (np.abs(below[:, 0]) < 0.015) & (below[:, 1] < 0) & (below[:, 1] > -0.06)
    vertices = asset.landmarks68_vertices.copy()
    vertices[30] = np.flatnonzero(near)[np.argmax(asset.template[near, 2])]
    return replace(asset, landmarks68_vertices=vertices)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("smplx") / "SMPLX_NEUTRAL.npz"
    np.savez(path, **smplx_arrays())
    return path


@pytest.fixture(scope="module")
def body(file: Path) -> Body:
    return Body.load(file)


@pytest.fixture(scope="module")
def joined(model: ModelAsset, body: Body) -> HeadOnBody:
    return HeadOnBody.of(model, body)


def turned(neck: tuple[float, ...], head: tuple[float, ...]) -> dict[str, np.ndarray]:
    pose = np.zeros((1, 21, 3))
    pose[0, NECK - 1], pose[0, HEAD - 1] = neck, head
    return {"body_pose": pose.reshape(1, 63)}


def rotation_of(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Axis-angle of the rotation between two sets of points."""
    from scipy.spatial.transform import Rotation

    return Rotation.align_vectors(after - after.mean(axis=0), before - before.mean(axis=0))[0].as_rotvec()


def crown(joined: HeadOnBody, model: ModelAsset) -> np.ndarray:
    rows = joined.head_rows
    return len(joined.body_rows) + np.flatnonzero((rows < model.part("skin").stop) & (model.template[rows, 1] > 0.03))


def test_mesh_is_one_and_closed(joined: HeadOnBody, model: ModelAsset) -> None:
    mesh = trimesh.Trimesh(joined.vertices(), joined.faces, process=False)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.body_count == 3  # the skin of both, and two eyes
    assert mesh.volume > 0
    assert len(np.unique(joined.faces)) == len(joined.body_rows) + len(joined.head_rows)


def test_head_has_the_bodys_size_and_place(joined: HeadOnBody, model: ModelAsset, body: Body) -> None:
    assert joined.scale() == pytest.approx(1.1, abs=0.03)
    vertices = joined.vertices()
    assert vertices[crown(joined, model), 1].max() == pytest.approx(body.template[:, 1].max(), abs=0.006)
    np.testing.assert_allclose(vertices[: len(joined.body_rows)], body.template[joined.body_rows], atol=1e-6)


def test_seam_is_smooth(joined: HeadOnBody) -> None:
    """Neighbouring triangles across the strip meet as flatly as elsewhere on the neck."""
    mesh = trimesh.Trimesh(joined.vertices(), joined.faces, process=False)
    count = len(joined.body_rows)
    kinds = (joined.faces < count).sum(axis=1)
    on_strip = (kinds > 0) & (kinds < 3)
    pairs = mesh.face_adjacency
    at_seam = on_strip[pairs].any(axis=1)
    assert at_seam.sum() > 30
    assert np.degrees(mesh.face_adjacency_angles[at_seam]).max() < 40


@pytest.mark.parametrize(
    ("neck", "head"), [((0.3, 0, 0), (0, 0, 0)), ((0, 0.3, 0), (0, 0.4, 0)), ((0.1, 0, 0.1), (0, 0.2, 0.1))]
)
def test_head_follows_the_bodys_joints(
    joined: HeadOnBody, model: ModelAsset, body: Body, neck: tuple[float, ...], head: tuple[float, ...]
) -> None:
    still, moved = joined.vertices(), joined.vertices(body=turned(neck, head))
    rows = crown(joined, model)
    rotations = body.evaluate(**turned(neck, head))[2][0]
    from scipy.spatial.transform import Rotation

    wanted = Rotation.from_matrix(rotations[HEAD]).as_rotvec()
    np.testing.assert_allclose(rotation_of(still[rows], moved[rows]), wanted, atol=0.08)
    mesh = trimesh.Trimesh(moved, joined.faces, process=False)
    edges = moved[mesh.edges_unique]
    before = still[mesh.edges_unique]
    stretch = np.linalg.norm(np.diff(edges, axis=1), axis=2) / np.linalg.norm(np.diff(before, axis=1), axis=2)
    assert stretch.max() < 3.5, "the seam does not tear"


def test_heads_own_pose_can_lead(joined: HeadOnBody, model: ModelAsset) -> None:
    pose = neck_pose(model, axial=0.5)
    rows = crown(joined, model)
    moved = joined.vertices({"pose": pose}, neck="head")
    np.testing.assert_allclose(rotation_of(joined.vertices()[rows], moved[rows]), [0, 0.5, 0], atol=0.06)


def test_whole_body_carries_the_head(joined: HeadOnBody) -> None:
    still = joined.vertices()
    moved = joined.vertices(body={"transl": np.array([[0.5, 0, 0]])})
    np.testing.assert_allclose(moved - still, np.broadcast_to([0.5, 0, 0], still.shape), atol=1e-6)
    around = joined.vertices(body={"global_orient": np.array([[0, 0.7, 0]])})
    np.testing.assert_allclose(rotation_of(still, around), [0, 0.7, 0], atol=1e-5)


def test_identity_and_shape_change_their_own_parts(joined: HeadOnBody, model: ModelAsset) -> None:
    still = joined.vertices()
    count = len(joined.body_rows)
    other = joined.vertices({"shape": np.ones(6), "expression": {"jawOpen": 1.0}})
    np.testing.assert_allclose(other[:count], still[:count], atol=1e-9)
    assert np.linalg.norm(other[count:] - still[count:], axis=1).max() > 0.002
    wide = joined.vertices(body={"betas": np.ones((1, 10))})
    assert np.linalg.norm(wide[:count] - still[:count], axis=1).max() > 0.002
    assert trimesh.Trimesh(wide, joined.faces, process=False).is_watertight


def test_wrong_parameters_are_refused(joined: HeadOnBody) -> None:
    with pytest.raises(ParameterError, match="leave out translation"):
        joined.vertices({"translation": np.zeros(3)})
    with pytest.raises(ParameterError, match="neck 'tail' is none of body, head"):
        joined.vertices(neck="tail")  # pyright: ignore[reportArgumentType]
    with pytest.raises(FormatError, match="unknown parameters"):
        joined.vertices(body={"wings": np.zeros((1, 3))})


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    arrays = smplx_arrays()
    np.savez(tmp_path / "a.npz", **{name: value for name, value in arrays.items() if name != "hands_meanl"})
    with pytest.raises(FormatError, match="lacks the arrays hands_meanl; wanted SMPL-X's model file"):
        Body.load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", **{**arrays, "shapedirs": arrays["shapedirs"][:, :, :5]})
    with pytest.raises(FormatError, match="wanted at least 20"):
        Body.load(tmp_path / "b.npz")
    tree = arrays["kintree_table"].copy()
    tree[0, 3] = 40
    np.savez(tmp_path / "c.npz", **{**arrays, "kintree_table": tree})
    with pytest.raises(FormatError, match="a joint that hangs on none before it"):
        Body.load(tmp_path / "c.npz")
    np.savez(tmp_path / "d.npz", **{**arrays, "hands_componentsl": np.array("six")})
    with pytest.raises(FormatError, match="smplx cannot use it"):
        Body.load(tmp_path / "d.npz")


@pytest.mark.parametrize("kind", ["obj", "ply", "stl", "glb"])
def test_written_meshes_read_back(joined: HeadOnBody, tmp_path: Path, kind: str) -> None:
    path = write_mesh(tmp_path / f"body.{kind}", joined.vertices(), joined.faces)
    again = trimesh.load(path, force="mesh", process=kind == "stl")
    assert again.volume == pytest.approx(trimesh.Trimesh(joined.vertices(), joined.faces).volume, rel=1e-3)
    with pytest.raises(FormatError, match=r"wanted one of \.obj"):
        write_mesh(tmp_path / "body.docx", joined.vertices(), joined.faces)


def test_command_line(model: ModelAsset, file: Path, tmp_path: Path) -> None:
    asset, clip = model.save(tmp_path / "model.npz"), Clip.neutral(model).save(tmp_path / "clip.npz")
    np.savez(tmp_path / "body.npz", **turned((0.2, 0, 0), (0, 0.3, 0)), gender=np.array({"a": 1}, dtype=object))
    words = ["convert", str(clip), "--to", "smplx", "--model-file", str(file), "-o", str(tmp_path / "out.ply"),
             "-m", str(asset), "--body", str(tmp_path / "body.npz")]  # fmt: skip
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "scaled by 1." in done.output
    assert trimesh.load(tmp_path / "out.ply", process=False).is_watertight
    done = CliRunner().invoke(app, [*words, "--frame", "3"])
    assert done.exit_code == 1
    assert "has no frame 3" in done.output


def tube(rings: int, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    height = np.linspace(low, high, rings)
    points = np.array([[np.sin(a), y, np.cos(a)] for y in height for a in angle])
    faces = []
    for ring in range(rings - 1):
        for side in range(12):
            a, b = ring * 12 + side, ring * 12 + (side + 1) % 12
            faces += [[a, b, b + 12], [a, b + 12, a + 12]]
    return points, np.array(faces)


def test_cut_borders_and_strip_on_tubes() -> None:
    points, faces = tube(6, 0, 1)
    kept = cut(faces, points[:, 1] < 0.5)
    assert len(kept) == 2 * 12 * 2
    assert len(border_edges(kept)) == 24
    upper = cut(faces, points[:, 1] > 0.7)
    lower_ring = border_loop(kept[kept.max(axis=1) > 23], points)
    assert len(lower_ring) == 12
    first = [edge for edge in border_edges(kept).tolist() if edge[0] >= 24]
    second = [edge for edge in border_edges(upper).tolist() if edge[0] < 60 and edge[0] >= 48]
    ring_a, ring_b = chain(first), chain(second)
    between = strip(ring_a, ring_b, points)
    assert len(between) == 24
    whole = np.concatenate([kept, between, upper])
    assert len(border_edges(whole)) == 24, "only the tube's own ends stay open"
    mesh = trimesh.Trimesh(points, whole, process=False)
    assert mesh.is_winding_consistent


def chain(edges: list[list[int]]) -> np.ndarray:
    follows = dict(edges)
    loop = [edges[0][0]]
    while follows[loop[-1]] != loop[0]:
        loop.append(follows[loop[-1]])
    return np.array(loop)


def test_cuts_leave_no_border_that_meets_itself() -> None:
    points, faces = tube(8, 0, 1)
    random = np.random.default_rng(0)
    for _ in range(20):
        kept = cut(faces, random.uniform(size=len(points)) < 0.85)
        starts = np.bincount(border_edges(kept)[:, 0])
        assert starts.max() == 1


def test_nothing_left_is_an_error() -> None:
    points, faces = tube(3, 0, 1)
    with pytest.raises(FormatError, match="nothing of the mesh is left"):
        cut(faces, np.zeros(len(points), bool))
