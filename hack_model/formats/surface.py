"""The mesh as exchange formats want it: one texture coordinate per vertex, one vertex list per material, normals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hack_model.asset import split_quads
from hack_model.errors import FormatError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    from hack_model.asset import ModelAsset

    Array = np.ndarray


@dataclass(frozen=True)
class MaterialMesh:
    """The triangles of one material over vertices of their own.

    ``vertices`` names the model vertex each one stands for: a model vertex appears once per texture coordinate it has
    within the material. ``triangles`` indexes ``vertices``; ``uv`` has v up, as the asset, whose texture coordinates
    ``coordinates`` numbers.
    """

    material: int
    vertices: Int[Array, " n"]
    coordinates: Int[Array, " n"]
    uv: Float[Array, "n 2"]
    triangles: Int[Array, "t 3"]


def material_meshes(asset: ModelAsset) -> list[MaterialMesh]:
    """The asset's faces as one triangle mesh per material that has faces, split along the seams of the uv layout."""
    triangles, corners = split_quads(asset.faces), split_quads(asset.face_uv)
    material = np.repeat(asset.face_material, np.where(asset.faces[:, 3] >= 0, 2, 1))
    meshes: list[MaterialMesh] = []
    for index in np.unique(material):
        chosen = material == index
        pairs = np.stack([triangles[chosen].ravel(), corners[chosen].ravel()], axis=1)
        unique, place = np.unique(pairs, axis=0, return_inverse=True)
        vertices, coordinates = unique.T
        meshes.append(MaterialMesh(int(index), vertices, coordinates, asset.uv[coordinates], place.reshape(-1, 3)))
    return meshes


def vertex_normals(vertices: Float[Array, "V 3"], faces: Int[Array, "F n"]) -> Float[Array, "V 3"]:
    """Unit normals in the vertices' type, each the sum of its faces' by area; +Y where a vertex has no face.

    ``faces`` are triangles (F, 3), or quads (F, 4) whose fourth corner is -1 in a triangle. A quad counts as a whole at
    all its corners, so that a mesh and its mirror image have mirrored normals.
    """
    points = np.asarray(vertices, np.float64)
    quad = faces[:, 3] >= 0 if faces.shape[1] == 4 else np.zeros(len(faces), bool)
    last = np.where(quad, faces[:, -1], faces[:, 2])
    areas = np.cross(points[faces[:, 2]] - points[faces[:, 0]], points[last] - points[faces[:, 1]])
    corners = np.concatenate([faces[:, :3].ravel(), last[quad]])
    counted = np.concatenate([np.repeat(areas, 3, axis=0), areas[quad]])
    normals = np.stack([np.bincount(corners, counted[:, axis], minlength=len(points)) for axis in range(3)], axis=1)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    lost = length[:, 0] < 1e-20
    normals = np.where(lost[:, None], (0.0, 1.0, 0.0), normals / np.where(lost[:, None], 1, length))
    return normals.astype(np.result_type(vertices, np.float32))


def turned_normals(
    rest: Float[Array, "V 3"], normals: Float[Array, "V 3"], offsets: Float[Array, "V 3"], triangles: Int[Array, "N 3"]
) -> Float[Array, "V 3"]:
    """Change of the unit normals of ``rest`` when ``offsets`` are added; only where a triangle changes."""
    changed, used = np.zeros((2, len(rest)), bool)
    changed[triangles[_touching(triangles, np.einsum("vc,vc->v", offsets, offsets) > 0)]] = True
    around = triangles[_touching(triangles, changed)]
    used[around] = True
    place = np.cumsum(used) - 1
    turned = np.zeros_like(normals)
    turned[changed] = vertex_normals(rest[used] + offsets[used], place[around])[place[changed]] - normals[changed]
    return turned


def without_noise(values: Float[Array, "V 3"], smallest: float) -> Float[Array, "V 3"]:
    """The vectors in float32, those shorter than ``smallest`` as zeros."""
    squared = np.einsum("vc,vc->v", values, values)
    return np.where(squared[:, None] < smallest**2, 0, values).astype(np.float32)


def _touching(triangles: Int[Array, "N 3"], chosen: Bool[Array, " V"]) -> Bool[Array, " N"]:
    """Which triangles have a chosen corner. (Three columns are quicker than a reduction along rows of three.)"""
    return chosen[triangles[:, 0]] | chosen[triangles[:, 1]] | chosen[triangles[:, 2]]


def checked_vertices(asset: ModelAsset, vertices: Float[Array, "V 3"]) -> Float[Array, "V 3"]:
    """The vertices as an array; raises :class:`FormatError` when they are not as many as the asset's, or not finite."""
    array = np.asarray(vertices)
    if array.shape != asset.template.shape:
        raise FormatError(f"got vertices of shape {array.shape}; model {asset.name} has {asset.template.shape}")
    if not np.isfinite(array).all():
        raise FormatError("got vertices that are not finite; check the parameters they were computed from")
    return array
