"""Picture of docs/training.md: errors of a model learned from meshes of a known one with personalised bases and noise.

PYTHONPATH=. python docs/scripts/evaluation.py docs/pictures/evaluation.jpg
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

from hack_model.training.evaluate import evaluate, save_report
from hack_model.training.train import Options, train
from tests.support.registrations import Plan, first_guess, make_dataset, personal_truth, truth


def main(picture: Path) -> None:
    """Makes the data, trains, evaluates on other people in other poses, and writes the picture."""
    plan = Plan(posed_subjects=24, poses=30)
    others = Plan(subjects=6, posed_subjects=6, poses=10, noise=0.0, seed=9)
    options = Options(shape_components=6, iterations=5, noise=plan.noise)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, held_out = (
            make_dataset(folder / str(number), personal_truth(), chosen) for number, chosen in enumerate((plan, others))
        )
        asset = train(data, folder / "model.npz", first_guess(truth()), options, progress=lambda *_: None)
        save_report(evaluate(asset, held_out, progress=lambda *_: None), folder)
        Image.open(folder / "pose.png").convert("RGB").save(picture, quality=85)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
