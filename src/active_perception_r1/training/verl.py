"""A run of verl's trainer: prepared, started, watched, resumed, exported.

verl trains in a process of its own. This one reads what it logs, stops it when it goes wrong, and
believes that it is done only when every step has been seen.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download

from active_perception_r1.config import ModelConfig
from active_perception_r1.config.engines.verl import VerlTraining
from active_perception_r1.errors import TrainingError
from active_perception_r1.models.weights import find_weights, image_options
from active_perception_r1.rollout.chat_tokens import ChatTokens
from active_perception_r1.runtime.gpu import smallest_memory, usable_devices
from active_perception_r1.runtime.memory import free_memory
from active_perception_r1.storage.files import atomic
from active_perception_r1.tasks import DEFAULT_TASK
from active_perception_r1.training.checkpoints import Trained, publish
from active_perception_r1.training.questions import divide_questions
from active_perception_r1.training.verl_data import PromptLimit, write_verl_data
from active_perception_r1.training.verl_export import export, tail
from active_perception_r1.training.verl_footprint import Room, require_room, shape_of
from active_perception_r1.training.verl_launch import agent_loops, command
from active_perception_r1.training.verl_overrides import (
    assumed_image_options,
    has_flash_attention,
    overrides,
)
from active_perception_r1.training.verl_progress import Progress

GRACE_SECONDS = 20.0
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
        write_verl_data(
            data, questions.training, run.study, base, limit, files.data, task, run.modes
        )
    with atomic(files.agents) as part:
        part.write_text(agent_loops(base, files, task), encoding="utf-8")
    settings = overrides(name, run, base, files, len(questions.training))
    output_of_verl = files.verl_log.with_suffix(".log")
    print(f"verl writes to {output_of_verl}", file=sys.stderr)
    with _started(command(settings), output_of_verl) as process:
        progress.follow(name, process, files.verl_log)
    _require_success(process, output_of_verl, progress.failures())
    return progress


def _computed_memory(name: str, run: VerlTraining, base: ModelConfig) -> str:
    """What the run will take, in one line.

    Raises:
        TrainingError: it is more than there is.
    """
    on_this_machine = "RAY_ADDRESS" not in os.environ
    room = Room(
        smallest_memory(usable_devices()) if on_this_machine else None,
        free_memory() if on_this_machine else None,
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
    """The process, which does not outlive this one: on Linux, however this one ends."""
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
            preexec_fn=die_with_parent if hasattr(libc, "prctl") else None,
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


def _require_success(process: subprocess.Popen[bytes], log: Path, failures: str) -> None:
    if process.returncode:
        said = tail(log.read_text(encoding="utf-8", errors="replace"))
        ended = f"verl ended with status {process.returncode}"
        raise TrainingError(f"{failures}{ended}; {log} ends:\n{said}")
