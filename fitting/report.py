"""``report.json`` of a fit: what was found in a photo, in units a person reads, and what the photo could not tell."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from fitting.points import GROUPS, OUTER_EYE_CORNERS, points
from hack_model.facs.catalogue import action_units
from hack_model.names import CERVICAL_JOINTS
from hack_model.posing import to_anatomical

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float

    from fitting.camera import Camera
    from fitting.detector import Face
    from fitting.landmark_fit import LandmarkFit
    from fitting.landmark_model import LandmarkModel
    from hack_model.asset import ModelAsset
    from hack_model.clip import Clip

    Array = np.ndarray

REPORT_VERSION = 1

UNSEEN = {
    "larynx_size": "no landmark lies on the throat; left at none",
    "larynx_shift": "no landmark lies on the throat; left at rest",
    "larynx_forward": "no landmark lies on the throat; left at rest",
    "pose per joint": "a face shows the head's rotation only; it is shared over the eight joints as real spines do",
    "torso rotation": "no landmark lies on the torso; it is taken to face the camera, upright, as far as the neck's "
    "limits allow",
    "scale": "size and distance look alike in one photo; the head has the model's own size",
    "back of the head": "not in the picture; what the model expects of such a face",
    "ears": "the detector has no points on them; what the model expects of such a face",
    "neck shape": "the detector has no points on it; what the model expects of such a face",
}
"""What landmarks of one photo can never tell, and what was assumed instead."""

_CONVENTIONS = (
    "yaw: + turns to the subject's left; pitch and flexion: + lowers the chin or the gaze; roll and lateral: + leans "
    "to the subject's right; axial: + turns to the subject's left; camera looks along -Z, +Y up, metres"
)


def landmark_error(found: Float[Array, "478 2"], fitted: Float[Array, "478 2"]) -> dict[str, Any]:
    """Mean distance of fitted from found points: pixels, percent of the outer eye corners' distance, and by group."""
    distance = np.linalg.norm(found - fitted, axis=1)
    unit = float(np.linalg.norm(found[OUTER_EYE_CORNERS[0]] - found[OUTER_EYE_CORNERS[1]]))
    by_group = {name: _rounded(100 * distance[points().of_group(name)].mean() / unit, 3) for name in GROUPS}
    return {
        "px": _rounded(distance.mean(), 3),
        "percent": _rounded(100 * distance.mean() / unit, 3),
        "percent_by_group": by_group,
    }


def fit_report(
    asset: ModelAsset,
    model: LandmarkModel,
    fit: LandmarkFit,
    clip: Clip,
    face: Face,
    camera: Camera,
    *,
    focal_known: str,
    eyes_seen: bool,
) -> dict[str, Any]:
    """The report without times and file names, as plain numbers, texts, lists and dictionaries."""
    expression = dict(zip(clip.expression_names, map(float, clip.expression[0]), strict=True))
    unseen = dict(UNSEEN)
    if focal_known not in ("exif", "given"):
        unseen["focal length"] = focal_known
    if not eyes_seen:
        unseen["gaze"] = "the eyes are closed; straight ahead"
    return {
        "report_version": REPORT_VERSION,
        "action_units": {
            code: {side: _rounded(value, 3) for side, value in sides.items()}
            for code, sides in action_units(expression).items()
        },
        "expression": {name: _rounded(value, 4) for name, value in expression.items()},
        "head_pose_deg": _head_pose(model, fit),
        "neck_deg": _neck(asset, clip),
        "gaze_deg": _gaze(model, fit),
        "larynx": {
            "size": float(clip.larynx_size[0]),
            "shift_mm": 1000 * float(clip.larynx_shift[0]),
            "forward_mm": 1000 * float(clip.larynx_forward[0]),
        },
        "camera": {
            "focal_px": _rounded(camera.focal, 2),
            "centre_px": [_rounded(value, 2) for value in camera.centre],
            "width": camera.width,
            "height": camera.height,
            "focal_known": focal_known,
            "distance_m": _rounded(-float(clip.translation[0, 2]), 3),
        },
        "landmark_error": landmark_error(face.points, fit.projected),
        "solver": {"iterations": fit.iterations, "converged": fit.converged, "cost": _rounded(fit.cost, 4)},
        "unconstrained": list(unseen),
        "assumptions": unseen,
        "conventions": _CONVENTIONS,
        "versions": versions(asset),
    }


def versions(asset: ModelAsset) -> Mapping[str, str]:
    """Of the model and of the packages that decide the result."""
    result = {"model": f"{asset.name} {asset.version}"}
    for package in ("hack-model", "mediapipe", "numpy"):
        try:
            result[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            result[package] = "not installed as a package"
    return result


def _head_pose(model: LandmarkModel, fit: LandmarkFit) -> dict[str, float]:
    from scipy.spatial.transform import Rotation

    layout = model.layout
    torso = Rotation.from_rotvec(fit.vector[layout.rotation])
    head = torso * Rotation.from_matrix(model.head_rotation(fit.vector[layout.neck]))
    yaw, pitch, roll = head.as_euler("YXZ", degrees=True)
    return {"yaw": _rounded(yaw, 2), "pitch": _rounded(pitch, 2), "roll": _rounded(roll, 2)}


def _neck(asset: ModelAsset, clip: Clip) -> dict[str, dict[str, float]]:
    angles = np.degrees(to_anatomical(asset, clip.pose[0]))
    return {
        joint: {name: _rounded(value, 2) for name, value in zip(("flexion", "axial", "lateral"), row, strict=True)}
        for joint, row in zip(CERVICAL_JOINTS, angles, strict=True)
    }


def _gaze(model: LandmarkModel, fit: LandmarkFit) -> dict[str, dict[str, float]]:
    angles = np.degrees(fit.vector[model.layout.gaze]).reshape(2, 2)
    return {
        side: {"pitch": _rounded(pitch, 2), "yaw": _rounded(yaw, 2)}
        for side, (pitch, yaw) in zip(("left", "right"), angles, strict=True)
    }


def _rounded(value: float, digits: int) -> float:
    return round(float(value), digits)
