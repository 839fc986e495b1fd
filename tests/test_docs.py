"""What the documentation says can be typed in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import hack_model

ROOT = Path(__file__).parent.parent


def typed_in(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names a page's Python examples leave behind, run one after another in ``folder``."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
    assert blocks, f"{page} has no example"
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    return names


def test_examples_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = typed_in("docs/model.md", tmp_path, monkeypatch)
    assert names["head"].vertices.shape == (16, names["model"].vertex_count, 3)


def test_examples_of_the_rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hack_model.Clip.neutral(hack_model.load()).save(tmp_path / "out" / "demo" / "clip.npz")
    names = typed_in("docs/rig.md", tmp_path, monkeypatch)
    assert names["catalogue"]()["AU12"].shapes("left") == {"mouthSmile_L": 1.0}


def test_examples_of_the_appearance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = typed_in("docs/appearance.md", tmp_path, monkeypatch)
    assert (names["maps"].normal != names["frown"].normal).any()
    assert [each.name for each in names["materials"]] == list(names["asset"].material_names)


def test_example_of_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hack_model.training.dataset import Dataset

    typed_in("docs/training.md", tmp_path, monkeypatch)
    dataset = Dataset.open(tmp_path / "out" / "registrations")
    assert dataset.expression_names == ("mouthSmile_L",)
    assert dataset.neutral.tolist() == [True, False]


@pytest.mark.slow
def test_examples_of_the_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skimage import data

    Image.fromarray(data.astronaut()).save(tmp_path / "photo.jpg")
    names = typed_in("docs/fit.md", tmp_path, monkeypatch)
    assert np.isfinite(names["fit"].vertices).all()
    assert names["fit"].report["action_units"]["AU12"]["left"] > 0.3


PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("data/**/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []
