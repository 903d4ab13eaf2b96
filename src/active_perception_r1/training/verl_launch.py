"""A launch of verl 0.9.1: its files, its command, and the variables that stand in for keys."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from active_perception_r1.config import ModelConfig
from active_perception_r1.config.engines.verl import VerlTraining
from active_perception_r1.errors import ConfigError
from active_perception_r1.tasks import DEFAULT_TASK

AGENT = "active_perception_zoom"
AGENT_CLASS = "active_perception_r1.rollout.active_perception_agent.ActivePerceptionZoomAgentLoop"

Value = bool | int | float | str | None | list[str] | list[float]
Overrides = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Where a run keeps its things; absolute, and on a file system that all nodes share.

    Attributes:
        samples: the `grpo-data` file.
        state: folder of this run, keyed by all that it depends on.
        attempt: name of this start of it: verl truncates its log when it starts.
    """

    samples: Path
    state: Path
    attempt: str

    @property
    def data(self) -> Path:
        return self.state / "verl.parquet"

    @property
    def validation(self) -> Path:
        """What is validated on, if anything is."""
        return self.state / "verl.validation.parquet"

    @property
    def agents(self) -> Path:
        return self.state / "agents.yaml"

    @property
    def checkpoints(self) -> Path:
        return self.state / "checkpoints"

    @property
    def episodes(self) -> Path:
        """One file for each step, one line for each episode."""
        return self.state / "episodes"

    @property
    def verl_log(self) -> Path:
        """What verl's `file` logger writes: {"step": .., "data": {..}} for each step."""
        return self.state / f"verl.{self.attempt}.jsonl"


@dataclass(frozen=True, slots=True)
class Switch:
    """A key of the run's entry, or with `model.` of its base's, that a variable stands in for."""

    key: str
    kind: type[int] | type[float] | type[str]


SWITCHES: Mapping[str, Switch] = {
    "MODEL_PATH": Switch("model.id", str),
    "N_RESPONSES": Switch("samples_per_prompt", int),
    "TRAIN_BATCH_SIZE": Switch("prompts_per_step", int),
    "VAL_BATCH_SIZE": Switch("validation_batch", int),
    "MAX_PROMPT_LENGTH": Switch("max_prompt_tokens", int),
    "MAX_RESPONSE_LENGTH": Switch("max_response_tokens", int),
    "TOTAL_STEPS": Switch("steps", int),
    "LEARNING_RATE": Switch("learning_rate", float),
    "SAVE_FREQ": Switch("save_every", int),
    "LORA_RANK": Switch("lora_rank", int),
    "ROLLOUT_GPU_MEMORY_UTILIZATION": Switch("rollout_memory", float),
    "TENSOR_PARALLEL_SIZE": Switch("tensor_parallel", int),
}


def switched(
    run: VerlTraining, base: ModelConfig, environment: Mapping[str, str] = os.environ
) -> tuple[VerlTraining, ModelConfig]:
    """The entries with what the environment says instead.

    Raises:
        ConfigError: a variable holds no value of its kind, or one that the entry does not allow.
    """
    changes: dict[str, object] = {}
    for name, switch in SWITCHES.items():
        if text := environment.get(name):
            try:
                changes[switch.key] = switch.kind(text)
            except ValueError:
                raise ConfigError(f"{name}: '{text}' is not a number") from None
    if model := changes.pop("model.id", None):
        base = base.model_copy(update={"id": str(model), "revision": None})
    try:
        said = run.model_dump(exclude_unset=True)  # what was left out may follow from a change
        return VerlTraining.model_validate({**said, **changes}), base
    except ValueError as error:
        raise ConfigError(f"environment: {' '.join(str(error).split())}") from None


def command(settings: Overrides) -> list[str]:
    """verl's trainer, by the Python that runs this."""
    arguments = [f"{key}={hydra_value(value)}" for key, value in settings.items()]
    return [sys.executable, "-m", "verl.trainer.main_ppo", *arguments]


def agent_loops(base: ModelConfig, files: RunFiles, task: str = DEFAULT_TASK) -> str:
    """YAML that tells verl of our agent loop."""
    loop = {
        "name": AGENT,
        "_target_": AGENT_CLASS,
        "settings": base.model_dump_json(),
        "samples": str(files.samples),
        "task": task,
        "episodes": str(files.episodes),
    }
    return yaml.safe_dump([loop], sort_keys=False)


def describe(settings: Overrides, agents: str) -> str:
    """The launch, to read or to paste into a shell."""
    lines = [shlex.join(command({})), *(f"  {shlex.quote(a)}" for a in command(settings)[3:])]
    return "\n".join([" \\\n".join(lines), "", "# agents.yaml", agents.rstrip()])


def hydra_value(value: Value) -> str:
    """In Hydra's grammar for overrides.

    >>> hydra_value(["console", "file"]), hydra_value(None), hydra_value("a b"), hydra_value(1e-06)
    ('["console","file"]', 'null', '"a b"', '1e-06')
    """
    if value is None:
        return "null"
    if isinstance(value, list):
        return (
            f"[{','.join(hydra_value(v) if not isinstance(v, str) else _quoted(v) for v in value)}]"
        )
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z0-9_.:/-]+", value):
        return _quoted(value)
    return str(value)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
