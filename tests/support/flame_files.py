"""Small models in FLAME's and SMPL-X's form, made of the synthetic head, with every array their files have."""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from hack_model.asset import ModelAsset, split_quads
from tests.support.synthetic import synthetic_asset

SHAPES, EXPRESSIONS = 10, 10
SHIFT = np.array([0.0, 0.16, -0.02])
"""Where the head lies in FLAME's frame, against the synthetic model's."""


def flame_arrays(seed: int = 0) -> dict[str, Any]:
    """FLAME's arrays over the synthetic egg with a finer mesh: the same surface as the synthetic model, shifted."""
    random = np.random.default_rng(seed)
    fine = synthetic_asset(0, shape=1, rings=30, segments=20, landmarks=False)
    points = fine.template.astype(np.float64)
    count = len(points)
    heights = np.clip((points[:, 1] + 0.14) / 0.08, 0, 1)
    chin = np.clip((-0.01 - points[:, 1]) / 0.03, 0, 1) * np.clip(points[:, 2] / 0.03, 0, 1) * heights
    weights = np.zeros((count, 5))
    weights[:, 2] = chin
    weights[:, 1] = heights * (1 - chin)
    weights[:, 0] = 1 - weights[:, 1] - weights[:, 2]
    joints = np.array(
        [[0, -0.15, -0.01], [0, -0.09, -0.005], [0, 0.0, 0.0], [0.032, 0.028, 0.065], [-0.032, 0.028, 0.065]]
    )
    regressor = np.zeros((5, count))
    for index, name in enumerate(("eye_left", "eye_right"), 3):
        part = fine.part(name)
        weights[part] = np.eye(5)[index]
        regressor[index, part] = 1 / (part.stop - part.start)
    skin = fine.part("skin").stop
    for index in range(3):
        near = np.argsort(np.linalg.norm(points[:skin] - joints[index], axis=1))[:60]
        near = np.unique(np.concatenate([near, fine.mirror_vertices[near]]))
        system = np.vstack([points[near].T, np.ones(len(near))])
        regressor[index, near] = np.linalg.lstsq(system, np.append(joints[index], 1), rcond=None)[0]
    fields = _smooth(random, points, SHAPES + EXPRESSIONS, 0.004)
    return {
        "v_template": points + SHIFT,
        "f": split_quads(fine.faces).astype(np.uint32),
        "shapedirs": np.moveaxis(fields, 0, 2),
        "posedirs": np.moveaxis(_smooth(random, points, 36, 0.002), 0, 2),
        "J_regressor": regressor,
        "J": regressor @ (points + SHIFT),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.uint32),
        "weights": weights,
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }


SMPLX_PARENTS = (
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15,
    20, 25, 26, 20, 28, 29, 20, 31, 32, 20, 34, 35, 20, 37, 38,
    21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50, 21, 52, 53,
)  # fmt: skip


def smplx_arrays(seed: int = 0, scale: float = 1.1) -> dict[str, Any]:
    """SMPL-X's arrays: FLAME's head above, larger by ``scale``, on a closed torso."""
    random = np.random.default_rng(seed)
    head = flame_arrays(seed)
    segments = 20
    points, faces, weights = head["v_template"] - SHIFT, head["f"].astype(int), head["weights"]
    rings = []
    for number, (height, width) in enumerate([(-0.23, 1.3), (-0.27, 2.2), (-0.34, 2.4), (-0.45, 2.2)]):
        first = len(points) + number * segments
        above = np.arange(segments) if not number else first - segments + np.arange(segments)
        below = first + np.arange(segments)
        after = np.roll(np.arange(segments), -1)
        faces = np.concatenate(
            [faces, np.stack([above, below, below[after]], 1), np.stack([above, below[after], above[after]], 1)]
        )
        rings.append(points[:segments] * [width, 0, width] + [0, height, 0])
    points = np.concatenate([points, *rings, [[0, -0.45, 0]]])
    last = len(points) - 1
    border = last - segments + np.arange(segments)
    faces = np.concatenate([faces, np.stack([border, np.full(segments, last), np.roll(border, -1)], 1)])
    faces = faces[:, [0, 1, 2]]
    count = len(points)
    whole = np.zeros((count, 55))
    for own, other in ((0, 9), (1, 15), (2, 22), (3, 23), (4, 24)):
        whole[: len(weights), other] = weights[:, own]
    neck = np.clip(1 - np.abs(points[:, 1] + 0.11) / 0.03, 0, 1)
    whole[:, 12] = neck * whole[:, 15]
    whole[:, 15] *= 1 - neck
    whole[len(weights) :, 9] = 1
    regressor = np.zeros((55, count))
    for index in range(5):
        regressor[(9, 12, 22, 23, 24)[index], : len(weights)] = head["J_regressor"][index]
    regressor[15, : len(weights)] = 0.5 * (head["J_regressor"][1] + head["J_regressor"][2])
    regressor[regressor.sum(axis=1) == 0] = regressor[9]
    return {
        "v_template": points * scale + [0, 0.3, 0.02],
        "f": faces.astype(np.uint32),
        "shapedirs": np.moveaxis(_smooth(random, points, 20, 0.004), 0, 2),
        "posedirs": np.zeros((count, 3, 9 * 54)),
        "J_regressor": regressor,
        "kintree_table": np.array([[2**32 - 1, *SMPLX_PARENTS[1:]], range(55)], np.uint32),
        "weights": whole,
        "hands_componentsl": np.eye(45),
        "hands_componentsr": np.eye(45),
        "hands_meanl": np.zeros(45),
        "hands_meanr": np.zeros(45),
        "lmk_faces_idx": np.arange(51),
        "lmk_bary_coords": np.full((51, 3), 1 / 3),
        "part2num": np.array({"head": 15}, dtype=object),
    }


def embedding_of(arrays: dict[str, Any], template: ModelAsset) -> dict[str, np.ndarray]:
    """FLAME's static embedding: the synthetic model's landmarks 17…67 on the faces nearest to them."""
    import trimesh

    marks = np.einsum("lk,lkc->lc", template.landmarks68_weights, template.template[template.landmarks68_vertices])[17:]
    faces = arrays["f"].astype(int)
    corners = arrays["v_template"][faces]
    index, weights = [], []
    for mark in marks + SHIFT:
        nearest = trimesh.triangles.closest_point(corners, np.broadcast_to(mark, (len(faces), 3)))
        face = int(np.argmin(((nearest - mark) ** 2).sum(axis=1)))
        index.append(face)
        weights.append(trimesh.triangles.points_to_barycentric(corners[[face]], nearest[[face]])[0])
    return {"lmk_face_idx": np.array(index, np.uint32), "lmk_b_coords": np.array(weights)}


def write_flame(
    folder: Path,
    arrays: dict[str, Any],
    *,
    protocol: int = 2,
    chumpy: bool = True,
    embedding: dict[str, Any] | None = None,
) -> Path:
    """The file as FLAME's authors give it: chumpy arrays, a scipy matrix, text beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "generic_model.pkl"
    with pretended_chumpy() as wrap:
        content = dict(arrays)
        content["J_regressor"] = sp.csc_matrix(arrays["J_regressor"])
        if chumpy:
            for name in ("v_template", "shapedirs", "posedirs", "weights"):
                content[name] = wrap(arrays[name])
        path.write_bytes(pickle.dumps(content, protocol=protocol))
    if embedding is not None:
        (folder / "flame_static_embedding.pkl").write_bytes(pickle.dumps(embedding, protocol=protocol))
    return path


@contextmanager
def pretended_chumpy() -> Iterator[Any]:
    """A class that pickles as ``chumpy.Ch`` does, for as long as the block lasts."""

    class Ch:
        def __init__(self, x: Any) -> None:
            self.__dict__.update(x=np.asarray(x), _dirty_vars=set(), _itr=None, _depends_on_deps={})

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    package, module = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch")
    module.Ch = Ch  # type: ignore[attr-defined]
    before = {name: sys.modules.get(name) for name in ("chumpy", "chumpy.ch")}
    sys.modules.update({"chumpy": package, "chumpy.ch": module})
    try:
        yield Ch
    finally:
        for name, old in before.items():
            if old is None:
                del sys.modules[name]
            else:
                sys.modules[name] = old


def _smooth(random: np.random.Generator, points: np.ndarray, count: int, amplitude: float) -> np.ndarray:
    centres = points[random.integers(0, len(points), (count, 4))]
    strength = random.normal(scale=amplitude, size=(count, 4, 3))
    distance2 = ((points[None, :, None] - centres[:, None]) ** 2).sum(-1)
    return np.einsum("kvb,kbc->kvc", np.exp(-distance2 / (2 * 0.04**2)), strength)
