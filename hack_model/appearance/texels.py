"""The skin's texels: what each pixel of a map shows, the frame its relief stands in, and filling beyond the islands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from hack_model.asset import ModelAsset, split_quads
from hack_model.formats.surface import vertex_normals

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Shaped

    Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Texels:
    """The covered pixels of a square map of the skin, ``size`` a side, first row at v = 1.

    ``index`` (n,) into the flattened map, in order; ``corners`` (n, 3) texture coordinates of the triangle over each,
    ``weights`` (n, 3) the barycentric weights of the pixel's centre. A place several triangles cover is the last's.
    """

    size: int
    index: Int[Array, " n"]
    corners: Int[Array, "n 3"]
    weights: Float[Array, "n 3"]
    chart: Chart

    def carry(self, values: Shaped[Array, "T *c"]) -> Float[Array, "n *c"]:
        """Values at texture coordinates, interpolated at the texels."""
        values = np.asarray(values, np.float32)
        shape = (-1,) + (1,) * (values.ndim - 1)
        carried = self.weights[:, 0].reshape(shape) * values[self.corners[:, 0]]
        for corner in (1, 2):
            carried += self.weights[:, corner].reshape(shape) * values[self.corners[:, corner]]
        return carried

    def carry_vertices(self, values: Shaped[Array, "V *c"]) -> Float[Array, "n *c"]:
        """Values at the asset's vertices, interpolated at the texels."""
        return self.carry(np.asarray(values, np.float32)[self.chart.vertices])

    def image(self, values: Float[Array, "n *c"], empty: float = 0.0) -> Float[Array, "size size *c"]:
        """Texel values as a picture, ``empty`` where no skin is."""
        picture = np.full((self.size * self.size, *values.shape[1:]), empty, np.float32)
        picture[self.index] = values
        return picture.reshape(self.size, self.size, *values.shape[1:])

    def filled(self, values: Float[Array, "n *c"]) -> Float[Array, "size size *c"]:
        """Texel values as a picture whose rest goes on from the islands' borders, so that filtering finds no edge."""
        covered = np.zeros(self.size * self.size, np.float32)
        covered[self.index] = 1
        picture = self.image(values).reshape(self.size, self.size, -1)
        return _pull_push(picture, covered.reshape(self.size, self.size)).reshape(
            self.size, self.size, *values.shape[1:]
        )

    @cached_property
    def uv(self) -> Float[Array, "n 2"]:
        """Texture coordinates of the pixels' centres, v up."""
        row, column = np.divmod(self.index, self.size)
        return np.stack([(column + 0.5) / self.size, 1 - (row + 0.5) / self.size], axis=1).astype(np.float32)

    @cached_property
    def frame(self) -> Float[Array, "n 3"]:
        """(a, c, d) of :attr:`Chart.stretch` at the texels."""
        return self.carry(self.chart.stretch)

    def slopes(self, height: Float[Array, "size size"]) -> Float[Array, "n 2"]:
        """Slope of a relief (metres, a whole map) at the texels along tangent and bitangent."""
        across = np.empty_like(height)
        along = np.empty_like(height)
        across[:, 1:-1], across[:, 0], across[:, -1] = (height[:, 2:] - height[:, :-2]) / 2, 0, 0
        along[1:-1], along[0], along[-1] = (height[:-2] - height[2:]) / 2, 0, 0
        a, c, d = self.frame.T
        du, dv = across.reshape(-1)[self.index] * self.size, along.reshape(-1)[self.index] * self.size
        first = du / a
        return np.stack([first, (dv - c * first) / d], axis=1)


@dataclass(frozen=True, eq=False)
class Chart:
    """The skin's texture coordinates as a surface: ``vertices`` (T,) names each one's vertex (0 where it is no skin's).

    ``triangles`` (N, 3) index texture coordinates. ``tangents`` (T, 4): the unit direction in which u grows, at right
    angles to the vertex normal, and +1 or -1: bitangent = that sign times normal x tangent, along which v grows, as in
    glTF. ``stretch`` (T, 3) is (a, c, d): metres per u along the tangent, metres per v along the tangent and bitangent.
    """

    vertices: Int[Array, " T"]
    triangles: Int[Array, "N 3"]
    tangents: Float[Array, "T 4"]
    stretch: Float[Array, "T 3"]

    @classmethod
    def of(cls, asset: ModelAsset, placed: Float[Array, "V 3"] | None = None) -> Chart:
        """The chart of the triangles that show the material ``skin``, of the template or of ``placed`` vertices."""
        placed = (asset.template if placed is None else placed).astype(np.float64)
        skin = asset.face_material == asset.material_names.index("skin")
        faces, coordinates = split_quads(asset.faces[skin]), split_quads(asset.face_uv[skin])
        vertices = np.zeros(len(asset.uv), np.int64)
        vertices[coordinates] = faces
        normals = vertex_normals(placed, asset.triangles)[vertices].astype(np.float64)
        points, uv = placed[faces], asset.uv.astype(np.float64)[coordinates]
        edges, flat = points[:, 1:] - points[:, :1], uv[:, 1:] - uv[:, :1]
        area = flat[:, 0, 0] * flat[:, 1, 1] - flat[:, 0, 1] * flat[:, 1, 0]
        safe = np.where(np.abs(area) < 1e-14, 1e-14, area)[:, None]
        along_u = (edges[:, 0] * flat[:, 1, 1:] - edges[:, 1] * flat[:, 0, 1:]) / safe
        along_v = (edges[:, 1] * flat[:, 0, :1] - edges[:, 0] * flat[:, 1, :1]) / safe
        weight = np.abs(area)
        du, dv = (_gathered(values * weight[:, None], coordinates, len(vertices)) for values in (along_u, along_v))
        total = np.maximum(_gathered(weight[:, None], coordinates, len(vertices)), 1e-20)
        du, dv = du / total, dv / total
        flat_u = du - (du * normals).sum(axis=1, keepdims=True) * normals
        length = np.linalg.norm(flat_u, axis=1, keepdims=True)
        lost = length[:, 0] < 1e-9
        tangent = np.where(lost[:, None], _any_tangent(normals), flat_u / np.where(lost[:, None], 1, length))
        bitangent = np.cross(normals, tangent)
        sign = np.where((bitangent * dv).sum(axis=1) < 0, -1.0, 1.0)
        bitangent *= sign[:, None]
        a = np.maximum((du * tangent).sum(axis=1), 1e-3)
        c, d = (dv * tangent).sum(axis=1), np.maximum((dv * bitangent).sum(axis=1), 1e-3)
        return cls(
            vertices, coordinates, np.column_stack([tangent, sign]).astype(np.float32), np.stack([a, c, d], axis=1)
        )


_CHARTS: WeakKeyDictionary[ModelAsset, Chart] = WeakKeyDictionary()


def chart_of(asset: ModelAsset) -> Chart:
    """The asset's chart, made once."""
    if asset not in _CHARTS:
        _CHARTS[asset] = Chart.of(asset)
    return _CHARTS[asset]


def texels_of(asset: ModelAsset, size: int) -> Texels:
    """The asset's texels on a map of ``size`` pixels a side."""
    return _rasterized(chart_of(asset), asset.uv, size)


def _rasterized(chart: Chart, uv: Float[Array, "T 2"], size: int) -> Texels:
    """Scan conversion of all triangles at once: their rows, then each row's pixels between its two edges."""
    points = (uv.astype(np.float64) * [size, -size] + [0, size])[chart.triangles]
    low, rows = _covered(points[..., 1].min(axis=1), points[..., 1].max(axis=1), size)
    triangle, step = _runs(rows)
    row = low[triangle] + step
    left, right = _crossings(points, triangle, row + 0.5)
    first, columns = _covered(left - 1e-7, right + 1e-7, size)
    span, step = _runs(columns)
    triangle, row, column = triangle[span], row[span], first[span] + step
    owner = np.full(size * size, -1, np.int64)
    owner[row * size + column] = triangle
    index = np.flatnonzero(owner >= 0)
    triangle = owner[index]
    row, column = np.divmod(index, size)
    weights = _barycentric(points[triangle], np.stack([column + 0.5, row + 0.5], axis=1))
    return Texels(size, index, chart.triangles[triangle].astype(np.int32), weights.astype(np.float32), chart)


def _covered(low: Float[Array, " n"], high: Float[Array, " n"], size: int) -> tuple[Int[Array, " n"], Int[Array, " n"]]:
    """The first pixel of the map whose middle lies between two places, and how many do."""
    first = np.clip(np.ceil(low - 0.5), 0, size).astype(np.int64)
    last = np.clip(np.floor(high - 0.5), -1, size - 1).astype(np.int64)
    return first, np.maximum(last - first + 1, 0)


def _runs(lengths: Int[Array, " n"]) -> tuple[Int[Array, " m"], Int[Array, " m"]]:
    """Each number repeated as often as it says: which one, and the place in its run."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    starts = np.cumsum(lengths) - lengths
    return owner, np.arange(len(owner)) - starts[owner]


def _crossings(
    points: Float[Array, "N 3 2"], triangle: Int[Array, " m"], height: Float[Array, " m"]
) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
    """Where the horizontal lines at ``height`` enter and leave triangles."""
    left, right = np.full(len(height), np.inf), np.full(len(height), -np.inf)
    for corner in range(3):
        start, end = points[triangle, corner], points[triangle, (corner + 1) % 3]
        rise = end[:, 1] - start[:, 1]
        crosses = (np.minimum(start[:, 1], end[:, 1]) <= height) & (np.maximum(start[:, 1], end[:, 1]) >= height)
        crosses &= rise != 0
        share = (height - start[:, 1]) / np.where(rise == 0, 1, rise)
        x = start[:, 0] + share * (end[:, 0] - start[:, 0])
        left = np.where(crosses, np.minimum(left, x), left)
        right = np.where(crosses, np.maximum(right, x), right)
    none = right < left
    return np.where(none, 0, left), np.where(none, -2, right)


def _barycentric(corners: Float[Array, "n 3 2"], place: Float[Array, "n 2"]) -> Float[Array, "n 3"]:
    edges, offset = corners[:, 1:] - corners[:, :1], place - corners[:, 0]
    area = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    area = np.where(np.abs(area) < 1e-12, 1e-12, area)
    second = (offset[:, 0] * edges[:, 1, 1] - offset[:, 1] * edges[:, 1, 0]) / area
    third = (edges[:, 0, 0] * offset[:, 1] - edges[:, 0, 1] * offset[:, 0]) / area
    weights = np.clip(np.stack([1 - second - third, second, third], axis=1), 0, 1)
    return weights / weights.sum(axis=1, keepdims=True)


def _gathered(values: Float[Array, "N c"], corners: Int[Array, "N 3"], count: int) -> Float[Array, "count c"]:
    """Sums of the triangles' values at their corners."""
    flat = corners.ravel()
    columns = [np.bincount(flat, np.repeat(column, 3), minlength=count) for column in values.T]
    return np.stack(columns, axis=1)


def _any_tangent(normals: Float[Array, "T 3"]) -> Float[Array, "T 3"]:
    """Unit vectors at right angles to normals, for corners of triangles without extent in the layout."""
    axis = np.where(np.abs(normals[:, :1]) < 0.9, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    crossed = np.cross(normals, axis)
    return crossed / np.maximum(np.linalg.norm(crossed, axis=1, keepdims=True), 1e-12)


def _pull_push(picture: Float[Array, "n n c"], weight: Float[Array, "n n"]) -> Float[Array, "n n c"]:
    """The picture with its empty pixels filled from coarser and coarser means (S. J. Gortler et al., "The Lumigraph",
    SIGGRAPH 1996, section 3.4)."""
    size = len(picture)
    if size == 1 or weight.min() > 0:
        return picture
    if size % 2:
        picture, weight = np.pad(picture, ((0, 1), (0, 1), (0, 0))), np.pad(weight, ((0, 1), (0, 1)))
    half = len(picture) // 2
    blocks = weight.reshape(half, 2, half, 2)
    total = blocks.sum(axis=(1, 3))
    sums = (picture * weight[..., None]).reshape(half, 2, half, 2, -1).sum(axis=(1, 3))
    coarse = _pull_push(sums / np.maximum(total, 1e-9)[..., None], (total > 0).astype(np.float32))
    grown = coarse.repeat(2, axis=0).repeat(2, axis=1)
    return np.where(weight[..., None] > 0, picture, grown)[:size, :size]
