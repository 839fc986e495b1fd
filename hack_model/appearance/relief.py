"""The skin's fine relief: pores, the lines between them, the lips' folds, and how rough each place is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from hack_model.appearance.noise import jittered, lattice, splats

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from hack_model.appearance.parameters import Appearance
    from hack_model.appearance.pigmentation import Places
    from hack_model.appearance.texels import Texels

    Array = np.ndarray

_PORE_CELLS: Final = 430
"""Pores along a map's side: about one to a square millimetre of the nose."""
_PORE_RADIUS: Final = 0.00062
_PORE_DEPTH: Final = 1.1e-4
_LINE_DEPTH: Final = 2.2e-5
"""Metres: the primary lines of the skin's microrelief are 20-100 µm deep (J. L. Lévêque, EEMCO guidance, 1999)."""
_LIP_DEPTH: Final = 0.8e-4
_ROUGHNESS: Final = 0.54
_LIP_ROUGHNESS: Final = 0.40
_WET_ROUGHNESS: Final = 0.22
HOLLOW_LOSS: Final = (0.20, 0.30, 0.32)
"""Shares of red, green and blue that the deepest hollow swallows."""


def pore_map(texels: Texels, places: Places, appearance: Appearance) -> Float[Array, " n"]:
    """How deep in a pore each texel is, 0 to about 1; pores of the nose are the widest."""
    centres = jittered(_PORE_CELLS, appearance.seed + 31)
    generator = np.random.default_rng([appearance.seed, 32])
    size = generator.uniform(0.6, 1.25, len(centres)) * _PORE_RADIUS * (0.8 + 0.4 * appearance.age)
    spots = splats(texels.size, centres, size, generator.uniform(0.2, 1.0, len(centres)) ** 1.4)
    return np.minimum(spots.reshape(-1)[texels.index], 1.2) * places.fields["pores"]


def relief(texels: Texels, places: Places, appearance: Appearance, pores: Float[Array, " n"]) -> Float[Array, " n"]:
    """Height in metres of everything finer than the mesh but the wrinkles."""
    seed, size = appearance.seed, texels.size

    def noise(across: int, down: int, key: int) -> Float[Array, " n"]:
        return lattice(size, across, down, seed + key).reshape(-1)[texels.index]

    age = appearance.age
    dry = (1 - places.lips) * (1 - places.mouth) * (1 - places.sockets)
    # Lines lie across the pull of the muscles below: level on forehead, lids and neck, crossed elsewhere.
    y = places.position[:, 1]
    level = np.clip((y - 0.062) / 0.02, 0, 1) + places.lid + np.clip((-0.085 - y) / 0.02, 0, 1)
    level = np.clip(level, 0, 1)
    crossed = noise(480, 480, 51) + 0.5 * noise(300, 300, 52)
    rows = noise(150, 500, 53) + 0.5 * noise(90, 320, 54)
    lines = (1 - 0.75 * level) * crossed + 0.9 * level * (_creases(rows) + 0.5 * crossed)
    height = -_LINE_DEPTH * (0.6 + 0.9 * age) * dry * lines
    height -= _PORE_DEPTH * (0.3 + 1.4 * appearance.pores) * pores * dry
    folds = _creases(noise(330, 36, 55)) + 0.5 * _creases(noise(190, 24, 56)) + 0.25 * noise(420, 200, 57)
    return height - _LIP_DEPTH * (0.7 + 0.6 * age) * places.lips * folds


def roughness_map(
    texels: Texels, places: Places, appearance: Appearance, pores: Float[Array, " n"]
) -> Float[Array, " n"]:
    """Roughness (the square root of GGX's alpha, as in glTF) at the texels, 0.1 to 0.9."""
    fine = lattice(texels.size, 300, 300, appearance.seed + 61).reshape(-1)[texels.index]
    coarse = lattice(texels.size, 60, 60, appearance.seed + 62).reshape(-1)[texels.index]
    oily = 2.2 * (appearance.sebum - 0.15)
    rough = _ROUGHNESS - 0.16 * (appearance.sebum - 0.4) + oily * places.fields["roughness"]
    rough = rough + 0.018 * fine + 0.012 * coarse + 0.14 * pores + 0.05 * (appearance.age - 0.3)
    rough += places.lips * (_LIP_ROUGHNESS + 0.03 * fine - rough)
    wet = np.maximum(np.maximum(places.mouth, places.sockets), 0.55 * places.rim)
    rough += wet * (_WET_ROUGHNESS - rough)
    return np.clip(rough, 0.1, 0.9)


def shaded(colour: Float[Array, "n 3"], hollow: Float[Array, " n"]) -> Float[Array, "n 3"]:
    """Colour in hollows (0 none … 1 deep): darker and redder, since light there has met skin more than once."""
    loss = np.clip(hollow, 0, 1)[:, None] * np.array(HOLLOW_LOSS, np.float32)
    return colour * (1 - loss)


def encoded_normals(slopes: Float[Array, "*n 2"]) -> UInt8[Array, "*n 3"]:
    """Tangent-space normals of slopes as glTF and OpenGL store them: 128 is 0, green grows upwards."""
    normals = np.concatenate([-slopes, np.ones_like(slopes[..., :1])], axis=-1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.clip(np.rint(normals * 127 + 128), 0, 255).astype(np.uint8)


def _creases(noise: Float[Array, " n"]) -> Float[Array, " n"]:
    """Narrow furrows (about 1) along the zeros of a noise, with flat ground (0) between them."""
    return np.exp(-((noise / 0.32) ** 2)) - 0.3
