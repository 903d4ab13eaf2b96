"""Questions as other trainers play them: opened as live episodes, paid as in training here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from active_perception_r1.config import ModelConfig
from active_perception_r1.data.samples import SampleFile, read_slice, slice_length
from active_perception_r1.modes import ACTIVE, episode_rules, start_episode
from active_perception_r1.records import Sample
from active_perception_r1.rewards.active_vision_reward import Reward, RewardConfig, episode_reward
from active_perception_r1.sim.live_reinjection import LiveEpisode
from active_perception_r1.tasks import DEFAULT_TASK

SEED = 0  # Recorded with an episode; the trainer draws the tokens, and has a seed of its own.


class Questions:
    """The questions of a file, in mode active, by the rules of a model's entry.

    Args:
        path: a parquet file that `sample-slice` or `grpo-data` wrote. Pages are read from there
            when their questions are asked.
        model: call syntax, prompts, budgets and limits.
        task: how an answer is read and judged.
        reward: constants of the reward.

    Raises:
        DataError: the file is missing or not parquet.
    """

    def __init__(
        self,
        path: Path,
        model: ModelConfig,
        task: str = DEFAULT_TASK,
        reward: RewardConfig = RewardConfig(),
    ) -> None:
        self.rules = episode_rules(ACTIVE, model, task)
        self._path = path
        self._count = slice_length(path)
        self._samples = SampleFile(path)
        self._model = model.id
        self._task = task
        self._reward = reward

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Sample:
        """The sample at a position of the file, counted from 0."""
        return self._samples[index]

    def without_pages(self) -> Iterator[Sample]:
        """All samples in their order, with no image in them."""
        return read_slice(self._path, images=False)

    def start(self, sample: Sample) -> LiveEpisode:
        """An episode at its first request.

        Raises:
            DataError: the page cannot be decoded, or the model's family cannot be shown it.
        """
        return start_episode(sample, self.rules)

    def pay(self, live: LiveEpisode, sample: Sample) -> Reward:
        """The reward of a finished episode on its sample.

        Raises:
            RuntimeError: it is not finished.
        """
        episode = live.record(self._model, model_revision="", seed=SEED)
        return episode_reward(episode, sample, self._reward, self._task)
