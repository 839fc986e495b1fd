from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hack_model.borders import border_loops
from hack_model.build.cut import edge_loop, head_faces
from hack_model.build.head import Head
from hack_model.build.source import MakeHumanSource
from hack_model.errors import FormatError

from .test_refine import grid


def test_edge_loop_goes_straight_on_to_the_border():
    assert edge_loop(grid(3, 4), 6, 7) == [6, 7, 8, 9]


def test_edge_loop_closes():
    ring = np.array([[i, (i + 1) % 5, 5 + (i + 1) % 5, 5 + i] for i in range(5)])
    faces = np.concatenate([ring, ring + 5])
    assert edge_loop(faces, 5, 6) == [5, 6, 7, 8, 9, 5]


def test_edge_loop_needs_an_edge():
    with pytest.raises(FormatError, match="0 and 11"):
        edge_loop(grid(3, 4), 0, 11)


def test_skin_ends_in_one_level_loop_below_the_clavicles(head: Head):
    loops = border_loops(head.skin.faces)
    assert len(loops) == 1
    border = head.skin.vertices[loops[0]]
    chin = head.skin.vertices[np.abs(head.skin.vertices[:, 0]) < 1e-9][:, 1]
    assert border[:, 1].max() < -0.12 < chin.max()
    assert np.ptp(border[:, 1]) < 0.08
    assert border[:, 0].max() < 0.19


def test_vertices_lie_between_14000_and_20000(head: Head):
    assert 14_000 <= len(head.skin.vertices) <= 20_000
    assert len(np.unique(head.skin.faces)) == len(head.skin.vertices)


def test_skin_keeps_mouth_and_eye_sockets(head: Head):
    assert head.inner["mouth_interior"].sum() > 1000
    assert head.inner["eye_sockets"].sum() > 1000


def test_open_cut_is_an_error(source: MakeHumanSource):
    with pytest.raises(FormatError, match="does not close"):
        head_faces(source.base, starts=((1528, 1527),))
    other = dataclasses.replace(source.base, faces=source.base.faces[:, ::-1])
    assert len(head_faces(other)) == len(head_faces(source.base))
