"""The terminal of the command line: errors in one message, progress, printed tables and names of files.

Exit status: 0 done; 2 the command line itself is wrong (an option unknown, missing, outside its range, or of no use
with the others), told with the command's usage; 1 it could not be done (a file, its content, a connection, a package),
told in one message; 130 interrupted.
"""

from __future__ import annotations

import importlib.metadata
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from hack_model.errors import HackError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping
    from pathlib import Path

_DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-contrib-python",
    "skimage": "scikit-image",
    "warp": "warp-lang",
}
"""The distributions whose import name differs."""
_EXTRAS = {"convert": "smplx", "evaluate": "train"}
"""The extras of commands that have another name."""
_SHOWN_ACTIVATION = 0.1
_SHOWN_UNITS = 8


class Commands(TyperGroup):
    """Turns errors meant for users into one message, and lets ``--debug`` stand anywhere in the line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Takes ``--debug`` from wherever it stands."""
        if "--debug" in args:
            args = ["--debug", *(word for word in args if word != "--debug")]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; raises :class:`typer.Exit` with the status of a failure."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            _fail("interrupted")
            raise typer.Exit(130) from interrupt
        except Exception as error:
            message = _message(error, ctx.invoked_subcommand)
            if message is None or ctx.params.get("debug"):
                raise
            _fail(message)
            raise typer.Exit(1) from error


@contextmanager
def usage(hint: str) -> Generator[None]:
    """Makes an error of this project one of usage (status 2), named after the option ``hint``."""
    try:
        yield
    except HackError as error:
        raise typer.BadParameter(str(error), param_hint=hint) from error


@contextmanager
def progress_bar() -> Generator[Callable[[str, int, int], None]]:
    """A bar on the terminal, moved by calls with a stage's name, what is done and the total."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("")

        def progress(stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=total)

        yield progress


def show(renderable: Any) -> None:
    """Prints what rich can show."""
    from rich.console import Console

    Console(soft_wrap=True, highlight=False).print(renderable)


def say(text: str) -> None:
    """Prints a text as it is."""
    from rich.text import Text

    show(Text(text))


def report_files(files: Iterable[Path]) -> None:
    """Prints names and sizes of files that were written."""
    from rich.text import Text

    for file in files:
        show(Text(f"{file}  {file.stat().st_size / 1e6:.2f} MB"))


def trait_table() -> Any:
    """Every parameter of an appearance."""
    from rich.table import Table

    from hack_model.appearance.parameters import TRAITS

    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("name", "range", "default", "meaning"):
        table.add_column(title)
    for trait in TRAITS:
        table.add_row(trait.name, f"{trait.low:g}…{trait.high:g}", f"{trait.default:g}", trait.meaning)
    table.add_row("seed", "0…", "0", "where freckles, moles, hairs and blotches lie")
    return table


def fit_table(report: Mapping[str, Any]) -> Any:
    """The figures of a fit that a person looks at first."""
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    error, pose = report["landmark_error"], report["head_pose_deg"]
    table.add_row(
        "landmark error", f"{error['px']:.2f} px, {error['percent']:.2f} % of the outer eye corners' distance"
    )
    table.add_row("head", "  ".join(f"{name} {pose[name]:+.1f}°" for name in ("yaw", "pitch", "roll")))
    units = {
        f"{code} {side}": value
        for code, sides in report["action_units"].items()
        for side, value in sides.items()
        if value >= _SHOWN_ACTIVATION
    }
    strongest = sorted(units.items(), key=lambda item: -item[1])[:_SHOWN_UNITS]
    table.add_row("action units", ", ".join(f"{name} {value:.2f}" for name, value in strongest) or "none")
    table.add_row("not seen", ", ".join(report["unconstrained"]) or "nothing")
    table.add_row("time", "  ".join(f"{stage} {seconds:.2f} s" for stage, seconds in report["seconds"].items()))
    return table


def _fail(message: str) -> None:
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, soft_wrap=True, highlight=False).print(Text.assemble(("error: ", "bold red"), message))


def _message(error: Exception, command: str | None) -> str | None:
    """What to tell the user; None for a fault of the program, which shows its traceback."""
    if isinstance(error, HackError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        extra = _extra_with(_DISTRIBUTIONS.get(package, package), command)
        return extra and f"this command needs the package {package}; install it with: pip install 'hack-model[{extra}]'"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return None


def _extra_with(distribution: str, command: str | None) -> str | None:
    """The extra of this package that installs a distribution: the command's where there are several."""
    extras: list[str] = []
    for requirement in importlib.metadata.requires("hack-model") or ():
        name, extra = re.match(r"[\w.-]+", requirement), re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        if name and extra and re.sub(r"[-_.]+", "-", name[0]).lower() == distribution.lower().replace("_", "-"):
            extras.append(extra[1])
    wanted = _EXTRAS.get(command or "", command)
    return wanted if wanted in extras else next(iter(extras), None)
