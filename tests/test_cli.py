"""The command line: quick to start, one line for a mistake, a traceback for a bug."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from active_perception_r1.cli import main
from active_perception_r1.config import ModelConfig
from active_perception_r1.data.samples import write_samples
from active_perception_r1.keys import stages
from active_perception_r1.runtime import lease
from tests.configured import configure
from tests.scripted import make_sample
from tests.workflow import REPOSITORY

COMMANDS = [
    "benchmark",
    "compare",
    "diagnose",
    "download",
    "figure",
    "grpo-data",
    "infer",
    "leaderboard",
    "manifest",
    "pin",
    "preflight",
    "run",
    "sample-slice",
    "score",
    "show",
    "stats",
    "status",
    "train",
    "train-tiny",
    "verify",
]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "active_perception_r1.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Of what was told as an error, without a traceback."""
    told = capsys.readouterr().err
    assert "Traceback" not in told
    return told.splitlines()[-1]


def test_help_names_every_command() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert [word for word in COMMANDS if f"\n    {word}" not in done.stdout] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_its_options(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"usage: active-perception {command}" in capsys.readouterr().out


def test_starting_up_loads_nothing_heavy() -> None:
    program = "import sys, active_perception_r1.cli; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"torch", "transformers", "pandas", "numpy", "PIL", "pydantic", "matplotlib"}
    assert not heavy & set(done.stdout.split())


STUDY = ["--config=config.json", "--study=s"]


MISTAKES: dict[str, tuple[list[str], str]] = {
    "a missing leaderboard": (["show", "none.json"], "none.json: cannot be read"),
    "missing predictions": (
        ["score", *STUDY, "--predictions=none", "--slice=none", "--output=out"],
        "none",
    ),
    "an unknown model of the configuration": (
        [
            *["infer", *STUDY, "--model=n", "--mode=active"],
            *["--slice=s", "--output=o", "--partial=p"],
        ],
        "model: 'n' is not defined; known: m",
    ),
    "an unknown study": (
        ["download", *STUDY[:1], "--study=t", "--split=test", "--output=o", "--partial=p"],
        "study: 't' is not defined",
    ),
    "a missing configuration": (
        ["download", "--study=s", "--split=test", "--output=o", "--partial=p"],
        "workflow_config.yaml: cannot be read",
    ),
    "no samples": (
        ["benchmark", "--model-id=.", "--samples=0", "--output-dir=out"],
        "samples: input should be greater than 0 (got 0)",
    ),
    "an unknown syntax": (
        ["benchmark", "--model-id=.", "--zoom-syntax=zoom_rio", "--output-dir=out"],
        "zoom_syntax: 'zoom_rio' is not defined; did you mean 'zoom_roi'?",
    ),
    "an unknown model": (
        ["benchmark", "--model-id=none", "--output-dir=out"],
        "--model-id: 'none' is not defined",
    ),
    "unknown words for a model": (
        ["benchmark", "--model-id=.", "--prompts=ters", "--output-dir=out"],
        "prompts: 'ters' is not defined; did you mean 'terse'?",
    ),
    "a mode without the one that it goes by": (
        ["benchmark", "--model-id=.", "--modes", "matched_view", "--output-dir=out"],
        "--modes: matched_view goes by the episodes of active; add active",
    ),
    "a file that is no leaderboard": (["show", "config.json"], "not a leaderboard in JSON"),
    "a folder for a leaderboard": (["show", "."], ".: cannot be read (Is a directory)"),
    "a folder that cannot be made": (
        ["benchmark", "--model-id=.", "--samples=1", "--output-dir=/proc/none/out"],
        "/proc/none",
    ),
    "a study that is not there": (
        ["run", "dem"],
        "study: 'dem' is not defined; did you mean 'demo'?",
    ),
    "a file that is not there": (["run", "none.yaml"], "none.yaml: there is no such file"),
    "a target that is taken for a file": (
        ["run", "--configfile", "config.json", "pin"],
        "--configfile: 'pin' is no configuration file (.yaml); every word up to the next option is"
        " taken for one, so put targets before it",
    ),
    "the result of a study taken for a file": (
        ["run", "--configfile", "config.json", "results/demo/leaderboard.json"],
        "so put targets before it",
    ),
    "a wrong key in a file": (
        ["run", "config.json", "--config", "studees=1"],
        "studees: unknown key; did you mean 'studies'?",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_line(
    mistake: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    configure(tmp_path)
    arguments, message = MISTAKES[mistake]
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_a_missing_model_folder_is_told_in_the_last_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_samples(tmp_path / "s", [make_sample()])
    config = configure(tmp_path, id=str(tmp_path / "none"))
    arguments = ["infer", f"--config={config}", "--study=s", "--model=m", "--mode=active"]
    arguments += [f"--slice={tmp_path}/s", f"--output={tmp_path}/o", f"--partial={tmp_path}/p"]
    assert main(arguments) == 1
    assert last_line(capsys).startswith(f"error: model '{tmp_path / 'none'}'")


def test_a_folder_that_cannot_be_written_to_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results").write_text("a file, not a folder")
    arguments = ["download", f"--config={configure(tmp_path)}", "--study=s", "--split=test"]
    arguments += [f"--output={tmp_path}/results/test.parquet", f"--partial={tmp_path}/partial"]
    assert main(arguments) == 1
    assert last_line(capsys).startswith(f"error: {tmp_path / 'results'}")


def test_a_file_that_cannot_grow_is_named_and_nothing_half_written_is_left(tmp_path: Path) -> None:
    """A limit on the size of files, since it fails as a full disk does and hurts nobody else."""
    output, partial = tmp_path / "out" / "test.parquet", tmp_path / "partial"
    (tmp_path / "elsewhere").mkdir()
    config = configure(tmp_path / "elsewhere")
    arguments = ["download", "--config", str(config), "--study=s", "--split=test"]
    arguments += ["--output", str(output), "--partial", str(partial)]
    command = [sys.executable, "-m", "active_perception_r1.cli", *arguments]
    done = subprocess.run(["prlimit", "--fsize=5000", *command], capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: {partial / '000000'}: ")
    assert ": File too large; raise the limit" in last
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["config.json", "lock"]


def test_the_shipped_model_is_trained_from_a_checkout_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stages, "ROOT", tmp_path / "site-packages" / "active_perception_r1")
    assert main(["train-tiny", "--output=o", "--checkpoints=c"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: train-tiny: ")
    assert "run from a checkout" in line


@pytest.mark.parametrize(
    ("module", "extra"), [("torch", "models"), ("snakemake.cli", "workflow"), ("trl", "trl")]
)
def test_a_command_names_the_extra_that_it_needs(
    module: str, extra: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(command: object) -> None:
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)

    monkeypatch.setattr("active_perception_r1.cli.results._run_show", fail)
    assert main(["show", "leaderboard.json"]) == 1
    cure = f"{module} is not installed here; pip install 'active-perception-r1[{extra}]'"
    assert capsys.readouterr().err == f"error: {cure}\n"


def test_a_module_that_no_extra_brings_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: object) -> None:
        raise ModuleNotFoundError("No module named 'tourch'", name="tourch")

    monkeypatch.setattr("active_perception_r1.cli.results._run_show", fail)
    with pytest.raises(ModuleNotFoundError, match="tourch"):
        main(["show", "leaderboard.json"])


def test_a_score_without_its_model_is_refused_by_the_parser() -> None:
    done = run("leaderboard", "--study=s", "--output=o", "--scores", "active.parquet")
    assert done.returncode == 2
    assert "'active.parquet' is not in a folder with the name of a model" in done.stderr


def test_a_score_without_its_mode_is_refused_by_the_parser() -> None:
    done = run("leaderboard", "--study=s", "--output=o", "--scores", "m/ative.parquet")
    assert done.returncode == 2
    assert "'ative' is no mode; known: active," in done.stderr


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("active_perception_r1.cli.results._run_show", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["show", "leaderboard.json"])


def test_an_interrupt_ends_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(command: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("active_perception_r1.cli.results._run_show", interrupt)
    assert main(["show", "leaderboard.json"]) == 130


def test_a_reader_that_has_seen_enough_ends_it_quietly() -> None:
    (board,) = REPOSITORY.glob("results/pinned/*/leaderboard.json")
    program = [sys.executable, "-m", "active_perception_r1.cli", "show", str(board)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.parametrize(
    ("options", "modes"),
    [
        (["--active-strategy=strict_zoom"], ["baseline", "strict_zoom", "oracle"]),
        (["--modes", "matched_view", "active", "--prompts=terse"], ["active", "matched_view"]),
    ],
    ids=["strategy", "modes"],
)
def test_benchmark_plays_the_modes_and_writes_both_reports(
    options: list[str], modes: list[str], tmp_path: Path, untrained_model: ModelConfig
) -> None:
    config = {
        "study": "s",
        "studies": {"s": {"dataset": {"source": "synthetic"}, "models": ["m"], "modes": modes}},
        "models": {"m": untrained_model.model_dump(mode="json")},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    output = tmp_path / "out"
    arguments = ["benchmark", "--model-id=m", "--samples=3", *options]
    assert main([*arguments, f"--output-dir={output}", f"--config={tmp_path}/config.yaml"]) == 0

    report = json.loads((output / "benchmark.json").read_text())
    assert [row["mode"] for row in report["rows"]] == modes
    assert {row["n"] for row in report["rows"]} == {3}
    assert report["model"]["id"] == untrained_model.id
    page = (output / "benchmark.md").read_text()
    assert page.startswith("# Leaderboard of study benchmark of m\n")
    assert '"samples": 3' in page


def test_benchmark_leaves_a_busy_gpu_alone_unless_told_otherwise(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    untrained_model: ModelConfig,
) -> None:
    monkeypatch.setenv("ACTIVE_PERCEPTION_GPUS", "0")
    monkeypatch.setattr(lease, "BUSY_GRACE", 0.0)
    monkeypatch.setattr(lease, "busy_devices", lambda devices, _: dict.fromkeys(devices, "in use"))
    config = {
        "study": "s",
        "studies": {
            "s": {"dataset": {"source": "synthetic"}, "models": ["m"], "modes": ["active"]}
        },
        "models": {"m": {**untrained_model.model_dump(mode="json"), "gpus": 1}},
        "gpu": {"lease_folder": str(tmp_path / "leases")},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    arguments = ["benchmark", "--model-id=m", f"--output-dir={tmp_path}/out", "--samples=1"]
    arguments.append(f"--config={tmp_path}/config.yaml")
    assert main(arguments) == 1
    assert "error: GPU 0: in use; wait, or share it with" in capsys.readouterr().err
    assert main([*arguments, "--allow-busy-gpu"]) == 0


def test_a_job_that_was_granted_fewer_gpus_than_its_model_needs_does_not_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["infer", f"--config={configure(tmp_path, gpus=2)}", "--study=s", "--model=m"]
    arguments += ["--mode=active", "--slice=s", "--output=o", "--partial=p"]
    assert main([*arguments, "--granted=1"]) == 1
    assert "the model needs 2 GPUs, but this job was granted 1" in capsys.readouterr().err
