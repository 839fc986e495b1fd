"""The schema of a model asset: every field, its shape in dimension letters, its dtype, its meaning.

Dimension letters: V vertices, F faces, T texture coordinates, P parts, M materials, S shape components, E expressions,
X combinations of at most I expressions, K pose correctives, D semantic directions, R named regions, J skeleton joints
(11), N joint-regressor entries per joint; U and Q components of personalised expressions and correctives, which move
NU and NQ (row, control vertex) pairs.

Version 2 added combinations and personalised bases, and lets a basis be sparse or lie on a control mesh
(:mod:`hack_model.packing` says how the file names its arrays). Files of version 1 load as assets of version 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

SCHEMA_VERSION: Final = 2
READABLE_VERSIONS: Final = (1, 2)

Kind = Literal["float", "int", "text", "byte", "basis"]


@dataclass(frozen=True)
class Field:
    """One array of an asset.

    ``dims`` holds dimension letters or fixed sizes; a letter must have one size throughout the asset.
    ``required`` fields must be present; the others default to an empty array (letters of size 0). A field of kind
    ``basis`` is a :class:`hack_model.basis.Basis`; a dense array of the same shape makes one.
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
    Field("shape_basis", ("S", "V", 3), "basis", True, "metres per standard deviation of each component"),
    Field("direction_names", ("D",), "text", False, "semantic directions: sex, age, weight, ..."),
    Field("directions", ("D", "S"), "float", False, "shape coefficients of one step along each semantic direction"),
    # Expression
    Field("expression_names", ("E",), "text", True, "names of the expressions, HACK's 55 first and in its order"),
    Field("expression_basis", ("E", "V", 3), "basis", True, "metres at activation 1"),
    # Combinations: expressions that together need more than their sum, and in-betweens
    Field("combination_names", ("X",), "text", False, "names of the combinations: jawOpen+mouthClose, ..."),
    Field("combination_sources", ("X", "I"), "int", False, "the expressions of each combination; -1 pads"),
    Field(
        "combination_peaks",
        ("X", "I"),
        "float",
        False,
        "where each source's factor is 1, in (0, 1]: below 1 a tent over [0, 1], at 1 the activation clipped to [0, 1]",
    ),
    Field("combination_basis", ("X", "V", 3), "basis", False, "metres where the product of the factors is 1"),
    # Personalised expressions: zero for the mean identity
    Field(
        "personal_expression_basis",
        ("U", "NU", 3),
        "float",
        False,
        "metres per unit of a component that a pair's displacement differs from the generic one",
    ),
    Field(
        "personal_expression_pairs",
        ("NU", 2),
        "int",
        False,
        "row (expressions, then combinations) and control vertex of each pair",
    ),
    Field("personal_expression_map", ("U", "S"), "float", False, "components per standard deviation of each shape"),
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
    Field("pose_basis", ("K", "V", 3), "basis", False, "metres per unit of a pose feature"),
    Field(
        "pose_features",
        ("K",),
        "int",
        False,
        "index of each corrective's feature in the 72 of R(pose) - I, joint-major",
    ),
    Field(
        "personal_pose_basis",
        ("Q", "NQ", 3),
        "float",
        False,
        "metres per unit of a component and of a pose feature that a pair's displacement differs from the generic one",
    ),
    Field("personal_pose_pairs", ("NQ", 2), "int", False, "row of pose_basis and control vertex of each pair"),
    Field("personal_pose_map", ("Q", "S"), "float", False, "components per standard deviation of each shape"),
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
    Field(
        "larynx_forward_map",
        ("A", "B"),
        "float",
        False,
        "metres the skin follows per metre of larynx_forward, sampled as larynx_map",
    ),
    Field(
        "larynx_identity",
        ("S",),
        "float",
        False,
        "logarithm of the bump's size per standard deviation of each shape component; the mean identity's is 1",
    ),
    Field("larynx_metres_per_v", (), "float", True, "metres of slide that cross the map once in v"),
    # Landmarks
    Field("landmarks68_vertices", ("L68", 3), "int", False, "three vertices of each Multi-PIE landmark"),
    Field("landmarks68_weights", ("L68", 3), "float", False, "their barycentric weights"),
    Field("landmarks478_vertices", ("L478", 3), "int", False, "three vertices of each MediaPipe landmark"),
    Field("landmarks478_weights", ("L478", 3), "float", False, "their barycentric weights"),
)

FIXED_SIZES: Final = {"J": 11, "G": 10}
"""Letters whose size the skeleton fixes: J = base + 8 + 2, G = 8 cervical + 2 eye joints."""
