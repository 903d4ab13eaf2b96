"""What an episode cost, as its turns tell it."""

from __future__ import annotations

from collections.abc import Callable

from active_perception_r1.records import Turn
from active_perception_r1.scoring.metrics._metric import Judged


def of_turns(
    value: Callable[[tuple[Turn, ...]], float | None],
) -> Callable[[Judged], float | None]:
    """For a metric of the turns of an episode, None where it was cut short or never began."""

    def of_one(judged: Judged) -> float | None:
        episode = judged.episode
        return None if episode.tool_status.is_failure or not episode.turns else value(episode.turns)

    return of_one


def known(tokens: int) -> float | None:
    """A count, which an engine that does not count gives as 0."""
    return float(tokens) if tokens else None
