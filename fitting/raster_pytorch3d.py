"""An alternative rasteriser for environments that have PyTorch3D anyway, as many CUDA set-ups do."""

from __future__ import annotations

from typing import Any

import numpy as np

from fitting.raster import NEAR, Raster, check_arguments
from hack_model.errors import MissingDependencyError

try:
    import torch
    from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes  # pyright: ignore[reportMissingImports]
    from pytorch3d.structures import Meshes  # pyright: ignore[reportMissingImports]
except ImportError as error:
    raise MissingDependencyError(
        f"the renderer 'pytorch3d' needs the package pytorch3d built for your torch ({error}); install it as "
        "https://github.com/facebookresearch/pytorch3d/blob/main/INSTALL.md says, or use the renderer 'warp'"
    ) from error


class PyTorch3DRenderer:
    """:class:`fitting.raster.Renderer` by ``pytorch3d.renderer.mesh.rasterize_meshes``, on the points' device.

    Differs from the default in two points: a pixel centre on an edge may belong to both of its triangles, and a
    triangle with a corner behind the camera is left out as a whole.
    """

    def rasterize(self, points: Any, triangles: Any, width: int, height: int) -> Raster:
        """See :meth:`fitting.raster.Renderer.rasterize`."""
        check_arguments(points, triangles, width, height)
        given = torch.as_tensor(points).detach().float()
        corners = torch.as_tensor(np.asarray(triangles) if isinstance(points, np.ndarray) else triangles)
        corners = corners.to(given.device).long()
        before = (given[corners, 2] >= NEAR).all(dim=1).nonzero()[:, 0]
        depth = given[:, 2].clamp(min=NEAR)
        # The package's own convention: the shorter side spans [-1, 1], +X to the left, +Y up.
        half = min(width, height) / 2
        ndc = torch.stack(
            [(width / 2 - given[:, 0] / depth) / half, (height / 2 - given[:, 1] / depth) / half, depth], 1
        )
        face, nearest, weights, _ = rasterize_meshes(
            Meshes([ndc], [corners[before]]), (height, width), blur_radius=0.0, perspective_correct=True
        )
        face, nearest, weights = face[0, ..., 0], nearest[0, ..., 0], weights[0, :, :, 0]
        empty = face < 0
        result = (
            torch.where(empty, -1, before[face.clamp(min=0)] if len(before) else face).int(),
            torch.where(empty[..., None], 0.0, weights),
            torch.where(empty, torch.inf, nearest),
        )
        return Raster(*(part.numpy() for part in result)) if isinstance(points, np.ndarray) else Raster(*result)
