"""How well the fit does on a folder of photos: ``python -m fitting.evaluate FOLDER [--strips DIR]``.

Prints each photo's landmark error and the medians, and where the folder holds the same people neutral and smiling
(``*_neutral/ID_*.jpg`` and ``*_smiling/ID_*.jpg``) how far the fit tells identity from expression.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fitting.detector import FaceDetector
from fitting.images import load_photo
from fitting.photo import PhotoFit, PhotoFitter, write_fit
from fitting.points import GROUPS
from hack_model.arrayfile import atomic_file
from hack_model.asset import ModelAsset
from hack_model.errors import HackError
from hack_model.resources import default_model_path

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"}
_SMILE = ("mouthSmile_L", "mouthSmile_R")


@dataclass(frozen=True)
class Result:
    """One photo's fit, and the seconds its whole work took."""

    path: Path
    fit: PhotoFit
    seconds: float

    @property
    def percent(self) -> float:
        """Mean landmark error in percent of the outer-eye-corner distance."""
        return float(self.fit.report["landmark_error"]["percent"])


def photos_below(folder: Path) -> list[Path]:
    """Pictures of a folder and its folders, in order; the file itself when it is one.

    Raises :class:`HackError` where there is none.
    """
    if folder.is_file():
        return [folder]
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not found:
        raise HackError(f"{folder}: no pictures here; wanted files that end in {', '.join(sorted(_SUFFIXES))}")
    return found


def evaluate(fitter: PhotoFitter, paths: Sequence[Path], strips: Path | None = None) -> list[Result]:
    """Fits every photo; with ``strips`` writes each fit's files into a folder of its own there."""
    results: list[Result] = []
    for path in paths:
        start = time.perf_counter()
        photo = load_photo(path)
        fit = fitter.fit(photo)
        if strips:
            write_fit(fitter, fit, strips / f"{path.parent.name}-{path.stem}")
        results.append(Result(path, fit, time.perf_counter() - start))
    return results


def summary(results: Sequence[Result]) -> dict[str, Any]:
    """Median and worst error, by group of points too, times, and identity against expression where people repeat."""
    percent = np.array([result.percent for result in results])
    groups = [result.fit.report["landmark_error"]["percent_by_group"] for result in results]
    solve = [result.fit.report["seconds"]["solve"] for result in results]
    return {
        "photos": len(results),
        "percent_median": round(float(np.median(percent)), 3),
        "percent_worst": round(float(percent.max()), 3),
        "percent_by_group_median": {
            name: round(float(np.median([group[name] for group in groups])), 3) for name in GROUPS
        },
        "iterations_median": float(np.median([result.fit.report["solver"]["iterations"] for result in results])),
        "seconds_median": {
            "solve": round(float(np.median(solve)), 4),
            "solve_worst": round(float(np.max(solve)), 4),
            "detect": round(float(np.median([result.fit.report["seconds"]["detect"] for result in results])), 4),
            "whole": round(float(np.median([result.seconds for result in results])), 3),
            "whole_worst": round(float(np.max([result.seconds for result in results])), 3),
        },
        "people": _people(results),
    }


def _people(results: Sequence[Result]) -> dict[str, Any]:
    """mouthSmile of each person neutral and smiling, and for how many the two shapes are each other's nearest."""
    by_kind: dict[str, dict[str, PhotoFit]] = {"neutral": {}, "smiling": {}}
    for result in results:
        kind = result.path.parent.name.rpartition("_")[2]
        if kind in by_kind:
            by_kind[kind][result.path.stem.partition("_")[0]] = result.fit
    people = sorted(set(by_kind["neutral"]) & set(by_kind["smiling"]))
    if not people:
        return {}
    neutral, smiling = ([by_kind[kind][person] for person in people] for kind in ("neutral", "smiling"))
    distance = _distances(neutral, smiling)
    return {
        "count": len(people),
        "mouth_smile": {
            person: {"neutral": _smile(before), "smiling": _smile(after)}
            for person, before, after in zip(people, neutral, smiling, strict=True)
        },
        "smiling_shape_nearest_to_own_neutral": int((distance.argmin(axis=0) == np.arange(len(people))).sum()),
        "neutral_shape_nearest_to_own_smiling": int((distance.argmin(axis=1) == np.arange(len(people))).sum()),
    }


def _distances(first: Sequence[PhotoFit], second: Sequence[PhotoFit]) -> Float[Array, "A B"]:
    a, b = (np.stack([fit.clip.shape for fit in fits]) for fits in (first, second))
    return ((a[:, None] - b[None]) ** 2).sum(axis=2)


def _smile(fit: PhotoFit) -> list[float]:
    expression: Mapping[str, float] = fit.report["expression"]
    return [round(expression[name], 3) for name in _SMILE]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m fitting.evaluate", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", help="photos, or folders of photos")
    parser.add_argument("-m", "--model", type=Path, help="model asset (.npz); the default model when left out")
    parser.add_argument("--preset", choices=("fast", "quality"), default="fast")
    parser.add_argument("--strips", type=Path, help="folder for every fit's files (clip, texture, overlay, views, GLB)")
    parser.add_argument("--json", type=Path, help="file for the summary")
    options = parser.parse_args(arguments)
    try:
        asset = ModelAsset.load(options.model or default_model_path())
        paths = [path for folder in options.folders for path in photos_below(folder)]
        with FaceDetector() as detector:
            results = evaluate(PhotoFitter(asset, detector, preset=options.preset), paths, options.strips)
    except HackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for result in results:
        print(f"{result.percent:6.2f} %  {result.path}")
    text = json.dumps(summary(results), indent=2)
    print(text)
    if options.json:
        with atomic_file(options.json) as stream:
            stream.write((text + "\n").encode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
