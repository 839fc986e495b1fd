"""A small reader of GLB files that shares nothing with the writer: accessors, and the vertices a viewer would show."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

_COMPONENTS = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_SIZES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class GltfFile:
    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        magic, version, length = struct.unpack_from("<4sII", data)
        assert (magic, version, length) == (b"glTF", 2, len(data))
        size, kind = struct.unpack_from("<I4s", data, 12)
        assert kind == b"JSON"
        self.json: dict[str, Any] = json.loads(data[20 : 20 + size])
        self.binary = data[28 + size :]

    @property
    def target_names(self) -> list[str]:
        return self.json["meshes"][0]["extras"]["targetNames"]

    def view(self, index: int) -> bytes:
        view = self.json["bufferViews"][index]
        start = view.get("byteOffset", 0)
        return self.binary[start : start + view["byteLength"]]

    def array(self, index: int) -> np.ndarray:
        accessor = self.json["accessors"][index]
        width = _SIZES[accessor["type"]]
        result = np.zeros((accessor["count"], width), _COMPONENTS[accessor["componentType"]])
        if "bufferView" in accessor:
            result[:] = np.frombuffer(self.view(accessor["bufferView"]), result.dtype).reshape(result.shape)
        if sparse := accessor.get("sparse"):
            index_type = _COMPONENTS[sparse["indices"]["componentType"]]
            moved = np.frombuffer(self.view(sparse["indices"]["bufferView"]), index_type)
            assert len(moved) == sparse["count"]
            assert (np.diff(moved.astype(int)) > 0).all()
            values = np.frombuffer(self.view(sparse["values"]["bufferView"]), result.dtype)
            result[moved] = values.reshape(-1, width)
        return result

    def target(self, name: str, attribute: str = "POSITION") -> np.ndarray:
        """Offsets of a morph target per model vertex, (V, 3)."""
        index = self.target_names.index(name)
        return self._per_vertex(lambda primitive: self.array(primitive["targets"][index][attribute]))

    def attribute(self, name: str) -> np.ndarray:
        return self._per_vertex(lambda primitive: self.array(primitive["attributes"][name]))

    def vertices(self, frame: int | None = None) -> np.ndarray:
        """What a viewer shows, per model vertex: as the file opens, or in a frame of its animation."""
        nodes = [dict(node) for node in self.json["nodes"]]
        weights = np.array(self.json["meshes"][0]["weights"])
        if frame is not None:
            (animation,) = self.json["animations"]
            for channel in animation["channels"]:
                sampler = animation["samplers"][channel["sampler"]]
                values = self.array(sampler["output"])
                target = channel["target"]
                if target["path"] == "weights":
                    weights = values.reshape(-1, len(weights))[frame]
                else:
                    nodes[target["node"]][target["path"]] = values[frame]
        morphed = self.attribute("POSITION").astype(np.float64)
        for name, weight in zip(self.target_names, weights, strict=True):
            morphed += weight * self.target(name)
        (skin,) = self.json["skins"]
        inverse = self.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2)
        world = self._world(nodes, self.json["scenes"][0]["nodes"])
        joints = np.array([world[node] for node in skin["joints"]]) @ inverse
        columns, blend = self.attribute("JOINTS_0"), self.attribute("WEIGHTS_0")
        matrices = np.einsum("vk,vkij->vij", blend, joints[columns])
        return np.einsum("vij,vj->vi", matrices[:, :3, :3], morphed) + matrices[:, :3, 3]

    def _world(self, nodes: list[dict[str, Any]], roots: list[int]) -> dict[int, np.ndarray]:
        world: dict[int, np.ndarray] = {}
        waiting = [(root, np.eye(4)) for root in roots]
        while waiting:
            index, parent = waiting.pop()
            node, local = nodes[index], np.eye(4)
            local[:3, :3] = Rotation.from_quat(node.get("rotation", (0, 0, 0, 1))).as_matrix()
            local[:3, :3] *= np.asarray(node.get("scale", (1, 1, 1)))
            local[:3, 3] = node.get("translation", (0, 0, 0))
            world[index] = parent @ local
            waiting += [(child, world[index]) for child in node.get("children", [])]
        return world

    def _per_vertex(self, read: Any) -> np.ndarray:
        parts = [
            (self.array(primitive["attributes"]["_HACK_VERTEX"])[:, 0].astype(int), read(primitive))
            for primitive in self.json["meshes"][0]["primitives"]
        ]
        result = np.zeros((1 + max(index.max() for index, _ in parts), parts[0][1].shape[1]), parts[0][1].dtype)
        for index, values in parts:
            result[index] = values
        for index, values in parts:
            np.testing.assert_array_equal(result[index], values, "copies of a vertex differ")
        return result
