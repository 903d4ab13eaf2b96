"""The configuration file: its schema, its defaults, and errors that name the wrong key.

`workflow_config.yaml` is the only file a user edits. Snakemake merges further `--configfile`s and
`--config` values over it and hands the result to `parse_config`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    model_validator,
)

from active_perception_r1.config_errors import checked, undefined
from active_perception_r1.errors import ConfigError
from active_perception_r1.prompts import PROMPT_SETS
from active_perception_r1.records import Mode
from active_perception_r1.rewards.active_vision_reward import RewardConfig
from active_perception_r1.utils.trace_parser import SYNTAXES

if TYPE_CHECKING:
    from typing_extensions import TypeForm

RESULTS = Path("results")
NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
"""Names become parts of paths, so they hold nothing that has a meaning there."""

Name = Annotated[str, Field(pattern=f"^{NAME}$")]
BoxUnit = Literal["unit", "thousand", "pixels"]
T = TypeVar("T")


def _known(names: Collection[str]) -> AfterValidator:
    """Accepts only the name of something that the code defines."""

    def check(word: str) -> str:
        if word not in names:
            raise ValueError(undefined(word, names))
        return word

    return AfterValidator(check)


def _each_once(names: list[T]) -> list[T]:
    if names and (most := Counter(names).most_common(1)[0])[1] > 1:
        raise ValueError(f"'{most[0]}' is listed twice")
    return names


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SyntheticDataset(_Section):
    """Pages drawn by this package; `questions` is the number of questions of each split."""

    source: Literal["synthetic"]
    seed: int = 0
    questions: dict[str, Annotated[int, Field(gt=0)]] = {
        "train": 1000,
        "validation": 120,
        "test": 300,
    }


class HubDataset(_Section):
    """A dataset in the DocVQA-1200 layout on the hub, or a local folder laid out like one."""

    source: Literal["hub"]
    id: str
    revision: str | None = None
    box_unit: BoxUnit | None = None


class ParquetDataset(_Section):
    """Local files in the DocVQA-1200 layout: FOLDER of {split}.parquet, or one FILE for all."""

    source: Literal["parquet"]
    path: Path
    box_unit: BoxUnit | None = None


DatasetConfig = Annotated[
    SyntheticDataset | HubDataset | ParquetDataset, Field(discriminator="source")
]


class SliceConfig(_Section):
    """Which questions are asked: `samples` rows of `split`, drawn with `seed`."""

    split: Name = "test"
    samples: int = Field(default=300, gt=0)
    seed: int = 29


class FirstView(_Section):
    """What a model is shown first: the page shrunk to `max_pixels`, sides rounded to `multiple`."""

    max_pixels: int = Field(gt=0)
    multiple: int = Field(default=1, gt=0)


class CropConfig(_Section):
    """What a zoom gives: see `envs.zoom_simulator.CropRules`, which these values become."""

    max_pixels: int = Field(gt=0)
    multiple: int = Field(default=1, gt=0)
    max_aspect: float = Field(default=8.0, ge=1)
    min_area: float = Field(default=0.0005, ge=0, lt=1)
    max_area: float = Field(default=1.0, gt=0, le=1)


class ModelConfig(_Section):
    """One model and how it is run."""

    id: str
    revision: str | None = None
    backend: Literal["transformers"] = "transformers"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    gpus: int = Field(default=1, ge=0)
    zoom_syntax: Annotated[str, _known(SYNTAXES)] = "zoom_roi"
    prompts: Annotated[str, _known(PROMPT_SETS)] = "standard"
    first_view: FirstView
    crop: CropConfig
    max_zooms: int = Field(default=3, gt=0)
    max_turns: int = Field(default=4, gt=1)
    max_new_tokens: int = Field(default=512, gt=0)
    batch_size: int = Field(default=16, gt=0)
    live_episodes: int = Field(default=64, gt=0)
    temperature: float = Field(default=0.0, ge=0)
    seed: int = 0

    @model_validator(mode="after")
    def _can_answer(self) -> Self:
        if self.max_turns <= self.max_zooms:
            raise ValueError(
                f"max_turns ({self.max_turns}) must exceed max_zooms ({self.max_zooms}),"
                " or there is no turn left to answer in"
            )
        return self


class TrainingConfig(_Section):
    """One GRPO run. It is also a model: the trained checkpoint, run as its `base` is.

    Every step draws `prompts_per_step` questions and `samples_per_prompt` episodes for each.
    """

    base: Name
    study: Name
    engine: Literal["local"] = "local"
    split: Name = "train"
    samples: int = Field(default=2000, gt=0)
    seed: int = 0
    steps: int = Field(default=40, gt=0)
    prompts_per_step: int = Field(default=16, gt=0)
    samples_per_prompt: int = Field(default=8, gt=1)
    updates_per_step: int = Field(default=1, gt=0)
    learning_rate: float = Field(default=1e-4, gt=0)
    warmup_steps: int = Field(default=3, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    clip_low: float = Field(default=0.2, gt=0, lt=1)
    clip_high: float = Field(default=0.28, gt=0)
    kl: float = Field(default=0.0, ge=0)
    temperature: float = Field(default=1.0, gt=0)
    save_every: int = Field(default=10, gt=0)
    reward: RewardConfig = RewardConfig()


class StudyConfig(_Section):
    """One table of results: a slice of a dataset, the models on it, the modes they run in."""

    dataset: DatasetConfig
    slice: SliceConfig = SliceConfig()
    models: Annotated[list[Name], Field(min_length=1), AfterValidator(_each_once)]
    modes: Annotated[list[Mode], Field(min_length=1), AfterValidator(_each_once)]
    reward: RewardConfig = RewardConfig()


class Config(_Section):
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


def _keys_of_section(location: Sequence[str]) -> list[str]:
    """Names of the keys that the section at `location` may hold."""
    sections: Mapping[str, type[BaseModel]] = {
        "studies": StudyConfig,
        "models": ModelConfig,
        "training": TrainingConfig,
        "slice": SliceConfig,
        "first_view": FirstView,
        "crop": CropConfig,
        **_SOURCES,
    }
    if not location:
        return list(Config.model_fields)
    if location[-1] == "reward":
        return list(RewardConfig.__dataclass_fields__)
    # The entries of `studies`, `models` and `training` have names of their own.
    key = location[0] if len(location) == 2 else location[-1]
    return list(sections[key].model_fields) if key in sections else []
