"""One photo becomes a clip of one frame, a report and a textured, rigged head: the parts of the fit put together."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from fitting.camera import Camera, camera_of
from fitting.detector import Face, FaceDetector, choose_face
from fitting.expectation import expected_expression
from fitting.images import Photo, load_photo
from fitting.landmark_fit import FitSettings, LandmarkFit, Observation, fit_landmarks
from fitting.landmark_model import LandmarkModel
from fitting.points import IRIS_LEFT, IRIS_RIGHT
from fitting.report import fit_report
from hack_model.arrayfile import atomic_file
from hack_model.asset import ModelAsset
from hack_model.clip import Clip
from hack_model.errors import ParameterError
from hack_model.model import HACK

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from hack_model.rig import Rig

    Array = np.ndarray

Preset = Literal["fast", "quality"]

FILES = ("clip.npz", "report.json", "head.glb", "texture.png", "overlay.png", "views.png")
"""What :func:`write_fit` writes into its folder."""

_SETTINGS = {"fast": FitSettings(), "quality": FitSettings(iterations=50, tolerance=1e-5)}
_VIEW_SIDE = 360
_CLOSED_EYE = (0.45, 0.75)  # eyeBlink scores between which the irises lose all their weight


@dataclass(frozen=True)
class PhotoFit:
    """The fit of one face.

    ``vertices`` (V, 3) lie before the camera, metres; ``landmarks`` (478, 2) were detected, ``model_landmarks`` are the
    model's, pixels of ``photo``.
    """

    photo: Photo
    face: Face
    camera: Camera
    clip: Clip
    vertices: Float[Array, "V 3"]
    model_landmarks: Float[Array, "478 2"]
    report: dict[str, Any]

    @property
    def landmarks(self) -> Float[Array, "478 2"]:
        """The detected points in pixels."""
        return self.face.points


class PhotoFitter:
    """Fits one model to photos; prepares the model and the detector once."""

    def __init__(
        self, model: HACK | ModelAsset, detector: FaceDetector | None = None, *, preset: Preset = "fast"
    ) -> None:
        if preset not in get_args(Preset):
            raise ParameterError(f"preset {preset!r} is none of {', '.join(get_args(Preset))}")
        self.model = HACK.from_asset(model) if isinstance(model, ModelAsset) else model
        self.asset = self.model.asset
        self.landmark_model = LandmarkModel.of(self.model)
        self.detector = detector or FaceDetector()
        self.settings = _SETTINGS[preset]

    def fit(self, photo: Photo, face: int | None = None, *, focal: float | None = None) -> PhotoFit:
        """Fits the largest face, or face number ``face`` counted from the picture's left, starting at 1.

        ``focal`` in pixels goes before what the file says. Raises :class:`fitting.detector.DetectionError` when there
        is no such face.
        """
        seconds: dict[str, float] = {}
        with _timed(seconds, "detect"):
            chosen = choose_face(self.detector.detect(photo.pixels), face, name=photo.name)
        with _timed(seconds, "solve"):
            camera, focal_known = camera_of(photo, chosen.outer_eye_pixels, focal)
            solution = fit_landmarks(self.landmark_model, self.observation(chosen, camera), self.settings)
        with _timed(seconds, "mesh"):
            clip = self.clip(solution, camera)
            vertices = np.asarray(self.model(**clip.parameters(0)).vertices)
        report = fit_report(
            self.asset, self.landmark_model, solution, clip, chosen, camera,
            focal_known=focal_known, eyes_seen=max(_closed(chosen)) < 1,
        )  # fmt: skip
        report = {"photo": {"name": photo.name, "notes": list(photo.notes)}, **report, "seconds": seconds}
        return PhotoFit(photo, chosen, camera, clip, vertices, solution.projected, report)

    def observation(self, face: Face, camera: Camera) -> Observation:
        """What the solver is told of a face."""
        expected, spread = expected_expression(face.scores, self.asset.expression_names)
        confidence = np.ones(len(face.points))
        left, right = _closed(face)
        confidence[IRIS_LEFT], confidence[IRIS_RIGHT] = 1 - left, 1 - right
        return Observation(face.points, face.relief, expected, spread, camera, confidence)

    def clip(self, fit: LandmarkFit, camera: Camera) -> Clip:
        """The solver's vector as a clip of one frame."""
        x, layout = fit.vector, self.landmark_model.layout
        return replace(
            Clip.neutral(self.asset),
            shape=x[layout.shape],
            expression=x[None, layout.expression],
            pose=self.landmark_model.pose(x[layout.neck])[None],
            eye_pose=self.landmark_model.eye_pose(x[layout.gaze])[None],
            global_rotation=x[None, layout.rotation],
            translation=x[None, layout.translation],
            camera={
                "focal": camera.focal, "centre": list(camera.centre), "width": camera.width, "height": camera.height,
            },
        )  # fmt: skip


def fit_photo(
    model: HACK | ModelAsset,
    photo: Photo | str | Path,
    *,
    face: int | None = None,
    focal: float | None = None,
    preset: Preset = "fast",
    detector: FaceDetector | None = None,
) -> PhotoFit:
    """Fits a model to one photo; see :class:`PhotoFitter` for many."""
    loaded = photo if isinstance(photo, Photo) else load_photo(photo)
    return PhotoFitter(model, detector, preset=preset).fit(loaded, face, focal=focal)


def fit_to_folder(
    photo: str | Path,
    folder: str | Path,
    model: HACK | ModelAsset,
    *,
    face: int | None = None,
    focal: float | None = None,
    preset: Preset = "fast",
    detector: FaceDetector | None = None,
) -> dict[str, Any]:
    """Fits a photo and writes :data:`FILES`; returns the report.

    Raises :class:`hack_model.HackError` for what is no photo or shows no such face; nothing is written then.
    """
    if Path(folder).exists() and not Path(folder).is_dir():
        raise ParameterError(f"{folder}: is a file, wanted a folder for the results")
    seconds: dict[str, float] = {}
    with _timed(seconds, "read"):
        loaded = load_photo(photo)
    with _timed(seconds, "prepare"):
        fitter = PhotoFitter(model, detector, preset=preset)
        fitter.detector.load()
    return write_fit(fitter, fitter.fit(loaded, face, focal=focal), folder, seconds)


def write_fit(
    fitter: PhotoFitter, fit: PhotoFit, folder: str | Path, seconds: dict[str, float] | None = None
) -> dict[str, Any]:
    """Writes :data:`FILES` of a fit into a folder; returns the report with the time of every stage."""
    from fitting.overlay import draw_overlay, draw_strip
    from fitting.texture import project_texture

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    seconds = {**(seconds or {}), **fit.report["seconds"]}
    asset, camera, clip, pixels = fitter.asset, fit.camera, fit.clip, fit.photo.pixels
    with ThreadPoolExecutor(max_workers=2) as pool:  # packing files leaves a core free to draw the next picture
        with _timed(seconds, "texture"):
            texture = project_texture(asset, fit.vertices, camera, pixels)
        rig = fitter.model.rig(clip.shape, clip.scale)
        jobs = [
            pool.submit(_write_head, folder / "head.glb", rig, clip, texture),
            pool.submit(_write_picture, folder / "texture.png", texture),
            pool.submit(clip.save, folder / "clip.npz"),
        ]
        with _timed(seconds, "overlay"):
            overlay = draw_overlay(asset, fit.vertices, camera, pixels, fit.landmarks, fit.model_landmarks)
            jobs.append(pool.submit(_write_picture, folder / "overlay.png", overlay))
        with _timed(seconds, "views"):
            head = np.asarray(
                rig(**{**clip.motion(0), "global_rotation": np.zeros(3), "translation": np.zeros(3)}).vertices
            )
            views = draw_strip(asset, pixels, overlay, camera, fit.vertices, head, texture, size=_VIEW_SIDE)
            jobs.append(pool.submit(_write_picture, folder / "views.png", views))
        with _timed(seconds, "write"):
            for job in jobs:
                job.result()
    report = {**fit.report, "seconds": {stage: round(value, 4) for stage, value in seconds.items()}}
    with atomic_file(folder / "report.json") as stream:
        stream.write((json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode())
    return report


def _write_head(path: Path, rig: Rig, clip: Clip, texture: UInt8[Array, "H W 3"]) -> None:
    """The head as the photo shows it; an export of the clip is complete, with correctives for every other pose."""
    from hack_model.formats.glb import write_glb

    write_glb(path, rig, clip, texture=texture, placement=False, idle_correctives=False)


def _closed(face: Face) -> tuple[float, float]:
    """How surely the left and the right eye hide their iris, in [0, 1]."""
    low, high = _CLOSED_EYE
    left, right = (
        float(np.clip((face.scores.get(name, 0.0) - low) / (high - low), 0, 1))
        for name in ("eyeBlinkLeft", "eyeBlinkRight")
    )
    return left, right


def _write_picture(path: Path, pixels: np.ndarray) -> None:
    from PIL import Image

    with atomic_file(path) as stream:
        Image.fromarray(pixels).save(stream, format="PNG", compress_level=1)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Generator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - start
