"""What shows between lids and lips, and how deep teeth stand in lips and eyeballs in lids, of any pose of a model."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from fitting.camera import Camera
from fitting.raster import project, renderer
from hack_model import HACK, ModelAsset
from hack_model.build.eyes import EYEBALL_RADIUS, Eyeball
from hack_model.build.lips import TeethShield
from hack_model.build.transfer.people import FollowingEyeball

EYES = ("sclera", "limbus", "iris", "iris_inner", "pupil", "cornea")
MOUTH = ("teeth", "gums", "tongue")
BLINK = {"eyeBlink_L": 1.0, "eyeBlink_R": 1.0}
DISTANCE = 2.0
WINDOW = 1100  # tenths of a millimetre about the mouth, from the nose to below an opened chin
ROOT = 8  # vertices of one lash, the root first
MEETING = 0.0015
AROUND = 0.015  # skin this far above and below the middle of the lips is looked at, metres …
ASIDE = 1.3  # … and this far to the side, radians about the middle of the mouth
DEEP = 0.02


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
        return self.gap(vertices, middle, self.mouth, 1e-4, WINDOW)


class TeethInLips:
    """How far lips and cheeks lie behind the front of the teeth, beyond what they do at rest."""

    def __init__(self, asset: ModelAsset) -> None:
        self.asset, self.skin = asset, asset.part("skin")
        regions = dict(zip(asset.region_names, asset.region_weights[:, self.skin], strict=True))
        template = np.asarray(asset.template, np.float64)
        points = template[self.skin]
        middle = np.median(points[regions["lips"] > 0.5, 1])
        angle, radius = TeethShield.of(template[asset.part("teeth_upper")]).polar(points)
        near = (np.abs(points[:, 1] - middle) < AROUND) & (np.abs(angle) < ASIDE) & (radius > DEEP)
        lining = regions["mouth_interior"] > 0.5
        self.sides = near & ~lining, near & lining

    def depth(self, vertices: np.ndarray) -> np.ndarray:
        """Of every vertex of the skin, metres."""
        shields = [TeethShield.of(vertices[self.asset.part(name)]) for name in ("teeth_upper", "teeth_lower")]
        return np.maximum(*[shield.depth(vertices[self.skin]) for shield in shields])

    def __call__(self, vertices: np.ndarray, rest: np.ndarray) -> tuple[float, float]:
        """Of the outer skin, where teeth would show, and of the lips' inner side; ``rest`` is the depth at rest."""
        further = 1000 * np.clip(self.depth(vertices) - rest, 0, None)
        outer, inner = (float(further[side].max()) for side in self.sides)
        return outer, inner


class EyeballInLids:
    """How far the skin of the lids, outside the eyeballs on the template, dips below their surface, beyond rest."""

    def __init__(self, asset: ModelAsset) -> None:
        self.asset, template = asset, np.asarray(asset.template, np.float64)
        regions = dict(zip(asset.region_names, asset.region_weights, strict=True))
        skin = np.zeros(len(template), bool)
        skin[asset.part("skin")] = True
        lids = skin & (regions["lids"] > 0.3) & (regions["eye_sockets"] < 0.5)
        self.eyes: list[tuple[slice, np.ndarray, Eyeball, np.ndarray]] = []
        for name in ("eye_left", "eye_right"):
            before = template[asset.part(name)]
            ball = _sphere(before)
            near = np.linalg.norm(template - ball.centre, axis=1) < 1.6 * ball.radius
            chosen = np.flatnonzero(lids & near)
            chosen = chosen[ball.height(template[chosen]) > 0]
            self.eyes.append((asset.part(name), before, ball, chosen))

    def __call__(self, vertices: np.ndarray, rest: np.ndarray) -> float:
        """Millimetres; eyeballs are as at ``rest``."""
        worst = 0.0
        for part, before, original, lids in self.eyes:
            ball = FollowingEyeball.of(original, before, rest[part])
            sunk = np.minimum(ball.height(rest[lids]), 0) - ball.height(vertices[lids])
            worst = max(worst, float(sunk.max()))
        return 1000 * worst


def _sphere(points: np.ndarray) -> Eyeball:
    """The eyeball of a part's vertices, by the sphere through its back half."""
    back = points[points[:, 2] < np.median(points[:, 2])]
    frame = np.column_stack([2 * back, np.ones(len(back))])
    *centre, rest = np.linalg.lstsq(frame, (back**2).sum(axis=1), rcond=None)[0]
    radius = np.sqrt(rest + np.square(centre).sum())
    return Eyeball(np.array(centre), float(radius / EYEBALL_RADIUS))


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
