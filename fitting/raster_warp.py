"""The default rasteriser: NVIDIA Warp kernels, the same on CPU and CUDA.

One thread per triangle takes the minimum of (depth, triangle) packed in 64 bits at each pixel it covers, so the
result does not depend on the order of threads; a second pass computes the winner's barycentrics.
"""
# Kernels are Warp's language in Python's clothes: its annotations are values and its operators are unknown to checkers.
# pyright: basic, reportOperatorIssue=false, reportArgumentType=false, reportAssignmentType=false
# pyright: reportGeneralTypeIssues=false, reportInvalidTypeForm=false, reportIndexIssue=false

from __future__ import annotations

from typing import Any

import numpy as np

from fitting.raster import NEAR, Raster, check_arguments
from fitting.terminal import native_stderr_silenced
from hack_model.errors import MissingDependencyError

try:
    import warp as wp
except ImportError as error:
    raise MissingDependencyError("the default renderer needs warp-lang: pip install 'hack-model[fit]'") from error

_EMPTY = 0xFFFFFFFFFFFFFFFF


@wp.func
def _before(a: wp.vec3, b: wp.vec3) -> bool:
    """Lexicographic order, so that both triangles of an edge compute it from the same end."""
    if a[0] != b[0]:
        return a[0] < b[0]
    if a[1] != b[1]:
        return a[1] < b[1]
    return a[2] < b[2]


@wp.func
def _relative(point: wp.vec3, u: float, v: float) -> wp.vec2:
    """The point seen from the pixel: its cross products are small numbers, hence exact enough in 32 bits."""
    return wp.vec2(point[0] - u * point[2], point[1] - v * point[2])


@wp.func
def _edge(ordered: bool, a: wp.vec2, b: wp.vec2) -> float:
    """a × b, with exactly the opposite sign when a and b are exchanged."""
    if ordered:
        return a[0] * b[1] - a[1] * b[0]
    return -(b[0] * a[1] - b[1] * a[0])


@wp.func
def _owns_edge(ordered: bool, a: wp.vec3, b: wp.vec3) -> bool:
    """Whether a counter-clockwise triangle owns the pixel centres on its edge a→b; its neighbour says the opposite."""
    p = a
    q = b
    sign = wp.float32(1.0)
    if not ordered:
        p = b
        q = a
        sign = wp.float32(-1.0)
    across = sign * (p[1] * q[2] - p[2] * q[1])
    along = sign * (p[2] * q[0] - p[0] * q[2])
    return across > 0.0 or (across == 0.0 and along > 0.0)


@wp.kernel
def _draw(
    points: wp.array(dtype=wp.vec3),
    triangles: wp.array2d(dtype=wp.int32),
    near: float,
    buffer: wp.array2d(dtype=wp.uint64),
):
    index = wp.tid()
    a = points[triangles[index, 0]]
    b = points[triangles[index, 1]]
    c = points[triangles[index, 2]]
    height = buffer.shape[0]
    width = buffer.shape[1]
    nearest = wp.min(a[2], wp.min(b[2], c[2]))
    if wp.max(a[2], wp.max(b[2], c[2])) < near:
        return
    left = wp.float32(0.0)
    right = float(width)
    top = wp.float32(0.0)
    bottom = float(height)
    if nearest >= near:  # otherwise its outline in the picture is unbounded
        ua = a[0] / a[2]
        ub = b[0] / b[2]
        uc = c[0] / c[2]
        va = a[1] / a[2]
        vb = b[1] / b[2]
        vc = c[1] / c[2]
        slack = 0.01  # of a pixel, for the rounding of the divisions
        left = wp.max(left, wp.min(ua, wp.min(ub, uc)) - slack)
        right = wp.min(right, wp.max(ua, wp.max(ub, uc)) + slack)
        top = wp.max(top, wp.min(va, wp.min(vb, vc)) - slack)
        bottom = wp.min(bottom, wp.max(va, wp.max(vb, vc)) + slack)
    ordered_a = _before(b, c)
    ordered_b = _before(c, a)
    ordered_c = _before(a, b)
    owns_a = _owns_edge(ordered_a, b, c)
    owns_b = _owns_edge(ordered_b, c, a)
    owns_c = _owns_edge(ordered_c, a, b)
    for row in range(int(wp.ceil(top - 0.5)), wp.min(int(wp.floor(bottom - 0.5)), height - 1) + 1):
        for column in range(int(wp.ceil(left - 0.5)), wp.min(int(wp.floor(right - 0.5)), width - 1) + 1):
            u = float(column) + 0.5
            v = float(row) + 0.5
            pa = _relative(a, u, v)
            pb = _relative(b, u, v)
            pc = _relative(c, u, v)
            ea = _edge(ordered_a, pb, pc)
            eb = _edge(ordered_b, pc, pa)
            ec = _edge(ordered_c, pa, pb)
            area = ea + eb + ec
            if area > 0.0:
                inside = (
                    (ea > 0.0 or (ea == 0.0 and owns_a))
                    and (eb > 0.0 or (eb == 0.0 and owns_b))
                    and (ec > 0.0 or (ec == 0.0 and owns_c))
                )
            else:
                inside = (
                    (ea < 0.0 or (ea == 0.0 and not owns_a))
                    and (eb < 0.0 or (eb == 0.0 and not owns_b))
                    and (ec < 0.0 or (ec == 0.0 and not owns_c))
                )
            if inside and area != 0.0:
                depth = (ea * a[2] + eb * b[2] + ec * c[2]) / area
                if depth >= near:  # the bits of positive floats are ordered as the floats are
                    bits = wp.uint64(wp.cast(depth, wp.uint32))
                    wp.atomic_min(buffer, row, column, (bits << wp.uint64(32)) | wp.uint64(index))


@wp.kernel
def _resolve(
    points: wp.array(dtype=wp.vec3),
    triangles: wp.array2d(dtype=wp.int32),
    buffer: wp.array2d(dtype=wp.uint64),
    face: wp.array2d(dtype=wp.int32),
    barycentric: wp.array2d(dtype=wp.vec3),
    depth: wp.array2d(dtype=wp.float32),
):
    row, column = wp.tid()
    packed = buffer[row, column]
    if packed == ~wp.uint64(0):
        face[row, column] = -1
        barycentric[row, column] = wp.vec3()
        depth[row, column] = wp.inf
        return
    index = int(packed & wp.uint64(0xFFFFFFFF))
    a = points[triangles[index, 0]]
    b = points[triangles[index, 1]]
    c = points[triangles[index, 2]]
    u = float(column) + 0.5
    v = float(row) + 0.5
    pa = _relative(a, u, v)
    pb = _relative(b, u, v)
    pc = _relative(c, u, v)
    weights = wp.vec3(_edge(True, pb, pc), _edge(True, pc, pa), _edge(True, pa, pb))
    face[row, column] = index
    barycentric[row, column] = weights / (weights[0] + weights[1] + weights[2])
    depth[row, column] = wp.cast(wp.uint32(packed >> wp.uint64(32)), wp.float32)


class WarpRenderer:
    """:class:`fitting.raster.Renderer` on the device of the points: numpy and torch's CPU, or a CUDA tensor's GPU."""

    def __init__(self) -> None:
        wp.config.log_level = wp.LOG_ERROR  # its greeting and compile notes would mix with the command's output
        with native_stderr_silenced():  # its native part writes there when a machine has no CUDA driver
            wp.init()

    def rasterize(self, points: Any, triangles: Any, width: int, height: int) -> Raster:
        """See :meth:`fitting.raster.Renderer.rasterize`."""
        check_arguments(points, triangles, width, height)
        if isinstance(points, np.ndarray):
            given = wp.array(np.ascontiguousarray(points, np.float32), dtype=wp.vec3, device="cpu", copy=False)
            corners = wp.array(np.ascontiguousarray(triangles, np.int32), dtype=wp.int32, device="cpu", copy=False)
            results = _rasterize(given, corners, width, height)
            return Raster(*(result.numpy() for result in results))
        import torch

        given = wp.from_torch(points.detach().float().contiguous(), dtype=wp.vec3)
        corners = torch.as_tensor(triangles, device=points.device).int().contiguous()
        results = _rasterize(given, wp.from_torch(corners), width, height)
        return Raster(*(wp.to_torch(result) for result in results))


def _rasterize(points: Any, triangles: Any, width: int, height: int) -> tuple[Any, Any, Any]:
    shape, device = (height, width), points.device
    buffer = wp.full(shape, _EMPTY, dtype=wp.uint64, device=device)
    face = wp.empty(shape, dtype=wp.int32, device=device)
    barycentric = wp.empty(shape, dtype=wp.vec3, device=device)
    depth = wp.empty(shape, dtype=wp.float32, device=device)
    wp.launch(_draw, len(triangles), [points, triangles, NEAR, buffer], device=device)
    wp.launch(_resolve, shape, [points, triangles, buffer, face, barycentric, depth], device=device)
    return face, barycentric, depth
