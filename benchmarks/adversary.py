"""A search for ways around the reward: PYTHONPATH=. python benchmarks/adversary.py

    --traces N   how many to score of each kind (200,000)

The searcher, and what it calls padding, is tests/adversary.py; the same search runs in the tests,
shorter. Each kind of trace is scored in full: text through `compute_score`, episodes through
`LiveEpisode`.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import replace

from measuring import Figure, report

from active_perception_r1.rewards.active_vision_reward import RewardConfig
from tests.adversary import (
    Pay,
    any_situation,
    executed_at_once,
    executed_one_by_one,
    gain_where,
    parsed,
    search,
)

KINDS = {
    "text": parsed,
    "episode, calls in one reply": executed_at_once,
    "episode, a reply for each call": executed_one_by_one,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traces", type=int, default=200_000)
    traces = parser.parse_args().traces
    report("adversary", [row for name, pay in KINDS.items() for row in rows(name, pay, traces)])


def rows(name: str, pay: Pay, traces: int) -> Iterator[Figure]:
    """Of one kind of trace, under the default constants."""
    config = RewardConfig()
    found = search(pay, random.Random(29), traces, config)
    yield Figure(f"{name}: traces", found.traces)
    yield Figure(f"{name}: best wrong", found.best_wrong, bar="below the worst correct")
    yield Figure(f"{name}: worst correct", found.worst_correct)
    yield Figure(f"{name}: most gained by padding", found.gain, bar="0")
    rng = random.Random(31)
    drawn = [any_situation(rng, config) for _ in range(100)]
    idle = [replace(situation, needs=False) for situation in drawn]
    blind = [replace(situation, needs=True, evidence=()) for situation in drawn]
    yield Figure(
        f"{name}: most gained by a call that is not needed",
        gain_where(pay, rng, traces // 10, idle),
        bar="0",
    )
    yield Figure(
        f"{name}: most gained by a needed call, evidence unknown",
        gain_where(pay, rng, traces // 10, blind),
        note="the first crop counts as the look; nothing can tell where it should be",
    )


if __name__ == "__main__":
    main()
