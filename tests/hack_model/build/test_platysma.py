"""The tightened neck: cords where the platysma's are, and nothing torn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.signal import find_peaks
from scipy.spatial import KDTree

from hack_model.appearance import wrinkles
from hack_model.appearance.anatomy import anatomy_of
from hack_model.asset import ModelAsset
from hack_model.borders import border_edges
from hack_model.build import platysma
from hack_model.build.head import Head
from hack_model.build.refine import Edges
from hack_model.errors import AssetError
from hack_model.formats.surface import vertex_normals
from hack_model.resources import data_folder, default_model_path


@pytest.fixture(scope="module")
def left(head: Head) -> np.ndarray:
    return platysma.tighten_left(head)


@pytest.fixture(scope="module")
def both(head: Head, left: np.ndarray) -> np.ndarray:
    return left + left[head.skin_mirror] * [-1, 1, 1]


def around(head: Head, moved: np.ndarray, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Degrees from the front to the left, and how far the skin stands out there (mm), at a height of the neck."""
    vertices = head.skin.vertices
    near = (np.abs(vertices[:, 1] - height) < 0.004) & (vertices[:, 2] > -0.06)
    outward = (moved * vertex_normals(vertices, head.skin.faces)).sum(axis=1)[near] * 1000
    angle = np.degrees(np.arctan2(vertices[near, 0], vertices[near, 2] - 0.006))
    at = np.arange(-136, 137, 4.0)
    share = np.exp(-(((at[:, None] - angle) / 2.5) ** 2))
    return at, share @ outward / share.sum(axis=1)


@pytest.mark.parametrize("height", [-0.100, -0.110, -0.120])
def test_three_cords_a_side_stand_out_with_hollows_between(head: Head, both: np.ndarray, height: float) -> None:
    angle, outward = around(head, both, height)
    peaks, found = find_peaks(outward, prominence=1.5)
    assert len(peaks) == 6
    assert (np.abs(angle[peaks] + angle[peaks][::-1]) <= 4).all()  # left as right
    assert found["prominences"].max() < 9
    middle = outward[np.abs(angle) < 3].mean()
    assert middle < outward[peaks[2:4]].min() - 3  # the windpipe lies between the paramedian cords


def test_cords_lie_where_the_wrinkles_draw_them(head: Head) -> None:
    anatomy = anatomy_of(ModelAsset.load(default_model_path()))
    lines = [line for line in wrinkles.lines() if line.layer == "platysma"]
    cords = [strand for strand in platysma.read_strands(head) if strand.kind == "cord"]
    assert len(lines) == len(cords) == 3
    for line, cord in zip(lines, cords, strict=True):
        drawn = wrinkles._course(anatomy, line)
        on_skin = np.stack(wrinkles._place(anatomy, "neck", cord.points), axis=1)
        assert KDTree(on_skin).query(drawn)[0].max() < 0.002, line


def test_one_side_leaves_the_other_alone(head: Head, left: np.ndarray) -> None:
    amount = np.linalg.norm(left, axis=1)
    x = head.skin.vertices[:, 0]
    assert amount.max() > 0.005
    assert amount[x < -0.024].max() < 2e-4
    across = (np.abs(x) < 0.001) & (head.skin.vertices[:, 2] > 0)
    assert np.abs(left[across, 0]).max() < 0.0012


def test_nothing_jumps_from_a_vertex_to_the_next(head: Head, left: np.ndarray, both: np.ndarray) -> None:
    edges = Edges.of(head.skin.faces).vertices
    length = np.linalg.norm(np.diff(head.skin.vertices[edges], axis=1)[:, 0], axis=1)
    for moved in (left, both):
        step = np.linalg.norm(np.diff(moved[edges], axis=1)[:, 0], axis=1)
        assert (step / np.maximum(length, 0.002)).max() < 1.0


def test_neck_and_chest_alone_move(head: Head, both: np.ndarray) -> None:
    vertices, amount = head.skin.vertices, np.linalg.norm(both, axis=1)
    assert amount[vertices[:, 1] > -0.015].max() < 2e-4
    assert amount[vertices[:, 2] < -0.035].max() < 2e-4
    assert amount[np.any(list(head.inner.values()), axis=0)].max() == 0
    border = np.unique(border_edges(head.skin.faces))
    assert amount[border].max() < 1e-6


def test_skin_of_neck_and_chest_rises_and_that_of_the_jaw_sinks(head: Head, both: np.ndarray) -> None:
    """Ohana et al. 2024: the motions meet at 54 and 55 % of the way from the clavicle to the ear lobe."""
    vertices = head.skin.vertices
    side = (np.abs(np.abs(vertices[:, 0]) - 0.05) < 0.02) & (vertices[:, 2] > 0.0) & (vertices[:, 2] < 0.05)
    share = (vertices[:, 1] + 0.150) / 0.136
    rise = {
        name: np.median(both[side & (share > low) & (share < high), 1])
        for name, low, high in (("clavicle", -0.1, 0.2), ("neck", 0.2, 0.4), ("jaw", 0.65, 0.85))
    }
    assert rise["clavicle"] > rise["neck"] > 0.001
    assert rise["clavicle"] > 0.003
    assert rise["jaw"] < -0.0005


def test_the_neck_grows_broader_and_its_angle_to_the_chin_blunter(head: Head, both: np.ndarray) -> None:
    vertices = head.skin.vertices
    side = (np.abs(vertices[:, 1] + 0.105) < 0.015) & (np.abs(vertices[:, 2] - 0.005) < 0.015)
    outward = both[side, 0] * np.sign(vertices[side, 0])
    assert outward.min() > 0
    assert 0.002 < outward.mean() < 0.005
    throat = (np.abs(np.abs(vertices[:, 0]) - 0.013) < 0.003) & (vertices[:, 1] < -0.08) & (vertices[:, 1] > -0.095)
    assert both[throat, 2].max() > 0.003


def test_the_face_takes_part_up_to_the_corners_of_the_mouth(head: Head) -> None:
    whole = np.ones_like(head.skin.vertices)
    kept, height = platysma.below_mouth(head, whole), head.skin.vertices[:, 1]
    assert (kept[height < -0.033] == 1).all()
    assert (kept[height > -0.018] == 0).all()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("rope,medial,1,2,3,4,5", "kind cord or sheet"),
        ("cord,medial,1,2,3,4,0", "width above 0"),
        ("cord,medial,1,2,3,thick,5", "five numbers"),
    ],
)
def test_a_damaged_table_is_named(head: Head, tmp_path: Path, monkeypatch, row: str, message: str) -> None:
    (tmp_path / "hack_open").mkdir()
    table = (data_folder() / "hack_open" / "platysma.csv").read_text()
    (tmp_path / "hack_open" / "platysma.csv").write_text(table + row + "\n")
    monkeypatch.setattr(platysma, "data_folder", lambda: tmp_path)
    with pytest.raises(AssetError, match=rf"platysma\.csv:{len(table.splitlines()) + 1}: .*{message}"):
        platysma.read_strands(head)
