"""Photographs for the embedding: renders alone miss what skin, brows and contours do to the detector on real faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fitting.embedding import Embedding, Sighting, locate, sighting, visible_vertices, with_embedding
from fitting.images import Photo, load_photo
from fitting.photo import PhotoFitter

if TYPE_CHECKING:
    from fitting.detector import FaceDetector
    from hack_model.asset import ModelAsset

_ROUNDS = 3
_SHARE = 2.0  # weight of all photographs together over that of all renders


def refined(
    asset: ModelAsset,
    embedding: Embedding,
    renders: Sequence[Sighting],
    paths: Sequence[Path],
    detector: FaceDetector,
) -> Embedding:
    """The embedding after fits to photographs, each and its mirror image, have joined the rendered heads."""
    photos = [load_photo(path) for path in paths]
    photos += [replace(photo, pixels=np.ascontiguousarray(photo.pixels[:, ::-1])) for photo in photos]
    weight = _SHARE * len(renders) / len(photos)
    for _ in range(_ROUNDS):
        fitter = PhotoFitter(with_embedding(asset, embedding), detector)
        fitted = [_fitted(fitter, photo, weight) for photo in photos]
        embedding = locate(asset, [*renders, *fitted], around=embedding)
    return embedding


def _fitted(fitter: PhotoFitter, photo: Photo, weight: float) -> Sighting:
    fit = fitter.fit(photo)
    visible = visible_vertices(fitter.asset, fit.camera, fit.vertices)
    return sighting(fit.camera, fit.vertices, fit.face.points, visible, weight)
