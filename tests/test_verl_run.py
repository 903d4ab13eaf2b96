"""How a run of verl is watched, how it goes on and how it ends; without verl."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from active_perception_r1.cli import main
from active_perception_r1.config import ModelConfig, parse_section
from active_perception_r1.config.engines.verl import AlarmConfig
from active_perception_r1.data.samples import write_samples
from active_perception_r1.errors import TrainingError
from active_perception_r1.rewards.active_vision_reward import FIELDS
from active_perception_r1.training import verl, verl_progress
from active_perception_r1.training.verl_metrics import Alarms, VerlStepMetrics
from active_perception_r1.training.verl_progress import Progress
from tests.configured import configure_training
from tests.families import build
from tests.scripted import make_sample
from tests.test_verl_launch import run_of

# Watching.


def metrics(step: int = 1, **changes: Any) -> VerlStepMetrics:
    fine = dict.fromkeys(VerlStepMetrics.__dataclass_fields__, 0.5)
    agreeing = {"correlation": 0.999, "probability_gap": 0.01, "means": {"reward": 0.5}}
    agreeing |= {"asked": 100, "failed": 0}
    return VerlStepMetrics(**{**fine, **agreeing, "step": step, **changes})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"correlation": 0.98}, "rollout and actor disagree"),
        ({"correlation": None}, "rollout and actor disagree"),
        ({"correlation": 0.98, "probability_gap": None}, "rollout and actor disagree"),
        ({"zoom_rate": 0.0}, "zooming has collapsed"),
        ({"reward_std": 0.0}, "all rewards are equal"),
    ],
)
def test_what_stays_wrong_stops_a_run(change: dict[str, Any], message: str) -> None:
    alarms = Alarms(AlarmConfig(patience=3))
    alarms.check(metrics(1, **change))
    alarms.check(metrics(2, **change))
    with pytest.raises(TrainingError, match=f"step 3: {message} for 3 steps"):
        alarms.check(metrics(3, **change))


def test_what_mends_itself_does_not() -> None:
    alarms = Alarms(AlarmConfig(patience=2))
    for step in range(1, 9):
        alarms.check(metrics(step, zoom_rate=step % 2))


@pytest.mark.parametrize("correlation", [0.9, float("nan")])
def test_a_policy_that_is_sure_of_every_token_is_not_taken_for_another_model(
    correlation: float,
) -> None:
    """Its probabilities hardly vary, so their correlation is that of rounding errors."""
    Alarms(AlarmConfig(patience=1)).check(metrics(correlation=correlation, probability_gap=2e-4))


def test_a_step_whose_episodes_fail_stops_a_run_at_once_and_says_why() -> None:
    alarms = Alarms(AlarmConfig(patience=3, max_failed=0.05))
    alarms.check(metrics(1, failed=5), "DataError: one page (5 times)")
    message = r"step 2: 6 of 100 episodes failed, .*max_failed .*\(0.05\): DataError: a page \(6 t"
    with pytest.raises(TrainingError, match=message):
        alarms.check(metrics(2, failed=6), "DataError: a page (6 times)")
    with pytest.raises(TrainingError, match="none left an error"):
        alarms.check(metrics(3, failed=6))


@pytest.mark.parametrize("value", [float("nan"), None])
def test_a_loss_that_is_no_number_stops_a_run_at_once(value: float | None) -> None:
    with pytest.raises(TrainingError, match="step 1: loss is not a number"):
        Alarms(AlarmConfig()).check(metrics(loss=value))


# Going on.


def test_a_run_goes_on_from_the_last_checkpoint_whose_steps_are_all_known(tmp_path: Path) -> None:
    progress = Progress(tmp_path, run_of(steps=9))
    for step in range(1, 6):
        progress.metrics.append({"step": step})
        (tmp_path / f"checkpoints/global_step_{step + 1}").mkdir(parents=True)
    assert progress.resume() == 5
    assert (tmp_path / "checkpoints/latest_checkpointed_iteration.txt").read_text() == "5"
    assert not (tmp_path / "checkpoints/global_step_6").exists()


def test_a_run_without_a_checkpoint_begins_anew(tmp_path: Path) -> None:
    progress = Progress(tmp_path, run_of())
    progress.metrics.append({"step": 1})
    assert progress.resume() == 0
    assert progress.metrics.steps() == 0


# Ending.

# Stands in for verl's trainer: runs a run of 3 steps as the variable VERL_PLAYS says.
STAND_IN = """
import json, os, sys, time
from pathlib import Path
told = dict(argument.split("=", 1) for argument in sys.argv[1:])
log = Path(told["+ray_kwargs.ray_init.runtime_env.env_vars.VERL_FILE_LOGGER_PATH"])
episodes = Path(told["+reward.custom_reward_function.reward_kwargs.episodes"])
runs = os.environ["VERL_PLAYS"]
Path(os.environ["VERL_PID"]).write_text(str(os.getpid()))
fine = {"actor/lr": 1e-6, "actor/loss": 0.1, "actor/grad_norm": 0.1,
        "training/rollout_actor_probs_pearson_corr": 0.999}
parts = [*REWARD_FIELDS, "over_long", "image_count"]
for step in range(1, 2 if runs in ("stops early", "a worker dies") else 4):
    zooms = 0 if runs == "no zoom" else 1
    rows = [{**dict.fromkeys(parts, 0.5), "id": "q", "doc_id": "d", "episode": {}, "reward": s,
             "shown": zooms} for s in (0.0, 1.0) * 3]
    if runs in ("a third fails", "all fail"):
        rows[:2] = [{"id": "q", "error": "DataError: no page"}] * 2
    if runs == "a third is lost":
        del rows[:2]
    if runs == "too many":
        rows += rows
    if runs == "all fail":
        rows = rows[:1] * 6
    if runs != "no episodes":
        (episodes / f"{step}.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows))
    with log.open("a") as file:
        file.write(json.dumps({"step": step, "data": fine}) + "\\n")
if runs == "all fail":
    sys.exit("nothing left to train on")
if runs == "crash":
    sys.exit("CUDA out of memory")
if runs != "stops early":
    time.sleep(600)
"""


@pytest.fixture
def alarms() -> AlarmConfig:
    return AlarmConfig(patience=2)


@pytest.fixture
def trainer(tmp_path: Path, alarms: AlarmConfig, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arguments of `active-perception train` for a run of the stand-in."""
    package = tmp_path / "python" / "verl" / "trainer"
    package.mkdir(parents=True)
    for file in (package.parent / "__init__.py", package / "__init__.py"):
        file.touch()
    (package / "main_ppo.py").write_text(STAND_IN.replace("REWARD_FIELDS", repr(FIELDS)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "python"))
    monkeypatch.setenv("VERL_PID", str(tmp_path / "pid"))
    monkeypatch.setattr(verl_progress, "POLL_SECONDS", 0.01)
    write_samples(tmp_path / "data.parquet", [make_sample(i) for i in range(4)])
    entry = build("qwen2_5_vl", tmp_path / "weights") | {"gpus": 0}
    base = parse_section(ModelConfig, json.dumps(entry))
    episodes = {"prompts_per_step": 3, "samples_per_prompt": 2, "micro_batch": 2}
    run = run_of(steps=3, alarms=alarms, **episodes)
    config = configure_training(tmp_path, "r", run, base)
    return [
        *["train", "--config", str(config), "--run=r"],
        *["--data", str(tmp_path / "data.parquet")],
        *["--output", str(tmp_path / "out"), "--checkpoints", str(tmp_path / "states")],
    ]


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ("no zoom", "error: step 2: zooming has collapsed for 2 steps: "),
        ("no episodes", "step 1: no episode was rewarded: none was written; on several nodes, "),
        ("a third fails", "step 1: 2 of 6 episodes failed, more than alarms.max_failed allows"),
        ("a third is lost", "step 1: 2 of 6 episodes failed, more than alarms.max_failed allows"),
        ("too many", "step 1: 12 episodes were written where 6 were asked for; "),
        ("all fail", ": DataError: no page (6 times)"),
        ("stops early", "metrics.jsonl: expected the steps 1 to 3 once each, found 1; delete "),
        ("crash", "error: verl ended with status 1; "),
    ],
)
def test_a_run_that_goes_wrong_ends_the_command_with_its_reason(
    runs: str,
    message: str,
    trainer: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("VERL_PLAYS", runs)
    assert main(trainer) == 1
    heard = capsys.readouterr().err
    assert message in heard
    assert "Traceback" not in heard
    if runs == "crash":
        assert heard.splitlines()[-1] == "CUDA out of memory"  # The end of verl's own log.
    else:
        assert heard.splitlines()[-1].startswith("error: ")
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
    assert not (tmp_path / "out" / "checkpoint").exists()


def test_a_run_is_ended_where_the_kernel_does_not_end_the_children_of_the_dead(
    trainer: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(verl, "ctypes", SimpleNamespace(CDLL=lambda _: object()))
    monkeypatch.setenv("VERL_PLAYS", "no zoom")
    assert main(trainer) == 1
    assert "zooming has collapsed" in capsys.readouterr().err
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("alarms", [AlarmConfig(max_idle_minutes=0.01)])
def test_a_run_that_waits_for_a_worker_that_died_is_stopped_and_says_where_to_look(
    trainer: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VERL_PLAYS", "a worker dies")
    assert main(trainer) == 1
    heard = capsys.readouterr().err
    assert ": no episode has ended for 0.01 minutes (alarms.max_idle_minutes), " in heard
    log = Path(heard.split()[-1])
    assert log.name == "verl.001.log"
    assert log.is_file()
