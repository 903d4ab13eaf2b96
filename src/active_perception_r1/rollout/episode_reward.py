"""The reward as verl calls it, with a line written for every episode.

verl 0.9.1 logs the score of a training step and drops what it is made of; these lines keep it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from active_perception_r1.rewards import active_vision_reward
from active_perception_r1.rewards.active_vision_reward import own_names
from active_perception_r1.rewards.values import plain
from active_perception_r1.rollout.episode_tally import EpisodeTally

TOLD = ("id", "doc_id", "over_long", "image_count")


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any],
    *,
    episodes: str,
    **constants: Any,
) -> dict[str, float | str]:
    """`active_vision_reward.compute_score`, noted in the log of `episodes`.

    The line has the names of `Reward`, as everywhere.
    """
    log = EpisodeTally.of(Path(episodes), bool(extra_info["validation"]))
    step = int(extra_info["global_step"])
    try:
        result = active_vision_reward.compute_score(
            data_source, solution_str, ground_truth, extra_info, **constants
        )
    except Exception as error:
        log.failed(step, str(extra_info["id"]), error)
        raise
    line = own_names(result) | {key: plain(extra_info[key]) for key in TOLD}
    log.append(step, line | {"episode": json.loads(extra_info["episode"])})
    return result
