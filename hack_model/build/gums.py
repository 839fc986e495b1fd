"""The gums of one jaw with the palate: a sheet around the necks of its teeth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hack_model.build.crowns import FORMS, MILLIMETRE, lean
from hack_model.build.dental_arch import Jaw

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

COLUMNS = 6
"""Columns of the gum per tooth."""
_GUM_ROWS = 10


def gum_mesh(jaw: Jaw) -> tuple[Float[Array, "n 3"], Int[Array, "F 4"]]:
    """A sheet around the necks of the left side's teeth, from the vestibule over the margins to the lingual side.

    The upper one goes on to the middle of the palate. Vertices in metres; -1 as last corner makes a quad a triangle.
    """
    borders = jaw.borders
    length = np.concatenate(
        [np.linspace(borders[i], borders[i + 1], COLUMNS, endpoint=False) for i in range(len(jaw.crowns))]
        + [borders[-1:], borders[-1:] - 1e-6]
    )[:-1]
    tooth = np.minimum(np.arange(len(length)) // COLUMNS, len(jaw.crowns) - 1)
    share = np.concatenate([np.tile(np.arange(COLUMNS) / COLUMNS, len(jaw.crowns)), [1.0]])
    between = np.abs(2 * share - 1) ** 1.8
    neck = np.array([jaw.edge(i) + jaw.up * jaw.crowns[i].length for i in tooth])
    size = np.array([jaw.crowns[i].buccolingual for i in tooth])
    papilla = np.array([0.38 * jaw.crowns[i].length for i in tooth])
    leaning = np.array([float(lean(jaw.crowns[i], np.array(0.0))) for i in tooth])
    neck, size, papilla, leaning = (_smoothed(value) for value in (neck, size, papilla, leaning))
    front = np.array([FORMS[jaw.crowns[i].kind].labial[1] for i in tooth]) * size * (1 - 0.34 * between)
    back = np.array([FORMS[jaw.crowns[i].kind].lingual[1] for i in tooth]) * size * (1 - 0.30 * between)
    margin = neck - jaw.up * papilla * between
    mm, up = MILLIMETRE, jaw.up
    even = 0.42 * size
    depth, bulge = (7.0, 0.5) if jaw.name == "upper" else (4.5, 0.0)
    rows = [
        (neck + up * depth * mm, even - 0.7 * mm),
        (neck + up * 0.65 * depth * mm, even + bulge * mm),
        (neck + up * 2.2 * mm, 0.6 * even + 0.4 * front + 0.75 * mm),
        (margin + up * 0.7 * mm, front + 0.55 * mm),
        (margin, front + 0.15 * mm),
        (margin + up * 0.6 * mm, 0.5 * front),
        (margin + up * 0.6 * mm, 0.5 * back),
        (margin, back - 0.2 * mm),
        (neck + up * 1.8 * mm, back - 0.8 * mm),
        (neck + up * 5.0 * mm, back - 1.6 * mm),
    ]
    sheet = [jaw.place(length, y, out + leaning) for y, out in rows]
    sheet += _palate(sheet[-1], jaw) if jaw.name == "upper" else []
    sheet = np.stack(sheet)
    sheet[:, 0, 0] = 0.0
    columns = sheet.shape[1]
    index = np.arange(sheet.shape[0] * columns).reshape(sheet.shape[:2])
    if jaw.name == "upper":  # in front, on the midline, all rows of the palate begin at one vertex
        index[_GUM_ROWS:, 0] = index[_GUM_ROWS - 1, 0]
    quads = np.stack([index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], axis=-1).reshape(-1, 4)
    doubled = quads[:, 0] == quads[:, 1]
    quads[doubled] = np.column_stack([quads[doubled][:, [0, 2, 3]], np.full(int(doubled.sum()), -1)])
    used, compact = np.unique(quads[quads >= 0], return_inverse=True)
    quads[quads >= 0] = compact
    return sheet.reshape(-1, 3)[used], quads


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Running mean over half a tooth, mirrored at the midline."""
    padded = np.concatenate([values[3:0:-1], values, values[-2:-5:-1]])
    return np.convolve(padded, np.ones(7) / 7, mode="valid")


def _palate(edge: np.ndarray, jaw: Jaw) -> list[np.ndarray]:
    """Rows from the lingual gum to the middle of the palate, a vault of 12 mm above the necks."""
    middle = np.stack([np.zeros(len(edge)), edge[:, 1], edge[:, 2]], axis=1)
    middle[:, 2] -= 2.5 * MILLIMETRE * (1 - np.abs(edge[:, 0]) / np.abs(edge[:, 0]).max())
    depth = np.clip((edge[0, 2] - edge[:, 2]) / 0.02, 0, 1)
    rows = []
    for share in (0.3, 0.65, 1.0):
        row = edge + share * (middle - edge)
        row[:, 1] += 8.0 * MILLIMETRE * depth * np.sin(share * np.pi / 2)
        rows.append(row)
    return rows
