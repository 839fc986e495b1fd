"""A small, complete and deterministic model asset for tests: a tube neck under an egg head with two eyeballs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from hack_model.asset import ModelAsset
from hack_model.basis import Basis
from hack_model.names import CERVICAL_JOINTS, HACK_EXPRESSIONS, SKELETON

NECK_TOP, CROWN, BOTTOM = -0.09, 0.12, -0.20
LARYNX_METRES_PER_V = 0.12

# Heights and depths of the cervical joints in metres, root first; close to a real neck's.
_JOINT_Y = np.array([-0.123, -0.105, -0.089, -0.074, -0.057, -0.041, -0.027, -0.0125])
_JOINT_Z = np.array([-0.015, -0.010, -0.005, -0.002, 0.000, -0.002, 0.000, -0.003])
_JOINT_TILT = np.array([0.31, 0.26, 0.23, 0.12, -0.16, 0.14, -0.17, -0.05])
_RHYTHM = np.array(
    [
        [0.02, 0.12, 0.15, 0.15, 0.15, 0.13, 0.15, 0.13],
        [0.00, 0.08, 0.12, 0.12, 0.11, 0.08, 0.44, 0.05],
        [0.00, 0.17, 0.19, 0.18, 0.16, 0.15, 0.15, 0.00],
    ]
).T
_EYE_CENTRES = np.array([[0.032, 0.028, 0.065], [-0.032, 0.028, 0.065]])
_EYE_RADIUS = 0.012


def synthetic_asset(
    seed: int = 0,
    *,
    shape: int = 6,
    correctives: bool = True,
    rings: int = 24,
    segments: int = 16,
    landmarks: bool = True,
    all_correctives: bool = False,
    personal: bool = True,
) -> ModelAsset:
    """An asset of ``rings * segments + 101`` vertices; the same arguments give the same asset.

    ``all_correctives`` gives one corrective to each of the 72 pose features instead of a handful. ``personal`` adds
    combinations of expressions, and expressions, combinations and correctives that differ between identities.
    """
    random = np.random.default_rng(seed)
    skin, skin_faces, skin_uv, skin_face_uv = _skin(rings, segments)
    eye, eye_faces, eye_uv = _eyeball()
    template = np.concatenate([skin, eye + _EYE_CENTRES[0], eye * [-1, 1, 1] + _EYE_CENTRES[1]])
    starts = np.array([0, len(skin), len(skin) + len(eye), len(template)])
    uv_starts = len(skin_uv) + np.array([0, len(eye_uv)])
    flipped = np.where(eye_faces[:, 3:] >= 0, eye_faces[:, [3, 2, 1, 0]], eye_faces[:, [2, 1, 0, 3]])
    faces = np.concatenate([skin_faces, _offset(eye_faces, starts[1]), _offset(flipped, starts[2])])
    face_uv = np.concatenate([skin_face_uv, _offset(eye_faces, uv_starts[0]), _offset(flipped, uv_starts[1])])
    mirror = _mirror(rings, segments, len(eye))
    features = np.arange(72) if all_correctives else np.sort(random.choice(np.arange(9, 72), 6, replace=False))
    features = features if correctives else features[:0]
    joints = np.concatenate([np.stack([np.zeros(8), _JOINT_Y, _JOINT_Z], 1), _EYE_CENTRES])
    regressor_vertices = _nearest(template, joints, starts)
    regressor_weights = random.dirichlet(np.full(8, 4.0), 10)
    regressed = np.einsum("gn,gnc->gc", regressor_weights, template[regressor_vertices])
    height = np.clip((template[:, 1] - BOTTOM) / 0.13, 0, 1)[:, None]
    landmark_vertices, landmark_weights = _landmarks(random, skin, skin_faces, 68 + 478 if landmarks else 0)
    asset = ModelAsset(
        name="synthetic",
        version=str(seed),
        licence="CC0-1.0",
        provenance=json.dumps({"source": "tests/support/synthetic.py", "seed": seed}),
        template=template,
        faces=faces,
        uv=np.concatenate([skin_uv, eye_uv, eye_uv + np.array([0.15, 0])]),
        face_uv=face_uv,
        part_names=("skin", "eye_left", "eye_right"),
        part_vertices=np.stack([starts[:-1], starts[1:]], 1),
        material_names=("skin", "sclera"),
        material_color=np.array([[0.6, 0.4, 0.3, 1], [0.9, 0.9, 0.88, 1]]),
        material_roughness=np.array([0.5, 0.1]),
        face_material=np.repeat([0, 1], [len(skin_faces), 2 * len(eye_faces)]),
        albedo=random.integers(90, 220, (16, 16, 3)).astype(np.uint8),
        mirror_vertices=mirror,
        region_names=("face", "neck"),
        region_weights=np.stack([height[:, 0], 1 - height[:, 0]]),
        shape_basis=Basis.of(_smooth_fields(random, template, shape, 0.003) / np.arange(1, shape + 1)[:, None, None]),
        direction_names=("sex", "age"),
        directions=random.normal(size=(2, shape)),
        expression_names=(*HACK_EXPRESSIONS, "tongueOut"),
        expression_basis=Basis.of(_expressions(random, template, mirror) * height),
        joint_regressor_vertices=regressor_vertices,
        joint_regressor_weights=regressor_weights,
        joint_offsets=joints - regressed,
        joint_frames=np.concatenate([[_rotation_x(tilt) for tilt in _JOINT_TILT], np.tile(np.eye(3), (2, 1, 1))]),
        joint_axes=np.tile(np.eye(3), (10, 1, 1)),
        joint_limits=np.tile([[-0.25, 0.25], [-0.4, 0.4], [-0.2, 0.2]], (10, 1, 1)),
        joint_rhythm=_RHYTHM,
        weights=_weights(template, starts),
        pose_basis=Basis.of(_smooth_fields(random, template, len(features), 0.002)),
        pose_features=features,
        larynx_map=0.008 * _larynx_map(0.5),
        larynx_forward_map=_larynx_map(0.8),
        larynx_identity=np.random.default_rng(seed + 1).normal(0, 0.1, shape),
        larynx_uv=_larynx_uv(skin, len(template)),
        larynx_direction=np.array([0.0, -0.453, 0.891]) / np.hypot(0.453, 0.891),
        larynx_metres_per_v=LARYNX_METRES_PER_V,
        landmarks68_vertices=landmark_vertices[:68],
        landmarks68_weights=landmark_weights[:68],
        landmarks478_vertices=landmark_vertices[68:],
        landmarks478_weights=landmark_weights[68:],
    )
    return with_personal(asset, seed) if personal else asset


COMBINATIONS = {
    "jawOpen+mouthClose": {"jawOpen": 1.0, "mouthClose": 1.0},
    "eyeBlink_L@50": {"eyeBlink_L": 0.5},
    "mouthSmile_L+mouthPucker+jawOpen@30": {"mouthSmile_L": 1.0, "mouthPucker": 1.0, "jawOpen": 0.3},
}
"""Peak of each source of the synthetic combinations: two at once, an in-between, and both together."""


def with_personal(asset: ModelAsset, seed: int = 0, components: int = 3) -> ModelAsset:
    """The asset with combinations, and with expressions, combinations and correctives of each identity's own."""
    random = np.random.default_rng(seed + 17)
    sources = np.full((len(COMBINATIONS), 3), -1)
    peaks = np.ones(sources.shape)
    for row, factors in enumerate(COMBINATIONS.values()):
        sources[row, : len(factors)] = [asset.expression_names.index(name) for name in factors]
        peaks[row, : len(factors)] = list(factors.values())
    face = asset.region_weights[0][:, None]
    fields = _smooth_fields(random, asset.template, len(COMBINATIONS), 0.004) * face
    rows = {"expression": len(asset.expression_names) + len(COMBINATIONS), "pose": len(asset.pose_basis)}
    personal = {}
    for kind, count in rows.items():
        pairs = np.argwhere(random.uniform(size=(count, asset.control_count)) < 0.2)
        personal |= {
            f"personal_{kind}_basis": random.normal(scale=4e-4, size=(components, len(pairs), 3)),
            f"personal_{kind}_pairs": pairs,
            f"personal_{kind}_map": random.normal(scale=0.5, size=(components, len(asset.shape_basis))),
        }
    if not len(asset.pose_basis):
        personal = {name: value for name, value in personal.items() if "pose" not in name}
    return replace(
        asset,
        combination_names=tuple(COMBINATIONS),
        combination_sources=sources,
        combination_peaks=peaks,
        combination_basis=np.where(np.abs(fields).max(axis=2, keepdims=True) > 2e-3, fields, 0),
        **personal,
    )


def random_parameters(asset: ModelAsset, batch: tuple[int, ...] = (), seed: int = 0) -> dict[str, np.ndarray]:
    """Plausible values of every parameter of :meth:`hack_model.HACK.__call__` but ``scale``."""
    random = np.random.default_rng(seed)
    return {
        "shape": random.normal(size=(*batch, len(asset.shape_basis))),
        "expression": random.uniform(0, 1, (*batch, len(asset.expression_names))) ** 3,
        "pose": random.normal(scale=0.15, size=(*batch, len(CERVICAL_JOINTS), 3)),
        "eye_pose": random.normal(scale=0.2, size=(*batch, 2, 3)),
        "larynx_size": random.uniform(0.2, 1.2, batch),
        "larynx_shift": random.uniform(-0.01, 0.01, batch),
        "global_rotation": random.normal(scale=0.5, size=(*batch, 3)),
        "translation": random.normal(scale=0.3, size=(*batch, 3)),
        "larynx_forward": random.uniform(-0.002, 0.008, batch) if asset.larynx_forward_map.size else np.zeros(batch),
    }


def _skin(rings: int, segments: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, quads (a fan of triangles at the crown), uv and uv indices; ring 0 is the open lower border."""
    y = np.linspace(BOTTOM, CROWN - 0.004, rings)
    middle, half = (NECK_TOP + CROWN) / 2, (CROWN - NECK_TOP) / 2
    egg = np.sqrt(np.clip(1 - ((y - middle) / half) ** 2, 0, None)) * 0.085
    radius = np.maximum(egg, np.where(y < middle, 0.055, 0))
    angle = 2 * np.pi * np.arange(segments) / segments
    tube = np.stack(
        [
            radius[:, None] * np.sin(angle),
            np.broadcast_to(y[:, None], (rings, segments)),
            radius[:, None] * np.cos(angle) * 1.1 - 0.004,
        ],
        axis=-1,
    )
    vertices = np.concatenate([tube.reshape(-1, 3), [[0, CROWN, -0.004]]])
    ring, segment = np.mgrid[: rings - 1, :segments].reshape(2, -1)

    def quads(columns: int, wrap: int) -> np.ndarray:
        after = (segment + 1) % wrap
        low, high = ring * columns, (ring + 1) * columns
        return np.stack([low + segment, low + after, high + after, high + segment], axis=1)

    def fan(columns: int, wrap: int, tip: int) -> np.ndarray:
        first = (rings - 1) * columns + np.arange(segments)
        second = (rings - 1) * columns + (np.arange(segments) + 1) % wrap
        return np.stack([first, second, np.full(segments, tip), np.full(segments, -1)], axis=1)

    faces = np.concatenate([quads(segments, segments), fan(segments, segments, len(vertices) - 1)])
    seam = segments + 1
    u = np.broadcast_to(np.arange(seam) / segments, (rings, seam))
    v = np.broadcast_to(np.linspace(0.15, 0.98, rings)[:, None], (rings, seam))
    uv = np.concatenate([np.stack([u, v], -1).reshape(-1, 2), [[0.5, 1.0]]])
    return vertices, faces, uv, np.concatenate([quads(seam, seam), fan(seam, seam, len(uv) - 1)])


def _eyeball(rings: int = 6, segments: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A sphere about the origin with its poles up and down."""
    polar = np.pi * np.arange(1, rings + 1) / (rings + 1)
    angle = 2 * np.pi * np.arange(segments) / segments
    ring = np.stack(
        [
            np.sin(polar)[:, None] * np.sin(angle),
            np.broadcast_to(-np.cos(polar)[:, None], (rings, segments)),
            np.sin(polar)[:, None] * np.cos(angle),
        ],
        axis=-1,
    )
    vertices = np.concatenate([ring.reshape(-1, 3), [[0, -1, 0], [0, 1, 0]]]) * _EYE_RADIUS
    low, now = np.mgrid[: rings - 1, :segments].reshape(2, -1)
    after = (now + 1) % segments
    quads = np.stack([low, low, low + 1, low + 1], 1) * segments + np.stack([now, after, after, now], 1)
    south, north = len(vertices) - 2, len(vertices) - 1
    first, second, last = np.arange(segments), (np.arange(segments) + 1) % segments, (rings - 1) * segments
    none = np.full(segments, -1)
    caps = [
        np.stack([second, first, np.full(segments, south), none], 1),
        np.stack([last + first, last + second, np.full(segments, north), none], 1),
    ]
    uv = vertices[:, :2] / _EYE_RADIUS * 0.05 + [0.06, 0.07]
    return vertices, np.concatenate([quads, *caps]), uv


def _offset(faces: np.ndarray, start: int) -> np.ndarray:
    return np.where(faces >= 0, faces + start, -1)


def _mirror(rings: int, segments: int, eye: int) -> np.ndarray:
    ring, segment = np.mgrid[:rings, :segments].reshape(2, -1)
    crown = rings * segments
    left = crown + 1 + np.arange(eye)
    return np.concatenate([ring * segments + (-segment) % segments, [crown], left + eye, left])


def _nearest(template: np.ndarray, joints: np.ndarray, starts: np.ndarray, count: int = 8) -> np.ndarray:
    """Skin vertices nearest to each cervical joint; an eye joint takes vertices of its own ball."""
    rows: list[np.ndarray] = []
    for index, joint in enumerate(joints):
        part = 0 if index < len(CERVICAL_JOINTS) else index - len(CERVICAL_JOINTS) + 1
        distance = np.linalg.norm(template[starts[part] : starts[part + 1]] - joint, axis=1)
        rows.append(starts[part] + np.argsort(distance, kind="stable")[:count])
    return np.stack(rows)


def _smooth_fields(random: np.random.Generator, points: np.ndarray, count: int, amplitude: float) -> np.ndarray:
    """(count, V, 3) vector fields, each a sum of eight Gaussian bumps about random points of the mesh."""
    centres = points[random.integers(0, len(points), (count, 8))]
    strength = random.normal(scale=amplitude, size=(count, 8, 3))
    result = np.zeros((count, len(points), 3), np.float32)
    for index in range(count):
        distance2 = ((points[:, None] - centres[index]) ** 2).sum(-1)
        result[index] = np.exp(-distance2 / (2 * 0.04**2)) @ strength[index]
    return result


def _expressions(random: np.random.Generator, template: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """One smooth field per expression; a right-hand field is its left partner's mirror image."""
    names = [*HACK_EXPRESSIONS, "tongueOut"]
    basis = _smooth_fields(random, template, len(names), 0.004)
    for index, name in enumerate(names):
        if name.endswith("_L"):
            basis[index] *= np.clip(0.5 + template[:, :1] / 0.04, 0, 1)
            basis[names.index(f"{name[:-2]}_R")] = basis[index][mirror] * [-1, 1, 1]
    return basis


def _rotation_x(angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])


def _weights(template: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """At most four bones a vertex: a smooth kernel over the height of the chain, eyeballs on their own joints."""
    heights = np.concatenate([[_JOINT_Y[0] - 0.02], (_JOINT_Y[:-1] + _JOINT_Y[1:]) / 2, [0.0]])
    y = np.clip(template[:, 1], heights[0], heights[-1])
    kernel = np.exp(-((y[:, None] - heights) ** 2) / (2 * 0.011**2))
    kernel[kernel < np.sort(kernel, axis=1)[:, -4:-3]] = 0
    weights = np.zeros((len(template), len(SKELETON)))
    weights[:, : len(heights)] = kernel / kernel.sum(axis=1, keepdims=True)
    for column, part in ((9, 1), (10, 2)):
        weights[starts[part] : starts[part + 1]] = np.eye(len(SKELETON))[column]
    return weights


def _larynx_map(radius: float, size: int = 33) -> np.ndarray:
    """A round hill of height 1 on a square whose rim is exactly zero."""
    grid = np.linspace(-1, 1, size)
    radius2 = grid[:, None] ** 2 + grid**2
    return np.clip(1 - radius2 / radius**2, 0, None) ** 2


def _larynx_uv(skin: np.ndarray, count: int) -> np.ndarray:
    uv = np.full((count, 2), -9.0)
    front = (skin[:, 2] > 0) & (skin[:, 1] < -0.05)
    uv[: len(skin)][front] = np.stack([skin[:, 0] / 0.12 + 0.5, (skin[:, 1] + 0.19) / LARYNX_METRES_PER_V], 1)[front]
    return uv


def _landmarks(random: np.random.Generator, skin: np.ndarray, faces: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """Random points of the front of the head."""
    front = faces[(skin[faces[:, :3]].mean(axis=1) @ [0, 0, 1] > 0.03) & (skin[faces[:, 0], 1] > -0.06)]
    return front[random.integers(0, len(front), count), :3], random.dirichlet(np.ones(3), count)


def all_parameters(asset: ModelAsset, batch: tuple[int, ...] = (), seed: int = 0) -> dict[str, np.ndarray]:
    """Random values of every parameter, the scale among them."""
    scale = np.random.default_rng(seed + 100).uniform(0.8, 1.2, batch)
    return {**random_parameters(asset, batch, seed), "scale": scale}
