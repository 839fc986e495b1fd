"""Borders of small surfaces: which edges they are, in which sense they run, in which order they come."""

from __future__ import annotations

import numpy as np

from hack_model.borders import border_edges, border_loops

SQUARE = np.array(
    [[4 * row + k, 4 * row + k + 1, 4 * row + k + 5, 4 * row + k + 4] for row in range(3) for k in range(3)]
)
"""Three by three quads on sixteen vertices."""


def test_square_with_a_hole_has_two_loops_the_longer_first() -> None:
    loops = border_loops(np.delete(SQUARE, 4, axis=0))
    assert [len(loop) for loop in loops] == [12, 4]
    assert set(loops[1].tolist()) == {5, 6, 9, 10}


def test_loops_run_in_the_sense_of_the_faces() -> None:
    (loop,) = border_loops(SQUARE)
    steps = set(zip(loop.tolist(), np.roll(loop, -1).tolist(), strict=True))
    assert {(0, 1), (1, 2), (3, 7), (12, 8)} <= steps
    (reverse,) = border_loops(SQUARE[:, ::-1])
    assert {(second, first) for first, second in steps} == set(
        zip(reverse.tolist(), np.roll(reverse, -1).tolist(), strict=True)
    )


def test_triangles_and_padded_quads_have_the_border_of_the_quads() -> None:
    wanted = {tuple(edge) for edge in border_edges(SQUARE).tolist()}
    triangles = np.concatenate([SQUARE[:, [0, 1, 2]], SQUARE[:, [0, 2, 3]]])
    padded = np.concatenate([triangles, np.full((len(triangles), 1), -1)], axis=1)
    mixed = np.concatenate([SQUARE[:5], padded[[5, 6, 7, 8, 14, 15, 16, 17]]])
    for faces in (triangles, padded, mixed):
        assert {tuple(edge) for edge in border_edges(faces).tolist()} == wanted
        assert len(border_edges(faces)) == len(wanted)


def test_closed_surfaces_and_nothing_have_no_border() -> None:
    tetrahedron = np.array([[0, 1, 2], [0, 3, 1], [1, 3, 2], [2, 3, 0]])
    assert border_loops(tetrahedron) == []
    assert border_loops(np.zeros((0, 4), int)) == []


def test_border_that_meets_itself_in_a_vertex_ends_all_the_same() -> None:
    loops = border_loops(SQUARE[[0, 4]])  # two squares that share a corner
    assert sorted({int(vertex) for loop in loops for vertex in loop}) == [0, 1, 4, 5, 6, 9, 10]
