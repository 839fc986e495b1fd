"""The expressions of the default model beside published measurements of living faces."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hack_model.asset import ModelAsset
from hack_model.errors import AssetError
from hack_model.model import HACK
from hack_model.resources import data_folder, default_model_path
from hack_model.tables import read_table

CORNERS, UPPER_LID, LOWER_LID, BROW_CENTRE, UPPER_LIP = (48, 54), (43, 44), (46, 47), 24, 62
"""Places in the 68 landmarks (Multi-PIE) of the subject's left side, but for the corners: right and left."""
NECK = {"neckTighten_L": 1.0, "neckTighten_R": 1.0}
NOSTRILS = {"nostrilDilate_L": 1.0, "nostrilDilate_R": 1.0}
SMILE = {"mouthSmile_L": 1.0, "mouthSmile_R": 1.0}


class Motion:
    """The default model's landmarks and incisors, in millimetres, under an expression."""

    def __init__(self) -> None:
        self.model = HACK.from_asset(ModelAsset.load(default_model_path()))
        asset = self.model.asset
        self.incisors = tuple(self._edge(asset, name, up) for name, up in (("teeth_upper", -1), ("teeth_lower", 1)))

    @staticmethod
    def _edge(asset: ModelAsset, part: str, up: int) -> int:
        """Vertex on the edge of a central incisor."""
        span = asset.part(part)
        points = asset.template[span]
        front = np.flatnonzero((np.abs(points[:, 0]) < 0.005) & (points[:, 2] > points[:, 2].max() - 0.006))
        return span.start + int(front[np.argmax(up * points[front, 1])])

    def landmarks(self, expression: dict[str, float] | None = None) -> np.ndarray:
        vertices = self.model(expression=expression).vertices
        return 1000 * np.asarray(self.model.landmarks(vertices, "multipie68"), np.float64)

    def moved(self, expression: dict[str, float]) -> np.ndarray:
        return self.landmarks(expression) - self.landmarks()

    def edges(self, expression: dict[str, float] | None = None) -> np.ndarray:
        """Upper and lower incisor (2, 3)."""
        return 1000 * np.asarray(self.model(expression=expression).vertices, np.float64)[list(self.incisors)]

    def opening(self, expression: dict[str, float] | None = None) -> float:
        """Height of the left eye's opening."""
        points = self.landmarks(expression)
        return float(points[list(UPPER_LID), 1].mean() - points[list(LOWER_LID), 1].mean())


def _length(vector: np.ndarray) -> float:
    return float(np.linalg.norm(vector))


def _mouth_width(points: np.ndarray) -> float:
    return float(points[CORNERS[1], 0] - points[CORNERS[0], 0])


def _smile_direction(motion: Motion) -> float:
    x, y, _ = motion.moved(SMILE)[CORNERS[1]]
    return float(np.degrees(np.arctan2(y, x)))


def _alar_flare(motion: Motion) -> float:
    """Gain in percent of the width between the outermost points of the wings of the nose."""
    rest, wide = (np.asarray(motion.model(expression=e).vertices, np.float64)[:, 0] for e in (None, NOSTRILS))
    wings = np.abs(wide - rest) > 0.6 * np.abs(wide - rest).max()
    return 100 * float(np.ptp(wide[wings]) / np.ptp(rest[wings]) - 1)


def _convergence(motion: Motion) -> float:
    """Share of the way from the clavicle to the ear lobe at which the skin of the side of the neck stays level."""
    skin = motion.model.asset.template
    side = (np.abs(np.abs(skin[:, 0]) - 0.05) < 0.012) & (np.abs(skin[:, 2] - 0.03) < 0.02)
    side &= (skin[:, 1] < -0.02) & (skin[:, 1] > -0.15) & (np.arange(len(skin)) < motion.model.asset.part("skin").stop)
    rise = np.asarray(motion.model(expression=NECK).vertices, np.float64)[side, 1] - skin[side, 1]
    share = (skin[side, 1] + 0.150) / 0.136
    shares = np.linspace(0.1, 0.9, 41)
    weight = np.exp(-(((shares[:, None] - share) / 0.06) ** 2))
    return 100 * float(shares[np.argmax(weight @ rise / weight.sum(axis=1) < 0)])


MEASURES: dict[str, Callable[[Motion], float]] = {
    "smile_commissure": lambda motion: _length(motion.moved(SMILE)[CORNERS[1]]),
    "smile_direction": _smile_direction,
    "smile_width": lambda motion: 100 * (_mouth_width(motion.landmarks(SMILE)) / _mouth_width(motion.landmarks()) - 1),
    "brow_raise_centre": lambda motion: motion.moved({"browInnerUp_L": 1.0, "browOuterUp_L": 1.0})[BROW_CENTRE, 1],
    "eye_closure": lambda motion: _length(motion.moved({"eyeBlink_L": 1.0})[list(UPPER_LID)].mean(axis=0)),
    "palpebral_fissure": lambda motion: motion.opening(),
    "palpebral_fissure_down": lambda motion: motion.opening({"eyeLookDown_L": 1.0}),
    "mouth_opening": lambda motion: _length(np.subtract(*motion.edges({"jawOpen": 1.0}))),
    "jaw_protrusion": lambda motion: (motion.edges({"jawForward": 1.0}) - motion.edges())[1, 2],
    "jaw_laterotrusion": lambda motion: (motion.edges({"jawLeft": 1.0}) - motion.edges())[1, 0],
    "upper_lip_raise": lambda motion: motion.moved({"mouthUpperUp_L": 1.0, "mouthUpperUp_R": 1.0})[UPPER_LIP, 1],
    "alar_flare": _alar_flare,
    "neck_convergence": _convergence,
}


def table() -> dict[str, dict[str, str]]:
    path = data_folder() / "hack_open" / "expression_amplitudes.csv"
    columns = ("measure", "unit", "low", "high", "published", "source")
    return {row["measure"]: row for _, row in read_table(path, AssetError, *columns)}


@pytest.fixture(scope="module")
def motion() -> Motion:
    return Motion()


def test_every_measure_of_the_table_is_taken():
    assert set(table()) == set(MEASURES)


@pytest.mark.parametrize("measure", MEASURES)
def test_amplitude_is_that_of_living_faces(motion: Motion, measure: str):
    row = table()[measure]
    assert float(row["low"]) <= MEASURES[measure](motion) <= float(row["high"]), row["published"]
