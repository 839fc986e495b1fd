from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hack_model import ModelAsset
from hack_model.cli import app
from hack_model.clip import Clip
from hack_model.release import read_release
from tests.hack_model.test_release import Release
from tests.support.synthetic import synthetic_asset

COMMANDS = ("info", "export", "appearance", "build", "train", "evaluate", "convert", "fit", "addon")


def run(*words: str | Path):
    return CliRunner().invoke(app, [str(word) for word in words], prog_name="hack-model")


def failed(result, message: str) -> None:
    """One readable message on the error stream, status 1."""
    assert result.exit_code == 1
    assert re.search(message, result.stderr), result.stderr
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)


def misused(result, message: str) -> None:
    """The command's usage and what is wrong with the words, status 2."""
    assert result.exit_code == 2, result.output
    assert "Usage: hack-model" in result.stderr
    assert re.search(message, " ".join(re.sub("[│╭╮╰╯─]", " ", result.stderr).split())), result.stderr
    assert "Traceback" not in result.output


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return synthetic_asset().save(tmp_path / "model.npz")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    neutral = Clip.neutral(synthetic_asset(), frames=3)
    return dataclasses.replace(neutral, translation=np.arange(9.0).reshape(3, 3)).save(tmp_path / "clip.npz")


def test_help_lists_the_commands() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert all(re.search(rf"\b{command}\b", result.output) for command in COMMANDS)
    assert "Exit status: 0 done, 1 " in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Usage: hack-model" in result.output


@pytest.mark.parametrize("words", [(), ("nonsense",), ("export",), ("info", "--nonsense"), ("fit", "a.png")])
def test_wrong_usage_is_status_2(words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert "Usage" in result.output


def test_info_tells_of_the_default_model() -> None:
    result = run("info")
    assert result.exit_code == 0, result.output
    words = " ".join(result.output.split())
    assert "hack-open" in words
    assert "CC0-1.0" in words
    assert "eyeBlink_L" in words
    assert "8 cervical, 2 eyes" in words


def test_info_counts_rightly(model: Path) -> None:
    asset = ModelAsset.load(model)
    words = " ".join(run("info", model).output.split())
    assert f"vertices {len(asset.template)} faces" in words
    assert "beyond HACK's: tongueOut" in words
    assert f"{len(asset.pose_basis)} pose correctives" in words
    assert "expressions (3 components), correctives (3 components)" in words
    assert ", ".join(asset.combination_names) in words
    assert "8.0 mm at size 1, glides forwards, as large as the identity says" in words


def test_info_shows_foreign_texts_as_they_are(tmp_path: Path) -> None:
    facts = '{"source": "[/bold] a", "variance": {"25": 0.9}, "mm": {"nose": {"mean": 5}, "ear": {"mean": 6}}}'
    odd = dataclasses.replace(synthetic_asset(), name="[red]odd[/]", provenance=facts)
    result = run("info", odd.save(tmp_path / "odd.npz"))
    assert result.exit_code == 0, result.output
    words = " ".join(result.output.split())
    assert "[red]odd[/] 0" in words
    assert "source [/bold] a" in words
    assert "variance 25 0.9 provenance: mm nose: mean 5 ear: mean 6" in words


@pytest.mark.parametrize("text", ["made by hand", "[1]", "[" * 100_000, '{"a":' * 900 + "1" + "}" * 900])
def test_info_shows_a_provenance_of_any_kind(tmp_path: Path, text: str) -> None:
    odd = dataclasses.replace(synthetic_asset(), provenance=text)
    result = run("info", odd.save(tmp_path / "odd.npz"))
    assert result.exit_code == 0, result.output
    assert "provenance" in result.output


def test_errors_are_one_message(tmp_path: Path) -> None:
    failed(run("info", tmp_path / "none.npz"), r"none\.npz: no such file")
    (tmp_path / "text.npz").write_text("no archive")
    failed(run("info", tmp_path / "text.npz"), "not a readable")


@pytest.mark.parametrize("words", [("--debug", "info", "none.npz"), ("info", "none.npz", "--debug")])
def test_debug_shows_the_traceback(words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.exit_code == 1
    assert type(result.exception).__name__ == "AssetError"


def test_interruption_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ModelAsset, "load", interrupt)
    result = run("info")
    assert result.exit_code == 130
    assert result.stderr == "error: interrupted\n"


def test_export_by_suffix(model: Path, clip: Path, tmp_path: Path) -> None:
    for suffix, start in ((".glb", b"glTF"), (".OBJ", b"#"), (".ply", b"ply\n")):
        output = tmp_path / f"out/head{suffix}"
        result = run("export", clip, "-o", output, "--model", model)
        assert result.exit_code == 0, result.output
        assert output.read_bytes().startswith(start)
        assert output.name in result.output


def first_vertex(path: Path) -> np.ndarray:
    line = next(line for line in path.read_text().splitlines() if line.startswith("v "))
    return np.array([float(word) for word in line.split()[1:]])


def test_export_takes_a_frame_and_leaves_out_placement(model: Path, clip: Path, tmp_path: Path) -> None:
    template, output = ModelAsset.load(model).template, tmp_path / "head.obj"
    for words, shift in (
        ((), [0, 1, 2]),
        (("--frame", "2"), [6, 7, 8]),
        (("--frame", "2", "--no-placement"), [0, 0, 0]),
    ):
        assert run("export", clip, "-o", output, "-m", model, *words).exit_code == 0
        np.testing.assert_allclose(first_vertex(output), template[0] + shift, atol=1e-6)


def test_export_refuses_what_it_cannot_write(model: Path, clip: Path, tmp_path: Path) -> None:
    wanted = r"\.xyz.*\.glb, \.usda, \.usdc, \.usdz, \.obj, \.ply"
    misused(run("export", clip, "-o", tmp_path / "head.xyz", "-m", model), wanted)
    misused(run("export", clip, "-o", tmp_path / "head", "-m", model), "without suffix")
    misused(run("export", clip, "-o", tmp_path / "a.ply", "-m", model, "--texture", clip), "PLY carries no texture")
    plain = run("export", clip, "-o", tmp_path / "a.ply", "-m", model, "--appearance", "melanin=0.5")
    misused(plain, "PLY carries no appearance")
    failed(run("export", clip, "-o", tmp_path / "a.glb", "-m", model, "--frame", "3"), "3 frames, 0 to 2")
    failed(run("export", clip, "-o", tmp_path / "a.glb", "-m", model, "--texture", clip), "neither PNG nor JPEG")
    failed(run("export", model, "-o", tmp_path / "a.glb", "-m", model), "not a clip")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["clip.npz", "model.npz"]


def test_a_place_that_cannot_be_written_is_named(model: Path, clip: Path) -> None:
    failed(run("export", clip, "-o", clip / "head.obj", "-m", model), r"clip\.npz/head\.\w+: cannot be written \(Not a")


def test_a_folder_where_a_file_is_wanted_and_the_reverse(model: Path, clip: Path, tmp_path: Path) -> None:
    for words in (
        ("export", clip, "-o", tmp_path), ("addon", "-o", tmp_path), ("fit", "photo.png", "-o", clip),
        ("build", "--source", "makehuman", "-o", tmp_path),
    ):  # fmt: skip
        assert run(*words).exit_code == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["clip.npz", "model.npz"]


@pytest.mark.parametrize(
    ("package", "words", "extra"),
    [
        ("PIL", ("fit", "photo.png", "-o", "out"), "fit"),
        ("scipy", ("build", "--source", "makehuman"), "build"),
        ("matplotlib", ("evaluate", "-o", "out"), "train"),
        ("scipy", ("convert", "c.npz", "--to", "smplx", "--model-file", "m.npz", "-o", "o.obj"), "smplx"),
    ],
)
def test_a_missing_package_names_the_commands_extra(
    tmp_path: Path, package: str, words: tuple[str, ...], extra: str
) -> None:
    """In a process of its own, where nothing has imported the package yet."""
    code = f"import sys; sys.modules[{package!r}] = None; from hack_model.cli import main; main()"
    words = (*words, "-o", "model.npz") if extra == "build" else words
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    wanted = f"error: this command needs the package {package}; install it with: pip install 'hack-model[{extra}]'\n"
    assert done.stderr == wanted
    assert list(tmp_path.iterdir()) == []


def test_addon_writes_a_zip(tmp_path: Path) -> None:
    result = run("addon", "-o", tmp_path / "hack.zip")
    assert result.exit_code == 0, result.output
    with zipfile.ZipFile(tmp_path / "hack.zip") as archive:
        assert "blender_manifest.toml" in archive.namelist()


def test_an_extension_is_called_zip(tmp_path: Path) -> None:
    misused(run("addon", "-o", tmp_path / "hack.txt"), r"hack\.txt: .*name it hack\.zip")
    assert list(tmp_path.iterdir()) == []


def test_build_reports_a_source_that_is_not_there(tmp_path: Path) -> None:
    failed(run("build", "--source", "makehuman", "--from", tmp_path, "-o", tmp_path / "model.npz"), str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "wishes"),
    [
        ("makehuman", ("--download", "--template model.npz")),
        ("hack-release", ("--download", "--template model.npz", "--seed 1", "--identities 20")),
        ("ict", ("--seed 0", "--identities 2000")),
        ("flame", ("--seed 1", "--identities 20")),
    ],
)
def test_build_refuses_what_a_source_has_no_use_for(tmp_path: Path, source: str, wishes: tuple[str, ...]) -> None:
    for wish in wishes:
        words = ("build", "--source", source, "--from", tmp_path, "-o", tmp_path / "model.npz", *wish.split())
        misused(run(*words), f"{wish.split()[0]}: {source} takes none")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("build --source ict -o m.npz", "--from: .*ICT-FaceKit.*--download"),
        ("build --source flame -o m.npz", "--from: name your FLAME model file"),
        ("build --source hack-release -o m.npz", "--from: .*name its folder"),
        ("build --source flame --download -o m.npz", "--download: FLAME cannot be downloaded.*register"),
        ("build --source makehuman -o m.glb", r"m\.glb: wanted a name that ends in \.npz"),
        ("train . -o m", r"wanted a name that ends in \.npz"),
        ("train . -o m.npz --noise -1", "--noise: noise is"),
        ("export c.npz -o h.glb --maps 63", "63: wanted 0, or 64 to 4096 pixels"),
        ("export c.npz -o h.glb --maps -1", "-1: wanted 0, or 64"),
        ("export c.npz -o h.glb --maps 5000", "5000: wanted 0, or 64"),
        ("export c.npz -o h.glb --maps 0 --appearance melanin=0.5", "--appearance: an appearance needs maps"),
        ("export c.npz -o h.glb --appearance skin=1", "--appearance: 'skin=1' is no parameter"),
        ("appearance melanin=7", "LOOK: melanin: 7 lies outside 0…1"),
        ("appearance --frame 0", "--frame: without --clip there is no frame"),
        ("convert c.npz --to flame --model-file f.pkl -o o.npz --frame 0", "--frame: --to flame takes none"),
        ("convert c.npz --to hack --model-file f.pkl -o o.npz --body b.npz", "--body: --to hack takes none"),
        ("convert c.npz --to hack --model-file f.pkl -o o.glb", r"wanted a name that ends in \.npz"),
        ("convert c.npz --to smplx --model-file f.pkl -o o.npz", r"--output: .*wanted one of \.obj"),
    ],
)
def test_a_line_that_is_wrong_in_itself_is_usage_and_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    misused(run(*words.split()), message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        "build --source ict --from none -o m.npz", "build --source flame --from none.pkl -o m.npz",
        "build --source hack-release --from none -o m.npz", "export none.npz -o h.glb", "train none -o m.npz",
        "convert none.npz --to flame --model-file none.pkl -o o.npz", "evaluate none.npz", "fit none.png -o out",
        "appearance --clip none.npz", "info none.npz",
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    failed(run(*words.split()), "none")
    assert list(tmp_path.iterdir()) == []


def test_build_reads_the_official_release(tmp_path: Path) -> None:
    release = Release(tmp_path / "HACK-Model")
    output = tmp_path / "release.npz"
    assert run("build", "--source", "hack-release", "-o", output).exit_code == 2
    result = run("build", "--source", "hack-release", "--from", release.folder, "-o", output)
    assert result.exit_code == 0, result.output
    read = read_release(release.folder)
    np.testing.assert_array_equal(ModelAsset.load(output).shape_basis, read.shape_basis)
    failed(run("build", "--source", "hack-release", "--from", tmp_path / "x", "-o", tmp_path / "y.npz"), "x")


def test_help_imports_no_heavy_package() -> None:
    heavy = "torch scipy trimesh pygltflib mediapipe cv2 bpy PIL warp"
    code = f"import sys, hack_model.cli; print([m for m in {heavy.split()!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_console_script_returns_its_status(tmp_path: Path) -> None:
    script = Path(sys.executable).parent / "hack-model"
    done = subprocess.run([script, "info", tmp_path / "none.npz"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path}/none.npz: no such file\n"
    assert subprocess.run([script, "--help"], capture_output=True).returncode == 0


def test_appearance_lists_its_parameters() -> None:
    result = run("appearance", "--list")
    assert result.exit_code == 0
    assert re.search(r"melanin\s+0…1", result.output)


def test_appearance_paints_maps(tmp_path: Path) -> None:
    result = run("appearance", "melanin=0.7,seed=2", "-o", tmp_path / "maps", "--size", "64")
    assert result.exit_code == 0, result.output
    assert {"albedo.png", "normal.png", "roughness.png"} <= {file.name for file in (tmp_path / "maps").iterdir()}


def test_export_refuses_an_appearance_it_cannot_draw(model: Path, clip: Path, tmp_path: Path) -> None:
    failed(
        run("export", clip, "-o", tmp_path / "head.glb", "-m", model, "--appearance", "melanin=0.5"),
        "lacks landmarks, regions",
    )
