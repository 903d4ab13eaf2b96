"""A run of verl's trainer: prepared, started, watched, resumed, exported.

verl trains in a process of its own. This one reads what it logs, stops it when it goes wrong, and
believes that it is done only when every step has been seen.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from huggingface_hub import snapshot_download
from tqdm import tqdm

from active_perception_r1.config import ModelConfig
from active_perception_r1.config.engines.verl import VerlTraining
from active_perception_r1.errors import TrainingError
from active_perception_r1.models.weights import find_weights, image_options
from active_perception_r1.rollout.chat_tokens import ChatTokens
from active_perception_r1.rollout.episode_tally import EpisodeTally
from active_perception_r1.runtime.gpu import smallest_memory, usable_devices
from active_perception_r1.storage.files import atomic, write_json
from active_perception_r1.tasks import DEFAULT_TASK
from active_perception_r1.training.checkpoints import EpisodeLog, MetricsLog, Trained, publish
from active_perception_r1.training.questions import divide_questions
from active_perception_r1.training.verl_data import PromptLimit, write_verl_data
from active_perception_r1.training.verl_footprint import Room, require_room, shape_of
from active_perception_r1.training.verl_launch import (
    RunFiles,
    agent_loops,
    assumed_image_options,
    command,
    has_flash_attention,
    overrides,
)
from active_perception_r1.training.verl_metrics import (
    Alarms,
    VerlStepMetrics,
    episodes_asked,
    rollouts,
    step_metrics,
    validated,
)

POLL_SECONDS = 1.0
GRACE_SECONDS = 20.0
TAIL_LINES = 30
MOST_REFILLS = 10
"""Times the questions of a step that may be drawn for it."""
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def train(
    name: str,
    run: VerlTraining,
    base: ModelConfig,
    data: Path,
    output: Path,
    checkpoints: Path,
    task: str = DEFAULT_TASK,
) -> None:
    """Train `base` on the samples of `data`; resume from `checkpoints` when a run was cut off.

    Writes what the local engine writes: `output`/checkpoint, `output`/metrics.jsonl and
    `output`/rollouts.jsonl.gz.

    Raises:
        DataError: fewer samples than one step takes, or prompts that are too long.
        TrainingError: there is too little memory, verl failed, an alarm stopped it, or it did not
            do all its steps.
        BackendError: the base model cannot be had.
    """
    folder, revision = _weights(base)
    local = base.model_copy(update={"id": folder})
    progress = take_steps(name, run, local, data, checkpoints.resolve(), task)
    trained = Trained(name, run, base.id, revision, data)
    publish(lambda folder: export(progress.chosen(), folder), trained, progress.metrics, output)
    progress.rollouts.publish(output / "rollouts.jsonl.gz")


def take_steps(
    name: str, run: VerlTraining, base: ModelConfig, data: Path, state: Path, task: str
) -> Progress:
    """Have verl take the steps that are left.

    Args:
        base: whose `id` is a folder.
        state: folder of this run.

    Raises:
        DataError, TrainingError: as `train`.
    """
    questions = divide_questions(name, run, base, data)
    state.mkdir(parents=True, exist_ok=True)
    progress = Progress(state, run, len(questions.validation))
    done = progress.resume()
    files = progress.files(data.resolve())
    if done >= run.steps:
        return progress
    if base.gpus:
        print(_computed_memory(name, run, base), file=sys.stderr)
    limit = _prompt_limit(run, base)
    if run.validate_every and not files.validation.exists():
        chosen, output = questions.validation, files.validation
        write_verl_data(data, chosen, run.study, base, limit, output, task, validation=True)
    if not files.data.exists():
        write_verl_data(data, questions.training, run.study, base, limit, files.data, task)
    with atomic(files.agents) as part:
        part.write_text(agent_loops(base, files, task), encoding="utf-8")
    settings = overrides(name, run, base, files, len(questions.training))
    output_of_verl = files.verl_log.with_suffix(".log")
    print(f"verl writes to {output_of_verl}", file=sys.stderr)
    with _started(command(settings), output_of_verl) as process:
        progress.follow(name, process, files.verl_log)
    _require_success(process, output_of_verl, progress.failures())
    return progress


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
        with tqdm(
            total=self._run.steps, initial=self.metrics.steps(), desc=name, unit="step"
        ) as bar:
            for line in _lines(log, process, lambda: self._watch(alarms)):
                row = self._note(line)
                if row is None:
                    continue
                told = {**row.means, "zoom": row.zoom_rate}
                shown = ("reward", "correct", "zoom")
                bar.set_postfix({name: f"{told[name]:.2f}" for name in shown})
                bar.update()
                self._keep_best(row.step)
                alarms.check(row, self._episodes.read(row.step).reason)

    def _watch(self, alarms: Alarms) -> None:
        """Look at the step that is under way.

        verl may not live to log it: its update of Qwen2.5-VL fails on the rows without an image
        that it puts in the place of lost episodes. And it draws without end for groups whose
        episodes all have one reward.

        Raises:
            TrainingError: too many of its episodes failed, or it has drawn very often.
        """
        run, step = self._run, self.metrics.steps() + 1
        found = self._episodes.read(step)
        ended = len(found.rewarded) + len(found.errors)
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


def export(checkpoint: Path, folder: Path) -> None:
    """Write verl's sharded checkpoint as a Hugging Face folder with processor.

    An adapter is merged into the weights, so that the result loads like any other model.

    Raises:
        TrainingError: verl's merger failed.
    """
    actor = checkpoint / "actor"
    merge = ["-m", "verl.model_merger", "merge", "--backend", "fsdp"]
    where = ["--local_dir", str(actor), "--target_dir", str(folder)]
    done = subprocess.run([sys.executable, *merge, *where], capture_output=True, text=True)
    if done.returncode:
        raise TrainingError(f"{actor}: cannot be exported: {_tail(done.stdout + done.stderr)}")
    adapter = folder / "lora_adapter"
    if adapter.is_dir():
        merge_adapter(adapter, folder)


def merge_adapter(adapter: Path, folder: Path) -> None:
    """Into the model in `folder`.

    Raises:
        TrainingError: its weights are not all of them ones of the model's.
    """
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors.torch import load_file
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(folder, dtype="auto")
    adapted = PeftModel.from_pretrained(model, str(adapter))
    written = load_file(adapter / "adapter_model.safetensors")
    # peft only warns. It has more: verl names layers by their last names, which some of the vision
    # tower share; there the adapter is new, and so adds nothing.
    if odd := written.keys() - get_peft_model_state_dict(adapted).keys():
        raise TrainingError(f"{adapter}: {len(odd)} weights have no place, such as {min(odd)}")
    adapted.merge_and_unload().save_pretrained(folder)
    shutil.rmtree(adapter)


def _computed_memory(name: str, run: VerlTraining, base: ModelConfig) -> str:
    """What the run will take, in one line.

    Raises:
        TrainingError: it is more than there is.
    """
    on_this_machine = "RAY_ADDRESS" not in os.environ
    room = Room(
        smallest_memory(usable_devices()) if on_this_machine else None,
        psutil.virtual_memory().available if on_this_machine else None,
    )
    return require_room(name, run, base, shape_of(Path(base.id)), room, has_flash_attention())


def _prompt_limit(run: VerlTraining, base: ModelConfig) -> PromptLimit:
    """How long the run's prompts may be, counted by the base's own processor.

    Raises:
        TrainingError: its images would not be shown as the launch assumes.
    """
    from transformers import AutoProcessor

    processor: Any = AutoProcessor.from_pretrained(base.id)  # type: ignore[no-untyped-call]
    options = assumed_image_options(base)
    if (own := image_options(base, processor.image_processor)) != options:
        raise TrainingError(
            f"{base.id}: its image processor needs {own}, which verl is not told: {options}; its"
            f" patches are not those of family {base.family}"
        )
    tokens = ChatTokens(processor, base, options)
    return PromptLimit(run.max_prompt_tokens, lambda request: len(tokens.opening(request)))


def _weights(base: ModelConfig) -> tuple[str, str]:
    """Folder of the base model's files, and which revision they are of."""
    found = find_weights(base)
    if found.commit is None:
        return str(Path(found.id).resolve()), found.revision
    return snapshot_download(found.id, revision=found.commit), found.revision


@contextmanager
def _started(arguments: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process, which does not outlive this one, however this one ends."""
    libc = ctypes.CDLL(None)

    def die_with_parent() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    with log.open("wb") as file:
        process = subprocess.Popen(
            arguments,
            cwd=log.parent,  # Hydra leaves a folder there
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


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


def _require_success(process: subprocess.Popen[bytes], log: Path, failures: str) -> None:
    if process.returncode:
        said = _tail(log.read_text(encoding="utf-8", errors="replace"))
        ended = f"verl ended with status {process.returncode}"
        raise TrainingError(f"{failures}{ended}; {log} ends:\n{said}")


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-TAIL_LINES:])
