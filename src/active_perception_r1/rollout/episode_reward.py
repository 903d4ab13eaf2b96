"""The reward as verl calls it, with a line written for every episode.

verl 0.9.1 logs the score of a training step and drops what it is made of; these lines keep it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from active_perception_r1.rewards import active_vision_reward
from active_perception_r1.rewards.active_vision_reward import own_names
from active_perception_r1.rewards.values import plain


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any],
    *,
    episodes: str,
    **constants: Any,
) -> dict[str, float | str]:
    """`active_vision_reward.compute_score`, appended to `episodes`/{step}.jsonl.

    The line has the names of `Reward`, as everywhere. It is one write to a file opened for
    appending, so that several processes may do this.
    """
    result = active_vision_reward.compute_score(
        data_source, solution_str, ground_truth, extra_info, **constants
    )
    said = ("id", "policy_turns", "tool_status", "over_long", "image_count")
    line = own_names(result) | {key: plain(extra_info.get(key)) for key in said}
    line["tool_trace"] = json.loads(extra_info["tool_trace"])
    path = Path(episodes) / f"{int(extra_info['global_step'])}.jsonl"
    with path.open("ab", buffering=0) as file:
        file.write(json.dumps(line, ensure_ascii=False).encode() + os.linesep.encode())
    return result
