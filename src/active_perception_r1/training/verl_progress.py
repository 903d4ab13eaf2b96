"""What a run of verl has done so far, as its folder tells it, and whether it may go on."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from active_perception_r1.config.engines.verl import VerlTraining
from active_perception_r1.errors import TrainingError
from active_perception_r1.rollout.episode_tally import EpisodeTally
from active_perception_r1.storage.files import write_json
from active_perception_r1.training.checkpoints import EpisodeLog, MetricsLog
from active_perception_r1.training.verl_launch import RunFiles
from active_perception_r1.training.verl_metrics import (
    Alarms,
    VerlStepMetrics,
    episodes_asked,
    rollouts,
    step_metrics,
    validated,
)

POLL_SECONDS = 1.0
MOST_REFILLS = 10
"""Times the questions of a step that may be drawn for it."""


class Progress:
    """What a run has done so far, as its folder tells it.

    Args:
        validated: questions of a validation.
    """

    def __init__(self, state: Path, run: VerlTraining, validated: int = 0) -> None:
        self._state = state
        self._run = run
        self._validated = validated
        self.metrics = MetricsLog(state / "metrics.jsonl")
        self._episodes = EpisodeTally.of(state / "episodes", validation=False)
        self._validations = EpisodeTally.of(state / "episodes", validation=True)
        self.rollouts = EpisodeLog(state / "rollouts")

    def files(self, samples: Path) -> RunFiles:
        """Those of the next start."""
        attempt = 1 + len(list(self._state.glob("verl.*.jsonl")))
        files = RunFiles(samples, self._state, f"{attempt:03d}")
        self._validations.folder.mkdir(parents=True, exist_ok=True)
        files.verl_log.touch()
        return files

    def resume(self) -> int:
        """Make ready to go on, and return the number of steps that are done.

        That is the latest checkpoint up to which every step has its metrics: a kill between a
        checkpoint and its log line loses the checkpoint, not the line. Whatever is later goes.
        """
        for log in sorted(self._state.glob("verl.*.jsonl")):
            self._take_up(log)
        seen = self.metrics.steps()
        done = max((step for step in self._saved() if step <= seen), default=0)
        self.metrics.rewind(done)
        for step in self._saved():
            if step > done:
                shutil.rmtree(self._folder(step))
        self._episodes.rewind(done)
        self._validations.rewind(done)
        self.rollouts.rewind(done)
        tracker = self._state / "checkpoints" / "latest_checkpointed_iteration.txt"
        tracker.unlink(missing_ok=True)
        if done:
            tracker.write_text(str(done), encoding="utf-8")
        return done

    def follow(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        """Keep the metrics of every step that verl logs, until it ends.

        Raises:
            TrainingError: an alarm.
        """
        alarms = Alarms(self._run.alarms)
        idle = _Idle(self._run.alarms.max_idle_minutes, log.with_suffix(".log"))
        with tqdm(
            total=self._run.steps, initial=self.metrics.steps(), desc=name, unit="step"
        ) as bar:
            for line in _lines(log, process, lambda: self._watch(alarms, idle)):
                row = self._note(line)
                if row is None:
                    continue
                told = {**row.means, "zoom": row.zoom_rate}
                shown = ("reward", "correct", "zoom")
                bar.set_postfix({name: f"{told[name]:.2f}" for name in shown})
                bar.update()
                self._keep_best(row.step)
                alarms.check(row, self._episodes.read(row.step).reason)

    def _watch(self, alarms: Alarms, idle: _Idle) -> None:
        """Look at the step that is under way.

        verl may not live to log it: its update of Qwen2.5-VL fails on the rows without an image
        that it puts in the place of lost episodes. And it draws without end for groups whose
        episodes all have one reward.

        Raises:
            TrainingError: too many of its episodes failed, it has drawn very often, or nothing has
                happened for long.
        """
        run, step = self._run, self.metrics.steps() + 1
        found = self._episodes.read(step)
        ended = len(found.rewarded) + len(found.errors)
        idle.check(step, ended + len(self._validations.read(step).rewarded))
        if ended >= run.prompts_per_step * run.samples_per_prompt:
            alarms.check_failures(step, len(found.errors), ended, found.reason)
        if run.refill:
            groups = len(found.rewarded) // run.samples_per_prompt
            if groups > MOST_REFILLS * self._run.prompts_per_step:
                raise TrainingError(
                    f"step {step}: all rewards are equal in most of {groups} groups, so that refill"
                    " finds nothing to learn from; the questions are too hard or too easy"
                )

    def failures(self) -> str:
        """Why episodes failed in the step that was not finished; empty if none did."""
        step = self.metrics.steps() + 1
        found = self._episodes.read(step)
        count = f"{len(found.errors)} episodes of step {step} failed"
        return f"{count}: {found.reason}; " if found.errors else ""

    def chosen(self) -> Path:
        """The checkpoint to export."""
        best = self._state / "best"
        return (
            best if self._run.export == "best" and best.exists() else self._folder(self._run.steps)
        )

    def _take_up(self, log: Path) -> None:
        """Steps that an earlier start logged and that were not taken notice of."""
        for line in log.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                self._note(line)

    def _note(self, line: bytes) -> VerlStepMetrics | None:
        """Keep the metrics of verl's log line; None if it is no step or one that is known."""
        logged = json.loads(line)
        step: int = logged["step"]
        if "actor/lr" not in logged["data"] or step != self.metrics.steps() + 1:
            return None
        run, data = self._run, logged["data"]
        asked = episodes_asked(data, run.prompts_per_step, run.samples_per_prompt)
        episodes = self._episodes.read(step)
        row = step_metrics(step, data, episodes, asked)
        if run.validate_every and (step % run.validate_every == 0 or step == run.steps):
            row = validated(row, self._validations.read(step), self._validated)
        self.rollouts.write(step, rollouts(step, episodes))
        self.metrics.append(row.line())
        return row

    def _keep_best(self, step: int) -> None:
        """If it is the most often right in validation or, without one, the checkpoint of `step`
        has the highest mean reward since the one before it.
        """
        if not self._folder(step).is_dir():
            return
        rows = [json.loads(line) for line in self.metrics.path.read_text("utf-8").splitlines()]
        score = rows[-1].get("validation_correct")
        if score is None:
            score = statistics.fmean(row["reward"] for row in rows[-self._run.save_every :])
        best, note = self._state / "best", self._state / "best.json"
        if note.exists() and json.loads(note.read_text("utf-8"))["score"] >= score:
            return
        shutil.rmtree(best, ignore_errors=True)
        # Hard links: verl may delete its own, and the optimiser is needed to go on only.
        shutil.copytree(
            self._folder(step),
            best,
            copy_function=os.link,
            ignore=shutil.ignore_patterns("optim_*", "extra_state_*"),
        )
        write_json(note, {"step": step, "score": score})

    def _saved(self) -> list[int]:
        found = (self._state / "checkpoints").glob("global_step_*")
        return sorted(int(path.name.removeprefix("global_step_")) for path in found)

    def _folder(self, step: int) -> Path:
        return self._state / "checkpoints" / f"global_step_{step}"


class _Idle:
    """Notices that a run neither ends nor goes on: verl waits for ever for a worker that has died.

    Its log is no sign of life, since those that wait for the worker may say so every minute.

    Args:
        minutes: most that may pass from one episode, or step, to the next.
        log: what verl says.
    """

    def __init__(self, minutes: float, log: Path) -> None:
        self._minutes, self._log = minutes, log
        self._seen: tuple[int, int] | None = None
        self._since = 0.0

    def check(self, step: int, episodes: int) -> None:
        """Take notice of how many episodes of a step have ended.

        Raises:
            TrainingError: no more than long ago.
        """
        if self._seen != (step, episodes):
            self._seen, self._since = (step, episodes), time.monotonic()
        elif time.monotonic() - self._since > 60 * self._minutes:
            raise TrainingError(
                f"step {step}: no episode has ended for {self._minutes:g} minutes"
                " (alarms.max_idle_minutes), and the step has not; a worker that verl waits for may"
                f" have died: see {self._log}"
            )


def _lines(
    path: Path, process: subprocess.Popen[bytes], meanwhile: Callable[[], None]
) -> Iterator[bytes]:
    """Whole lines of a growing file, until the process that writes it has ended."""
    with path.open("rb") as file:
        waiting = b""
        while True:
            ended = process.poll() is not None
            while part := file.readline():
                waiting += part
                if waiting.endswith(b"\n"):
                    yield waiting
                    waiting = b""
            if ended:
                return
            meanwhile()
            time.sleep(POLL_SECONDS)
