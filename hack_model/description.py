"""A model asset in words and figures, as ``hack-model info`` shows it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.names import HACK_EXPRESSIONS

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from hack_model.asset import ModelAsset


def describe(asset: ModelAsset, path: Path) -> RenderableType:
    """Counts, size, parts, names, licence and provenance of an asset, for rich to print."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(asset, path).items():
        table.add_row(Text(name), Text(value))  # a foreign file may hold what rich would take for markup
    return table


def _rows(asset: ModelAsset, path: Path) -> dict[str, str]:
    extent = np.ptp(asset.template, axis=0) * 100
    triangles = int((asset.faces[:, 3] < 0).sum())
    rows = {
        "model": f"{asset.name} {asset.version}",
        "file": f"{path}, {path.stat().st_size / 1e6:.1f} MB",
        "licence": asset.licence,
        "vertices": f"{asset.vertex_count}",
        "faces": f"{len(asset.faces) - triangles} quads, {triangles} triangles",
        "size": f"{extent[0]:.1f} x {extent[1]:.1f} x {extent[2]:.1f} cm (width, height, depth)",
        "parts": _listed(
            f"{name} ({stop - start})"
            for name, (start, stop) in zip(asset.part_names, asset.part_vertices.tolist(), strict=True)
        ),
        "materials": _listed(asset.material_names),
        "albedo": f"{asset.albedo.shape[1]} x {asset.albedo.shape[0]} pixels" if asset.albedo.size else "none",
        "shape": f"{len(asset.shape_basis)} components",
        "directions": _listed(asset.direction_names),
        "expressions": _expressions(asset.expression_names),
        "joints": "8 cervical, 2 eyes",
        "combinations": _listed(asset.combination_names),
        "correctives": f"{len(asset.pose_basis)} pose correctives" if len(asset.pose_basis) else "none",
        "personalised": _listed(
            f"{what} ({len(basis)} components)"
            for what, basis in (
                ("expressions", asset.personal_expression_basis),
                ("correctives", asset.personal_pose_basis),
            )
            if basis.size
        ),
        "memory": f"{asset.nbytes / 1e6:.1f} MB",
        "larynx": _larynx(asset),
        "landmarks": _listed(
            f"{count} {kind}"
            for kind, count in (
                ("Multi-PIE", len(asset.landmarks68_vertices)),
                ("MediaPipe", len(asset.landmarks478_vertices)),
            )
            if count
        ),
        "regions": _listed(asset.region_names),
    }
    return rows | _provenance(asset.provenance)


def _expressions(names: tuple[str, ...]) -> str:
    own = [name for name in names if name not in HACK_EXPRESSIONS]
    more = f", of which beyond HACK's: {', '.join(own)}" if own else ""
    return f"{len(names)}{more}\n{_listed(names)}"


def _provenance(text: str) -> dict[str, str]:
    """The provenance's own entries, one row each; text that is not a JSON object as it is."""
    try:
        entries: Any = json.loads(text)
        return {f"provenance: {name}": _plain(value) for name, value in entries.items()}
    except (ValueError, AttributeError, RecursionError):
        return {"provenance": text}


def _plain(value: Any) -> str:
    """A JSON value without brackets and quotes: an object's entries in a line, objects of objects a line each."""
    if not isinstance(value, dict):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    nested = any(isinstance(entry, dict) for entry in value.values())
    return ("\n" if nested else ", ").join(f"{name}{':' * nested} {_plain(entry)}" for name, entry in value.items())


def _larynx(asset: ModelAsset) -> str:
    said = [f"{asset.larynx_map.max() * 1000:.1f} mm at size 1"]
    said += ["glides forwards"] * bool(asset.larynx_forward_map.size)
    said += ["as large as the identity says"] * bool(asset.larynx_identity.size)
    return ", ".join(said)


def _listed(names: Any) -> str:
    return ", ".join(names) or "none"
