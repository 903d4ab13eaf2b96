"""What the work of a model depends on: change it, and the work is done again; nothing else counts.

Snakemake compares these values as parameters of its jobs, and saved records and training states are
kept under them. A key of the configuration counts unless it is named here, or null: so a new one
that is not in use reruns nothing.

Versions of other packages are not among them: an environment that Snakemake makes (`--sdm conda`)
is compared by its pins, and in one made by hand an upgrade should not cost days of inference.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from active_perception_r1.modes import ACTIVE, decisive_rules
from active_perception_r1.storage.fingerprint import code_fingerprint, fingerprint
from active_perception_r1.tasks import DEFAULT_TASK

if TYPE_CHECKING:  # types only: a change of the configuration's schema changes no episode
    from active_perception_r1.config import ModelConfig, TrainingConfig

BACKENDS = ("transformers", "vllm", "openai")

# Modules whose whole effect is in the settings below.
_AS_DATA = ("prompts", "models.dependence")
_IN_RULES = ("zoom_syntax", "prompts", "first_view", "crop", "max_zooms", "max_turns")
# verl imports the last three by name, so the first module does not show them.
_ENGINES: Mapping[str, tuple[str, ...]] = {
    "local": ("training.grpo",),
    "verl": (
        "training.verl",
        "training.verl_workers",
        "rollout.active_perception_agent",
        "rollout.episode_reward",
    ),
}
# How fast and where, not what. In float32 the last bits of a logit may differ between batches.
SPEED: Mapping[str, bool | set[str]] = {
    "gpus": True,
    "tensor_parallel": True,
    "device_map": True,
    "max_images": True,
    "batch_size": True,
    "max_concurrent_episodes": True,
    "vllm": {"gpu_memory_utilization", "enforce_eager"},
    "openai": {"concurrency", "timeout_seconds", "retries", "api_key_env"},
}
_REPLACED_IN_TRAINING = ("decoding", "seed")
# Names, whose meaning is given in full elsewhere; what the data come from; and how often to save.
_NOT_TRAINING = {"base", "study", "split", "samples", "save_every"}


def inference_settings(model: ModelConfig, mode: str, task: str = DEFAULT_TASK) -> str:
    """JSON of what the episodes of a model in a mode depend on, code and weights left out."""
    return json.dumps(_model_settings(model, mode, task), sort_keys=True)


def inference_code(model: ModelConfig) -> str:
    """Fingerprint of the code that runs episodes with this model."""
    others = (f"models.backends.{name}" for name in BACKENDS if name != model.backend)
    return code_fingerprint("models.infer", without=(*_AS_DATA, *others))


def training_settings(run: TrainingConfig, base: ModelConfig, task: str = DEFAULT_TASK) -> str:
    """JSON of what a training run depends on, code, weights and data left out."""
    described = {
        "run": run.model_dump(mode="json", exclude=_NOT_TRAINING, exclude_none=True),
        "base": _model_settings(base, ACTIVE, task, _REPLACED_IN_TRAINING),
        "task": task,
    }
    return json.dumps(described, sort_keys=True)


def training_code(engine: str) -> str:
    """Fingerprint of the code of a training run."""
    modules = _ENGINES[engine]
    return fingerprint(*(code_fingerprint(module, without=_AS_DATA) for module in modules))


def _model_settings(
    model: ModelConfig, mode: str, task: str, replaced: Collection[str] = ()
) -> dict[str, object]:
    others = (name for name in BACKENDS if name != model.backend)  # each has a section of its name
    without = {**SPEED, **dict.fromkeys((*_IN_RULES, *replaced, *others), True)}
    entry = model.model_dump(mode="json", exclude=without, exclude_none=True)
    return {"model": entry, "rules": decisive_rules(mode, model, task)}
