"""Pictures of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hack_model.arrayfile import atomic_file

_BLUE, _ORANGE, _GREY = "#2563a8", "#d97706", "#777777"


_SPACES = {
    "shape": "shape",
    "expression": "expression",
    "personal_expression": "personalised expression",
    "corrective": "correctives",
    "personal_pose": "personalised correctives",
}
_POSES = {
    "without_correctives_and_personalisation_mm": ("skinning alone, shared expressions", _GREY),
    "without_correctives_mm": ("skinning alone", _ORANGE),
    "without_personalisation_mm": ("with correctives, nothing personal", "#7aa6d6"),
    "with_correctives_mm": ("whole model", _BLUE),
}


def draw(report: Mapping[str, Any], folder: Path) -> list[Path]:
    """A picture of each space (compactness, generalisation, specificity) and pose.png, where there are figures."""
    files = [_space(report, name, folder / f"{name}.png") for name in _SPACES if name in report]
    return [*files, _poses(report["pose"], folder / "pose.png")] if "pose" in report else files


def _space(report: Mapping[str, Any], name: str, file: Path) -> Path:
    from matplotlib.ticker import MaxNLocator

    figures = report[name]
    panels = [key for key in ("generalisation_mm", "specificity_mm") if len(figures.get(key, {})) > 1]
    figure, axes = _figure(1 + len(panels))
    for axis in axes:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    compactness = [100 * share for share in figures["compactness"]]
    axes[0].plot(range(1, len(compactness) + 1), compactness, color=_BLUE)
    axes[0].set(
        title=f"{_SPACES[name]}: compactness", xlabel="components", ylabel="% of the model's variance", ylim=(0, 102)
    )
    for axis, key in zip(axes[1:], panels, strict=True):
        word = key.removesuffix("_mm")
        counts, values = zip(*((int(k), v) for k, v in figures[key].items()), strict=True)
        axis.plot(counts, values, "o-", color=_BLUE, label=report["model"], markersize=4)
        if name == "shape" and word == "generalisation":
            paper = report["paper"]["shape_generalisation_mm"]
            axis.plot([int(k) for k in paper], list(paper.values()), "s--", color=_GREY, label="paper", markersize=4)
            axis.legend(frameon=False)
        seen = word == "generalisation" and not report["held_out"]
        axis.set(title=f"{_SPACES[name]}: {word}" + " (training data)" * seen, xlabel="components", ylabel="RMSE, mm")
        top = max(max(line.get_ydata()) for line in axis.lines)
        axis.set_ylim(0, 1.08 * max(top, 1e-3))
    return _save(figure, file)


def _poses(figures: Mapping[str, Any], file: Path) -> Path:
    figure, (axis,) = _figure(1, 1.4)
    shown = {key: label for key, label in _POSES.items() if key in figures}
    regions = list(figures["with_correctives_mm"])
    height = 0.8 / len(shown)
    for number, (key, (label, color)) in enumerate(shown.items()):
        places = [region + (number - (len(shown) - 1) / 2) * height for region in range(len(regions))]
        axis.barh(places, [figures[key][region] for region in regions], 0.95 * height, color=color, label=label)
    axis.set_yticks(range(len(regions)), regions)
    axis.invert_yaxis()
    axis.set(title=f"{figures['meshes']} posed meshes", xlabel="RMSE, mm")
    figure.legend(frameon=False, loc="outside lower center", ncols=1)
    return _save(figure, file)


def _figure(panels: int, height: float = 1.0) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(4.2 * panels, 5.5), 3.6 * height), layout="constrained")
    axes = [figure.add_subplot(1, panels, number + 1) for number in range(panels)]
    for axis in axes:
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, file: Path) -> Path:
    with atomic_file(file) as stream:
        figure.savefig(stream, format="png", dpi=130)
    return file
