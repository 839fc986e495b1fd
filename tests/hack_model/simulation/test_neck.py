"""The default model's neck as a solid: mesh, anatomy, bones, equilibria."""

from __future__ import annotations

import numpy as np
import pytest

from hack_model.model import HACK
from hack_model.posing import neck_pose
from hack_model.simulation.body import NeckBody
from hack_model.simulation.energy import Elastic
from hack_model.simulation.neck import NeckSimulation
from hack_model.simulation.people import training_people
from hack_model.simulation.poses import combined, mirrored, single_joints, whole_neck
from hack_model.simulation.registration import ControlNeck, smoothed
from hack_model.simulation.volume import signed_volumes
from hack_model.spine import WHOLE_NECK


@pytest.fixture(scope="module")
def simulation(bare: HACK, body: NeckBody) -> NeckSimulation:
    return NeckSimulation(bare, body)


def test_the_solid_is_closed_and_its_skin_is_the_model(bare: HACK, body: NeckBody) -> None:
    import trimesh

    volume = body.volume
    surface = trimesh.Trimesh(volume.nodes, volume.surface, process=False)
    assert surface.is_watertight
    assert surface.is_winding_consistent
    volumes = signed_volumes(volume.nodes, volume.tetrahedra)
    assert volumes.min() > 0
    assert volumes.sum() == pytest.approx(surface.volume, rel=1e-9)
    assert np.array_equal(volume.nodes[: len(volume.skin)], bare.asset.template[volume.skin].astype(float))


def test_muscles_run_from_skull_to_girdle_on_both_sides(bare: HACK, body: NeckBody) -> None:
    joints = np.asarray(bare.joint_template)
    for course in body.anatomy.of("sternocleidomastoid_sternal", "sternocleidomastoid_clavicular", "trapezius"):
        side = 1 if course.side == "left" else -1
        assert (side * course.points[:, 0] > 0).all()
        assert course.points[0, 1] > joints[7, 1] - 0.02  # from the skull's base …
        assert course.points[-1, 1] < joints[0, 1] + 0.005  # … to sternum, clavicle, acromion
    assert {(part.muscle, part.side) for part in body.fibres} == {
        (course.structure, course.side) for course in body.anatomy.of(*{part.muscle for part in body.fibres})
    }


def test_bones_lie_in_order_and_off_the_skin(body: NeckBody) -> None:
    nodes, bone = body.volume.nodes, body.bone
    inner = np.arange(len(nodes)) >= len(body.volume.skin)
    spine = np.isfinite(bone) & (bone > 0) & (bone < 8) & inner
    assert spine.sum() > 30
    assert set(np.unique(np.round(bone[spine]))) >= set(range(1, 8))
    assert np.corrcoef(nodes[spine, 1], bone[spine])[0, 1] > 0.97
    assert np.abs(nodes[spine, 0]).max() < 0.02
    free_skin = np.isnan(bone[: len(body.volume.skin)])
    assert free_skin.mean() > 0.5


def test_bones_rest_at_rest_and_go_with_their_joint(simulation: NeckSimulation) -> None:
    body = simulation.body
    fixed = np.isfinite(body.bone)
    rest = simulation.rest[fixed]
    assert np.abs(simulation.bones(np.zeros((8, 3))) - rest).max() < 1e-12
    pose = neck_pose(simulation.asset, 0.3, 0.5, -0.2)
    moved, place = simulation.bones(pose), body.bone[fixed]
    for whole in range(9):
        chosen = place == whole
        if chosen.sum() < 3:
            continue
        before = np.linalg.norm(rest[chosen][:, None] - rest[chosen], axis=2)
        after = np.linalg.norm(moved[chosen][:, None] - moved[chosen], axis=2)
        assert after == pytest.approx(before, abs=1e-9)
    assert np.abs(moved[place == 0] - rest[place == 0]).max() < 1e-12


def test_turning_left_tenses_the_right_sternocleidomastoid(simulation: NeckSimulation) -> None:
    left = simulation.activation(neck_pose(simulation.asset, 0.0, np.radians(60)))
    by_name = {(part.muscle, part.side): value for part, value in zip(simulation.body.fibres, left, strict=True)}
    assert by_name["sternocleidomastoid_sternal", "right"] > 0.4
    assert by_name["sternocleidomastoid_sternal", "left"] == 0
    assert np.array_equal(simulation.activation(np.zeros((8, 3))), np.zeros(len(simulation.body.fibres)))


def test_poses_stay_inside_the_limits_and_mirror_back(bare: HACK) -> None:
    asset = bare.asset
    for path in [*single_joints(asset), *whole_neck(asset), *combined(asset, 12, 0)]:
        angles = np.einsum("pji,jki->pjk", path.poses, asset.joint_axes[:8])
        limits = asset.joint_limits[:8]
        whole = path.kind not in ("single", "combined")
        if not whole:
            assert (angles >= limits[..., 0] - 1e-6).all()
            assert (angles <= limits[..., 1] + 1e-6).all()
        assert np.abs(np.degrees(angles.sum(axis=1))).max() <= max(WHOLE_NECK.values()) * 1.3
        images = np.stack([mirrored(asset, pose) for pose in path.poses])
        assert np.einsum("pji,jki->pjk", images, asset.joint_axes[:8]) == pytest.approx(angles * [1, -1, -1])


def test_people_differ_and_can_be_meshed(bare: HACK, body: NeckBody) -> None:
    people = training_people(bare, 3)
    assert list(people)[:3] == ["mean", "sampled 1", "opposite 1"]
    assert np.array_equal(people["sampled 2"], -people["opposite 2"])
    lengths, breadths = [], []
    for shape in people.values():
        simulation = NeckSimulation(bare, body, shape)
        assert Elastic(simulation.body, simulation.rest).volumes.min() > 0
        lengths.append(simulation.joints[7, 1] - simulation.joints[0, 1])
        breadths.append(np.ptp(simulation.rest[np.abs(simulation.rest[:, 1] - simulation.joints[3, 1]) < 0.01, 0]))
    assert np.ptp(lengths) > 0.010
    assert np.ptp(breadths) > 0.010
    # Moved along sex, weight and length of neck, they differ more in these than people drawn from the population do.
    far = np.stack([*training_people(bare, 60).values()][1:])
    weight = bare.asset.directions[list(bare.asset.direction_names).index("weight")]
    assert 1.15 < (far @ weight).std() / np.linalg.norm(weight) < 1.6


def test_leaving_out_tetrahedra_keeps_the_others_what_they_are(body: NeckBody) -> None:
    kept = np.random.default_rng(0).random(len(body.volume.tetrahedra)) > 0.3
    fewer = body.restricted(kept)
    assert np.array_equal(fewer.young, body.young[kept])
    for before, after in zip(body.fibres, fewer.fibres, strict=True):
        chosen = kept[before.tetrahedra]
        assert np.array_equal(
            fewer.volume.tetrahedra[after.tetrahedra], body.volume.tetrahedra[before.tetrahedra[chosen]]
        )
        assert np.array_equal(after.active, before.active[chosen])


def test_control_displacements_come_back(bare: HACK, body: NeckBody) -> None:
    neck = ControlNeck.of(bare.asset, body.volume.skin)
    place = bare.asset.template[neck.skin]
    inside = np.clip(1 - np.abs(place[:, 1] + 0.08) / 0.05, 0, 1)[:, None] ** 2
    moved = 0.01 * inside * np.stack([np.sin(30 * place[:, 1]), np.cos(30 * place[:, 0]), place[:, 2] * 10], axis=1)
    whole = neck.spread(moved)
    assert np.abs(whole[neck.skin] - moved).max() < 0.1 * np.abs(moved).max()
    again = neck.matrix @ neck.fitted(whole[None])[0]
    assert np.abs(again - whole).max() < 1e-5


def test_smoothing_calms_noise_and_keeps_what_is_even(body: NeckBody) -> None:
    quads, count = body.volume.quads, len(body.volume.skin)
    even = np.full((1, count, 3), 0.004)
    assert smoothed(even, quads, np.full(count, 0.4)) == pytest.approx(even)
    noise = np.random.default_rng(0).normal(size=(2, count, 3))
    calmed = smoothed(noise, quads, np.full(count, 2.0))
    assert 0.3 < calmed.std() / noise.std() < 0.6
    assert smoothed(noise, quads, np.zeros(count)) == pytest.approx(noise)


def test_smoothing_leaves_broad_folds_alone(body: NeckBody) -> None:
    """A wave of 12 cm down the neck's front keeps its height away from the borders."""
    place, count = body.volume.nodes[: len(body.volume.skin)], len(body.volume.skin)
    wave = 0.01 * np.sin(2 * np.pi * place[:, 1] / 0.12)[None, :, None] * [0.0, 0.0, 1.0]
    inside = (place[:, 2] > 0) & (np.abs(place[:, 1] + 0.12) < 0.04) & (np.abs(place[:, 0]) < 0.04)
    assert inside.sum() > 20
    assert np.abs(smoothed(wave, body.volume.quads, np.full(count, 2.0)) - wave)[0, inside].max() < 1e-3


@pytest.mark.slow
def test_a_turned_neck_is_in_equilibrium_keeps_its_volume_and_mirrors(simulation: NeckSimulation) -> None:
    asset, body = simulation.asset, simulation.body
    pose = neck_pose(asset, 0.0, np.radians(40))
    found, image = (simulation.follow(np.array([turn]))[0] for turn in (pose, mirrored(asset, pose)))
    assert found is not None
    assert image is not None
    elastic, free = simulation.elastic, np.isnan(body.bone)
    activation = simulation.activation(pose)
    force = np.linalg.norm(elastic.derivatives(found, activation)[0][free], axis=1)
    started = simulation.rest + simulation.skinned(pose) - simulation.rest
    assert force.max() < 0.02 * np.linalg.norm(elastic.derivatives(started, activation)[0][free], axis=1).max()
    soft = ~np.isfinite(body.bone)[body.volume.tetrahedra].all(axis=1)
    before, after = elastic.volumes[soft].sum(), signed_volumes(found, body.volume.tetrahedra)[soft].sum()
    assert after == pytest.approx(before, rel=0.01)
    # The mesh inside is not symmetric, so mirror images agree only as far as its fineness goes.
    skin = body.volume.skin
    place = {vertex: node for node, vertex in enumerate(skin)}
    mirror = np.array([place[vertex] for vertex in asset.mirror_vertices[skin]])
    difference = np.linalg.norm(found[: len(skin)][mirror] * [-1, 1, 1] - image[: len(skin)], axis=1)
    assert np.sqrt((difference**2).mean()) < 1.5e-3


@pytest.mark.slow
def test_another_persons_tissue_leads_to_the_same_equilibrium(
    bare: HACK, body: NeckBody, simulation: NeckSimulation
) -> None:
    person = NeckSimulation(bare, body, training_people(bare, 1)["sampled 1"])
    pose = neck_pose(bare.asset, 0.1, np.radians(45), 0.1)
    model, walked = simulation.follow(pose[None])[0], person.follow(pose[None])[0]
    steps = person.counts.iterations
    assert model is not None
    assert walked is not None
    adapted = person.adapt(pose, model - simulation.skinned(pose))
    assert adapted is not None
    assert person.counts.equilibria == 2
    assert person.counts.iterations - steps < 0.5 * steps
    count = len(body.volume.skin)
    assert np.linalg.norm(adapted - walked, axis=1)[:count].max() < 5e-4
    assert np.linalg.norm(adapted - person.skinned(pose), axis=1)[:count].max() > 5e-3
