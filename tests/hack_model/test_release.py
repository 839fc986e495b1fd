"""A synthetic release in the official format against an evaluation written from the release's description alone."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from hack_model import HACK, AssetError, FormatError, HackError
from hack_model.names import CERVICAL_JOINTS, HACK_EXPRESSIONS
from hack_model.release import anatomical_axes, read_release

LENGTHS = (1.8, 1.65, 1.6, 1.7, 1.6, 1.45, 1.4, 10.0)
TILTS = (0.31, -0.05, -0.03, -0.11, -0.28, 0.30, -0.31, 1.74)
ORIGINS = [
    (0, -12.26, -1.52), (0, -10.54, -0.97), (0, -8.94, -0.54), (0, -7.36, -0.17),
    (0, -5.69, 0.02), (0, -4.10, -0.23), (0, -2.66, -0.03), (0, -1.25, -0.27),
]  # fmt: skip
"""Centimetres, as published."""


class Release:
    """Random arrays in the official layout (centimetres), their files, and the model they stand for."""

    def __init__(self, folder: Path, rows: int = 9, columns: int = 7) -> None:
        random = np.random.default_rng(0)
        self.folder, self.count = folder, rows * columns
        folder.mkdir()
        row, column = np.mgrid[:rows, :columns].reshape(2, -1)
        self.template = np.stack([column - 3.0, row * 2.0 - 16, 4 + random.normal(size=self.count) * 0.3], 1).round(6)
        corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1)
        self.faces = np.stack([corner, corner + 1, corner + columns + 1, corner + columns], 1)[::-1]
        self.uv = np.stack([column / 6 * 0.9 + 0.05, row / 8 * 0.9 + 0.05], 1)
        # A second coordinate of every vertex, which only later corners use: the first one must win.
        self.all_uv = np.concatenate([self.uv, self.uv[:, ::-1] * 0.5]).round(6)
        seen: set[int] = set()
        self.face_uv = self.faces.copy()
        for face, index in np.ndindex(*self.faces.shape):
            vertex = int(self.faces[face, index])
            self.face_uv[face, index] += self.count if vertex in seen else 0
            seen.add(vertex)
        self.mean = self.template + random.normal(size=(self.count, 3)) * 0.1
        self.shape = random.normal(size=(4, self.count, 3)) * 0.2
        self.expression = random.normal(size=(55, self.count, 3)) * 0.3
        self.pose = random.normal(size=(8, 3, 3, self.count, 3)) * 0.2
        self.weights = random.uniform(0, 1, (8, self.count)) * 1.3
        self.grey = np.zeros((12, 16), np.uint8)
        self.grey[2:-2, 2:-2] = random.integers(0, 255, (8, 12))
        self.direction = np.array([0, -0.4533811, 0.8913168], np.float32)
        self.bones = self._bones()
        self._write()

    def _bones(self) -> dict[str, Any]:
        bones: dict[str, Any] = {}
        for index, name in enumerate(CERVICAL_JOINTS):
            turn = Rotation.from_euler("xyz", [TILTS[index], 0.02 * index, -0.01 * index]).as_matrix()
            head = [0.1, -12.0, -1.5] if index == 0 else [0.01 * index, 0.02, -0.03]
            parent = CERVICAL_JOINTS[index - 1] if index else None
            bones[name] = {"matrix": turn.tolist(), "head": head, "length": LENGTHS[index], "parent": parent}
        return bones

    def _write(self) -> None:
        model = self.folder / "model"
        model.mkdir()
        for name, uv, face_uv in (
            ("000_generic_neutral_mesh.obj", self.uv, self.faces),
            ("000_generic_neutral_mesh_newuv.obj", self.all_uv, self.face_uv),
        ):
            lines = ["# a comment", *(f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in self.template)]
            lines += [f"vt {u:.6f} {v:.6f}" for u, v in uv]
            for corners, coordinates in zip(self.faces, face_uv, strict=True):
                lines.append("f " + " ".join(f"{a + 1}/{b + 1}" for a, b in zip(corners, coordinates, strict=True)))
            (model / name).write_text("\n".join(lines) + "\n")
        random = np.random.default_rng(1)
        bases = {"S": (self.mean, self.shape), "E": (self.expression, random.normal(size=(2, 55, self.count, 3))),
                 "P": (self.pose, random.normal(size=(2, 8, 3, 3, self.count, 3)))}  # fmt: skip
        for name, (mean, spread) in bases.items():
            content: Any = {"mean": mean.astype(np.float32), "VT_std": spread.astype(np.float32)}
            np.save(model / f"{name}.npy", content, allow_pickle=True)
        np.save(model / "blendshape.npy", np.concatenate([self.template[None], self.template + self.expression]))
        np.save(model / "weight_map_smooth.npy", self.weights)
        np.save(model / "ts_larynx.npy", self.direction)
        Image.fromarray(self.grey).save(model / "Lc_mid.png")
        (model / "bones_neutral.json").write_text(json.dumps(self.bones))

    def height(self, vertex: int, tau: float) -> float:
        """Bilinear with border padding and aligned corners at the vertex's (u, 1 - v + tau)."""
        last_row, last_column = self.grey.shape[0] - 1, self.grey.shape[1] - 1
        u, v = self.all_uv[vertex]
        x, y = min(max(u, 0), 1) * last_column, min(max(1 - v + tau, 0), 1) * last_row
        left, top = min(int(x), last_column - 1), min(int(y), last_row - 1)
        total = 0.0
        for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
            total += self.grey[row, column] / 255 * (1 - abs(x - column)) * (1 - abs(y - row))
        return total

    def evaluate(self, beta: Any, psi: Any, theta: Any, eta: float, tau: float) -> np.ndarray:
        """The release's function in centimetres, with 4x4 matrices from local to world and their inverses."""
        turns = Rotation.from_rotvec(theta).as_matrix()
        rest, posed = np.eye(4), np.eye(4)
        maps = np.zeros((8, 4, 4))
        for index, name in enumerate(CERVICAL_JOINTS):
            to_parent, turn = np.eye(4), np.eye(4)
            to_parent[:3, :3] = self.bones[name]["matrix"]
            to_parent[:3, 3] = self.bones[name]["head"]
            to_parent[1, 3] += LENGTHS[index - 1] if index else 0.0
            turn[:3, :3] = turns[index]
            rest, posed = rest @ to_parent, posed @ to_parent @ turn
            maps[index] = posed @ np.linalg.inv(rest)
        result = np.zeros((self.count, 3))
        for vertex in range(self.count):
            point = self.mean[vertex].copy()
            for k in range(4):
                point += beta[k] * self.shape[k, vertex]
            for k in range(55):
                point += psi[k] * self.expression[k, vertex]
            for joint in range(1, 8):  # the root's features are always zero
                for row, column in np.ndindex(3, 3):
                    point += (turns[joint, row, column] - (row == column)) * self.pose[joint, row, column, vertex]
            point += eta * self.height(vertex, tau) * self.direction
            share = self.weights[:, vertex] / self.weights[:, vertex].sum()
            for joint in range(8):
                result[vertex] += share[joint] * (maps[joint] @ [*point, 1])[:3]
        return result


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path / "HACK-Model")


@pytest.mark.parametrize("seed", range(4))
def test_model_of_a_release_computes_what_the_release_does(release: Release, seed: int) -> None:
    random = np.random.default_rng(seed)
    beta, psi = random.normal(size=4), random.uniform(0, 1, 55)
    theta = random.normal(scale=0.4, size=(8, 3))
    eta, tau = random.uniform(0.3, 1.5), random.uniform(-0.3, 0.3)
    expected = release.evaluate(beta, psi, theta, eta, tau)
    model = HACK.from_asset(read_release(release.folder), dtype="float64")
    result = model(beta, psi, theta, larynx_size=eta, larynx_shift=tau * 0.358)
    assert np.abs(np.asarray(result.vertices) * 100 - expected).max() < 1e-5
    without = release.evaluate(beta, psi, theta, 0.0, 0.0)
    assert np.abs(expected - without).max() > 0.05, "the larynx takes part in the comparison"


def test_folder_may_be_the_release_or_its_model_folder(release: Release) -> None:
    assert read_release(release.folder / "model").provenance == read_release(release.folder).provenance


def test_expressions_come_from_blendshapes_when_there_is_no_expression_space(release: Release) -> None:
    whole = read_release(release.folder)
    (release.folder / "model/E.npy").unlink()
    asset = read_release(release.folder)
    assert asset.expression_names == HACK_EXPRESSIONS
    np.testing.assert_allclose(asset.expression_basis, whole.expression_basis, atol=1e-7)


def test_missing_bases_are_an_error_or_listed(release: Release) -> None:
    for name in ("S", "E", "P", "blendshape"):
        (release.folder / f"model/{name}.npy").unlink()
    with pytest.raises(AssetError, match=r"missing S\.npy, E\.npy or blendshape\.npy, P\.npy"):
        read_release(release.folder)
    asset = read_release(release.folder, require_bases=False)
    assert json.loads(asset.provenance)["missing"] == ["S.npy", "E.npy or blendshape.npy", "P.npy"]
    assert (len(asset.shape_basis), asset.expression_names, len(asset.pose_features)) == (0, (), 0)
    model = HACK.from_asset(asset)
    np.testing.assert_allclose(model(larynx_size=0).vertices * 100, release.template, atol=1e-5)


class _Run:
    def __reduce__(self) -> tuple[Any, ...]:
        return (eval, ("__import__('pathlib').Path('pickle-was-run').touch()",))


class _Class:
    pass


def object_file(content: bytes) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": ()})
    return stream.getvalue() + content


def saved(content: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, content, allow_pickle=True)
    return stream.getvalue()


MEAN = np.zeros((63, 3), np.float32)
HOSTILE: dict[str, tuple[bytes, str]] = {
    "code": (object_file(pickle.dumps(_Run())), "its pickle asks for builtins.eval; only arrays are loaded"),
    "code within": (saved({"mean": MEAN, "VT_std": _Run()}), "its pickle asks for builtins.eval"),
    "a class": (saved({"mean": _Class()}), "its pickle asks for .*_Class"),
    "numpy code": (object_file(b"cnumpy\nsave\n."), "its pickle asks for numpy.save"),
    "a list": (saved([1, 2]), "wanted a pickled dictionary"),
    "objects": (saved({"mean": np.array([None, {}]), "VT_std": MEAN}), "array"),
    "text": (saved({"mean": np.array(["a"]), "VT_std": MEAN}), "array of type 'U1'"),
    "numbers": (saved({"mean": 3.0, "VT_std": MEAN}), "entry 'mean' is no array"),
    "another key": (saved({"average": MEAN}), "wanted entries mean and VT_std, got average"),
    "a wrong shape": (saved({"mean": MEAN, "VT_std": MEAN}), r"VT_std has shape \(63, 3\), wanted \(any, 63, 3\)"),
    "not finite": (saved({"mean": MEAN * np.nan, "VT_std": MEAN[None]}), "not all finite numbers"),
    "plain": (saved(MEAN), "wanted a pickled dictionary"),
    "truncated": (saved({"mean": MEAN, "VT_std": MEAN[None]})[:-200], "not a readable pickle"),
    "nonsense": (object_file(b"\x80\x04nonsense"), "not a readable pickle"),
    "a huge memo": (object_file(b"\x80\x04]r\xff\xff\xff\x7f."), "readable pickle|no dictionary"),
    "empty": (b"", "not a readable"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused(release: Release, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(release.folder)
    content, message = HOSTILE[name]
    path = release.folder / "model/S.npy"
    path.write_bytes(content)
    with pytest.raises(AssetError, match=message) as caught:
        read_release(release.folder)
    assert "S.npy" in str(caught.value)
    assert not Path("pickle-was-run").exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("order", ["C", "F"])
def test_pickles_of_any_protocol_byte_order_and_layout(release: Release, protocol: int, order: Any) -> None:
    expected = read_release(release.folder)
    wrapped = np.empty((), object)
    wrapped[()] = {"mean": release.mean.astype(">f4", order=order), "VT_std": release.shape.astype("<f8", order=order)}
    content = pickle.dumps(wrapped, protocol=protocol)
    (release.folder / "model/S.npy").write_bytes(object_file(content))
    asset = read_release(release.folder)
    np.testing.assert_allclose(asset.shape_basis, expected.shape_basis, atol=1e-7)
    np.testing.assert_allclose(asset.template, expected.template, atol=1e-7)


def test_damaged_files_are_named(release: Release) -> None:
    model = release.folder / "model"
    faults: list[tuple[str, bytes, str]] = [
        ("bones_neutral.json", b"{}", "wanted the eight cervical joints"),
        ("bones_neutral.json", json.dumps({**release.bones, "oc1": {}}).encode(), "wanted the eight cervical joints"),
        ("weight_map_smooth.npy", saved(np.zeros((8, 5))), r"has shape \(8, 5\), wanted \(8, 63\)"),
        ("weight_map_smooth.npy", saved(np.zeros((8, 63))), "vertex 0 has no weight"),
        ("ts_larynx.npy", saved(np.array([0, np.nan, 0])), "not all finite"),
        ("ts_larynx.npy", saved({"a": _Run()}), "pickled objects"),
        ("Lc_mid.png", b"\x89PNG nonsense", "cannot be read as a picture"),
        ("000_generic_neutral_mesh.obj", b"v 0 0\n", ":1: unreadable line 'v 0 0'"),
        ("000_generic_neutral_mesh.obj", b"v 0 0 0\nvt 0 0\nf 1/1 2/1 3/1\n", "not there"),
        ("000_generic_neutral_mesh.obj", b"v 0 0 0\nvt 0 0\nf 1 1 1\n", ":3: unreadable line 'f 1 1 1'"),
        ("000_generic_neutral_mesh_newuv.obj", b"v 0 0 0\nvt 0 0\nf 1/1 1/1 1/1\n", "1 vertices, the template has 63"),
        ("E.npy", saved({"mean": release.expression[:54], "VT_std": np.zeros(1)}), r"wanted \(55, 63, 3\)"),
    ]
    for name, content, message in faults:
        before = (model / name).read_bytes()
        (model / name).write_bytes(content)
        with pytest.raises(HackError, match=message) as caught:
            read_release(release.folder)
        assert name in str(caught.value)
        (model / name).write_bytes(before)
    read_release(release.folder)


def test_charts_that_do_not_end_are_refused(release: Release) -> None:
    grey = release.grey.copy()
    grey[5, 0] = 1
    Image.fromarray(grey).save(release.folder / "model/Lc_mid.png")
    with pytest.raises(FormatError, match="rim is not zero"):
        read_release(release.folder)


def test_absent_folder(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file"):
        read_release(tmp_path / "nowhere")


def test_anatomical_axes_are_the_nearest_signed_local_axes() -> None:
    frames = np.stack([Rotation.from_euler("x", 0.3).as_matrix(), np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])])
    expected = [np.eye(3), [[1, 0, 0], [0, 0, -1], [0, 1, 0]]]
    np.testing.assert_array_equal(anatomical_axes(frames), expected)


def test_official_files(test_data: Path) -> None:
    asset = read_release(test_data / "hack_release", require_bases=False)
    assert (asset.vertex_count, len(asset.faces)) == (14062, 14034)
    np.testing.assert_allclose(asset.joint_offsets[:8] * 100, ORIGINS, atol=0.0051)
    np.testing.assert_array_equal(asset.joint_axes[:7], np.tile(np.eye(3), (7, 1, 1)))
    np.testing.assert_array_equal(asset.joint_axes[7], [[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    np.testing.assert_allclose(asset.joint_frames[7], [[1, 0, 0], [0, 0, -1], [0, 1, 0]], atol=1e-5)
    assert not asset.weights[:, [0, 9, 10]].any(), "the release has no base and no eyeballs"
    assert asset.template[asset.part("eye_socket_left"), 0].mean() > 0.02
    model = HACK.from_asset(asset)
    bump = model(larynx_size=1.0).vertices - model().vertices
    moved = np.linalg.norm(bump, axis=1) > 1e-4
    assert 100 < moved.sum() < 220
    assert np.linalg.norm(bump, axis=1).max() == pytest.approx(0.0089, abs=1e-4)
    raised = model(larynx_size=1.0, larynx_shift=0.01).vertices - model().vertices
    height = [
        np.linalg.norm(b, axis=1) @ asset.template[:, 1] / np.linalg.norm(b, axis=1).sum() for b in (bump, raised)
    ]
    assert height[1] - height[0] == pytest.approx(0.01, abs=0.002)
    theta = np.load(test_data / "hack_release/data/theta_list.npy")[::50]
    assert np.isfinite(model(pose=theta).vertices).all()
