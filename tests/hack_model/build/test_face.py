"""The face of the default model: expressions, lids, lips and teeth, looked at as a camera sees them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from fitting.camera import Camera
from fitting.raster import project, renderer
from hack_model.asset import ModelAsset
from hack_model.build.expressions import NAMES
from hack_model.build.refine import Edges
from hack_model.model import HACK
from hack_model.names import HACK_EXPRESSIONS
from hack_model.posing import neck_pose
from hack_model.resources import default_model_path
from hack_model.simulation.measure import crossings

PIXEL = 0.00025
"""Metres a pixel of the test's camera covers at the face."""
SIZE = 720
"""Pixels of its side."""
EYES = ("sclera", "limbus", "iris", "iris_inner", "pupil", "cornea")
CLOSED = {
    "rest": {},
    "close": {"jawOpen": 0.5, "mouthClose": 0.5},
    "close wide": {"jawOpen": 1, "mouthClose": 1},
    "dimple": {"mouthDimple_L": 1, "mouthDimple_R": 1},
    "frown": {"mouthFrown_L": 1, "mouthFrown_R": 1},
    "jaw forward": {"jawForward": 1},
    "jaw left": {"jawLeft": 1},
    "left": {"mouthLeft": 1},
    "neck": {"neckTighten_L": 1, "neckTighten_R": 1},
    "one side of the neck": {"neckTighten_L": 1},
    "one dimple": {"mouthDimple_L": 1},
    "one smile": {"mouthSmile_L": 1},
    "press": {"mouthPress_L": 1, "mouthPress_R": 1},
    "pucker": {"mouthPucker": 1},
    "puff": {"cheekPuff_L": 1, "cheekPuff_R": 1},
    "roll": {"mouthRollLower": 1, "mouthRollUpper": 1},
    "roll lower": {"mouthRollLower": 1},
    "roll upper": {"mouthRollUpper": 1},
    "shrug": {"mouthShrugLower": 1},
    "stretch": {"mouthStretch_L": 1, "mouthStretch_R": 1},
}


class Face:
    """The default model and what a distant camera sees of it."""

    def __init__(self) -> None:
        self.asset = ModelAsset.load(default_model_path())
        self.model = HACK.from_asset(self.asset)
        sizes = 1 + (self.asset.faces[:, 3] >= 0)
        self.material = np.repeat(self.asset.face_material, sizes)

    def posed(self, expression: dict[str, float] | None = None, shape: np.ndarray | None = None) -> np.ndarray:
        return np.asarray(self.model(expression=expression or None, shape=shape).vertices, np.float64)

    def visible(self, vertices: np.ndarray, materials: tuple[str, ...], degrees: float = 0.0) -> float:
        """Area in square millimetres of these materials in view, from ``degrees`` to the subject's left."""
        angle = np.radians(degrees)
        turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
        seen = self.seen(vertices @ turn.T)
        wanted = [self.asset.material_names.index(name) for name in materials]
        return float(np.isin(self.material[seen[seen >= 0]], wanted).sum()) * (PIXEL * 1000) ** 2

    def seen(self, vertices: np.ndarray, pixel: float = PIXEL) -> np.ndarray:
        """Index of the triangle in each pixel from the front, -1 where there is none."""
        camera = Camera.centred(2.0 / pixel, SIZE, SIZE)
        points = project(camera, vertices - [0, 0, 2.0]).astype(np.float32)
        return np.asarray(renderer().rasterize(points, np.asarray(self.asset.triangles), SIZE, SIZE).face)

    def lid_gap(self, vertices: np.ndarray, eye: str) -> float:
        """Greatest height in millimetres, from the front, of what shows between an eye's lids."""
        ball, pixel = vertices[self.asset.part(eye)], 0.00005
        middle = (ball.min(axis=0) + ball.max(axis=0)) / 2
        seen = self.seen(vertices - [middle[0], middle[1], 0.0], pixel)
        socket = self.asset.region_weights[self.asset.region_names.index("eye_sockets")] > 0.5
        wanted = [self.asset.material_names.index(name) for name in EYES]
        within = np.isin(self.material, wanted) | socket[self.asset.triangles].all(axis=1)
        return float(((seen >= 0) & within[np.maximum(seen, 0)]).sum(axis=0).max()) * pixel * 1000

    def delta(self, name: str) -> np.ndarray:
        return self.asset.expression_basis[[self.asset.expression_names.index(name)]].dense()[0].astype(np.float64)

    def edges(self, part: str) -> np.ndarray:
        span = self.asset.part(part)
        inside = (self.asset.faces[:, 0] >= span.start) & (self.asset.faces[:, 0] < span.stop)
        triangles = self.asset.faces[inside][:, :3]
        pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]]])
        return np.unique(np.sort(pairs, axis=1), axis=0)


@pytest.fixture(scope="module")
def face() -> Face:
    return Face()


def test_expressions_are_hacks_then_tongue_neck_and_nostrils(face):
    own = [f"{name}_{side}" for name in ("neckTighten", "nostrilDilate", "nostrilCompress") for side in "LR"]
    assert face.asset.expression_names == (*HACK_EXPRESSIONS, "tongueOut", *own) == NAMES


def test_sides_are_mirror_images(face):
    mirror = face.asset.mirror_vertices
    pairs = [(name, name[:-2] + "_R") for name in NAMES if name.endswith("_L")]
    for left, right in [*pairs, ("jawLeft", "jawRight"), ("mouthLeft", "mouthRight")]:
        np.testing.assert_allclose(face.delta(right), face.delta(left)[mirror] * [-1, 1, 1], atol=2e-6, err_msg=left)


def test_unpaired_expressions_are_symmetric(face):
    for name in NAMES:
        if not name.endswith(("_L", "_R", "Left", "Right")):
            mirrored = face.delta(name)[face.asset.mirror_vertices] * [-1, 1, 1]
            np.testing.assert_allclose(face.delta(name), mirrored, atol=2e-5, err_msg=name)


def test_every_expression_moves_the_skin(face):
    skin = face.asset.part("skin")
    for name in set(NAMES) - {"tongueOut"}:
        assert np.linalg.norm(face.delta(name)[skin], axis=1).max() > 0.0012, name


@pytest.mark.parametrize("degrees", [0, 45, -45])
def test_blink_hides_the_eyes(face, degrees):
    blink = {"eyeBlink_L": 1.0, "eyeBlink_R": 1.0}
    assert face.visible(face.posed(), EYES, degrees) > 60
    assert face.visible(face.posed(blink), EYES, degrees) < 1.0


def test_blink_leaves_no_gap_between_the_lids(face):
    blink = face.posed({"eyeBlink_L": 1.0, "eyeBlink_R": 1.0})
    random = np.random.default_rng(3)
    others = [
        face.lid_gap(face.posed({"eyeBlink_L": 1.0}, random.normal(size=len(face.asset.shape_basis))), "eye_left")
        for _ in range(20)
    ]
    for eye in ("eye_left", "eye_right"):
        assert face.lid_gap(face.posed(), eye) > 6
        assert face.lid_gap(blink, eye) < 0.3
    assert np.median(others) < 0.3
    assert max(others) < 2.0


def test_half_a_blink_half_covers_the_eyes(face):
    open_eyes = face.visible(face.posed(), EYES)
    half = face.visible(face.posed({"eyeBlink_L": 0.5, "eyeBlink_R": 0.5}), EYES)
    assert 0.25 * open_eyes < half < 0.75 * open_eyes


def test_blink_of_other_people_hides_their_eyes(face):
    random = np.random.default_rng(11)
    for _ in range(4):
        shape = random.normal(size=len(face.asset.shape_basis))
        vertices = face.posed({"eyeBlink_L": 1.0, "eyeBlink_R": 1.0}, shape)
        assert face.visible(vertices, EYES) < 0.03 * face.visible(face.posed(shape=shape), EYES)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("name", [name for name in HACK_EXPRESSIONS if name.startswith("eye") and name.endswith("_L")])
def test_eyes_never_come_through_the_lids(face, name, share):
    """The eyes show inside the opening between the lids only: one connected patch per eye."""
    seen = face.seen(face.posed({name: share}))
    eyes = [face.asset.material_names.index(item) for item in (*EYES, "lashes")]
    mask = (seen >= 0) & np.isin(face.material[np.maximum(seen, 0)], eyes)
    lashes = face.material[np.maximum(seen, 0)] == face.asset.material_names.index("lashes")
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    stray = 0
    left = np.arange(SIZE) > SIZE / 2
    for side in (left, ~left):
        sizes = ndimage.sum((mask & ~lashes) & side[None], labels, np.arange(1, count + 1))
        stray += int(sizes.sum() - sizes.max(initial=0))
    assert stray * (PIXEL * 1000) ** 2 < 0.6


def test_lower_teeth_move_as_one_rigid_body(face):
    for name in ("jawOpen", "jawForward", "jawLeft"):
        for share, tolerance in ((1.0, 5e-3), (0.5, 0.05)):
            moved = face.asset.template + share * face.delta(name)
            ends = face.edges("teeth_lower")
            before = np.linalg.norm(np.diff(face.asset.template[ends], axis=1)[:, 0], axis=1)
            after = np.linalg.norm(np.diff(moved[ends], axis=1)[:, 0], axis=1)
            long = before > 0.0006  # the file keeps displacements to a micrometre
            assert np.abs(after[long] / before[long] - 1).max() < tolerance, (name, share)


def test_upper_teeth_and_eyeballs_stay(face):
    for part in ("teeth_upper", "eye_left", "eye_right"):
        assert np.abs(face.asset.expression_basis.dense()[:, face.asset.part(part)]).max() == 0


def test_jaw_opens_as_wide_as_people_do(face):
    lower = face.asset.part("teeth_lower")
    front = np.argmax(face.asset.template[lower, 2])
    moved = np.linalg.norm(face.delta("jawOpen")[lower][front])
    assert 0.030 < moved < 0.050


def both(**weights: float) -> dict[str, float]:
    """Expressions of both sides."""
    return {f"{name}_{side}": weight for name, weight in weights.items() for side in "LR"}


def test_smile_shows_teeth(face):
    smile = face.posed(both(mouthSmile=1.0))
    assert face.visible(face.posed(), ("teeth",)) < 0.5
    assert face.visible(smile, ("teeth",)) > 100
    assert face.visible(smile, ("teeth",)) > 3 * face.visible(smile, ("gums",))


def test_smiling_lips_lie_on_the_teeth(face):
    """4–10 mm of the central incisors show, and from the side hardly a gap before them."""
    smile = face.posed(both(mouthSmile=1.0))
    seen = face.seen(smile)
    teeth = (seen >= 0) & (face.material[np.maximum(seen, 0)] == face.asset.material_names.index("teeth"))
    across = (np.arange(SIZE) + 0.5 - SIZE / 2) * PIXEL
    shown = teeth[:, np.abs(np.abs(across) - 0.004) < 0.001].sum(axis=0) * PIXEL
    assert 0.004 < np.median(shown) < 0.010
    skin = smile[face.asset.part("skin")]
    upper = smile[face.asset.part("teeth_upper")]
    height = smile[face.asset.landmarks68_vertices[62]].mean(axis=0)[1]
    lip = skin[(np.abs(skin[:, 0]) < 0.006) & (np.abs(skin[:, 1] - height) < 0.0025) & (skin[:, 2] > 0.1)]
    incisors = upper[(np.abs(upper[:, 0]) < 0.006) & (np.abs(upper[:, 1] - height) < 0.0025)]
    assert lip[:, 2].min() - incisors[:, 2].max() < 0.003


@pytest.mark.parametrize("case", CLOSED)
@pytest.mark.parametrize("degrees", [0, 50])
def test_teeth_stay_behind_closed_lips(face, case, degrees):
    assert face.visible(face.posed(CLOSED[case]), ("teeth", "gums", "tongue"), degrees) < 3


def test_mouth_stays_behind_the_chin(face):
    """Neither teeth, gums nor the wall of the mouth come through the skin below the lower lip, whoever smiles."""
    asset = face.asset
    inner = asset.region_weights[asset.region_names.index("mouth_interior")] > 0.5
    hidden = [asset.material_names.index(name) for name in ("teeth", "gums", "tongue")]
    within = inner[asset.triangles].all(axis=1) | np.isin(face.material, hidden)
    smile = {f"{name}_{side}": 0.8 for name in ("mouthSmile", "mouthUpperUp", "mouthLowerDown") for side in "LR"}
    random = np.random.default_rng(5)
    for _ in range(8):
        vertices = face.posed(smile, random.normal(size=len(asset.shape_basis)))
        seen = face.seen(vertices)
        lip = asset.landmarks68_weights[57] @ vertices[asset.landmarks68_vertices[57]]
        height = (SIZE / 2 - (np.arange(SIZE) + 0.5)) * PIXEL
        through = (seen >= 0) & within[np.maximum(seen, 0)] & (height[:, None] < lip[1] + 0.001)
        assert through.sum() * (PIXEL * 1000) ** 2 < 1


def test_the_neck_tightens_below_the_mouth_alone(face):
    amount = np.linalg.norm(face.delta("neckTighten_L"), axis=1)
    moved = face.asset.template[amount > 2e-4]
    assert moved[:, 1].max() < face.posed()[face.asset.landmarks68_vertices[33]].mean(axis=0)[1]
    assert moved[moved[:, 1] < -0.07, 0].min() > -0.024  # the right of neck and chest stays


@pytest.mark.parametrize(("jaw", "turn"), [(0, 0), (0, 45), (0, -60), (0.5, 0), (0.5, 45), (1, 0)])
def test_cords_of_the_neck_do_not_go_through_skin(face, jaw, turn):
    asset = face.asset
    region = dict(zip(asset.region_names, asset.region_weights, strict=True))
    outer = (asset.template[:, 1] < -0.05) & (np.arange(asset.vertex_count) < asset.part_vertices[0, 1])
    outer &= region["mouth_interior"] + region["ears"] < 0.1
    expression = both(neckTighten=1.0) | {"jawOpen": jaw}
    vertices = face.model(expression=expression, pose=neck_pose(asset, 0.0, np.radians(turn))).vertices
    assert not len(crossings(np.asarray(vertices), asset.triangles[outer[asset.triangles].all(axis=1)]))


def test_nostrils_widen_and_narrow_beside_the_septum(face):
    skin = face.asset.template[face.asset.part("skin")]
    nose = (skin[:, 2] > 0.1) & (np.abs(skin[:, 1]) < 0.03) & (skin[:, 0] > 0)
    wide, narrow = (face.delta(f"nostril{name}_L")[face.asset.part("skin")] for name in ("Dilate", "Compress"))
    assert 0.0010 < wide[nose, 0].max() < 0.0020
    assert -0.0020 < narrow[nose, 0].min() < -0.0010
    for delta in (wide, narrow):
        assert np.linalg.norm(delta[np.abs(skin[:, 0]) < 0.002], axis=1).max() < 2e-4
        assert np.linalg.norm(delta[~nose], axis=1).max() < 6e-4


@pytest.mark.parametrize("name", ["nostrilDilate", "nostrilCompress", "noseSneer"])
def test_walls_of_the_nostrils_do_not_go_through_each_other(face, name):
    skin = face.asset.template
    nose = (np.arange(len(skin)) < face.asset.part("skin").stop) & (np.abs(skin[:, 0]) < 0.025)
    nose &= (skin[:, 2] > 0.09) & (skin[:, 1] > -0.02) & (skin[:, 1] < 0.02)
    triangles = face.asset.triangles[nose[face.asset.triangles].all(axis=1)]
    assert len(triangles) > 500
    at_rest = len(crossings(face.posed(), triangles))
    assert len(crossings(face.posed(both(**{name: 1.0})), triangles)) <= at_rest


def test_no_expression_has_spikes(face):
    span = face.asset.part("skin")
    edges = Edges.of(np.asarray(face.asset.faces[face.asset.faces[:, 0] < span.stop])).vertices
    count = np.bincount(edges.ravel(), minlength=span.stop)[:, None]
    for name in NAMES:
        delta = face.delta(name)[span]
        total = np.zeros_like(delta)
        np.add.at(total, edges[:, 0], delta[edges[:, 1]])
        np.add.at(total, edges[:, 1], delta[edges[:, 0]])
        rough = np.linalg.norm(delta - total / count, axis=1).max()
        assert rough < 0.0022, name
