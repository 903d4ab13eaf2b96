"""What a model did while it was trained: of each question of a step, first, last and best."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

from active_perception_r1.config import ModelConfig
from active_perception_r1.data.samples import SampleFile, read_slice
from active_perception_r1.errors import DataError
from active_perception_r1.modes import ACTIVE, MODES, episode_rules, start_episode
from active_perception_r1.records import Episode, Sample
from active_perception_r1.report.gallery.episodes import Gallery
from active_perception_r1.report.gallery.questions import Asked, Column, Facts, Played
from active_perception_r1.sim.live_reinjection import EpisodeRules

MAX_EPISODES = 1_000
OF_A_GROUP = ("first", "last", "best")

Line = Mapping[str, Any]


def gallery_of_training(
    run: str,
    base: ModelConfig,
    task: str,
    rollouts: Path,
    data: Path,
    limit: int = MAX_EPISODES,
) -> Gallery:
    """The gallery of a training run; one that says so where its engine has kept no episodes.

    Args:
        base: how the model was shown pages.
        rollouts: `rollouts.jsonl.gz` of the run.
        data: the samples that it was trained on.
        limit: how many episodes at most: steps are left out evenly, never the first or last one.

    Raises:
        DataError: a file cannot be read.
    """
    mode = MODES[ACTIVE]
    columns = [
        Column(run, which, mode.opening_name, mode.crops_are, mode.tool) for which in OF_A_GROUP
    ]
    title = f"Training of {run}"
    if not rollouts.exists():
        return Gallery(title, "No episodes of this run were kept.", columns, ())
    groups = _groups_by_step(rollouts)
    steps = _spread(sorted(groups), len(OF_A_GROUP) * max(map(len, groups.values())), limit)
    which = "every step" if len(steps) == len(groups) else f"{len(steps)} of {len(groups)} steps"
    return Gallery(
        title=title,
        about=f"The first, the last and the best episode of every group, of {which}.",
        columns=columns,
        questions=_asked(
            {step: groups[step] for step in steps},
            cache(partial(episode_rules, model=base, task=task)),  # one for each mode
            data,
        ),
    )


def _groups_by_step(path: Path) -> dict[int, list[list[Line]]]:
    """The lines of each group that is kept, three each."""
    found: dict[int, list[list[Line]]] = {}
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            lines = (json.loads(line) for line in file)
            for (step, _), group in groupby(lines, lambda line: (line["step"], line["group"])):
                kept = list(group)
                best = max(kept, key=lambda line: line["reward"]["reward"])
                found.setdefault(step, []).append([kept[0], kept[-1], best])
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged ({error}); train again") from None
    if not found:
        raise DataError(f"{path}: holds no episode; train again")
    return found


def _spread(steps: list[int], episodes: int, limit: int) -> list[int]:
    """As many of the steps as the limit allows, from the first to the last.

    >>> _spread([1, 2, 3, 4, 5], episodes=24, limit=72)
    [1, 3, 5]
    """
    count = min(len(steps), max(2, limit // episodes))
    if count == len(steps):
        return steps
    return [steps[round(place * (len(steps) - 1) / (count - 1))] for place in range(count)]


def _asked(
    groups: Mapping[int, list[list[Line]]], rules: Callable[[str], EpisodeRules], data: Path
) -> Iterator[Asked]:
    places = {sample.id: place for place, sample in enumerate(read_slice(data, images=False))}
    samples = SampleFile(data)
    for step, of_step in groups.items():
        for lines in of_step:
            name = lines[0]["episode"]["sample_id"]
            if name not in places:
                raise DataError(f"{data}: has no sample {name}, which was trained on; train again")
            sample = samples[places[name]]
            played = [_played(line, sample, rules) for line in lines]
            yield Asked(sample, played, [Facts()] * len(played), step)


def _played(line: Line, sample: Sample, rules: Callable[[str], EpisodeRules]) -> Played:
    episode = Episode.from_json(json.dumps(line["episode"]))
    reward = None if episode.error else line["reward"]
    return Played(
        episode,
        start_episode(sample, rules(episode.mode)),
        bool(reward and reward["correct"]),
        reward,
    )
