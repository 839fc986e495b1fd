from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hack_model import ModelAsset
from hack_model.appearance import wrinkles
from hack_model.appearance.anatomy import Anatomy
from hack_model.appearance.parameters import Appearance
from hack_model.appearance.skin import Skin
from hack_model.clip import Clip
from hack_model.errors import ParameterError
from hack_model.facs.catalogue import catalogue
from hack_model.posing import neck_pose

NAMES = [layer.name for layer in wrinkles.layers()]
PLACES = {
    # Multi-PIE landmark and millimetres to a place that the layer folds, on the left
    "forehead_inner": (27, (10, 38, -3)),
    "forehead_outer": (25, (-5, 26, -4)),
    "glabella": (27, (8, 11, -1)),
    "crows_feet": (45, (14, 1, -9)),
    "nasolabial": (35, (13, -8, -6)),
    "platysma": (8, (25, -45, -45)),
    "neck_rings": (8, (12, -46, -45)),
}


def place(anatomy: Anatomy, name: str) -> int:
    """The vertex at which a layer is expected."""
    landmark, offset = PLACES[name]
    point = anatomy.landmark(landmark) + np.array(offset) / 1000
    return int(np.linalg.norm(anatomy.template - point, axis=1).argmin())


@pytest.mark.parametrize("name", PLACES)
def test_layers_lie_where_anatomy_says(anatomy: Anatomy, name: str) -> None:
    masks = dict(zip(NAMES, wrinkles.masks(anatomy), strict=True))
    left, right = masks[f"{name}_L"], masks[f"{name}_R"]
    here = place(anatomy, name)
    assert left[here] > 0.25
    assert right[here] < 0.2
    reach = 0.12 if name == "platysma" else 0.09  # from the jaw down over the clavicle
    far = np.linalg.norm(anatomy.template - anatomy.template[here], axis=1) > reach
    assert left[far].max() < 0.05


def test_masks_are_mirrored_and_share_each_map(asset: ModelAsset, anatomy: Anatomy) -> None:
    masks = wrinkles.masks(anatomy)
    assert masks.min() >= 0
    for number in range(wrinkles.MAPS):
        of_map = [index for index, layer in enumerate(wrinkles.layers()) if layer.map == number]
        assert masks[of_map].sum(axis=0).max() <= 1 + 1e-5
    mirrored = asset.mirror_vertices
    for index, name in enumerate(NAMES):
        if name.endswith("_L"):
            other = masks[NAMES.index(name[:-1] + "R")]
            assert np.abs(masks[index] - other[mirrored]).max() < 0.02


@pytest.mark.parametrize(
    ("unit", "layer"),
    [("AU1", "forehead_inner"), ("AU2", "forehead_outer"), ("AU4", "glabella"), ("AU6", "crows_feet"),
     ("AU12", "nasolabial"), ("AU21", "platysma"), ("AU9", "bunny")],
)  # fmt: skip
def test_weights_follow_the_action_units_of_their_side(unit: str, layer: str) -> None:
    for side, letter, other in (("left", "L", "R"), ("right", "R", "L")):
        shapes = catalogue()[unit].shapes(side)  # pyright: ignore[reportArgumentType]
        weights = [
            wrinkles.weights({name: strength * weight for name, weight in shapes.items()})
            for strength in (0, 0.4, 1, 2)
        ]
        own = [each[f"{layer}_{letter}"] for each in weights]
        assert own[0] == 0
        assert own[1] == pytest.approx(0.4)
        assert own[2:] == [1, 1]
        assert all(each[f"{layer}_{other}"] == 0 for each in weights)


def test_flexion_folds_the_neck_and_extension_does_not() -> None:
    rings = [wrinkles.weights({}, flexion)["neck_rings_L"] for flexion in (-0.5, 0.0, 0.35, 2.0)]
    assert rings[:2] == [0, 0]
    assert rings[2] == pytest.approx(0.35 / wrinkles.FULL_FLEXION)
    assert rings[3] == 1


def test_a_frame_of_a_clip_has_its_weights(asset: ModelAsset) -> None:
    clip = Clip.neutral(asset, frames=3)
    expression = np.zeros((3, len(asset.expression_names)))
    expression[1, asset.expression_names.index("browDown_L")] = 0.7
    pose = np.zeros((3, 8, 3))
    pose[2] = neck_pose(asset, flexion=np.radians(20))
    clip = dataclasses.replace(clip, expression=expression, pose=pose)
    calm, frown, nod = (wrinkles.clip_weights(clip, asset, frame) for frame in range(3))
    assert max(calm.values()) == 0
    assert frown["glabella_L"] == pytest.approx(0.7, abs=1e-4)
    assert frown["glabella_R"] == 0
    assert nod["neck_rings_R"] == pytest.approx(0.5, abs=0.02)
    with pytest.raises(ParameterError, match="the clip has 3 frames"):
        wrinkles.clip_weights(clip, asset, 3)


def test_folding_changes_the_maps_where_the_layer_is(asset: ModelAsset, anatomy: Anatomy, skin: Skin) -> None:
    flat = skin.maps()
    folded = skin.maps({"glabella_L": 1.0})
    changed = (flat.normal != folded.normal).any(axis=-1)
    rows, columns = np.nonzero(changed)
    assert len(rows) > 10
    vertex = place(anatomy, "glabella")
    uv = asset.uv[np.flatnonzero(skin.texels.chart.vertices == vertex)].mean(axis=0)
    apart = np.hypot(columns / 256 - uv[0], rows / 256 - (1 - uv[1]))
    assert np.median(apart) < 0.04
    assert folded.albedo.astype(int).sum() < flat.albedo.astype(int).sum()


def test_halfway_is_half_the_slope(skin: Skin) -> None:
    full, half = (skin.maps({"crows_feet_R": weight}).normal.astype(float) for weight in (1.0, 0.5))
    rest = skin.maps().normal.astype(float)
    change = (full - rest)[..., :2]
    strong = np.abs(change) > 12
    assert strong.any()
    ratio = (half - rest)[..., :2][strong] / change[strong]
    assert np.abs(np.median(ratio) - 0.5) < 0.08


def test_old_faces_show_their_lines_at_rest(asset: ModelAsset, anatomy: Anatomy) -> None:
    options = {"freckles": 0.0, "moles": 0.0, "pores": 0.0}
    young, old = (Skin.paint(asset, Appearance(age=age, **options), 512) for age in (0.1, 1.0))
    position = young.texels.carry_vertices(anatomy.template)
    forehead = np.linalg.norm(position - (anatomy.landmark(27) + np.array([0, 0.035, 0])), axis=1) < 0.02
    assert np.abs(old.slopes[forehead, 1]).mean() > 1.8 * np.abs(young.slopes[forehead, 1]).mean()


def test_images_of_the_folds_add_up_to_the_maps(skin: Skin) -> None:
    """What an engine does with them: masks times strengths, added to the normal map."""
    index = NAMES.index("nasolabial_L")
    layer = wrinkles.layers()[index]
    image = skin.wrinkle_images()[layer.map].reshape(-1, 3)[skin.texels.index].astype(float)
    mixed = skin.maps().normal.reshape(-1, 3)[skin.texels.index].astype(float)
    mixed[:, :2] += (image[:, :2] - 128) * skin.masks[index][:, None]
    mixed = (mixed - 128) / 127
    mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
    own = skin.maps({layer.name: 1.0}).normal.reshape(-1, 3)[skin.texels.index].astype(float)
    own = (own - 128) / 127
    assert np.abs(mixed - own).max() < 0.12
    assert np.abs(mixed - own).mean() < 0.01


def test_unknown_layers_are_named(skin: Skin) -> None:
    with pytest.raises(ParameterError, match="called forhead_L; there are forehead_inner_L"):
        skin.maps({"forhead_L": 1.0})


@pytest.mark.parametrize("strength", [np.nan, np.inf])
def test_strengths_are_finite(skin: Skin, strength: float) -> None:
    with pytest.raises(ParameterError, match="not finite"):
        skin.maps({NAMES[0]: strength})
