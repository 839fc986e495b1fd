"""The dynamic stage: joints, skinning weights and pose correctives learned together from posed meshes.

Block coordinate descent on one objective, the squared error of the posed meshes over the noise plus the priors: each
block is a linear least-squares problem given the others (the joints enter linear blend skinning linearly, too). The
model itself is evaluated by :class:`hack_model.Rig`, with each subject's own neutral head as template.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.asset import ModelAsset
from hack_model.kinematics import joint_transforms, rotation_matrix
from hack_model.model import HACK
from hack_model.names import CERVICAL_JOINTS
from hack_model.rig import Output, Rig
from hack_model.training.dataset import Dataset
from hack_model.training.skinning import edge_laplacian, solve_weights
from hack_model.training.static import Neutrals, Progress, activations

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    Array = np.ndarray

FEATURES = np.arange(9, 72)
"""Pose features that may drive a corrective: those of the seven upper joints (the root's are zero in HACK)."""

_BONES = 1 + len(CERVICAL_JOINTS)
_WEIGHT_SD, _WEIGHT_SLOPE_SD = 0.5, 40.0
"""Priors: of a weight's difference from the template's, and of its slope along the surface in 1/m."""
_CORRECTIVE_NEAR_SD, _CORRECTIVE_FAR_SD, _CORRECTIVE_REACH = 0.006, 0.001, 0.08
"""Prior of correctives, metres per unit feature, at their joint and far from it, and the reach between in metres."""
_CORRECTIVE_SLOPE_SD = 0.3
"""Prior of a corrective's slope along the surface, per unit feature."""
_JOINT_SD, _JOINT_NOISE = 0.005, 0.001
"""Priors in metres: of a joint about the template's regressor, and of an estimated joint about the truth."""
_REGRESSOR_SD, _REGRESSOR_SIZE, _REGRESSOR_CANDIDATES = 0.1, 16, 24
_SMOOTHING_SWEEPS, _BLOCK = 4, 512


@dataclass(frozen=True)
class PosedMeshes:
    """The posed samples of a dataset, seen through a model whose identity is each subject's neutral head."""

    dataset: Dataset
    neutrals: Neutrals
    activations: Float[Array, "n E"]
    shapes: Float[Array, "subjects S"] | None = None

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        neutrals: Neutrals,
        names: tuple[str, ...],
        shapes: Float[Array, "subjects S"] | None = None,
    ) -> PosedMeshes:
        """The posed samples, for a model with these expression names.

        ``shapes`` are the subjects' shape coefficients, by which a model personalises its expressions and correctives.
        """
        return cls(dataset, neutrals, activations(dataset, names), shapes)

    @property
    def chosen(self) -> Bool[Array, " n"]:
        """The samples whose neck is not at rest."""
        return ~self.dataset.rest

    @property
    def subjects(self) -> Int[Array, " p"]:
        """Those who have posed samples."""
        return np.unique(self.dataset.subject[self.chosen])

    def predictions(self, model: HACK) -> Generator[tuple[Int[Array, " b"], Float[Array, "b 3 V"], Output]]:
        """Sample numbers, vertices and what the model says of them, coordinates first."""
        for numbers, vertices in self.dataset.batches(self.chosen):
            neutral = self.neutrals.of(self.dataset.subject[numbers])
            size, shift = np.nan_to_num(self.dataset.larynx[numbers]).T
            shapes = None if self.shapes is None else self.shapes[self.dataset.subject[numbers]]
            rig = subject_rig(model, neutral, shapes)
            output = rig(self.activations[numbers], self.dataset.pose[numbers], larynx_size=size, larynx_shift=shift)
            yield numbers, np.swapaxes(vertices, 1, 2), output


def subject_rig(model: HACK, neutral: Float[Array, "b V 3"], shapes: Float[Array, "b S"] | None = None) -> Rig:
    """The model with scanned heads in place of its own; joints by the model's regressor.

    ``shapes`` personalise expressions and correctives.
    """
    template = np.ascontiguousarray(np.swapaxes(neutral, 1, 2), np.float32)
    return replace(model.rig(shapes), template=template, joints=regressed_joints(model.asset, neutral))


def regressed_joints(asset: ModelAsset, neutral: Float[Array, "b V 3"]) -> Float[Array, "b 10 3"]:
    """Rest joints of heads."""
    near = neutral[:, asset.joint_regressor_vertices].astype(np.float64)
    return (np.einsum("gn,bgnc->bgc", asset.joint_regressor_weights, near) + asset.joint_offsets).astype(np.float32)


def prepared(asset: ModelAsset) -> ModelAsset:
    """The asset with one corrective for each of :data:`FEATURES`, zero where it had none."""
    basis = np.zeros((len(FEATURES), asset.vertex_count, 3), np.float32)
    for feature, corrective in zip(asset.pose_features, asset.pose_basis.dense(), strict=True):
        if feature in FEATURES:
            basis[np.searchsorted(FEATURES, feature)] = corrective
    return replace(asset, pose_basis=basis, pose_features=FEATURES)


def iterate(
    asset: ModelAsset,
    template: ModelAsset,
    meshes: PosedMeshes,
    noise: float,
    progress: Progress,
    round_number: int = 1,
    *,
    keep_joints: bool = False,
    keep_weights: bool = False,
) -> ModelAsset:
    """One round: joints and their regressor, weights, correctives, on an asset :func:`prepared` once.

    ``template`` is what the priors stand on. Round 1 leaves the joints alone: they would take up what the missing
    correctives owe. ``keep_joints`` and ``keep_weights`` leave them as they are in every round.
    """
    name, first = f"neck, round {round_number}", round_number == 1
    free_joints = not (first or keep_joints)
    total = (1 + free_joints + (not keep_weights)) * int(meshes.chosen.sum())
    done = 0

    def count(numbers: np.ndarray) -> None:
        nonlocal done
        done += len(numbers)
        progress(name, done, total)

    asset = _with_joints(asset, template, meshes, noise, count) if free_joints else asset
    asset = asset if keep_weights else _with_weights(asset, template, meshes, noise, count)
    return _with_correctives(asset, meshes, noise, count)


def _with_joints(asset: ModelAsset, template: ModelAsset, meshes: PosedMeshes, noise: float, count: Any) -> ModelAsset:
    model = HACK.from_asset(asset)
    subjects = meshes.subjects
    weights = np.asarray(model.weights, np.float64)
    overlap = weights @ weights.T
    unknowns = np.zeros((24, 10, 3))
    unknowns[:, :8] = np.eye(24).reshape(24, 8, 3)
    normal = np.tile(np.eye(24) * (noise / _JOINT_SD) ** 2, (len(subjects), 1, 1))
    right = np.zeros((len(subjects), 24))
    for numbers, vertices, output in meshes.predictions(model):
        count(numbers)
        transforms = joint_transforms(unknowns[:, None], asset.joint_frames.astype(float), _rotations(meshes, numbers))
        moved = transforms[..., :3, 3]  # a posed vertex changes by these, blended, when a joint moves by one metre
        missing = (vertices - np.swapaxes(output.vertices, 1, 2)).astype(np.float64) @ weights.T
        rows = np.searchsorted(subjects, meshes.dataset.subject[numbers])
        blended = np.einsum("mnja,jk->mnka", moved, overlap)
        np.add.at(normal, rows, np.einsum("mnka,lnka->nml", blended, moved))
        np.add.at(right, rows, np.einsum("mnja,naj->nm", moved, missing))
    neutral = meshes.neutrals.of(subjects)
    now = regressed_joints(asset, neutral).astype(np.float64)
    prior = regressed_joints(template, neutral).astype(np.float64)
    right += ((prior - now)[:, :8] * (noise / _JOINT_SD) ** 2).reshape(len(subjects), 24)
    found = now.copy()
    found[:, :8] += np.linalg.solve(normal, right[..., None])[..., 0].reshape(-1, 8, 3)
    return _with_regressor(asset, template, neutral, found)


def _with_regressor(
    asset: ModelAsset, template: ModelAsset, neutral: Float[Array, "p V 3"], joints: Float[Array, "p 10 3"]
) -> ModelAsset:
    """A sparse convex regressor near the template's that finds the given joints; the offset takes the mean error."""
    from scipy.optimize import nnls

    size = max(_REGRESSOR_SIZE, template.joint_regressor_vertices.shape[1])
    vertices = np.zeros((10, size), np.int64)
    weights = np.zeros((10, size))
    held = template.joint_regressor_vertices.shape[1]
    vertices[:, :held], weights[:, :held] = template.joint_regressor_vertices, template.joint_regressor_weights
    centres = regressed_joints(template, template.template[None])[0]
    skin = template.part_vertices[0]
    for joint in range(len(CERVICAL_JOINTS)):
        distance = np.linalg.norm(template.template[skin[0] : skin[1]] - centres[joint], axis=1)
        near = skin[0] + np.argsort(distance, kind="stable")[:_REGRESSOR_CANDIDATES]
        candidates = np.unique(np.concatenate([template.joint_regressor_vertices[joint], near]))
        start = np.zeros(len(candidates))
        places = np.searchsorted(candidates, template.joint_regressor_vertices[joint])
        np.add.at(start, places, template.joint_regressor_weights[joint])
        spread = neutral[:, candidates].astype(np.float64)
        spread = (spread - spread.mean(axis=0)).swapaxes(1, 2).reshape(-1, len(candidates))
        wanted = (joints[:, joint] - joints[:, joint].mean(axis=0)).reshape(-1)
        rows = [spread / _JOINT_NOISE, np.eye(len(candidates)) / _REGRESSOR_SD, np.full((1, len(candidates)), 1e4)]
        target = np.concatenate([wanted / _JOINT_NOISE, start / _REGRESSOR_SD, [1e4]])
        found = nnls(np.concatenate(rows), target)[0]
        largest = np.sort(np.argsort(-found, kind="stable")[:size])
        count = len(largest)
        vertices[joint], weights[joint] = candidates[largest[0]], 0
        vertices[joint, :count], weights[joint, :count] = candidates[largest], found[largest] / found[largest].sum()
    changed = replace(asset, joint_regressor_vertices=vertices, joint_regressor_weights=weights)
    error = (joints - regressed_joints(changed, neutral)).mean(axis=0)
    error[len(CERVICAL_JOINTS) :] = 0
    return replace(changed, joint_offsets=changed.joint_offsets + error)


def _with_weights(asset: ModelAsset, template: ModelAsset, meshes: PosedMeshes, noise: float, count: Any) -> ModelAsset:
    """Weights given joints and correctives; vertices that move with an eye keep the template's."""
    free = np.flatnonzero(~template.weights[:, _BONES:].any(axis=1))
    normal = np.zeros((len(free), _BONES, _BONES))
    for numbers, vertices, output in meshes.predictions(HACK.from_asset(asset)):
        count(numbers)
        transforms = np.asarray(output.joint_transforms, np.float32)[:, :_BONES, :3]
        rest = np.broadcast_to(output.rest.swapaxes(1, 2), vertices.shape)[..., free]
        # Relative to the target, weights that sum to 1 need no right side, and nothing cancels in single precision.
        posed = transforms[..., :3] @ rest[:, None] + transforms[..., 3:] - vertices[:, None, :, free]
        rows = np.ascontiguousarray(posed.transpose(3, 0, 2, 1)).reshape(len(free), -1, _BONES)
        normal += np.matmul(rows.swapaxes(1, 2), rows)
    prior = (noise / _WEIGHT_SD) ** 2
    normal += np.eye(_BONES) * prior
    right = prior * template.weights[free, :_BONES].astype(np.float64)
    laplacian = edge_laplacian(template.faces, template.template)[free][:, free] * (noise / _WEIGHT_SLOPE_SD) ** 2
    # The edges to vertices that are not free are left out: an eyeball's weights do not pull on the lid's.
    weights = asset.weights.astype(np.float64)
    weights[free, :_BONES] = solve_weights(normal, right, _closed(laplacian), weights[free, :_BONES])
    return replace(asset, weights=weights)


def rest_residuals(asset: ModelAsset, meshes: PosedMeshes) -> Generator[tuple[Int[Array, " b"], Float[Array, "b V 3"]]]:
    """Sample numbers and what the model leaves of posed meshes, carried back to rest, metres."""
    model = HACK.from_asset(asset)
    weights = np.asarray(model.weights, np.float32)
    for numbers, vertices, output in meshes.predictions(model):
        missing = np.swapaxes(vertices, 1, 2) - output.vertices
        turned = _blended(np.asarray(output.joint_transforms, np.float32)[..., :3, :], weights)
        yield numbers, np.matmul(turned, missing[..., None])[..., 0]


def pose_residuals(
    asset: ModelAsset, meshes: PosedMeshes, count: Any
) -> Generator[tuple[Int[Array, " b"], Float[Array, "b K"], Float[Array, "b V 3"]]]:
    """:func:`rest_residuals` with the asset's pose features of each mesh."""
    model = HACK.from_asset(asset)
    for numbers, missing in rest_residuals(asset, meshes):
        yield numbers, _features(model, meshes, numbers), missing
        count(numbers)


def _blended(transforms: Float[Array, "b 11 3 N"], weights: Float[Array, "11 V"]) -> Float[Array, "b V 3 3"]:
    """The transposed blended rotation of each vertex, which takes posed differences back to rest."""
    turned = transforms[..., :3].swapaxes(-1, -2).reshape(len(transforms), len(weights), 9)
    return np.ascontiguousarray(np.swapaxes(turned.swapaxes(1, 2) @ weights, 1, 2)).reshape(
        len(transforms), weights.shape[1], 3, 3
    )


def _features(model: HACK, meshes: PosedMeshes, numbers: Int[Array, " b"]) -> Float[Array, "b K"]:
    return np.asarray(model.pose_coefficients(_rotations(meshes, numbers)), np.float32)


def _rotations(meshes: PosedMeshes, numbers: Int[Array, " b"]) -> Float[Array, "b 10 3 3"]:
    """Rotations of all ten joints; the eyes look ahead."""
    return rotation_matrix(np.concatenate([meshes.dataset.pose[numbers], np.zeros((len(numbers), 2, 3))], axis=1))


def _with_diagonal(matrix: Float[Array, "K K"], diagonal: Float[Array, "b K"]) -> Float[Array, "b K K"]:
    result = np.broadcast_to(matrix, (len(diagonal), *matrix.shape)).copy()
    places = np.arange(len(matrix))
    result[:, places, places] += diagonal
    return result


def _closed(laplacian: Any) -> Any:
    from scipy.sparse import diags

    return (laplacian - diags(np.asarray(laplacian.sum(axis=1)).ravel())).tocsr()


def _with_correctives(asset: ModelAsset, meshes: PosedMeshes, noise: float, count: Any) -> ModelAsset:
    """Correctives by gradients carried back to rest: blended rotations only shorten, so each step is a descent."""
    features = len(FEATURES)
    normal = np.zeros((features, features))
    right = np.zeros((features, 3 * asset.vertex_count))
    for _, active, missing in pose_residuals(asset, meshes, count):
        normal += active.T @ active
        right += active.T @ missing.reshape(len(missing), -1)
    start = asset.pose_basis.dense().reshape(features, -1).astype(np.float64)
    right = (right + normal @ start).reshape(features, asset.vertex_count, 3).swapaxes(0, 1)
    basis = _smooth_solution(normal, right, _locality(asset, noise), asset, noise)
    return replace(asset, pose_basis=basis.swapaxes(0, 1))


def _locality(asset: ModelAsset, noise: float) -> Float[Array, "V K"]:
    """Precision of the prior of each vertex' corrective for each feature, over that of the noise."""
    joints = regressed_joints(asset, asset.template[None])[0, FEATURES // 9]
    distance = np.linalg.norm(asset.template[:, None] - joints, axis=2)
    near = np.exp(-0.5 * (distance / _CORRECTIVE_REACH) ** 2)
    return (noise / (_CORRECTIVE_FAR_SD + (_CORRECTIVE_NEAR_SD - _CORRECTIVE_FAR_SD) * near)) ** 2


def _smooth_solution(
    normal: Float[Array, "K K"],
    right: Float[Array, "V K 3"],
    prior: Float[Array, "V K"],
    asset: ModelAsset,
    noise: float,
) -> Float[Array, "V K 3"]:
    """Each vertex' correctives given its neighbours', swept until neighbours agree (block Jacobi)."""
    laplacian = edge_laplacian(asset.faces, asset.template) * (noise / _CORRECTIVE_SLOPE_SD) ** 2
    degree = laplacian.diagonal()
    basis = np.ascontiguousarray(asset.pose_basis.dense().swapaxes(0, 1), np.float64)
    for _ in range(_SMOOTHING_SWEEPS):
        flat = basis.reshape(len(basis), -1)
        pulled = right + (degree[:, None] * flat - laplacian @ flat).reshape(basis.shape)
        basis = np.empty_like(basis)
        for start in range(0, len(basis), _BLOCK):
            block = slice(start, start + _BLOCK)
            basis[block] = np.linalg.solve(_with_diagonal(normal, prior[block] + degree[block, None]), pulled[block])
    return basis
