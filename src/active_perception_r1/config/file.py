"""The whole file: studies, models and training runs, and how they refer to each other."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, model_validator

from active_perception_r1.config.data import (
    DatasetConfig,
    HubDataset,
    ParquetDataset,
    SliceConfig,
    SyntheticDataset,
)
from active_perception_r1.config.errors import checked, undefined
from active_perception_r1.config.model import CropConfig, FirstView, ModelConfig
from active_perception_r1.config.section import Name, Section, each_once
from active_perception_r1.config.training import (
    AlarmConfig,
    LocalTraining,
    TrainingConfig,
    VerlTraining,
)
from active_perception_r1.errors import ConfigError
from active_perception_r1.records import Mode
from active_perception_r1.rewards.active_vision_reward import RewardConfig

if TYPE_CHECKING:
    from typing_extensions import TypeForm

RESULTS = Path("results")
T = TypeVar("T")


class StudyConfig(Section):
    """One table of results: a slice of a dataset, the models on it, the modes they run in."""

    dataset: DatasetConfig
    slice: SliceConfig = SliceConfig()
    models: Annotated[list[Name], Field(min_length=1), AfterValidator(each_once)]
    modes: Annotated[list[Mode], Field(min_length=1), AfterValidator(each_once)]
    reward: RewardConfig = RewardConfig()


class Config(Section):
    """The whole file."""

    study: Name
    studies: dict[Name, StudyConfig]
    models: dict[Name, ModelConfig]
    training: dict[Name, TrainingConfig] = {}

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        _require(self.study, self.studies, "study")
        for name, run in self.training.items():
            if name in self.models:
                raise ValueError(f"training.{name}: the name is taken by an entry under models")
            _require(run.base, self.models, f"training.{name}.base")
            _require(run.study, self.studies, f"training.{name}.study")
            _require_split(run.split, self.studies[run.study], f"training.{name}.split")
        for name, study in self.studies.items():
            _require_split(study.slice.split, study, f"studies.{name}.slice.split")
            for model in study.models:
                _require(model, [*self.models, *self.training], f"studies.{name}.models")
        return self

    def model(self, name: str) -> ModelConfig:
        """The entry of a model; for a training run, its base with the trained checkpoint as id."""
        if run := self.training.get(name):
            trained = {"id": str(training_folder(run.study, name) / "checkpoint"), "revision": None}
            return self.models[run.base].model_copy(update=trained)
        return self.models[name]

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


def parse_config(raw: Mapping[str, Any]) -> Config:
    """Check a configuration and fill in its defaults.

    Raises:
        ConfigError: one line that names the wrong key or value and the nearest valid one.
    """
    return checked(lambda: Config.model_validate(raw), _keys_of_section)


def parse_section(kind: TypeForm[T], text: str) -> T:
    """Read one section, such as `ModelConfig` or `DatasetConfig`, from JSON.

    Raises:
        ConfigError: it is not JSON, or holds a wrong key or value.
    """
    adapter = TypeAdapter(kind)
    return checked(lambda: adapter.validate_json(text), lambda location: [])


def load_config(path: Path) -> Config:
    """Read and check one configuration file.

    Raises:
        ConfigError: the file is missing, not YAML, or wrong.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected a mapping with the keys study, studies and models")
    return parse_config(raw)


def _require(word: str, known: Collection[str], where: str) -> None:
    if word not in known:
        raise ValueError(f"{where}: {undefined(word, known)}")


def _require_split(split: str, study: StudyConfig, where: str) -> None:
    """Splits of other sources are known only when the data is read."""
    if study.dataset.source == "synthetic":
        _require(split, study.dataset.questions, where)


_SOURCES: Mapping[str, type[BaseModel]] = {
    "synthetic": SyntheticDataset,
    "hub": HubDataset,
    "parquet": ParquetDataset,
}
_ENGINES: Mapping[str, type[BaseModel]] = {"local": LocalTraining, "verl": VerlTraining}


def _keys_of_section(location: Sequence[str]) -> list[str]:
    """Names of the keys that the section at `location` may hold."""
    sections: Mapping[str, type[BaseModel]] = {
        "studies": StudyConfig,
        "models": ModelConfig,
        "slice": SliceConfig,
        "first_view": FirstView,
        "crop": CropConfig,
        "alarms": AlarmConfig,
        **_SOURCES,
        **_ENGINES,
    }
    if not location:
        return list(Config.model_fields)
    if location[-1] == "reward":
        return list(RewardConfig.__dataclass_fields__)
    # The entries of `studies`, `models` and `training` have names of their own.
    key = location[0] if len(location) == 2 else location[-1]
    return list(sections[key].model_fields) if key in sections else []
