"""The rasteriser's protocol: projected vertices and triangles in; face ids, barycentrics and depth out.

Pixel convention: an image spans [0, W] × [0, H]; pixel (column i, row j) has its centre at (i + 0.5, j + 0.5).
Vertices come as homogeneous pixels (w·u, w·v, w) with w the depth along the optical axis, so triangles that cross
the camera's plane need no clipping (M. Olano, T. Greer, "Triangle scan conversion using 2D homogeneous coordinates",
Graphics Hardware 1997). A flat map (a UV layout) is drawn with w = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, get_args

from array_api_compat import array_namespace

from hack_model.errors import ParameterError

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from fitting.camera import Camera

    Array = Any

BackendName = Literal["warp", "pytorch3d"]

NEAR: Final = 1e-4
"""Surface nearer than this to the camera's plane is not drawn, in the unit of w (metres)."""


@dataclass(frozen=True)
class Raster:
    """What each pixel sees; arrays of the library of the points given."""

    face: Int[Array, "H W"]
    """Index of the nearest triangle, -1 where there is none; of two at the same depth the lower index."""

    barycentric: Float[Array, "H W 3"]
    """Perspective-correct weights of the triangle's corners, which sum to 1; zeros where there is no triangle."""

    depth: Float[Array, "H W"]
    """w of the surface, infinite where there is none."""


class Renderer(Protocol):
    """Draws triangles into a z-buffer. Both sides of a triangle are drawn. Not differentiable by itself."""

    def rasterize(self, points: Float[Array, "V 3"], triangles: Int[Array, "N 3"], width: int, height: int) -> Raster:
        """Draws ``triangles`` over ``points``, homogeneous pixels (w·u, w·v, w), as numpy or torch arrays.

        A pixel belongs to a triangle that covers its centre; a centre on an edge belongs to one of the edge's two
        triangles. Raises :class:`ParameterError` on wrong shapes, indices out of range or values not finite.
        """
        ...


def project(camera: Camera, vertices: Float[Array, "V 3"]) -> Float[Array, "V 3"]:
    """Homogeneous pixels (w·u, w·v, w) of vertices in metres, w their depth.

    The camera sits at the origin and looks along −Z with +Y up: u = cx + f·x/(−z), v = cy − f·y/(−z).
    """
    namespace = array_namespace(vertices)
    x, y, depth = vertices[:, 0], vertices[:, 1], -vertices[:, 2]
    centre_x, centre_y = camera.centre
    return namespace.stack([camera.focal * x + centre_x * depth, centre_y * depth - camera.focal * y, depth], axis=-1)


def renderer(name: BackendName = "warp") -> Renderer:
    """The backend of that name. Raises :class:`MissingDependencyError` when its package is not installed."""
    if name == "warp":
        from fitting.raster_warp import WarpRenderer

        return WarpRenderer()
    if name == "pytorch3d":
        from fitting.raster_pytorch3d import PyTorch3DRenderer

        return PyTorch3DRenderer()
    raise ParameterError(f"no renderer {name!r}; choose one of: {', '.join(get_args(BackendName))}")


def check_arguments(points: Any, triangles: Any, width: int, height: int) -> None:
    """Raises :class:`ParameterError` when :meth:`Renderer.rasterize` could not draw these arguments."""
    for label, array in (("points", points), ("triangles", triangles)):
        if array.ndim != 2 or array.shape[1] != 3:
            raise ParameterError(f"{label} have shape {tuple(array.shape)}, wanted (number, 3)")
    if width < 1 or height < 1:
        raise ParameterError(f"an image of {width} × {height} pixels cannot be drawn; both must be at least 1")
    namespace = array_namespace(points)
    if not bool(namespace.all(namespace.isfinite(points))):
        raise ParameterError("points hold values that are not finite")
    if triangles.shape[0] and (int(triangles.min()) < 0 or int(triangles.max()) >= points.shape[0]):
        raise ParameterError(f"triangles hold indices outside 0…{points.shape[0] - 1}")
