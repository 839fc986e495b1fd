"""The command line ``hack-model``.

Exit status: 0 done, 1 failed (one message says why), 2 wrong usage, 130 interrupted.
Commands import what they need when they run, so that ``--help`` answers at once.
"""

from __future__ import annotations

import importlib.metadata
import re
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from hack_model.errors import HackError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    from hack_model.model import HACK

_DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-contrib-python",
    "skimage": "scikit-image",
    "warp": "warp-lang",
}
"""The distributions whose import name differs."""


class _Commands(TyperGroup):
    """Turns errors meant for users into one message, and lets ``--debug`` stand anywhere in the line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--debug" in args:
            args = ["--debug", *(word for word in args if word != "--debug")]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
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
    """The extra of this package that installs a distribution: the one named as the command where there are several."""
    extras: list[str] = []
    for requirement in importlib.metadata.requires("hack-model") or ():
        name, extra = re.match(r"[\w.-]+", requirement), re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        if name and extra and re.sub(r"[-_.]+", "-", name[0]).lower() == distribution.lower().replace("_", "-"):
            extras.append(extra[1])
    return command if command in extras else next(iter(extras), None)


app = typer.Typer(
    cls=_Commands,
    name="hack-model",
    help="A parametric human head and neck: models, fits of photos, exports, the Blender extension.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_SHOWN_ACTIVATION = 0.1
_SHOWN_UNITS = 8

AppearanceOption = Annotated[
    str,
    typer.Option(
        help="How skin and eyes look: NAME=VALUE,… as `hack-model appearance --list` has them, or random:NUMBER."
    ),
]
ModelOption = Annotated[
    Path | None, typer.Option("--model", "-m", help="Model asset (.npz); the default model when left out.")
]


class Preset(StrEnum):
    """How much work a fit may take."""

    fast = "fast"
    quality = "quality"


class Source(StrEnum):
    """Where a model is built from."""

    makehuman = "makehuman"
    hack_release = "hack-release"
    ict = "ict"
    flame = "flame"


class Target(StrEnum):
    """What a clip is converted to."""

    flame = "flame"
    hack = "hack"
    smplx = "smplx"


@app.callback()
def common(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options of every command."""


@app.command()
def info(
    model: Annotated[Path | None, typer.Argument(help="Model asset (.npz); the default model when left out.")] = None,
) -> None:
    """Counts, parts, names, licence and provenance of a model asset."""
    from hack_model.asset import ModelAsset
    from hack_model.description import describe
    from hack_model.resources import default_model_path

    path = model or default_model_path()
    _print(describe(ModelAsset.load(path), path))


@app.command()
def export(
    clip: Annotated[Path, typer.Argument(help="Clip (.npz) of one or more frames, as `fit` writes it.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", dir_okay=False, help="File to write: .glb, .usda, .usdc, .usdz (extra usd), .obj or .ply."
        ),
    ],
    model: ModelOption = None,
    texture: Annotated[
        Path | None, typer.Option(help="PNG or JPEG for the skin (not .ply); the model's own colours when left out.")
    ] = None,
    frame: Annotated[
        int | None,
        typer.Option(help="Frame to write, counted from 0. Left out: GLB and USD get all, .obj and .ply frame 0."),
    ] = None,
    placement: Annotated[
        bool, typer.Option(help="Keep the whole head's rotation, translation (metres) and scale from the clip.")
    ] = True,
    appearance: AppearanceOption = "",
    maps: Annotated[
        int, typer.Option(min=0, max=4096, help="Pixels a side of the maps of skin and eyes; 0 for plain colours.")
    ] = 1024,
) -> None:
    """Writes a clip as a mesh or a rigged, animated head, in metres with Y up."""
    from hack_model.appearance.parameters import Appearance
    from hack_model.clip import Clip
    from hack_model.formats.export import export_clip

    look = Appearance.parse(appearance) if appearance else None
    files = export_clip(
        Clip.load(clip), output, _load(model), texture=texture, frame=frame, placement=placement, appearance=look,
        maps=maps,
    )  # fmt: skip
    _report_files(files)


@app.command()
def appearance(
    look: Annotated[str, typer.Argument(help="As --appearance of `export`; the default skin when left out.")] = "",
    output: Annotated[
        Path, typer.Option("--output", "-o", file_okay=False, help="Folder for the pictures; made when missing.")
    ] = Path("appearance"),
    model: ModelOption = None,
    size: Annotated[int, typer.Option(min=64, max=4096, help="Pixels a side.")] = 1024,
    clip: Annotated[
        Path | None, typer.Option(help="Clip (.npz) whose frame wrinkles the skin; smooth when left out.")
    ] = None,
    frame: Annotated[int, typer.Option(help="Frame of the clip, counted from 0.")] = 0,
    parameters: Annotated[bool, typer.Option("--list", help="Only list the parameters with their ranges.")] = False,
) -> None:
    """Paints the maps of a skin: albedo, normal, roughness, wrinkles and eye, as PNG."""
    from hack_model.appearance.files import write_maps
    from hack_model.appearance.parameters import Appearance
    from hack_model.appearance.wrinkles import clip_weights
    from hack_model.clip import Clip

    if parameters:
        _print(_trait_table())
        return
    asset = _load(model).asset
    weights = clip_weights(Clip.load(clip).for_model(asset), asset, frame) if clip is not None else None
    _report_files(write_maps(output, asset, Appearance.parse(look), size=size, weights=weights))


@app.command()
def build(
    source: Annotated[Source, typer.Option(help="What to build from.")],
    output: Annotated[Path, typer.Option("--output", "-o", dir_okay=False, help="Model asset (.npz) to write.")],
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="The source's data: a folder, for ict also an .npz, for flame its .pkl or .npz; "
            "MakeHuman's is found by itself when left out.",
        ),
    ] = None,
    download: Annotated[
        bool,
        typer.Option("--download", help="ict: fetch ICT-FaceKit (MIT) by git first, to --from or the user's cache."),
    ] = False,
    template: Annotated[
        Path | None,
        typer.Option(help="ict, flame: model that gives neck joints and larynx; the default model when left out."),
    ] = None,
    identities: Annotated[
        int, typer.Option(min=10, help="makehuman: sampled people the shape components are learned from.")
    ] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="makehuman: seed of the sampling.")] = 0,
) -> None:
    """Makes a model asset: hack-open from MakeHuman's data, or one of your copy of another head model.

    ict: ICT-FaceKit. flame: FLAME 2020 or 2023. hack-release: HACK's official release, in metres.
    """
    if source in (Source.ict, Source.flame):
        from hack_model.sources import commands

        make = commands.build_ict if source is Source.ict else commands.build_flame
        with progress_bar() as progress:
            built = make(output, from_, template=template, progress=progress, download=download, say=_say)
        _report_files([built])
        return
    for hint, wish in (("--download", download), ("--template", template)):
        if wish:
            raise typer.BadParameter(f"{source.value} takes none", param_hint=hint)
    if source is Source.hack_release:
        from hack_model.release import read_release

        if from_ is None:
            raise typer.BadParameter("the official release has no known place; name its folder", param_hint="--from")
        _report_files([read_release(from_).save(output)])
        return
    from hack_model.build import makehuman

    with progress_bar() as progress:
        built = makehuman.build(output, source=from_, seed=seed, identities=identities, progress=progress)
    _report_files([built])


@app.command()
def fit(
    photo: Annotated[Path, typer.Argument(help="Photo with a face: PNG, JPEG or any other kind Pillow reads.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", file_okay=False, help="Folder for the results; made when missing.")
    ],
    face: Annotated[
        int | None, typer.Option(min=1, help="Which face, counted from the picture's left; the largest when left out.")
    ] = None,
    focal: Annotated[
        float | None,
        typer.Option(min=1.0, help="Focal length in pixels of the photo; the file's EXIF data when left out."),
    ] = None,
    preset: Annotated[Preset, typer.Option(help="fast: landmarks; quality: more iterations.")] = Preset.fast,
    model: ModelOption = None,
) -> None:
    """Fits the model to a photo: clip.npz, report.json, overlay.png, head.glb, texture.png."""
    from fitting.photo import FILES, fit_to_folder

    report = fit_to_folder(photo, output, _load(model), face=face, preset=preset.value, focal=focal)
    _print(_fit_table(report))
    _report_files(output / name for name in FILES)


@app.command()
def train(
    dataset: Annotated[Path, typer.Argument(help="Folder of registered meshes with dataset.json (docs/training.md).")],
    output: Annotated[Path, typer.Option("--output", "-o", dir_okay=False, help="Model asset (.npz) to write.")],
    template: Annotated[
        Path | None,
        typer.Option(help="Asset the meshes were registered with: topology, joint frames; the default when left out."),
    ] = None,
    components: Annotated[int, typer.Option(min=1, help="Shape components, at most one fewer than subjects.")] = 200,
    iterations: Annotated[int, typer.Option(min=0, help="Rounds of joints, weights and correctives.")] = 6,
    noise: Annotated[float, typer.Option(help="Standard deviation of the registrations, millimetres.")] = 0.3,
    seed: Annotated[int, typer.Option(min=0, help="Seed; the same gives the same model.")] = 0,
    name: Annotated[str, typer.Option(help="Name of the new model.")] = "trained",
    personal: Annotated[
        bool, typer.Option(help="Learn what expressions and correctives owe to each identity's shape.")
    ] = True,
    keep_joints: Annotated[bool, typer.Option("--keep-joints", help="Keep the template's joints.")] = False,
    keep_weights: Annotated[bool, typer.Option("--keep-weights", help="Keep the template's skinning weights.")] = False,
) -> None:
    """Learns a model from registered meshes; the same command goes on after an interruption."""
    from hack_model.training.dataset import Dataset
    from hack_model.training.train import Options
    from hack_model.training.train import train as learn

    options = Options(
        shape_components=components, iterations=iterations, noise=noise / 1000, seed=seed, name=name,
        personal=personal, keep_joints=keep_joints, keep_weights=keep_weights,
    )  # fmt: skip
    with progress_bar() as progress:
        learn(Dataset.open(dataset), output, _load(template).asset, options, progress=progress)
    _report_files([output])


@app.command()
def evaluate(
    model: Annotated[Path | None, typer.Argument(help="Model asset (.npz); the default model when left out.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Registered meshes the model has not seen; without them only compactness.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", file_okay=False, help="Folder for evaluation.json and plots (.png).")
    ] = Path("evaluation"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random heads.")] = 0,
) -> None:
    """Measures each space of a model (compactness, generalisation, specificity) and poses by region (millimetres)."""
    from hack_model.training.dataset import Dataset
    from hack_model.training.evaluate import evaluate as measure
    from hack_model.training.evaluate import save_report

    with progress_bar() as progress:
        report = measure(_load(model).asset, Dataset.open(data) if data else None, seed=seed, progress=progress)
    _report_files(save_report(report, output))


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="Clip (.npz); with --to hack a file of FLAME's parameters (.npz).")],
    to: Annotated[Target, typer.Option(help="flame: parameters; hack: a clip; smplx: one mesh of head and body.")],
    model_file: Annotated[Path, typer.Option(help="Your own FLAME or SMPL-X model file, .pkl or .npz.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", dir_okay=False, help="File to write: .npz; with --to smplx .obj, .ply, .glb."),
    ],
    model: ModelOption = None,
    frame: Annotated[int, typer.Option(min=0, help="smplx: frame of the clip, counted from 0.")] = 0,
    body: Annotated[
        Path | None,
        typer.Option(help="smplx: parameters of the body (.npz: betas, body_pose … as smplx names them)."),
    ] = None,
) -> None:
    """Converts a clip to FLAME's parameters or back, or puts its head on an SMPL-X body; tells the distance in mm."""
    from hack_model.interop import commands

    asset = _load(model).asset
    if to is Target.smplx:
        file = commands.head_on_body(source, model_file, output, asset, frame=frame, body_file=body, say=_say)
    else:
        work = commands.clip_to_flame if to is Target.flame else commands.flame_to_clip
        with progress_bar() as progress:
            file = work(source, model_file, output, asset, progress, _say)
    _report_files([file])


@app.command()
def addon(
    output: Annotated[
        Path, typer.Option("--output", "-o", dir_okay=False, help="Zip to write; install it in Blender 4.2 or newer.")
    ],
) -> None:
    """Builds the Blender extension."""
    from hack_model.addon import build as build_addon

    _report_files([build_addon(output)])


def main() -> None:
    """The console script."""
    app(prog_name="hack-model")


def _load(path: Path | None) -> HACK:
    import hack_model

    return hack_model.load(path)


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


def _print(renderable: Any) -> None:
    from rich.console import Console

    Console(soft_wrap=True, highlight=False).print(renderable)


def _say(text: str) -> None:
    from rich.text import Text

    _print(Text(text))


def _fail(message: str) -> None:
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, soft_wrap=True, highlight=False).print(Text.assemble(("error: ", "bold red"), message))


def _report_files(files: Iterable[Path]) -> None:
    from rich.text import Text

    for file in files:
        _print(Text(f"{file}  {file.stat().st_size / 1e6:.2f} MB"))


def _trait_table() -> Any:
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


def _fit_table(report: Mapping[str, Any]) -> Any:
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


if __name__ == "__main__":
    main()
