"""FLAME and SMPL-X as the package ``smplx`` computes them, from a user's file that is read without running pickles.

``smplx`` opens its files by ``pickle``. So the user's file is read here by the restricted reader first, and what
``smplx`` opens is a temporary file of plain arrays made of it.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hack_model.errors import FormatError, MissingDependencyError
from hack_model.sources.flame import EMBEDDING, FlameModel, read_flame, read_model_arrays, require_arrays

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Array = np.ndarray

SMPLX_JOINTS: Final = 55
SPINE3, NECK, HEAD, JAW, EYE_LEFT, EYE_RIGHT = 9, 12, 15, 22, 23, 24
"""Joints of SMPL-X by number: the last of the spine, and those the head hangs on."""
_SMPLX_NAMES: Final = (
    "v_template", "f", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights", "hands_componentsl",
    "hands_componentsr", "hands_meanl", "hands_meanr", "lmk_faces_idx", "lmk_bary_coords",
)  # fmt: skip
FLAME_POSES: Final = ("global_orient", "neck_pose", "jaw_pose", "leye_pose", "reye_pose")


@dataclass(frozen=True)
class Flame:
    """FLAME ready to be evaluated: the arrays of the file and the ``smplx`` module, in double precision."""

    source: FlameModel
    module: Any
    count: int | None = None
    """Vertices given back, the first of the module's; all when None."""

    @classmethod
    def load(cls, path: str | Path) -> Flame:
        """A user's FLAME file. Raises :class:`hack_model.HackError` when it cannot be used."""
        source = read_flame(path)
        return cls._of(source, _plain(source.arrays), source.landmarks51)

    def restricted(self, vertices: Int[Array, " n"]) -> Flame:
        """The same model at some vertices only, its joints those of the whole head; for optimisers.

        The joints ride along as five vertices of their own, of which the regressor takes what it needs.
        """
        arrays, regressor = _plain(self.source.arrays), self.source.joint_regressor
        smaller = {
            name: np.concatenate([arrays[name][vertices], np.tensordot(regressor, arrays[name], 1)])
            for name in ("v_template", "shapedirs", "weights")
        }
        corrected = arrays["posedirs"][vertices]
        smaller["posedirs"] = np.concatenate([corrected, np.zeros((len(regressor), *corrected.shape[1:]))])
        smaller["J_regressor"] = np.eye(len(regressor), len(vertices) + len(regressor), len(vertices))
        smaller["f"] = np.zeros((1, 3), np.int64)
        return Flame._of(self.source, {**arrays, **smaller}, None, len(vertices))

    @classmethod
    def _of(cls, source: FlameModel, arrays: dict[str, Array], marks: Any, count: int | None = None) -> Flame:
        smplx = _package()
        marks = marks or (np.zeros(51, np.int64), np.tile([1.0, 0.0, 0.0], (51, 1)))
        with tempfile.TemporaryDirectory() as folder:
            np.savez(Path(folder) / "FLAME_NEUTRAL.npz", **arrays)
            (Path(folder) / EMBEDDING).write_bytes(
                pickle.dumps({"lmk_face_idx": marks[0], "lmk_b_coords": marks[1]}, protocol=4)
            )
            module = _quietly(
                smplx.FLAME, folder, ext="npz", num_betas=len(source.shape_basis),
                num_expression_coeffs=len(source.expression_basis),
            )  # fmt: skip
        return cls(source, module, count)

    @property
    def shape_count(self) -> int:
        """Number of shape coefficients."""
        return len(self.source.shape_basis)

    @property
    def expression_count(self) -> int:
        """Number of expression coefficients."""
        return len(self.source.expression_basis)

    def vertices(self, **parameters: Float[Array, "B n"]) -> Float[Array, "B V 3"]:
        """Vertices in metres of batches of ``betas``, ``expression``, :data:`FLAME_POSES`, ``transl``; absent: zero."""
        sizes = {"betas": self.shape_count, "expression": self.expression_count, "transl": 3}
        sizes |= dict.fromkeys(FLAME_POSES, 3)
        return _evaluated(self.module, sizes, parameters).vertices.numpy()[:, : self.count]


@dataclass(frozen=True)
class Body:
    """SMPL-X ready to be evaluated, in double precision."""

    arrays: dict[str, Array]
    module: Any

    @classmethod
    def load(cls, path: str | Path) -> Body:
        """A user's SMPL-X file, ``.npz`` or ``.pkl``. Raises :class:`hack_model.HackError` when it cannot be used."""
        smplx, path = _package(), Path(path)
        arrays = read_model_arrays(path)
        require_arrays(path, arrays, _SMPLX_NAMES, SMPLX_JOINTS, "SMPL-X")
        parents = arrays["kintree_table"][0, 1:].astype(np.int64)
        if (parents < 0).any() or (parents >= np.arange(1, SMPLX_JOINTS)).any():
            raise FormatError(f"{path}: kintree_table has a joint that hangs on none before it")
        if arrays["shapedirs"].shape[2] < 20:
            raise FormatError(f"{path}: shapedirs has {arrays['shapedirs'].shape[2]} components, wanted at least 20")
        try:
            body = cls(arrays, cls._module(smplx, arrays))
            body.evaluate()  # what does not fit shows here, not in the middle of a conversion
        except (IndexError, KeyError, RuntimeError, TypeError, ValueError) as fault:
            raise FormatError(f"{path}: smplx cannot use it as SMPL-X's model file ({fault})") from fault
        return body

    @staticmethod
    def _module(smplx: Any, arrays: dict[str, Array]) -> Any:
        import torch

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "SMPLX_NEUTRAL.npz"
            np.savez(file, **_plain(arrays))
            module = _quietly(smplx.SMPLX, str(file), ext="npz", use_pca=False, flat_hand_mean=True)
        # Its extra joints are vertices of the full mesh by number; none is needed here, and small meshes lack them.
        module.vertex_joint_selector.extra_joints_idxs = torch.zeros(0, dtype=torch.long)
        return module

    @cached_property
    def faces(self) -> Int[Array, "F 3"]:
        """Triangles."""
        return self.arrays["f"].astype(np.int32)

    @cached_property
    def template(self) -> Float[Array, "V 3"]:
        """The mean body in its rest pose, metres."""
        return self.arrays["v_template"].astype(np.float64)

    @cached_property
    def weights(self) -> Float[Array, "V 55"]:
        """Skinning weights."""
        return self.arrays["weights"].astype(np.float64)

    def evaluate(
        self, **parameters: Float[Array, "B n"]
    ) -> tuple[Float[Array, "B V 3"], Float[Array, "B 55 3"], Float[Array, "B 55 3 3"]]:
        """Vertices, joints in metres, and the joints' rotations in model space.

        Parameters as ``smplx`` names them: ``betas`` (10), ``global_orient`` (3), ``body_pose`` (63) …, batches.
        """
        import torch
        from smplx.lbs import batch_rodrigues

        sizes = {"betas": 10, "expression": 10, "global_orient": 3, "body_pose": 63, "jaw_pose": 3, "leye_pose": 3,
                 "reye_pose": 3, "left_hand_pose": 45, "right_hand_pose": 45, "transl": 3}  # fmt: skip
        done = _evaluated(self.module, sizes, parameters)
        local = batch_rodrigues(done.full_pose.reshape(-1, 3)).reshape(-1, SMPLX_JOINTS, 3, 3)
        turned = [local[:, 0]]
        for joint, parent in enumerate(self.module.parents[1:].tolist(), 1):
            turned.append(turned[parent] @ local[:, joint])
        rotations = torch.stack(turned, dim=1)
        return done.vertices.numpy(), done.joints[:, :SMPLX_JOINTS].numpy(), rotations.numpy()


def _evaluated(module: Any, sizes: dict[str, int], parameters: dict[str, Any]) -> Any:
    import torch

    unknown = set(parameters) - set(sizes)
    if unknown:
        raise FormatError(f"unknown parameters {', '.join(sorted(unknown))}; wanted some of {', '.join(sizes)}")
    count = max((len(value) for value in parameters.values()), default=1)
    given = {}
    for name, size in sizes.items():
        value = np.asarray(parameters.get(name, np.zeros((1, size))), np.float64)
        if value.ndim != 2 or value.shape[1] != size or len(value) not in (1, count):
            raise FormatError(f"{name} has shape {value.shape}, wanted ({count}, {size})")
        given[name] = torch.from_numpy(np.broadcast_to(value, (count, size)).copy())
    with torch.no_grad():
        return module(**given, return_full_pose=True)


def _plain(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays in double precision or as integers, so that ``smplx`` meets one type."""
    wide = {name: value.astype(np.float64) if value.dtype.kind == "f" else value for name, value in arrays.items()}
    tree = wide["kintree_table"].astype(np.int64)
    tree[0, 0] = -1  # the root's parent is stored as 2^32 - 1
    return {**wide, "kintree_table": tree, "f": wide["f"].astype(np.int64)}


def _package() -> Any:
    try:
        import smplx
    except ImportError as fault:
        raise MissingDependencyError("FLAME and SMPL-X need the package smplx: install hack-model[smplx]") from fault
    return smplx


def _quietly(make: Any, *arguments: Any, **options: Any) -> Any:
    """A module of ``smplx`` without what its making prints, in double precision."""
    import torch

    with contextlib.redirect_stdout(io.StringIO()):
        return make(*arguments, dtype=torch.float64, **options).requires_grad_(False)
