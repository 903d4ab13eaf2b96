"""What a study consists of, as the configuration says: which jobs there are, and for what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from active_perception_r1.config.engines import TrainingConfig
from active_perception_r1.config.errors import undefined
from active_perception_r1.config.file import (
    RESULTS,
    Config,
    StudyConfig,
    load_config,
    training_folder,
)
from active_perception_r1.config.model import ModelConfig
from active_perception_r1.config.server import PriceConfig
from active_perception_r1.envs.zoom_simulator import ViewRules
from active_perception_r1.errors import ConfigError
from active_perception_r1.storage.shards import WHOLE, Shard
from active_perception_r1.variants import first_view_pixels, variant, without_budget


def load_plan(path: Path, study: str) -> StudyPlan:
    """The plan of a study in a configuration file.

    Raises:
        ConfigError: the file is missing or wrong, or has no such study.
    """
    config = load_config(path)
    if study not in config.studies:
        raise ConfigError(f"study: {undefined(study, config.studies)}")
    return StudyPlan(config, study)


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """One study of a configuration.

    Attributes:
        name: of the study; it is defined.
    """

    config: Config
    name: str

    @property
    def study(self) -> StudyConfig:
        return self.config.studies[self.name]

    def model(self, name: str) -> ModelConfig:
        """The entry of a model, a training run or a variant, in the study or not.

        Raises:
            ConfigError: there is none of that name.
        """
        known = [*self.config.models, *self.config.training]
        if without_budget(name) not in known:
            raise ConfigError(f"model: {undefined(name, known)}")
        return self.config.model(name)

    @property
    def entries(self) -> list[tuple[str, str]]:
        """Model and mode of every row of the leaderboard, in its order."""
        return [(model, mode) for model in self.study.variants for mode in self.study.modes]

    @property
    def models(self) -> dict[str, ModelConfig]:
        """The entries of the models in the results, by name."""
        return {name: self.config.model(name) for name in self.study.variants}

    @property
    def runs(self) -> dict[str, TrainingConfig]:
        """The training runs among the study's models, by name."""
        training = self.config.training
        return {name: training[name] for name in self.study.models if name in training}

    @property
    def started_from(self) -> dict[str, str]:
        """Which of its models were trained, and from what; a variant from the same variant."""
        found = {}
        for name in self.study.variants:
            if run := self.runs.get(without_budget(name)):
                pixels = first_view_pixels(name)
                found[name] = variant(run.base, pixels) if pixels else run.base
        return found

    @property
    def repeats(self) -> dict[str, list[str]]:
        """Groups of models that differ in their seed only; with first views, one for each."""
        groups: Mapping[str, list[str]] = self.study.repeats
        if not self.study.first_views:
            return dict(groups)
        return {
            variant(group, pixels): [variant(member, pixels) for member in members]
            for group, members in groups.items()
            for pixels in self.study.first_views
        }

    @property
    def prices(self) -> dict[str, PriceConfig]:
        """What tokens cost of those of its models that have a price."""
        return {name: model.price for name, model in self.models.items() if model.price}

    @property
    def views(self) -> dict[str, ViewRules]:
        """How each of its models is shown a page at first."""
        views = {name: model.first_view for name, model in self.models.items()}
        return {name: ViewRules(view.max_pixels, view.multiple) for name, view in views.items()}

    @property
    def splits(self) -> list[tuple[str, str]]:
        """Study and split of all data that its results come from."""
        evaluated = (self.name, self.study.slice.split)
        return sorted({evaluated, *((run.study, run.split) for run in self.runs.values())})

    def partial_dataset(self, split: str) -> Path:
        """Where a download keeps the rows that it has."""
        return RESULTS / ".partial" / self.name / "dataset" / split

    def partial_episodes(self, model: str, mode: str, shard: Shard = WHOLE) -> Path:
        """Where inference keeps finished episodes."""
        return shard.file(RESULTS / ".partial" / self.name / model / f"{mode}.jsonl")

    @property
    def model_folders(self) -> list[Path]:
        """Folders of weights: those that are there, then those that its training runs make."""
        named = {*self.study.models, *(run.base for run in self.runs.values())}
        given = {Path(self.config.models[name].id) for name in named if name in self.config.models}
        trained = (training_folder(run.study, name) for name, run in self.runs.items())
        return [
            *sorted(folder for folder in given if folder.is_dir()),
            *(folder / "checkpoint" for folder in trained),
        ]
