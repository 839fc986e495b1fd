"""The binary buffer of a glTF file: arrays in, accessor indices out; morph offsets sparse where that is smaller.

glTF 2.0 specification, sections 3.6 (buffers, accessors, sparse accessors) and 3.7.2.2 (morph targets):
https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pygltflib as gltf

if TYPE_CHECKING:
    from jaxtyping import Float

    Array = np.ndarray

_COMPONENT_TYPES = {
    "float32": gltf.FLOAT,
    "uint8": gltf.UNSIGNED_BYTE,
    "uint16": gltf.UNSIGNED_SHORT,
    "uint32": gltf.UNSIGNED_INT,
}
_SHAPES: dict[tuple[int, ...], str] = {
    (): gltf.SCALAR,
    (2,): gltf.VEC2,
    (3,): gltf.VEC3,
    (4,): gltf.VEC4,
    (4, 4): gltf.MAT4,
}


class GltfBuffer:
    """Collects the accessors, buffer views and bytes of one glTF document."""

    def __init__(self) -> None:
        self.accessors: list[gltf.Accessor] = []
        self.views: list[gltf.BufferView] = []
        self._chunks: list[bytes] = []
        self._size = 0
        self._zeros: dict[int, int] = {}

    def add(self, array: np.ndarray, *, target: int | None = None, bounds: bool = False) -> int:
        """Stores an array of scalars, vectors or (column-major) matrices; returns the accessor's index.

        ``target`` is the GPU binding (``gltf.ARRAY_BUFFER``, ``gltf.ELEMENT_ARRAY_BUFFER``); ``bounds`` writes the
        minimum and maximum, which positions and animation times must carry.
        """
        accessor = self._accessor(array)
        if bounds:
            columns = array.reshape(len(array), -1)
            accessor.min, accessor.max = columns.min(axis=0).tolist(), columns.max(axis=0).tolist()
        accessor.bufferView = self.add_bytes(np.ascontiguousarray(array).tobytes(), target=target)
        return self._append(accessor)

    def add_offsets(self, offsets: Float[Array, "n 3"]) -> int:
        """Stores the offsets of a morph target; the zero rows cost nothing when most rows are zero."""
        offsets = np.ascontiguousarray(offsets, np.float32)
        moved = np.flatnonzero((offsets[:, 0] != 0) | (offsets[:, 1] != 0) | (offsets[:, 2] != 0))
        index_type = np.uint16 if len(offsets) <= 1 << 16 else np.uint32
        if len(moved) * (12 + np.dtype(index_type).itemsize) >= offsets.nbytes:
            return self.add(offsets, target=gltf.ARRAY_BUFFER, bounds=True)
        if not len(moved) and len(offsets) in self._zeros:
            return self._zeros[len(offsets)]
        accessor = self._accessor(offsets)
        accessor.byteOffset = None  # it has no buffer view: zeros but for the sparse rows
        kept = np.concatenate([np.zeros((1, 3), np.float32), offsets[moved]])
        accessor.min, accessor.max = kept.min(axis=0).tolist(), kept.max(axis=0).tolist()
        if not len(moved):
            self._zeros[len(offsets)] = self._append(accessor)
            return self._zeros[len(offsets)]
        accessor.sparse = gltf.Sparse(
            count=len(moved),
            indices=gltf.AccessorSparseIndices(
                bufferView=self.add_bytes(moved.astype(index_type).tobytes()),
                componentType=_COMPONENT_TYPES[np.dtype(index_type).name],
            ),
            values=gltf.AccessorSparseValues(bufferView=self.add_bytes(offsets[moved].tobytes())),
        )
        return self._append(accessor)

    def add_bytes(self, data: bytes, *, target: int | None = None) -> int:
        """Stores bytes; returns the index of their buffer view. Saving aligns each view to four bytes."""
        view = gltf.BufferView(buffer=0, byteOffset=self._size, byteLength=len(data), target=target)
        self._chunks.append(data)
        self._size += len(data)
        self.views.append(view)
        return len(self.views) - 1

    def finish(self, document: gltf.GLTF2) -> None:
        """Gives the document everything that was collected, as the one binary chunk of a GLB file."""
        document.accessors, document.bufferViews = self.accessors, self.views
        document.buffers = [gltf.Buffer(byteLength=self._size)]
        document.set_binary_blob(b"".join(self._chunks))

    def _accessor(self, array: np.ndarray) -> gltf.Accessor:
        return gltf.Accessor(
            componentType=_COMPONENT_TYPES[array.dtype.name], count=len(array), type=_SHAPES[array.shape[1:]]
        )

    def _append(self, accessor: gltf.Accessor) -> int:
        self.accessors.append(accessor)
        return len(self.accessors) - 1
