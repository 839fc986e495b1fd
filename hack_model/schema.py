"""The schema of a model asset: every field, its shape in dimension letters, its dtype, its meaning.

Dimension letters: V vertices, F faces, T texture coordinates, P parts, M materials, S shape components, E expressions,
K pose correctives, D semantic directions, R named regions, J skeleton joints (11), N joint-regressor entries per joint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

SCHEMA_VERSION: Final = 1

Kind = Literal["float", "int", "text", "byte"]


@dataclass(frozen=True)
class Field:
    """One array of an asset.

    ``dims`` holds dimension letters or fixed sizes; a letter must have one size throughout the asset.
    ``required`` fields must be present; the others default to an empty array (letters of size 0).
    """

    name: str
    dims: tuple[str | int, ...]
    kind: Kind
    required: bool
    meaning: str


FIELDS: Final = (
    Field("schema_version", (), "int", True, "version of this schema"),
    Field("name", (), "text", True, "name of the model, for instance hack-open"),
    Field("version", (), "text", True, "version of the model"),
    Field("licence", (), "text", True, "SPDX expression of the asset's licence, or a sentence when there is none"),
    Field("provenance", (), "text", True, "JSON object: sources, commands, date and figures of the build"),
    # Geometry
    Field("template", ("V", 3), "float", True, "rest vertices in metres, +X subject's left, +Y up, +Z forward"),
    Field("faces", ("F", 4), "int", True, "quads, counter-clockwise from outside; -1 as fourth index makes a triangle"),
    Field("uv", ("T", 2), "float", True, "texture coordinates, v up, in [0, 1]"),
    Field("face_uv", ("F", 4), "int", True, "index into uv of each face corner; -1 as in faces"),
    Field("part_names", ("P",), "text", True, "parts of the mesh: skin, eye_left, teeth_upper, ..."),
    Field(
        "part_vertices", ("P", 2), "int", True, "first and one-past-last vertex of each part; parts tile the vertices"
    ),
    Field(
        "material_names",
        ("M",),
        "text",
        True,
        "materials: skin, sclera, iris, pupil, cornea, teeth, gums, tongue, lashes",
    ),
    Field("material_color", ("M", 4), "float", True, "linear RGBA in [0, 1]"),
    Field("material_roughness", ("M",), "float", True, "roughness in [0, 1]"),
    Field("face_material", ("F",), "int", True, "material of each face"),
    Field(
        "albedo",
        ("H", "W", 3),
        "byte",
        False,
        "default colour map of the uv layout, sRGB, first row at the top (v = 1)",
    ),
    Field("mirror_vertices", ("V",), "int", False, "index of each vertex's mirror image about x = 0"),
    Field("region_names", ("R",), "text", False, "names of vertex regions: face, neck, lips, ear_left, ..."),
    Field("region_weights", ("R", "V"), "float", False, "soft membership of each vertex in [0, 1]"),
    # Identity
    Field("shape_basis", ("S", "V", 3), "float", True, "metres per standard deviation of each component"),
    Field("direction_names", ("D",), "text", False, "semantic directions: sex, age, weight, ..."),
    Field("directions", ("D", "S"), "float", False, "shape coefficients of one step along each semantic direction"),
    # Expression
    Field("expression_names", ("E",), "text", True, "names of the expressions, HACK's 55 first and in its order"),
    Field("expression_basis", ("E", "V", 3), "float", True, "metres at activation 1"),
    # Skeleton
    Field(
        "joint_regressor_vertices",
        ("G", "N"),
        "int",
        True,
        "vertices each of the 10 joints (8 cervical, 2 eyes) depends on",
    ),
    Field("joint_regressor_weights", ("G", "N"), "float", True, "their weights; each row sums to 1"),
    Field(
        "joint_offsets", ("G", 3), "float", True, "metres added to the regressed joints (zeros where weights suffice)"
    ),
    Field(
        "joint_frames",
        ("G", 3, 3),
        "float",
        True,
        "rest frame of each joint: columns are its local axes in model space",
    ),
    Field("joint_axes", ("G", 3, 3), "float", True, "rows: flexion, axial, lateral axis in the joint's local frame"),
    Field("joint_limits", ("G", 3, 2), "float", True, "lower and upper limit in radians of flexion, axial, lateral"),
    Field(
        "joint_rhythm",
        (8, 3),
        "float",
        True,
        "share of the whole neck's flexion, axial, lateral per joint; columns sum to 1",
    ),
    Field("weights", ("V", "J"), "float", True, "skinning weights over base, 8 cervical joints, 2 eyes; rows sum to 1"),
    Field("pose_basis", ("K", "V", 3), "float", False, "metres per unit of a pose feature"),
    Field(
        "pose_features",
        ("K",),
        "int",
        False,
        "index of each corrective's feature in the 72 of R(pose) - I, joint-major",
    ),
    # Larynx
    Field(
        "larynx_map",
        ("A", "B"),
        "float",
        True,
        "bump height in metres at size 1, sampled bilinearly, 0 outside; first row at v = 0",
    ),
    Field(
        "larynx_uv",
        ("V", 2),
        "float",
        True,
        "each vertex's place in the map, [0, 1]; far outside for vertices it never moves",
    ),
    Field("larynx_direction", (3,), "float", True, "direction of the bump in model space"),
    Field("larynx_metres_per_v", (), "float", True, "metres of slide that cross the map once in v"),
    # Landmarks
    Field("landmarks68_vertices", ("X", 3), "int", False, "three vertices of each Multi-PIE landmark"),
    Field("landmarks68_weights", ("X", 3), "float", False, "their barycentric weights"),
    Field("landmarks478_vertices", ("Y", 3), "int", False, "three vertices of each MediaPipe landmark"),
    Field("landmarks478_weights", ("Y", 3), "float", False, "their barycentric weights"),
)

FIXED_SIZES: Final = {"J": 11, "G": 10}
"""Letters whose size the skeleton fixes: J = base + 8 + 2, G = 8 cervical + 2 eye joints."""
