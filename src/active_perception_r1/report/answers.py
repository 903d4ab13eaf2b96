"""What models did on the questions of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from active_perception_r1.config import ModelConfig
from active_perception_r1.rewards.active_vision_reward import RewardConfig


@dataclass(frozen=True, slots=True)
class Entry:
    """One model in one mode, and where its predictions are."""

    model: str
    mode: str
    settings: ModelConfig
    predictions: Path


@dataclass(frozen=True, slots=True)
class Answers:
    """The predictions of a study, in the order of its leaderboard, and how they are judged."""

    study: str
    slice_file: Path
    entries: Sequence[Entry]
    reward: RewardConfig
    task: str
