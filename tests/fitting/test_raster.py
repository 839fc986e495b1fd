from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitting.camera import Camera
from fitting.raster import NEAR, project, renderer
from hack_model.errors import MissingDependencyError, ParameterError

WIDTH, HEIGHT = 41, 33


def homogeneous(points: np.ndarray) -> np.ndarray:
    """(u, v, w) to (w·u, w·v, w)."""
    return np.concatenate([points[:, :2] * points[:, 2:], points[:, 2:]], axis=1).astype(np.float32)


def reference(points: np.ndarray, triangles: np.ndarray, width: int, height: int) -> tuple[np.ndarray, ...]:
    """Rays against planes: for each pixel the ray (u, v, 1)·w meets triangle Σ bᵢ pᵢ where b solves a 3×3 system."""
    rows, columns = np.mgrid[:height, :width]
    rays = np.stack([columns + 0.5, rows + 0.5, np.ones((height, width))], axis=-1)
    depths = np.full((len(triangles), height, width), np.inf)
    weights = np.zeros((len(triangles), height, width, 3))
    margins = np.full((height, width), np.inf)
    for index, triangle in enumerate(triangles):
        corners = points[triangle].astype(np.float64).T
        if abs(np.linalg.det(corners)) < 1e-12:
            continue
        scaled = rays @ np.linalg.inv(corners).T  # b / w
        depth = 1 / scaled.sum(axis=-1)
        barycentric = scaled * depth[..., None]
        inside = (barycentric >= 0).all(axis=-1) & (depth >= NEAR)
        depths[index][inside] = depth[inside]
        weights[index][inside] = barycentric[inside]
        margins = np.minimum(margins, np.abs(barycentric).min(axis=-1))
    face = depths.argmin(axis=0)
    depth = depths.min(axis=0)
    barycentric = np.take_along_axis(weights, face[None, :, :, None], axis=0)[0]
    close = (depths < depth + 1e-4).sum(axis=0) > 1  # two surfaces at the same depth
    unclear = (margins < 1e-4) | (np.isfinite(depth) & close)
    return np.where(np.isfinite(depth), face, -1), barycentric, depth, unclear


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_agrees_with_rays_against_planes(seed: int, behind: bool) -> None:
    random = np.random.default_rng(seed)
    if behind:  # points on both sides of the camera's plane, in camera coordinates
        camera = Camera.centred(30.0, WIDTH, HEIGHT)
        points = project(camera, random.normal(0, [0.5, 0.5, 0.8], (24, 3)).astype(np.float32))
    else:
        points = homogeneous(random.uniform([-20, -20, 0.3], [60, 60, 3], (24, 3)))
    triangles = random.permuted(np.tile(np.arange(24), (8, 1)), axis=1)[:, :3]
    raster = renderer().rasterize(points, triangles, WIDTH, HEIGHT)
    face, barycentric, depth, unclear = reference(points, triangles, WIDTH, HEIGHT)
    clear = ~unclear
    assert clear.mean() > 0.3  # a triangle seen edge-on leaves much unclear
    np.testing.assert_array_equal(raster.face[clear], face[clear])
    np.testing.assert_allclose(raster.depth[clear], depth[clear], rtol=2e-3)
    np.testing.assert_allclose(raster.barycentric[clear], barycentric[clear], atol=2e-3)


def grid(rows: int, columns: int) -> np.ndarray:
    index = np.arange((rows + 1) * (columns + 1)).reshape(rows + 1, columns + 1)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    return np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])


@pytest.mark.parametrize("shift", [0.0, 0.5, 0.25])
@pytest.mark.parametrize("flip", [False, True])
def test_every_pixel_belongs_to_exactly_one_triangle(shift: float, flip: bool) -> None:
    """A grid whose edges and corners run through pixel centres: drawn one by one its triangles tile the picture."""
    rows, columns = np.mgrid[-1:9, -1:9] * 4.0 + shift
    points = np.stack([columns.ravel(), rows.ravel(), np.ones(100)], axis=1)
    triangles = grid(9, 9)
    if flip:
        triangles = triangles[:, ::-1]
    draw = renderer()
    count = sum((draw.rasterize(homogeneous(points), t[None], 30, 28).face >= 0).astype(int) for t in triangles)
    np.testing.assert_array_equal(count, 1)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_shared_edges_leave_no_gap_and_no_double(seed: int) -> None:
    """A jittered grid in perspective, with its vertices repeated per triangle as at a texture's seams."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[-1:9, -1:9] * 4.0
    points = np.stack([columns.ravel(), rows.ravel(), random.uniform(0.5, 0.7, 100)], axis=1)
    points[:, :2] += random.uniform(-0.9, 0.9, (100, 2))  # by more a triangle may fold over its neighbour
    apart = homogeneous(points)[grid(9, 9)].reshape(-1, 3)
    triangles = np.arange(len(apart)).reshape(-1, 3)
    draw = renderer()
    count = sum((draw.rasterize(apart, t[None], 28, 28).face >= 0).astype(int) for t in triangles)
    np.testing.assert_array_equal(count, 1)


def test_nearest_wins_whatever_the_order_and_ties_go_to_the_lower_index() -> None:
    points = homogeneous(np.array([[0, 0, d] for d in (1.0, 2.0)] + [[90, 0, 1], [90, 0, 2], [0, 90, 1], [0, 90, 2.0]]))
    near, far = [0, 2, 4], [1, 3, 5]
    for triangles, winner in (([near, far], 0), ([far, near], 1), ([near, near], 0)):
        raster = renderer().rasterize(points, np.array(triangles), 20, 20)
        np.testing.assert_array_equal(raster.face, winner)
        np.testing.assert_allclose(raster.depth, 1.0, rtol=1e-6)


def test_what_lies_behind_the_camera_is_not_seen() -> None:
    camera = Camera.centred(20.0, 16, 16)
    behind = np.array([[-9, -9, 1], [9, -9, 1], [0, 9, 1.0]], np.float32)
    raster = renderer().rasterize(project(camera, behind), np.array([[0, 1, 2]]), 16, 16)
    assert (raster.face == -1).all()
    assert np.isinf(raster.depth).all()
    np.testing.assert_array_equal(raster.barycentric, 0)


def test_a_floor_that_runs_below_the_camera_is_cut_at_it() -> None:
    camera = Camera.centred(16.0, 16, 16)
    floor = np.array([[-50, -1, 50], [50, -1, 50], [50, -1, -50], [-50, -1, -50]], np.float32)
    raster = renderer().rasterize(project(camera, floor), np.array([[0, 1, 2], [0, 2, 3]]), 16, 16)
    assert (raster.face[:8] == -1).all()
    assert (raster.face[8:] >= 0).all()
    np.testing.assert_allclose(raster.depth[8:, 0], 16.0 / (np.arange(8) + 0.5), rtol=1e-4)


def test_projection_is_the_camera_s() -> None:
    camera = Camera(700.0, (300.0, 220.0), 640, 480)
    points = np.random.default_rng(3).uniform([-1, -1, -3], [1, 1, -1], (50, 3))
    seen = project(camera, points)
    np.testing.assert_allclose(seen[:, :2] / seen[:, 2:], camera.project(points))
    np.testing.assert_array_equal(seen[:, 2], -points[:, 2])


def test_numpy_and_torch_give_the_same_bits_again_and_again() -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(5)
    points = homogeneous(random.uniform([-10, -10, 0.3], [70, 70, 3], (300, 3)))
    triangles = random.integers(0, 300, (500, 3))
    first = renderer().rasterize(points, triangles, 64, 48)
    again = renderer().rasterize(points, triangles, 64, 48)
    tensors = renderer().rasterize(torch.tensor(points, requires_grad=True), torch.tensor(triangles), 64, 48)
    for name in ("face", "barycentric", "depth"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        np.testing.assert_array_equal(getattr(first, name), getattr(tensors, name).numpy())


def test_no_triangles_make_an_empty_picture() -> None:
    raster = renderer().rasterize(np.ones((3, 3), np.float32), np.zeros((0, 3), int), 5, 4)
    assert raster.face.shape == (4, 5)
    assert (raster.face == -1).all()


@pytest.mark.parametrize(
    ("points", "triangles", "size", "said"),
    [
        (np.ones((3, 2)), [[0, 1, 2]], (4, 4), r"points have shape \(3, 2\)"),
        (np.ones((3, 3)), [[0, 1]], (4, 4), r"triangles have shape \(1, 2\)"),
        (np.ones((3, 3)), [[0, 1, 3]], (4, 4), r"outside 0…2"),
        (np.ones((3, 3)), [[0, 1, -1]], (4, 4), r"outside 0…2"),
        (np.full((3, 3), np.nan), [[0, 1, 2]], (4, 4), "not finite"),
        (np.ones((3, 3)), [[0, 1, 2]], (0, 4), "0 × 4 pixels"),
    ],
)
def test_arguments_are_checked(points: np.ndarray, triangles: list, size: tuple[int, int], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        renderer().rasterize(points, np.array(triangles), *size)


def test_unknown_and_missing_backends_say_what_to_do() -> None:
    with pytest.raises(ParameterError, match="warp, pytorch3d"):
        renderer("opengl")  # pyright: ignore[reportArgumentType]


def test_pytorch3d_agrees_where_it_is_installed() -> None:
    if importlib.util.find_spec("pytorch3d") is None:
        with pytest.raises(MissingDependencyError, match=r"pytorch3d .* 'warp'"):
            renderer("pytorch3d")
        pytest.skip("pytorch3d is not installed")
    other = renderer("pytorch3d")
    random = np.random.default_rng(8)
    points = homogeneous(random.uniform([-10, -10, 0.5], [70, 70, 3], (60, 3)))
    triangles = random.integers(0, 60, (20, 3))
    mine, theirs = (each.rasterize(points, triangles, 64, 48) for each in (renderer(), other))
    same = mine.face == theirs.face
    assert same.mean() > 0.99
    np.testing.assert_allclose(mine.barycentric[same], theirs.barycentric[same], atol=1e-3)


def test_nothing_is_printed() -> None:
    code = "import numpy as np; from fitting.raster import renderer; " + (
        "renderer().rasterize(np.ones((3, 3), 'f'), np.array([[0, 1, 2]]), 4, 4)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr == ""
