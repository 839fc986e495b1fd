"""Places on the surface are found again from where their projections were seen."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from fitting.camera import Camera
from fitting.embedding import Sighting, _constrained, iris_vertices, locate, sighting, topology_digest, write_embedding
from fitting.points import POINT_COUNT, points
from hack_model.asset import ModelAsset
from hack_model.build.landmarks import read_points
from hack_model.model import HACK
from hack_model.resources import default_model_path
from tests.support.synthetic import synthetic_asset


@pytest.fixture(scope="module")
def asset():
    return synthetic_asset()


def sightings(asset, noise: float, seed: int = 0) -> list[Sighting]:
    """The asset's own landmarks as a detector with some noise and a few wild points would see them."""
    random, model = np.random.default_rng(seed), HACK.from_asset(asset)
    camera = Camera.centred(1500, 600, 600)
    result = []
    for _ in range(40):
        turn = random.normal(size=3) * 0.25
        head = model(shape=random.normal(size=6), global_rotation=turn, translation=[0, 0, -1]).vertices
        vertices = np.asarray(head)
        on_surface = np.einsum(
            "lc,lcx->lx", asset.landmarks478_weights, vertices[asset.landmarks478_vertices].astype(float)
        )
        found = camera.project(on_surface)
        unit = np.linalg.norm(found[33] - found[263])
        found = found + random.normal(size=found.shape) * noise * unit
        wild = random.uniform(size=len(found)) < 0.03
        wild[[33, 263]] = False
        found[wild] += unit
        result.append(sighting(camera, vertices, found, np.ones(len(vertices), bool)))
    return result


def test_places_are_found_again(asset):
    embedding = locate(asset, sightings(asset, 0.003))
    wanted = np.einsum("lc,lcx->lx", asset.landmarks478_weights, asset.template[asset.landmarks478_vertices])
    found = np.einsum("lc,lcx->lx", embedding.weights, asset.template[embedding.vertices])
    skin = np.array([name != "iris" for name in points().groups])
    distance = np.linalg.norm(found - wanted, axis=1)[skin]
    assert np.median(distance) < 0.0005
    assert np.percentile(distance, 95) < 0.003
    assert np.allclose(embedding.weights.sum(axis=1), 1)
    assert (embedding.weights >= 0).all()


def test_search_around_a_known_embedding_agrees(asset):
    seen = sightings(asset, 0.003)
    whole = locate(asset, seen)
    again = locate(asset, seen, around=whole)
    assert np.abs(again.error - whole.error).max() < 1e-3


def test_table_is_what_the_builder_reads(asset, tmp_path):
    embedding = locate(asset, sightings(asset, 0.0)[:8])
    write_embedding(tmp_path / "t.csv", asset, embedding)
    vertices, weights = read_points(tmp_path / "t.csv")
    assert np.array_equal(vertices, embedding.vertices)
    assert np.allclose(weights, embedding.weights, atol=1e-6)
    assert topology_digest(asset) in (tmp_path / "t.csv").read_text()
    rows = [line for line in (tmp_path / "t.csv").read_text().splitlines() if not line.startswith("#")]
    assert len(list(csv.DictReader(rows))) == POINT_COUNT


def test_weights_stay_in_the_triangle():
    random = np.random.default_rng(0)
    arms = random.normal(size=(50, 20, 3, 2)) * 0.01 + random.normal(size=(50, 1, 1, 2))
    pull = random.uniform(0.1, 1, (50, 20))
    weights = _constrained(arms, pull)
    assert np.allclose(weights.sum(axis=1), 1)
    assert (weights >= 0).all()

    def cost(w):
        return np.einsum("tk,tk->t", pull, (np.einsum("tkcx,tc->tkx", arms, w) ** 2).sum(axis=2))

    for _ in range(200):  # no other point of the triangle does better
        other = random.dirichlet(np.ones(3) * 0.5, 50)
        assert (cost(weights) <= cost(other) + 1e-9).all()


@pytest.fixture(scope="module")
def default() -> HACK:
    return HACK.from_asset(ModelAsset.load(default_model_path()))


def landmarks(model: HACK, **expression: float) -> np.ndarray:
    """The default model's points in millimetres."""
    vertices = np.asarray(model(expression=expression).vertices)
    asset = model.asset
    return 1000 * np.einsum("lc,lcx->lx", asset.landmarks478_weights, vertices[asset.landmarks478_vertices])


def test_inner_lips_of_the_default_model_are_not_swapped(default):
    rest, wide = landmarks(default), landmarks(default, jawOpen=1.0)
    for upper, lower in ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402)):
        assert abs(wide[upper, 1] - rest[upper, 1]) < 6  # a wide jaw pulls the corners of the upper lip along
        assert wide[lower, 1] - rest[lower, 1] < -18
        assert abs(rest[upper, 1] - rest[lower, 1]) < 2.5


def test_lids_of_the_default_model_meet_in_a_blink(default):
    rest, shut = landmarks(default), landmarks(default, eyeBlink_L=1.0, eyeBlink_R=1.0)
    for upper, lower in ((159, 145), (158, 153), (160, 144), (386, 374), (385, 380), (387, 373)):
        assert 6 < rest[upper, 1] - rest[lower, 1] < 13
        assert abs(shut[upper, 1] - shut[lower, 1]) < 2.5


def test_default_points_are_nearly_symmetric(default):
    rest = landmarks(default)
    assert np.median(np.linalg.norm(rest - rest[points().mirror] * [-1, 1, 1], axis=1)) < 0.7


def test_points_of_the_irises_lie_on_the_irises(default):
    rest, found = landmarks(default), iris_vertices(default.asset)
    assert set(found) == set(range(468, 478))
    for eye, middle in ((0, 473), (1, 468)):
        centre = 1000 * np.asarray(default.joint_template)[8 + eye]
        assert np.abs(rest[middle, :2] - centre[:2]).max() < 0.7
        radii = np.linalg.norm(rest[middle + 1 : middle + 5, :2] - rest[middle, :2], axis=1)
        assert (np.abs(radii - 5.9) < 0.5).all()
