"""The key of every job of the pipeline."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from active_perception_r1.config import (
    Config,
    DatasetConfig,
    ModelConfig,
    SliceConfig,
    TrainingConfig,
)
from active_perception_r1.config.model import BACKENDS
from active_perception_r1.config.plan import StudyPlan
from active_perception_r1.config.slice import NEEDS
from active_perception_r1.config.sources._table import FORMATS
from active_perception_r1.families import FAMILIES
from active_perception_r1.keys import stages
from active_perception_r1.keys.stages import PACKAGE, ROOT, code_of
from active_perception_r1.modes import MODES, decisive_rules
from active_perception_r1.registry import Registry
from active_perception_r1.storage.fingerprint import (
    fingerprint,
    folder_fingerprint,
    local_content,
    read_code,
)
from active_perception_r1.tasks import DEFAULT_TASK, TASKS
from active_perception_r1.utils.trace_parser import SYNTAXES
from active_perception_r1.variants import without_budget

# Named, not imported: they stand above.
_READERS: Registry[object] = Registry(f"{PACKAGE}.data.sources", "open_split")
_TRAINERS: Registry[object] = Registry(f"{PACKAGE}.training.engines", "ENGINE")
_FIGURES: Registry[object] = Registry(f"{PACKAGE}.report.figures", "FIGURE")
_METRICS: Registry[object] = Registry(f"{PACKAGE}.scoring.metrics", "METRIC")
_REPLACED_IN_TRAINING = ("decoding", "seed")

# Hashed once, however many jobs use it.
_local_content = functools.cache(local_content)


@dataclass(frozen=True, slots=True)
class Key:
    """What decides the result of a job, its input files left out.

    Attributes:
        modules: of the package, whose code counts.
        settings: what counts of the configuration, as plain data.
        content: fingerprint of files that are not among the inputs of the rule.
    """

    modules: tuple[str, ...]
    settings: Any = None
    content: str = ""

    @property
    def code(self) -> str:
        """Fingerprint."""
        return code_of(self.modules)

    def __str__(self) -> str:
        """JSON, to be compared."""
        parts = {"code": self.code, "settings": self.settings, "content": self.content}
        return json.dumps(parts, sort_keys=True)


def download_key(dataset: DatasetConfig, split: str, without: Collection[str] = ()) -> Key:
    """Of one split of a dataset; the keys in `without` do not count."""
    layout = {_module(FORMATS, dataset.layout)} if dataset.layout else set()
    modules = stages.DOWNLOAD.modules({_module(_READERS, dataset.source), *layout})
    settings = {"dataset": dataset.of_split(split).deciding(without), "split": split}
    return Key(modules, settings, dataset.content)


def inference_key(
    model: ModelConfig, mode: str, task: str = DEFAULT_TASK, without: Collection[str] = ()
) -> Key:
    """Of the episodes of a model in a mode, its weights left out; `without` as in `Decisive`."""
    used = {_module(BACKENDS, model.backend), *_of_family(model)}
    modules = stages.INFER.modules(used | _of_episodes([model], [mode], task))
    return Key(modules, _episode_settings(model, mode, task, without))


def training_key(run: TrainingConfig, base: ModelConfig, task: str = DEFAULT_TASK) -> Key:
    """Of what a training run makes of its base, weights and data left out."""
    used = {_module(_TRAINERS, run.engine), _module(TASKS, task), *_of_family(base)}
    modules = stages.TRAIN.modules(used | _of_episodes([base], run.modes, task))
    started = [_episode_settings(base, mode, task, _REPLACED_IN_TRAINING) for mode in run.modes]
    return Key(modules, {"run": run.deciding(), "base": started, "task": task})


def recipe_key(folder: Path) -> str:
    """Fingerprint of the code in `folder`, by which a model is made outside the package."""
    files = (f"{path.name} {read_code(path).fingerprint}" for path in sorted(folder.glob("*.py")))
    return fingerprint(*files, code_of(stages.RECIPE.modules()))


@dataclass(frozen=True, slots=True)
class JobKeys:
    """The key of each rule's jobs. A method has the name of its rule, and takes its wildcards."""

    config: Config

    def download_dataset(self, study: str, split: str) -> Key:
        return download_key(self.config.studies[study].dataset, split)

    def sample_slice(self, study: str, split: str) -> Key:
        drawn = self.config.studies[study].slice
        return Key(_of_draw(drawn), drawn.deciding())

    def grpo_data(self, study: str, run: str) -> Key:
        entry = self.config.training[run]
        drawn = self.config.studies[entry.study].slice
        return Key(_of_draw(drawn), {"samples": entry.drawn, "seed": entry.seed, **drawn.need})

    def grpo_train(self, study: str, run: str) -> Key:
        entry, base = self.config.training_run(run)
        key = training_key(entry, base, self.config.studies[entry.study].task)
        return Key(key.modules, key.settings, _local_content(base.id))

    def infer(self, study: str, model: str, mode: str) -> Key:
        entry = self.config.model(model)
        task = self.config.studies[study].task
        if without_budget(model) in self.config.training:  # then it is an input, wherever it is
            return inference_key(entry, mode, task, without=("id",))
        key = inference_key(entry, mode, task)
        return Key(key.modules, key.settings, _local_content(entry.id))

    def infer_shard(self, study: str, model: str, mode: str, shard: str) -> Key:
        """Of a part of the slice: the same, since it says nothing of how a slice is split."""
        return self.infer(study, model, mode)

    def join_shards(self, study: str, model: str, mode: str) -> Key:
        """Of all of them, which are what one job makes."""
        return self.infer(study, model, mode)

    def score(self, study: str, model: str, mode: str) -> Key:
        chosen = self.config.studies[study]
        modules = stages.SCORE.modules({_module(TASKS, chosen.task), *_all_of(_METRICS)})
        settings = {
            "reward": asdict(chosen.reward),
            "max_error_share": chosen.max_error_share,
            "task": chosen.task,
        }
        return Key(modules, settings)

    def leaderboard(self, study: str) -> Key:
        plan = StudyPlan(self.config, study)
        modules = stages.LEADERBOARD.modules({*_of_modes(plan.study.modes), *_all_of(_METRICS)})
        settings = {
            "entries": plan.entries,
            "started_from": plan.started_from,
            "repeats": plan.repeats,
            "prices": {name: price.model_dump() for name, price in plan.prices.items()},
        }
        return Key(modules, settings)

    def diagnosis(self, study: str) -> Key:
        plan = StudyPlan(self.config, study)
        modules = stages.DIAGNOSIS.modules(_of_modes(plan.study.modes))
        views = {name: asdict(view) for name, view in plan.views.items()}
        return Key(modules, {"entries": plan.entries, "views": views})

    def figure(self, name: str, study: str, entries: Sequence[tuple[str, str]]) -> Key:
        """Of a figure of the report.

        Args:
            name: of its module.
            entries: model and mode of the predictions that it shows.
        """
        used, settings = {_module(_FIGURES, name)}, None
        if entries:
            chosen = self.config.studies[study]
            models = [self.config.model(model) for model, _ in entries]
            used |= {_module(TASKS, chosen.task), *(f for m in models for f in _of_family(m))}
            used |= _of_episodes(models, [mode for _, mode in entries], chosen.task)
            reward = asdict(chosen.reward)
            settings = {"entries": list(entries), "reward": reward, "task": chosen.task}
        return Key(stages.FIGURE.modules(used), settings)

    def gallery(self, study: str) -> Key:
        plan = StudyPlan(self.config, study)
        settings = {
            "entries": plan.entries,
            "reward": asdict(plan.study.reward),
            "task": plan.study.task,
            "started_from": plan.started_from,
        }
        return self._gallery(plan.entries, plan.study.task, settings)

    def page(self, study: str, figures: Iterable[str]) -> Key:
        """Of the page that shows these figures."""
        plan = StudyPlan(self.config, study)
        used = {*_of_modes(plan.study.modes), *_all_of(_METRICS)}
        used |= {_module(_FIGURES, name) for name in figures}
        settings = {
            "entries": plan.entries,
            "started_from": plan.started_from,
            "runs": {name: run.study for name, run in plan.runs.items()},
        }
        return Key(stages.PAGE.modules(used), settings, _assets("page"))

    def training_gallery(self, study: str, run: str) -> Key:
        entry, _ = self.config.training_run(run)
        task = self.config.studies[entry.study].task
        played = [(entry.base, mode) for mode in entry.modes]
        return self._gallery(played, task, {"base": entry.base, "task": task})

    def _gallery(self, entries: Sequence[tuple[str, str]], task: str, settings: Any) -> Key:
        """Its style sheet and scripts count as well."""
        models = [self.config.model(model) for model, _ in entries]
        used = {_module(TASKS, task), *(module for model in models for module in _of_family(model))}
        used |= _of_episodes(models, [mode for _, mode in entries], task)
        return Key(stages.GALLERY.modules(used), settings, _assets("gallery"))

    def of_study(self, study: str) -> dict[str, Key]:
        """Of all jobs behind a study's leaderboard and diagnosis, by rule and what it is for."""
        plan = StudyPlan(self.config, study)
        found = {
            "sample_slice": self.sample_slice(study, plan.study.slice.split),
            "leaderboard": self.leaderboard(study),
            "diagnosis": self.diagnosis(study),
        }
        for owner, split in plan.splits:
            found[f"download_dataset {owner} {split}"] = self.download_dataset(owner, split)
        for run in plan.runs:
            found[f"grpo_data {run}"] = self.grpo_data(study, run)
            found[f"grpo_train {run}"] = self.grpo_train(study, run)
        for model, mode in plan.entries:
            found[f"infer {model} {mode}"] = self.infer(study, model, mode)
            found[f"score {model} {mode}"] = self.score(study, model, mode)
        return found


def _of_draw(drawn: SliceConfig) -> tuple[str, ...]:
    return stages.DRAW.modules({_module(NEEDS, drawn.requires_zoom)})


def _episode_settings(
    model: ModelConfig, mode: str, task: str, without: Collection[str] = ()
) -> dict[str, Any]:
    """What the episodes of a model in a mode depend on, code and weights left out."""
    return {"model": model.deciding(without), "rules": decisive_rules(mode, model, task)}


def _module(registry: Registry[Any], name: str) -> str:
    """The module of an entry."""
    return f"{registry.package}.{name}".removeprefix(f"{PACKAGE}.")


def _all_of(registry: Registry[Any]) -> set[str]:
    return {_module(registry, name) for name in registry}


def _of_family(model: ModelConfig) -> set[str]:
    return {_module(FAMILIES, model.family)} if model.family else set()


def _assets(of: str) -> str:
    """Fingerprint of the style sheets, scripts and templates of the page or the gallery."""
    report = ROOT / "report"
    return fingerprint(*map(folder_fingerprint, (report / "assets", report / of / "assets")))


def _of_modes(modes: Iterable[str]) -> set[str]:
    return {_module(MODES, mode) for mode in modes}


def _of_episodes(models: Iterable[ModelConfig], modes: Sequence[str], task: str) -> set[str]:
    """What episodes use, whatever engine replies.

    Calls are read only where there is a tool, and of a task only how it puts questions and reads
    answers counts: tasks that differ in what is right have the same episodes.
    """
    zooming = any(MODES[mode].tool for mode in modes)
    syntaxes = {_module(SYNTAXES, model.zoom_syntax) for model in models} if zooming else set()
    asked = type(TASKS[task])
    methods = {method.__module__.removeprefix(f"{PACKAGE}.") for method in (asked.put, asked.read)}
    return {*_of_modes(modes), *syntaxes, *methods}
