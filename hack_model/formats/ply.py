"""Stanford PLY, binary: triangles, normals, and each vertex in the colour of its material."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hack_model.arrayfile import atomic_file
from hack_model.formats.surface import checked_vertices, vertex_normals

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from hack_model.asset import ModelAsset

    Array = np.ndarray


def write_ply(path: str | Path, asset: ModelAsset, vertices: Float[Array, "V 3"]) -> Path:
    """Writes vertices (metres, Y up) and the asset's triangles; vertex i of the file is vertex i of the model.

    Triangles and not quads, since many readers refuse a binary file that mixes both. Needs trimesh.
    """
    import trimesh
    from trimesh.exchange.ply import export_ply

    vertices = checked_vertices(asset, vertices)
    mesh = trimesh.Trimesh(
        vertices,
        asset.triangles,
        vertex_normals=vertex_normals(vertices, asset.triangles),
        vertex_colors=_vertex_colors(asset),
        process=False,
    )
    data = export_ply(mesh, vertex_normal=True)
    with atomic_file(Path(path)) as stream:
        stream.write(data)
    return Path(path)


def _vertex_colors(asset: ModelAsset) -> UInt8[Array, "V 4"]:
    """sRGB colour and alpha of the material of each vertex (the last one, where several faces disagree)."""
    from trimesh.visual.color import linear_to_srgb

    srgb = np.concatenate([linear_to_srgb(asset.material_color[:, :3]), asset.material_color[:, 3:]], axis=1)
    palette = np.rint(255 * srgb).astype(np.uint8)
    colors = np.zeros((asset.vertex_count, 4), np.uint8)
    for corner in range(4):
        present = asset.faces[:, corner] >= 0
        colors[asset.faces[present, corner]] = palette[asset.face_material[present]]
    return colors
