"""The configuration file: its schema, its defaults, and errors that name the wrong key.

`workflow_config.yaml` is the only file a user edits. Snakemake merges further `--configfile`s and
`--config` values over it and hands the result to `parse_config`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from active_perception_r1.errors import ConfigError
from active_perception_r1.prompts import PROMPT_SETS
from active_perception_r1.records import Mode
from active_perception_r1.rewards.active_vision_reward import RewardConfig
from active_perception_r1.utils.trace_parser import SYNTAXES

RESULTS = Path("results")
NAME = r"^[A-Za-z0-9][A-Za-z0-9._+-]*$"
Name = Annotated[str, Field(pattern=NAME)]
BoxUnit = Literal["unit", "thousand", "pixels"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SyntheticDataset(_Section):
    """Pages drawn by this package; `questions` is the number of questions of each split."""

    source: Literal["synthetic"]
    seed: int = 0
    questions: dict[str, Annotated[int, Field(gt=0)]] = {
        "train": 2000,
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
    zoom_syntax: str = "zoom_roi"
    prompts: str = "standard"
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
    def _known_names(self) -> Self:
        _require_known(self.zoom_syntax, SYNTAXES, "zoom_syntax")
        _require_known(self.prompts, PROMPT_SETS, "prompts")
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
    models: list[Name] = Field(min_length=1)
    modes: list[Mode] = Field(min_length=1)
    reward: RewardConfig = RewardConfig()


class Config(_Section):
    """The whole file."""

    study: Name
    studies: dict[Name, StudyConfig]
    models: dict[Name, ModelConfig]
    training: dict[Name, TrainingConfig] = {}

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        _require_known(self.study, self.studies, "study")
        for name in self.training:
            if name in self.models:
                raise ValueError(f"training.{name}: the name is taken by an entry under models")
        for name, run in self.training.items():
            _require_known(run.base, self.models, f"training.{name}.base")
            _require_known(run.study, self.studies, f"training.{name}.study")
        for name, study in self.studies.items():
            for model in study.models:
                _require_known(model, [*self.models, *self.training], f"studies.{name}.models")
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
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_first_line(error)) from None


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


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that ends an error message: the likeliest meant name, or the list of all."""
    names = [str(name) for name in known]
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(names) or 'none'}"


def _require_known(word: str, known: Iterable[str], where: str) -> None:
    names = list(known)
    if word not in names:
        raise ValueError(f"{where}: '{word}' is not defined; {nearest(word, names)}")


def _first_line(error: ValidationError) -> str:
    """The most telling of a validation's errors, as one line."""
    first = error.errors()[0]
    # The tag of the dataset union stands in the location although no file contains it.
    tags = ("synthetic", "hub", "parquet")
    location = [str(part) for part in first["loc"] if part not in tags or len(first["loc"]) < 4]
    where = ".".join(location)
    match first["type"]:
        case "extra_forbidden" | "unexpected_keyword_argument":
            known = _fields_at(location[:-1])
            return f"{where}: unknown key; {nearest(location[-1], known)}"
        case "missing":
            return f"{where}: missing"
        case "value_error":
            message = str(first["ctx"]["error"])
            return f"{where}: {message}" if where else message
        case "enum" | "literal_error":
            expected = str(first["ctx"]["expected"]).replace(" or ", ", ").replace("'", "")
            return f"{where}: {first['input']!r} is not valid; {_hint(first['input'], expected)}"
        case "union_tag_invalid":
            given = first["input"].get("source")
            expected = str(first["ctx"]["expected_tags"]).replace("'", "")
            return f"{where}.source: {given!r} is not valid; {_hint(given, expected)}"
        case _:
            return f"{where}: {first['msg']} (got {first['input']!r})"


def _hint(given: object, expected: str) -> str:
    return nearest(str(given), expected.split(", "))


def _fields_at(location: list[str]) -> list[str]:
    """Names of the keys that the section at `location` may hold."""
    section: dict[str, type[BaseModel]] = {
        "studies": StudyConfig,
        "models": ModelConfig,
        "training": TrainingConfig,
        "slice": SliceConfig,
        "first_view": FirstView,
        "crop": CropConfig,
    }
    if not location:
        return list(Config.model_fields)
    if location[-1] == "reward":
        return list(RewardConfig.__dataclass_fields__)
    if location[-1] == "dataset":
        kinds = (SyntheticDataset, HubDataset, ParquetDataset)
        return sorted({name for kind in kinds for name in kind.model_fields})
    key = location[-1] if location[-1] in section else location[0]
    return list(section[key].model_fields)
