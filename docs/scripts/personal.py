"""Contact of lids and lips in random identities, with everybody's and with their own expressions; and a picture.

python docs/scripts/personal.py                    # the table of docs/model.md
python docs/scripts/personal.py --picture docs/pictures/personal.jpg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial import KDTree

from fitting.camera import Camera
from fitting.preview import render_asset
from fitting.raster import project, renderer
from hack_model import HACK, ModelAsset
from hack_model.resources import default_model_path

EYES = ("sclera", "limbus", "iris", "iris_inner", "pupil", "cornea")
MOUTH = ("teeth", "gums", "tongue")
BLINK = {"eyeBlink_L": 1.0, "eyeBlink_R": 1.0}
CLOSED = {
    "rest": {},
    "jawOpen + mouthClose": {"jawOpen": 1.0, "mouthClose": 1.0},
    "jawOpen, mouthClose half": {"jawOpen": 0.5, "mouthClose": 0.5},
    "mouthPress": {"mouthPress_L": 1.0, "mouthPress_R": 1.0},
    "mouthRoll": {"mouthRollLower": 1.0, "mouthRollUpper": 1.0},
    "mouthPucker": {"mouthPucker": 1.0},
}
CLIP = 2.5  # standard deviations
DISTANCE = 2.0
ROOT = 8  # vertices of one lash, the root first
MEETING = 0.0015


class Measure:
    """What a distant camera sees between lids and lips."""

    def __init__(self, asset: ModelAsset) -> None:
        self.asset = asset
        self.triangles = np.asarray(asset.triangles)
        material = np.repeat(asset.face_material, 1 + (asset.faces[:, 3] >= 0))
        regions = dict(zip(asset.region_names, asset.region_weights, strict=True))
        hidden = {name: (regions[name] > 0.5)[self.triangles].all(axis=1) for name in ("eye_sockets", "mouth_interior")}

        def made_of(names: tuple[str, ...]) -> np.ndarray:
            return np.isin(material, [asset.material_names.index(name) for name in names])

        self.eye = made_of(EYES) | hidden["eye_sockets"]
        self.mouth = made_of(MOUTH) | hidden["mouth_interior"]

    def gap(self, vertices: np.ndarray, centre: np.ndarray, within: np.ndarray, pixel: float, size: int) -> float:
        """Greatest height in millimetres, from the front, of what shows of some triangles."""
        camera = Camera.centred(DISTANCE / pixel, size, size)
        placed = vertices - [centre[0], centre[1], centre[2] + DISTANCE]
        face = np.asarray(
            renderer().rasterize(project(camera, placed).astype(np.float32), self.triangles, size, size).face
        )
        return float(((face >= 0) & within[np.maximum(face, 0)]).sum(axis=0).max()) * pixel * 1000

    def lid_gap(self, vertices: np.ndarray) -> float:
        """The larger of both eyes'."""
        balls = [vertices[self.asset.part(name)] for name in ("eye_left", "eye_right")]
        return max(self.gap(vertices, (ball.min(axis=0) + ball.max(axis=0)) / 2, self.eye, 1e-4, 360) for ball in balls)

    def lip_gap(self, vertices: np.ndarray) -> float:
        """Of the mouth."""
        corners, weights = (
            getattr(self.asset, f"landmarks68_{name}")[[48, 54]] for name in ("vertices", "weights")
        )  # fmt: skip
        middle = np.einsum("nk,nkc->nc", weights, vertices[corners]).mean(axis=0)
        return self.gap(vertices, middle, self.mouth, 1e-4, 640)


def meeting_points(model: HACK) -> tuple[np.ndarray, np.ndarray]:
    """Roots of upper and lower lashes, which grow on the margins of the lids, that are together in a blink."""
    closed = np.asarray(model(expression=BLINK).vertices, np.float64)
    found = []
    for name in ("lashes_left", "lashes_right"):
        part = model.asset.part(name)
        hairs = np.arange(part.start, part.stop, ROOT)
        rest = np.asarray(model.template)[hairs + ROOT - 1, 1] - np.asarray(model.template)[hairs, 1]
        upper, lower = hairs[rest > 0], hairs[rest <= 0]
        distance, nearest = KDTree(closed[lower]).query(closed[upper])
        near = distance < MEETING
        found.append(np.stack([upper[near], lower[np.asarray(nearest)[near]]]))
    upper, lower = np.concatenate(found, axis=1)
    return upper, lower


def table(asset: ModelAsset, count: int, seed: int) -> None:
    """Prints the figures of ``count`` identities."""
    model, measure = HACK.from_asset(asset), Measure(asset)
    upper, lower = meeting_points(model)
    mean = np.asarray(model(expression=BLINK).vertices, np.float64)
    apart = mean[upper] - mean[lower]
    random = np.random.default_rng(seed)
    names = ("lid gap", "lids, lash roots that meet", *(f"lips, {case}" for case in CLOSED))
    found = np.zeros((2, count, len(names)))
    for index in range(count):
        shape = np.clip(random.normal(size=len(asset.shape_basis)), -CLIP, CLIP)
        for own in range(2):
            rig = model.rig(shape, personalised=bool(own))
            closed = np.asarray(rig(BLINK).vertices, np.float64)
            parted = np.linalg.norm(closed[upper] - closed[lower] - apart, axis=1).max()
            lips = [measure.lip_gap(np.asarray(rig(case or None).vertices, np.float64)) for case in CLOSED.values()]
            found[own, index] = [measure.lid_gap(closed), 1000 * parted, *lips]
    print(f"{count} identities, seed {seed}; millimetres; mean / worst / share above 0.3\n")
    print("| | generic | personalised |\n|---|---|---|")
    for column, name in enumerate(names):
        cells = [
            f"{values.mean():.2f} / {values.max():.2f} / {100 * (values > 0.3).mean():.0f} %"
            for values in found[:, :, column]
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


def picture(asset: ModelAsset, path: Path, expression: dict[str, float], where: str, size: int) -> None:
    """Rows: five people; columns: at rest, generic from the front and the side, personalised likewise."""
    model = HACK.from_asset(asset)
    rows = []
    for shape in five(asset):
        rest = np.asarray(model(shape=shape).vertices, np.float64)
        part = rest[asset.part("eye_left" if where == "eye" else "teeth_upper")]
        centre, height = (part.min(axis=0) + part.max(axis=0)) / 2, {"eye": 0.046, "mouth": 0.11}[where]
        if where == "mouth":
            centre = centre - [0, 0.012, 0]
        tiles = [close_up(asset, rest, centre, 0, height, size)]
        for own in (False, True):
            posed = np.asarray(model.rig(shape, personalised=own)(expression).vertices, np.float64)
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
    parser.add_argument("--expression", default="eyeBlink_L=1,eyeBlink_R=1")
    parser.add_argument("--where", choices=("eye", "mouth"), default="eye")
    parser.add_argument("--size", type=int, default=180)
    arguments = parser.parse_args()
    asset = ModelAsset.load(arguments.model)
    if arguments.picture is None:
        table(asset, arguments.people, arguments.seed)
    else:
        pairs = (item.split("=") for item in arguments.expression.split(","))
        picture(asset, arguments.picture, {n: float(v) for n, v in pairs}, arguments.where, arguments.size)


if __name__ == "__main__":
    main()
