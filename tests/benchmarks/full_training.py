"""Trains on a dataset of full size, and says what each stage took: ``python tests/benchmarks/full_training.py FOLDER``.

The meshes are the default model's own, with noise: 624 people in neutral and random expressions, 36 of them in random
poses, the larynx slid and sized at random; 16,080 meshes in all. They take 5 GB, the training some minutes.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np

from hack_model import HACK
from hack_model.asset import ModelAsset
from hack_model.posing import from_anatomical, limit
from hack_model.resources import default_model_path
from hack_model.training.dataset import INDEX_NAME, Dataset, DatasetWriter
from hack_model.training.evaluate import evaluate
from hack_model.training.train import Options, train

NOISE = 3e-4
"""Standard deviation of each coordinate of a registered mesh, metres."""


class Population:
    """Draws people and meshes from the default model, the same ones for the same seed."""

    def __init__(self, asset: ModelAsset, seed: int) -> None:
        self.asset, self.model = asset, HACK.from_asset(asset)
        self.random = np.random.default_rng(seed)
        # Gaussian numbers are dear: a window into a pool of them serves as the noise of one mesh.
        self.pool = self.random.normal(scale=NOISE, size=asset.vertex_count * 3 + 200_000).astype(np.float32)

    def write(self, folder: Path, people: int, posed: int, expressions: int = 18, poses: int = 100) -> int:
        """Writes a dataset of ``people``, the first ``posed`` of them in poses too; returns the number of meshes."""
        names = self.asset.expression_names
        with DatasetWriter(folder, licence="CC0-1.0") as out:
            for number in range(people):
                rig = self.model.rig(self.random.normal(size=len(self.asset.shape_basis)))
                size = float(self.random.uniform(0.5, 1.5))
                labels = [""] * 2 + [names[k] for k in self.random.integers(len(names), size=expressions)]
                labels += [""] * (poses if number < posed else 0)
                for place, name in enumerate(labels):
                    pose = None
                    if place >= 2 + expressions:
                        angles = self.random.normal(scale=0.12, size=(8, 3))
                        pose = from_anatomical(self.asset, limit(self.asset, angles))
                    shift = float(self.random.uniform(-0.01, 0.01))
                    head = rig({name: 1.0} if name else {}, pose=pose, larynx_size=size, larynx_shift=shift)
                    out.add(
                        head.vertices + self._noise(),
                        subject=f"s{number}",
                        expression=name or "neutral",
                        pose=pose,
                        larynx_size=size,
                        larynx_shift=shift,
                    )
        return people * (2 + expressions) + posed * poses

    def _noise(self) -> np.ndarray:
        start = self.random.integers(200_000)
        return self.pool[start : start + self.asset.vertex_count * 3].reshape(-1, 3)


class Stopwatch:
    """Prints each stage's seconds and the process' peak memory so far."""

    def __init__(self) -> None:
        self.stage, self.since = "", time.perf_counter()

    def __call__(self, stage: str, done: int = 0, total: int = 0) -> None:
        """Called by the training with every step; a new stage ends the one before."""
        if stage == self.stage:
            return
        if self.stage:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            print(f"{time.perf_counter() - self.since:7.1f} s  {self.stage} (peak so far {peak:.2f} GB)", flush=True)
        self.stage, self.since = stage, time.perf_counter()


def main() -> None:
    """Makes the data, trains, evaluates on people it has not seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the data and the model go")
    parser.add_argument("--people", type=int, default=624)
    parser.add_argument("--posed", type=int, default=36)
    parser.add_argument("--iterations", type=int, default=2)
    parser.add_argument("--components", type=int, default=100)
    options = parser.parse_args()
    asset, watch = ModelAsset.load(default_model_path()), Stopwatch()
    training, held_out = options.folder / "training", options.folder / "held_out"
    if not (held_out / INDEX_NAME).is_file():
        watch("making the data")
        print(Population(asset, 0).write(training, options.people, options.posed), "meshes to train on", flush=True)
        Population(asset, 1).write(held_out, 24, 6, poses=20)
    watch("opening the data")
    dataset, begin = Dataset.open(training), time.perf_counter()
    chosen = Options(iterations=options.iterations, shape_components=options.components)
    model = train(dataset, options.folder / "trained.npz", asset, chosen, progress=watch)
    print(f"training: {(time.perf_counter() - begin) / 60:.1f} minutes", flush=True)
    watch("evaluation")
    report = evaluate(model, Dataset.open(held_out), progress=watch)
    watch("done")
    (options.folder / "evaluation.json").write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
