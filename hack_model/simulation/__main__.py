"""``python -m hack_model.simulation``: simulates necks, learns correctives from them, measures, writes one file."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from hack_model.arrayfile import atomic_file
from hack_model.console import progress_bar
from hack_model.errors import HackError
from hack_model.model import HACK, load
from hack_model.simulation import measure
from hack_model.simulation.correctives import described, with_correctives
from hack_model.simulation.learn import learn
from hack_model.simulation.people import held_out_people
from hack_model.simulation.run import FIGURES, Amount, Progress, neck_body, simulate
from hack_model.training.dataset import Dataset
from hack_model.training.spaces import generic, uncorrected

COMMAND = "python -m hack_model.simulation -o data/hack_open/correctives.npz"

app = typer.Typer(add_completion=False)


@app.command()
def main(
    output: Annotated[
        Path, typer.Option("--output", "-o", dir_okay=False, help="File of correctives to write (.npz).")
    ],
    model: Annotated[Path | None, typer.Option(help="Model asset; the default model when left out.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Keep the simulated datasets here, or take up those that lie there.")
    ] = None,
    combined: Annotated[
        int, typer.Option(min=1, help="Combined movements of the mean person, of which others do some.")
    ] = 40,
) -> None:
    """Simulates the neck's soft tissue over poses and people, learns the default model's correctives and measures them.

    Then ``hack-model build --source makehuman`` takes the file into the model. About half an hour.
    """
    try:
        with tempfile.TemporaryDirectory() as scratch, progress_bar() as progress:
            report = make_correctives(load(model), output, folder or Path(scratch), Amount(combined=combined), progress)
    except HackError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(json.dumps(report, indent=1))


def make_correctives(model: HACK, output: Path, folder: Path, amount: Amount, progress: Progress) -> dict[str, Any]:
    """The whole way; returns the figures that also lie in the file and, as JSON, beside the datasets in ``folder``."""
    bare = HACK.from_asset(uncorrected(model.asset))
    simulate(bare, folder, amount, progress)
    body = neck_body(bare)
    start = time.perf_counter()
    found = learn(bare.asset, Dataset.open(folder / "training"), body.volume, progress)
    minutes = round((time.perf_counter() - start) / 60, 2)
    corrected = HACK.from_asset(with_correctives(bare.asset, found))
    shared = HACK.from_asset(generic(corrected.asset, "pose"))
    models = {"skinning alone": bare, "common correctives": shared, "with correctives": corrected}
    people = {"mean": np.zeros(len(bare.shape_basis)), **held_out_people(bare)}
    report: dict[str, Any] = {
        "command": COMMAND,
        "model": f"{model.asset.name} {model.asset.version}",
        "simulation": {name: json.loads((folder / name / FIGURES).read_text()) for name in ("training", "held_out")},
        "learning_minutes": minutes,
        "personal_told": 0.0 if found.personal is None else found.personal.told,
        **measure.figures(models, body, people, Dataset.open(folder / "held_out")),
    }
    described(found, report).save(output)
    with atomic_file(folder / "report.json") as stream:
        stream.write(json.dumps(report, indent=1).encode())
    return report


if __name__ == "__main__":
    app()
