"""Wavefront OBJ: quads, texture coordinates, one group of faces per part and material, and the material file beside it.

The format: http://www.paulbourke.net/dataformats/obj/ and http://www.paulbourke.net/dataformats/mtl/
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hack_model.arrayfile import atomic_file
from hack_model.formats.surface import checked_vertices
from hack_model.formats.texture import EncodedImage, encoded_image

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from hack_model.asset import ModelAsset

    Array = np.ndarray


def write_obj(
    path: str | Path,
    asset: ModelAsset,
    vertices: Float[Array, "V 3"],
    *,
    texture: str | Path | UInt8[Array, "H W 3"] | None = None,
) -> list[Path]:
    """Writes vertices (metres, Y up) with the asset's faces; vertex i of the file is vertex i of the model.

    Beside ``head.obj`` come ``head.mtl`` and, where there is a texture or the asset has an albedo, ``head.png`` (or
    ``.jpg``, when a JPEG file is given). Returns the files written.
    """
    path = Path(path)
    vertices = checked_vertices(asset, vertices)
    skin_map = texture if texture is not None else asset.albedo if asset.albedo.size else None
    image = None if skin_map is None else encoded_image(skin_map)
    files = {path.with_suffix(".mtl"): _materials(asset, image, path.stem).encode()}
    if image is not None:
        files = {path.with_suffix(image.suffix): image.data, **files}
    files[path] = _geometry(asset, vertices, path).encode()
    for file, data in files.items():
        with atomic_file(file) as stream:
            stream.write(data)
    return list(reversed(files))


def _geometry(asset: ModelAsset, vertices: Float[Array, "V 3"], path: Path) -> str:
    lines = [f"# {asset.name} {asset.version}, metres, Y up", f"mtllib {path.with_suffix('.mtl').name}"]
    lines += [f"v {x:.7f} {y:.7f} {z:.7f}" for x, y, z in vertices.tolist()]
    lines += [f"vt {u:.7f} {v:.7f}" for u, v in asset.uv.tolist()]
    part = np.searchsorted(asset.part_vertices[:, 1], asset.faces[:, 0], side="right")
    for index, name in enumerate(asset.part_names):
        lines.append(f"o {name}")
        for material in np.unique(asset.face_material[part == index]):
            lines.append(f"usemtl {asset.material_names[material]}")
            chosen = (part == index) & (asset.face_material == material)
            corners = np.stack([asset.faces[chosen], asset.face_uv[chosen]], axis=-1) + 1
            lines += ["f " + " ".join(f"{v}/{t}" for v, t in face if v) for face in corners.tolist()]
    return "\n".join(lines) + "\n"


def _materials(asset: ModelAsset, image: EncodedImage | None, stem: str) -> str:
    blocks: list[str] = []
    for name, color, roughness in zip(
        asset.material_names, asset.material_color.tolist(), asset.material_roughness.tolist(), strict=True
    ):
        textured = name == "skin" and image is not None
        red, green, blue, alpha = (1.0, 1.0, 1.0, color[3]) if textured else color
        lines = [f"newmtl {name}", f"Kd {red:.4f} {green:.4f} {blue:.4f}", f"d {alpha:.4f}", f"Pr {roughness:.4f}"]
        # Phong's exponent for readers that do not know Pr, by the usual equivalence 2/r^4 - 2 (Walter et al. 2007).
        lines += ["Ks 0.0400 0.0400 0.0400", f"Ns {min(1000.0, max(1.0, 2 / max(roughness, 0.05) ** 4 - 2)):.1f}"]
        if textured and image is not None:
            lines.append(f"map_Kd {stem}{image.suffix}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"
