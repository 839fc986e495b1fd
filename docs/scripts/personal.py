"""Contact of lids, lips, teeth and eyeballs in random people, with everybody's and their own expressions; a picture.

python docs/scripts/personal.py                    # the tables of docs/model.md
python docs/scripts/personal.py --picture docs/pictures/personal.jpg
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from contact_measures import BLINK, EyeballInLids, Measure, TeethInLips, meeting_points
from PIL import Image

from fitting.camera import Camera
from fitting.preview import render_asset
from hack_model import HACK, ModelAsset
from hack_model.model import Rig
from hack_model.resources import default_model_path

CLOSED = {
    "rest": {},
    "jawOpen + mouthClose": {"jawOpen": 1.0, "mouthClose": 1.0},
    "jawOpen, mouthClose half": {"jawOpen": 0.5, "mouthClose": 0.5},
    "mouthPress": {"mouthPress_L": 1.0, "mouthPress_R": 1.0},
    "mouthRollLower": {"mouthRollLower": 1.0},
    "mouthRollUpper": {"mouthRollUpper": 1.0},
    "mouthRoll": {"mouthRollLower": 1.0, "mouthRollUpper": 1.0},
    "mouthPucker": {"mouthPucker": 1.0},
}
LIDS = {
    "eyeBlink": BLINK,
    "eyeSquint": {"eyeSquint_L": 1.0, "eyeSquint_R": 1.0},
    "eyeWide": {"eyeWide_L": 1.0, "eyeWide_R": 1.0},
    "eyeLookDown": {"eyeLookDown_L": 1.0, "eyeLookDown_R": 1.0},
}
MOUTH_EXPRESSIONS = ("jaw", "mouth", "cheekPuff", "noseSneer", "nostril", "neck")
CLIP = 2.5  # standard deviations
LARGE = 0.3 + 1e-6  # millimetres


def people(asset: ModelAsset, count: int, seed: int) -> Iterator[np.ndarray]:
    """Shape coefficients of random identities."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        yield np.clip(random.normal(size=len(asset.shape_basis)), -CLIP, CLIP)


def mouth_cases(asset: ModelAsset) -> dict[str, dict[str, float]]:
    """Every expression about the mouth, both sides at once; mouthClose on the opened jaw."""
    cases: dict[str, dict[str, float]] = {}
    for name in asset.expression_names:
        if name.startswith(MOUTH_EXPRESSIONS) and not name.endswith("Right"):
            stem = name.removesuffix("_L").removesuffix("_R")
            cases.setdefault(stem, {"jawOpen": 1.0} if name == "mouthClose" else {})[name] = 1.0
    return cases


def table(asset: ModelAsset, count: int, seed: int) -> None:
    """Prints the figures of ``count`` identities."""
    model, measure = HACK.from_asset(asset), Measure(asset)
    in_lips, in_lids, mouth = TeethInLips(asset), EyeballInLids(asset), mouth_cases(asset)
    upper, lower = meeting_points(model)
    mean = np.asarray(model(expression=BLINK).vertices, np.float64)
    apart = mean[upper] - mean[lower]
    found: dict[str, list[list[float]]] = {}
    for shape in people(asset, count, seed):
        figures: dict[str, list[float]] = {}
        for own in (False, True):
            rig = model.rig(shape, personalised=own)

            def posed(case: dict[str, float], rig: Rig = rig) -> np.ndarray:
                return np.asarray(rig(case or None).vertices, np.float64)

            def note(name: str, value: float, figures: dict[str, list[float]] = figures) -> None:
                figures.setdefault(name, []).append(value)

            rest, closed = posed({}), posed(BLINK)
            note("lid gap", measure.lid_gap(closed))
            parted = np.linalg.norm(closed[upper] - closed[lower] - apart, axis=1).max()
            note("lids, lash roots that meet", 1000 * parted)
            for name, case in CLOSED.items():
                note(f"lips, {name}", measure.lip_gap(posed(case)))
            for name, case in LIDS.items():
                note(f"eyeball in lids, {name}", in_lids(posed(case), rest))
            depth = in_lips.depth(rest)
            for name, case in mouth.items():
                outer, inner = in_lips(posed(case), depth)
                note(f"teeth in outer skin, {name}", outer)
                note(f"teeth in inner lips, {name}", inner)
        for name, values in figures.items():
            found.setdefault(name, []).append(values)
    print(f"{count} identities, seed {seed}; millimetres; mean / worst / share above 0.3\n")
    print("| | generic | personalised |\n|---|---|---|")
    for name, values in found.items():
        cells = [
            f"{column.mean():.2f} / {column.max():.2f} / {100 * (column > LARGE).mean():.0f} %"
            for column in np.array(values).T
        ]
        print(f"| {name} | {' | '.join(cells)} |")


def five(asset: ModelAsset) -> list[np.ndarray]:
    """Shapes of five people as unlike as the model makes them."""
    wanted = (
        {"sex": -1.3, "asian": 1.0},
        {"sex": 1.3, "african": 1.0},
        {"age": 2.2, "caucasian": 1.0},
        {"weight": 2.0, "sex": 0.5},
        {"weight": -1.6, "sex": -1.0, "african": 0.6},
    )
    random = np.random.default_rng(5)
    return [
        sum((step * asset.directions[asset.direction_names.index(name)] for name, step in steps.items()), np.zeros(1))
        + 0.4 * random.normal(size=len(asset.shape_basis))
        for steps in wanted
    ]


def close_up(asset: ModelAsset, vertices: np.ndarray, centre: np.ndarray, degrees: float, height: float, size: int):
    """A picture of ``height`` metres around a point, from ``degrees`` to the subject's left."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    placed = (vertices - centre) @ turn.T - [0, 0, 1.0]
    return render_asset(asset, Camera.centred(size / height, size, size), placed)


def picture(asset: ModelAsset, path: Path, size: int) -> None:
    """Rows: five people; columns: closed lids, then rolled lips, each generic from the front and the side, then own."""
    model = HACK.from_asset(asset)
    rows = []
    for shape in five(asset):
        rest = np.asarray(model(shape=shape).vertices, np.float64)
        tiles = []
        for part, case, height, below in (
            ("eye_left", BLINK, 0.046, 0.0), ("teeth_upper", CLOSED["mouthRoll"], 0.065, 0.012)
        ):  # fmt: skip
            points = rest[asset.part(part)]
            centre = (points.min(axis=0) + points.max(axis=0)) / 2 - [0, below, 0]
            for own in (False, True):
                posed = np.asarray(model.rig(shape, personalised=own)(case).vertices, np.float64)
                tiles += [close_up(asset, posed, centre, degrees, height, size) for degrees in (0, 40)]
        rows.append(np.concatenate(tiles, axis=1))
    Image.fromarray(np.concatenate(rows)).save(path, quality=85)


def main() -> None:
    """Prints the table, or makes the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, default=default_model_path())
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--seed", type=int, default=4242, help="none of the people learned from has it")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--size", type=int, default=150)
    arguments = parser.parse_args()
    asset = ModelAsset.load(arguments.model)
    if arguments.picture is None:
        table(asset, arguments.people, arguments.seed)
    else:
        picture(asset, arguments.picture, arguments.size)


if __name__ == "__main__":
    main()
