"""The whole file: studies, models and training runs, and how they refer to each other."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    Field,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from active_perception_r1.config.engines import TrainingConfig
from active_perception_r1.config.errors import checked, undefined
from active_perception_r1.config.gpu import GpuConfig
from active_perception_r1.config.model import ModelConfig
from active_perception_r1.config.paths import FOLDER
from active_perception_r1.config.section import Known, Name, Section, each_once
from active_perception_r1.config.slice import SliceConfig
from active_perception_r1.config.sources import DatasetConfig
from active_perception_r1.errors import ConfigError
from active_perception_r1.modes import MODES
from active_perception_r1.rewards.active_vision_reward import RewardConfig
from active_perception_r1.tasks import DEFAULT_TASK, TASKS
from active_perception_r1.variants import first_view_pixels, variant, without_budget

if TYPE_CHECKING:
    from typing_extensions import TypeForm

RESULTS = Path("results")
ModeName = Annotated[str, Known(MODES)]
T = TypeVar("T")


class StudyConfig(Section):
    """One table of results: a slice of a dataset, the models on it, the modes they run in."""

    dataset: DatasetConfig = Field(description="pages and questions")
    task: Annotated[str, Known(TASKS)] = Field(
        default_factory=lambda given: given["dataset"].task,
        description="how questions are put, and what counts as a right answer; without this key,"
        f" what the dataset's format is for, or {DEFAULT_TASK} where that says nothing",
    )
    slice: SliceConfig = Field(default=SliceConfig(), description="which questions are asked")
    models: Annotated[list[Name], Field(min_length=1), AfterValidator(each_once)] = Field(
        description="who is asked: entries of `models` and `training`"
    )
    modes: Annotated[list[ModeName], Field(min_length=1), AfterValidator(each_once)] = Field(
        description="how they are asked; each model runs in each"
    )
    first_views: Annotated[list[PositiveInt], AfterValidator(each_once)] = Field(
        default=[],
        description="pixels of the first view: each model runs once with each, not with its own",
    )
    reward: RewardConfig = Field(
        default=RewardConfig(), description="constants of the reward in the scores"
    )
    repeats: dict[Name, Annotated[list[Name], Field(min_length=2), AfterValidator(each_once)]] = (
        Field(
            default={},
            description="groups of `models` that differ in their seed only; the leaderboard gives"
            " the mean over each, and the spread in it",
        )
    )
    max_error_share: float = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="the study fails where more of a model's episodes in a mode ended in an error"
        " that is not the model's",
    )

    @model_validator(mode="after")
    def _shows_its_options(self) -> Self:
        if self.dataset.maps_options and not TASKS[self.task].shows_options:
            choosing = ", ".join(name for name in TASKS if TASKS[name].shows_options)
            raise ValueError(
                f"dataset.columns.options are mapped, but task {self.task} does not show them; set"
                f" task: {choosing}, or leave them out"
            )
        return self

    @property
    def variants(self) -> list[str]:
        """Names of the models in the results."""
        if not self.first_views:
            return self.models
        return [variant(model, pixels) for model in self.models for pixels in self.first_views]


class Config(Section):
    """The whole file."""

    study: Name = Field(description="the study that is made, an entry of `studies`")
    studies: dict[Name, StudyConfig] = Field(description="studies by name")
    models: dict[Name, ModelConfig] = Field(description="models by name")
    training: dict[Name, TrainingConfig] = Field(
        default={}, description="training runs by name; each is also a model"
    )
    gpu: GpuConfig = Field(default=GpuConfig(), description="how GPUs are shared with others")
    container: str | None = Field(
        default=None,
        description="image that jobs run in by `--sdm apptainer`, such as docker://HOST/NAME:TAG or"
        " a .sif file; it has this package in it",
    )

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        _require(self.study, self.studies, "study")
        for name, run in self.training.items():
            if name in self.models:
                raise ValueError(f"training.{name}: the name is taken by an entry under models")
            _require(run.base, self.models, f"training.{name}.base")
            if self.models[run.base].backend == "openai":
                raise ValueError(f"training.{name}.base: '{run.base}' is served; train its weights")
            if fault := run.unfit(self.models[run.base]):
                raise ValueError(f"training.{name}.base: {fault}")
            _require(run.study, self.studies, f"training.{name}.study")
            _require_split(run.split, self.studies[run.study], f"training.{name}.split")
        for name, study in self.studies.items():
            _require_split(study.slice.split, study, f"studies.{name}.slice.split")
            for model in study.models:
                _require(model, [*self.models, *self.training], f"studies.{name}.models")
            for mode in study.modes:
                by = MODES[mode].goes_by
                if by and by not in study.modes:
                    raise ValueError(
                        f"studies.{name}.modes: {mode} goes by the episodes of {by}; add {by}"
                    )
            zooming = any(MODES[mode].tool for mode in study.modes)
            for model in study.variants:
                if fault := self._variant_fault(model, zooming):
                    raise ValueError(f"studies.{name}: model {model}: {fault}")
            for group, members in study.repeats.items():
                where = f"studies.{name}.repeats.{group}"
                for member in members:
                    _require(member, study.models, where)
                self._require_repeats(members, where)
        return self

    def _require_repeats(self, members: Sequence[str], where: str) -> None:
        """They are the same but for their seed; else their spread would not be chance alone."""
        entries = self.models | self.training
        first, *others = (entries[member].model_dump(exclude={"seed"}) for member in members)
        for member, other in zip(members[1:], others, strict=True):
            if odd := sorted(key for key in first | other if first.get(key) != other.get(key)):
                raise ValueError(f"{where}: {members[0]} and {member} differ in {', '.join(odd)}")

    def model(self, name: str) -> ModelConfig:
        """The entry of a model or variant; a training run is its base with the new checkpoint."""
        if pixels := first_view_pixels(name):
            entry = self.model(without_budget(name))
            view = entry.first_view.model_copy(update={"max_pixels": pixels})
            return ModelConfig(**{**dict(entry), "first_view": view})
        if run := self.training.get(name):
            trained = {"id": str(training_folder(run.study, name) / "checkpoint"), "revision": None}
            return self.models[run.base].model_copy(update=trained)
        return self.models[name]

    def sharded(self, split: bool) -> list[str]:
        """Models and training runs whose slices are split into several jobs, or are not."""
        names = [*self.models, *self.training]
        return [name for name in names if (self.model(name).shards > 1) == split]

    def _variant_fault(self, name: str, zooming: bool) -> str:
        """Why a study that zooms, or not, cannot run a model so; empty if it can."""
        try:
            return self.model(name).without_room(zooming)
        except ValidationError as error:
            return error.errors()[0]["msg"].removeprefix("Value error, ")

    def of_study(self, name: str) -> dict[str, Any]:
        """A study's part of the file, defaults filled in: a configuration by itself, for JSON.

        Raises:
            ConfigError: there is no such study.
        """
        if name not in self.studies:
            raise ConfigError(f"study: {undefined(name, self.studies)}")
        runs = {
            run: self.training[run] for run in self.studies[name].models if run in self.training
        }
        models = {*self.studies[name].models, *(run.base for run in runs.values())}
        studies = {name, *(run.study for run in runs.values())}
        part = Config(
            study=name,
            studies={key: self.studies[key] for key in self.studies if key in studies},
            models={key: self.models[key] for key in self.models if key in models},
            training=runs,
        )
        return part.model_dump(mode="json")

    def training_run(self, name: str) -> tuple[TrainingConfig, ModelConfig]:
        """The entries of a training run and of its base.

        Raises:
            ConfigError: there is no such run.
        """
        if name not in self.training:
            raise ConfigError(f"training: {undefined(name, self.training)}")
        run = self.training[name]
        return run, self.models[run.base]


def training_folder(study: str, run: str) -> Path:
    """Where a training run leaves its data, metrics and checkpoint."""
    return RESULTS / study / "training" / run


def parse_config(raw: Mapping[str, Any], folder: Path | None = None) -> Config:
    """Check a configuration and fill in its defaults.

    Args:
        folder: where relative paths begin, if not in the working directory.

    Raises:
        ConfigError: one line that names the wrong key or value and the nearest valid one.
    """
    context = {FOLDER: folder or Path()}
    return checked(TypeAdapter(Config), lambda a: a.validate_python(raw, context=context))


def parse_section(kind: TypeForm[T], text: str) -> T:
    """Read one section, such as `ModelConfig` or `DatasetConfig`, from JSON.

    Raises:
        ConfigError: it is not JSON, or holds a wrong key or value.
    """
    return checked(TypeAdapter(kind), lambda adapter: adapter.validate_json(text))


def merged(paths: Iterable[Path], words: Iterable[str]) -> dict[str, Any]:
    """Plain data of configuration files, each over those before it, and of KEY=VALUE over all.

    Raises:
        ConfigError: a file is missing or not YAML, or a word has another form.
    """
    raw: dict[str, Any] = {}
    for path in paths:
        _merge(raw, _read(path))
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals):
            raise ConfigError(f"--config: '{word}' is not KEY=VALUE")
        _merge(raw, {key: yaml.safe_load(value)})
    return raw


def load_config(
    *paths: Path, above: Mapping[str, Any] | None = None, study: str | None = None
) -> Config:
    """Read and check configuration files, each merged over those before it, as Snakemake does.

    Args:
        above: what is merged over all of them, as by Snakemake's `--config`.
        study: in place of the files' `study`.

    Raises:
        ConfigError: a file is missing or not YAML, or the configuration is wrong.
    """
    raw = merged(paths, ())
    _merge(raw, above or {})
    return parse_config(raw | ({"study": study} if study else {}))


def load_over(own: Path, above: Mapping[str, Any]) -> Config:
    """Read a whole configuration file, and merge plain data over it.

    Relative paths are those of the file in `own`, and of the working directory in `above`.

    Raises:
        ConfigError: the file is missing or not YAML, or the configuration is wrong.
    """
    given = parse_config(_read(own), own.absolute().parent)
    raw = given.model_dump(mode="json", exclude_unset=True)
    _merge(raw, above)
    return parse_config(raw)


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        raw = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path}: cannot be parsed: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected a mapping with the keys study, studies and models")
    return raw


def _require(word: str, known: Collection[str], where: str) -> None:
    if word not in known:
        raise ValueError(f"{where}: {undefined(word, known)}")


def _require_split(split: str, study: StudyConfig, where: str) -> None:
    """A split that is known not to be there is refused; others are known when data is read."""
    if (splits := study.dataset.splits) is not None:
        _require(split, splits, where)
