from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from hack_model.asset import ModelAsset
from hack_model.build import makehuman
from hack_model.build.source import MakeHumanSource
from hack_model.errors import ParameterError
from hack_model.resources import default_model_path

# The rebuilt model may differ by rounding of the arithmetic libraries, by no more than this in metres.
TOLERANCE = 2e-5


def test_too_few_identities_are_refused(source: MakeHumanSource):
    with pytest.raises(ParameterError, match="at least 10"):
        makehuman.make_asset(source, identities=5)


def test_shipped_model_is_small_and_tells_where_it_comes_from():
    path = default_model_path()
    assert path.stat().st_size <= 8_000_000
    asset = ModelAsset.load(path)
    facts = json.loads(asset.provenance)
    assert asset.licence == "CC0-1.0"
    assert facts["identities"] >= 2000
    assert facts["command"].startswith("hack-model build --source makehuman")
    assert facts["variance"]["200"] > 0.995
    assert facts["generalisation_rmse_mm"]["200"] < 0.2
    for sex, table in facts["measures_mm_published_and_sampled"].items():
        assert facts["measures_correlation_rmse"][sex] < 0.13
        for name, line in table.items():
            mean, deviation, found, _ = (float(number) for number in re.findall(r"[\d.]+", line))
            assert abs(found - mean) < 0.45 * deviation, (sex, name)
    assert len(asset.shape_basis) == 200
    np.testing.assert_allclose(asset.template[asset.part("skin")].mean(axis=0)[0], 0, atol=1e-6)


@pytest.mark.slow
def test_rebuilding_gives_the_shipped_model(source: MakeHumanSource, tmp_path: Path):
    shipped = ModelAsset.load(default_model_path())
    facts = json.loads(shipped.provenance)
    stages: list[str] = []
    path = makehuman.build(
        tmp_path / "hack-open.npz",
        seed=facts["seed"],
        identities=facts["identities"],
        progress=lambda stage, done, total: stages.append(stage),
    )
    assert "sampling identities" in stages
    rebuilt = ModelAsset.load(path)
    for name in ("expression_basis", "combination_basis", "pose_basis"):
        difference = getattr(rebuilt, name).dense() - getattr(shipped, name).dense()
        assert np.abs(difference).max() <= TOLERANCE, name
    wanted, found = shipped.to_arrays(), rebuilt.to_arrays()
    of_components = {"directions", "personal_expression_map", "larynx_identity"}
    for name in wanted:
        if name in {"provenance", "albedo", *of_components} or "_basis_" in name:
            continue
        if wanted[name].dtype.kind == "f":
            np.testing.assert_allclose(found[name], wanted[name], atol=TOLERANCE, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)
    assert np.abs(found["albedo"].astype(int) - wanted["albedo"]).max() <= 2
    # Components of nearly equal variance may mix, those with most of it may not. Whatever mixes, the people they make
    # are spread alike (their covariance, seen in random projections), a direction moves every vertex as before, and
    # what is linear in the shape gives the same for the same displacement.
    flat = {
        name: asset.shape_basis.control().reshape(len(asset.shape_basis), -1)
        for name, asset in (("found", rebuilt), ("wanted", shipped))
    }
    np.testing.assert_allclose(flat["found"][:50], flat["wanted"][:50], atol=1e-4)
    views = np.random.default_rng(0).normal(size=(flat["wanted"].shape[1], 30))
    spread = {name: (basis @ views).T @ (basis @ views) for name, basis in flat.items()}
    np.testing.assert_allclose(spread["found"], spread["wanted"], atol=1e-3 * np.abs(spread["wanted"]).max())
    for name in of_components:
        steps = found[name] @ flat["found"], wanted[name] @ flat["wanted"]
        np.testing.assert_allclose(*steps, atol=1e-3 * np.abs(steps[1]).max(), err_msg=name)
