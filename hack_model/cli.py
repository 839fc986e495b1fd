"""The command line ``hack-model``.

Exit status: see :mod:`hack_model.console`.
Commands import what they need when they run, so that ``--help`` answers at once.
"""

from __future__ import annotations

import importlib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hack_model.console import Commands, fit_table, progress_bar, report_files, say, show, trait_table, usage

if TYPE_CHECKING:
    from hack_model.model import HACK

app = typer.Typer(
    cls=Commands,
    name="hack-model",
    help="A parametric human head and neck: models, fits of photos, exports, the Blender extension.",
    epilog="Exit status: 0 done, 1 it could not be done, 2 the command line is wrong, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_TAKES = {
    "makehuman": ("--from", "--identities", "--seed"),
    "hack-release": ("--from",),
    "ict": ("--from", "--download", "--template"),
    "flame": ("--from", "--template"),
}
"""The options of ``build`` that each source has a use for."""
_MISSING = {
    "hack-release": "the official release has no known place; name its folder",
    "ict": "name a copy of ICT-FaceKit, or fetch it with --download (MIT licence)",
    "flame": "name your FLAME model file (.pkl or .npz)",
}
"""What to say where ``--from`` is needed."""


def _npz(path: Path) -> Path:
    """Checks the name of a file of arrays to write."""
    if path.suffix.lower() != ".npz":
        raise typer.BadParameter(f"{path}: wanted a name that ends in .npz")
    return path


def _map_size(pixels: int) -> int:
    """Checks the size of maps of which there may be none."""
    if pixels and not 64 <= pixels <= 4096:
        raise typer.BadParameter(f"{pixels}: wanted 0, or 64 to 4096 pixels")
    return pixels


AppearanceOption = Annotated[
    str,
    typer.Option(
        help="How skin and eyes look: NAME=VALUE,… as `hack-model appearance --list` has them, or random:NUMBER."
    ),
]
ModelOutput = Annotated[
    Path, typer.Option("--output", "-o", dir_okay=False, callback=_npz, help="Model asset (.npz) to write.")
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
    show(describe(ModelAsset.load(path), path))


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
        int,
        typer.Option(
            callback=_map_size, help="Pixels a side of the maps of skin and eyes, 64 to 4096; 0 for plain colours."
        ),
    ] = 1024,
) -> None:
    """Writes a clip as a mesh or a rigged, animated head, in metres with Y up."""
    from hack_model.appearance.parameters import Appearance
    from hack_model.clip import Clip
    from hack_model.formats.export import export_clip, require_format

    with usage("--appearance"):
        look = Appearance.parse(appearance) if appearance else None
    if look is not None and maps == 0:
        raise typer.BadParameter("an appearance needs maps; leave --maps 0 out", param_hint="--appearance")
    with usage("--output"):
        require_format(output, texture=texture, appearance=look)
    files = export_clip(
        Clip.load(clip), output, _load(model), texture=texture, frame=frame, placement=placement, appearance=look,
        maps=maps,
    )  # fmt: skip
    report_files(files)


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
    frame: Annotated[int | None, typer.Option(help="Frame of --clip, counted from 0; the first when left out.")] = None,
    parameters: Annotated[bool, typer.Option("--list", help="Only list the parameters with their ranges.")] = False,
) -> None:
    """Paints the maps of a skin: albedo, normal, roughness, wrinkles and eye, as PNG."""
    from hack_model.appearance.files import write_maps
    from hack_model.appearance.parameters import Appearance
    from hack_model.appearance.wrinkles import clip_weights
    from hack_model.clip import Clip

    if parameters:
        show(trait_table())
        return
    with usage("LOOK"):
        chosen = Appearance.parse(look)
    if frame is not None and clip is None:
        raise typer.BadParameter("without --clip there is no frame to choose", param_hint="--frame")
    asset = _load(model).asset
    weights = clip_weights(Clip.load(clip).for_model(asset), asset, frame or 0) if clip is not None else None
    report_files(write_maps(output, asset, chosen, size=size, weights=weights))


@app.command()
def build(
    source: Annotated[Source, typer.Option(help="What to build from.")],
    output: ModelOutput,
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
        int | None,
        typer.Option(
            min=10, help="makehuman: sampled people the shape components are learned from; 2000 when left out."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="makehuman: seed of the sampling; 0 when left out.")] = None,
) -> None:
    """Makes a model asset: hack-open from MakeHuman's data, or one of your copy of another head model.

    ict: ICT-FaceKit. flame: FLAME 2020 or 2023. hack-release: HACK's official release, in metres.
    """
    given = {
        "--from": from_ is not None, "--download": download, "--template": template is not None,
        "--identities": identities is not None, "--seed": seed is not None,
    }  # fmt: skip
    if source is Source.flame and download:
        register = "FLAME cannot be downloaded for you: register at https://flame.is.tue.mpg.de, then name --from"
        raise typer.BadParameter(register, param_hint="--download")
    for hint, wish in given.items():
        if wish and hint not in _TAKES[source.value]:
            raise typer.BadParameter(f"{source.value} takes none", param_hint=hint)
    if from_ is None and not download and source.value in _MISSING:
        raise typer.BadParameter(_MISSING[source.value], param_hint="--from")
    with progress_bar() as progress:
        if source is Source.makehuman:
            from hack_model.build import makehuman

            built = makehuman.build(
                output, source=from_, seed=seed or 0, identities=identities or 2000, progress=progress
            )
        elif source is Source.hack_release:
            from hack_model.release import read_release

            built = read_release(cast("Path", from_)).save(output)
        else:
            from hack_model.sources import commands

            if source is Source.ict:
                built = commands.build_ict(output, from_, template, download=download, progress=progress, say=say)
            else:
                built = commands.build_flame(output, cast("Path", from_), template, progress=progress, say=say)
    report_files([built])


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
    show(fit_table(report))
    report_files(output / name for name in FILES)


@app.command()
def train(
    dataset: Annotated[Path, typer.Argument(help="Folder of registered meshes with dataset.json (docs/training.md).")],
    output: ModelOutput,
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

    with usage("--noise"):
        options = Options(
            shape_components=components, iterations=iterations, noise=noise / 1000, seed=seed, name=name,
            personal=personal, keep_joints=keep_joints, keep_weights=keep_weights,
        )  # fmt: skip
    with progress_bar() as progress:
        learn(Dataset.open(dataset), output, _load(template).asset, options, progress=progress)
    report_files([output])


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

    importlib.import_module("matplotlib")  # what the plots need is missed now, not after minutes of measuring
    with progress_bar() as progress:
        report = measure(_load(model).asset, Dataset.open(data) if data else None, seed=seed, progress=progress)
    report_files(save_report(report, output))


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="Clip (.npz); with --to hack a file of FLAME's parameters (.npz).")],
    to: Annotated[Target, typer.Option(help="flame: parameters; hack: a clip; smplx: one mesh of head and body.")],
    model_file: Annotated[Path, typer.Option(help="Your own FLAME or SMPL-X model file, .pkl or .npz.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", dir_okay=False, help="File to write: .npz; with --to smplx .obj, .ply, .stl or .glb."
        ),
    ],
    model: ModelOption = None,
    frame: Annotated[
        int | None, typer.Option(min=0, help="smplx: frame of the clip, counted from 0; the first when left out.")
    ] = None,
    body: Annotated[
        Path | None,
        typer.Option(help="smplx: parameters of the body (.npz: betas, body_pose … as smplx names them)."),
    ] = None,
) -> None:
    """Converts a clip to FLAME's parameters or back, or puts its head on an SMPL-X body; tells the distance in mm."""
    from hack_model.interop import commands

    if to is Target.smplx:
        from hack_model.interop.smplx_body import require_mesh_format

        with usage("--output"):
            require_mesh_format(output)
    else:
        for hint, wish in (("--frame", frame), ("--body", body)):
            if wish is not None:
                raise typer.BadParameter(f"--to {to.value} takes none", param_hint=hint)
        _npz(output)
    asset = _load(model).asset
    if to is Target.smplx:
        file = commands.head_on_body(source, model_file, output, asset, frame=frame or 0, body_file=body, say=say)
    else:
        work = commands.clip_to_flame if to is Target.flame else commands.flame_to_clip
        with progress_bar() as progress:
            file = work(source, model_file, output, asset, progress, say)
    report_files([file])


@app.command()
def addon(
    output: Annotated[
        Path, typer.Option("--output", "-o", dir_okay=False, help="Zip to write; install it in Blender 4.2 or newer.")
    ],
) -> None:
    """Builds the Blender extension."""
    from hack_model.addon import build as build_addon
    from hack_model.addon import require_zip

    with usage("--output"):
        require_zip(output)
    report_files([build_addon(output)])


def main() -> None:
    """The console script."""
    app(prog_name="hack-model")


def _load(path: Path | None) -> HACK:
    import hack_model

    return hack_model.load(path)


if __name__ == "__main__":
    main()
