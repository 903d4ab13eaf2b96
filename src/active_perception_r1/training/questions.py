"""Which questions a base model is trained on, and which are kept for its validation."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from active_perception_r1.config import ModelConfig, TrainingConfig
from active_perception_r1.data.samples import SampleFile, page_keys, read_slice
from active_perception_r1.envs.zoom_simulator import require_shape
from active_perception_r1.errors import DataError
from active_perception_r1.modes import ACTIVE, episode_rules
from active_perception_r1.records import Sample


def modes_by_turns(modes: Sequence[str], first: int = 0) -> Iterator[str]:
    """The mode of one question after another, `first` questions having had theirs.

    >>> turns = modes_by_turns(["active", "strict_zoom", "oracle"], first=4)
    >>> next(turns), next(turns), next(turns)
    ('strict_zoom', 'oracle', 'active')
    """
    return islice(cycle(modes), first % len(modes), None)


@dataclass(frozen=True, slots=True)
class Questions:
    """Positions of questions in a `grpo-data` file. No page has questions of both kinds.

    Attributes:
        training: to be trained on.
        validation: to be validated on, at most as many as asked for.
    """

    training: frozenset[int]
    validation: tuple[int, ...] = ()

    def of_validation(self, data: Path) -> list[Sample]:
        """The samples to validate on, from that file."""
        file = SampleFile(data)
        return [file[index] for index in self.validation]


def divide_questions(name: str, run: TrainingConfig, base: ModelConfig, data: Path) -> Questions:
    """Those of a `grpo-data` file whose pages the base model can be shown, by what they are for.

    The others are named on standard error: a fault of the data costs its row, and no step.

    Raises:
        DataError: the file cannot be read, or fewer are left to train on than one step takes.
    """
    usable = _usable(base, data)
    questions = Questions(frozenset(usable))
    if run.validate_every:
        questions = _held_out(usable, run.validation_samples, data)
    if len(questions.training) < run.prompts_per_step:
        validated = f", without the pages of {len(questions.validation)} to validate on"
        raise DataError(
            f"{data}: {len(questions.training)} samples{validated if run.validate_every else ''},"
            f" but a step of {name} takes {run.prompts_per_step}"
        )
    return questions


def _usable(base: ModelConfig, data: Path) -> list[int]:
    rules = episode_rules(ACTIVE, base)
    usable = []
    for index, sample in enumerate(read_slice(data, images=False)):
        try:
            require_shape((sample.width, sample.height), rules.first_view)
            usable.append(index)
        except DataError as error:
            print(f"warning: {data}: sample '{sample.id}' left out: {error}", file=sys.stderr)
    return usable


def _held_out(usable: list[int], count: int, data: Path) -> Questions:
    """Whole pages from the end of the draw, until they have `count` questions.

    From the end, so that a run trains on the same questions whether it validates or not, as far as
    their pages are not shared.
    """
    keys = [frozenset(page_keys(sample)) for sample in read_slice(data)]
    on_page: dict[str, set[int]] = defaultdict(set)
    for index in usable:
        for key in keys[index]:
            on_page[key].add(index)
    held: set[int] = set()
    for index in reversed(usable):
        if len(held) >= count:
            break
        waiting = [index]
        while waiting:  # a page may go by several ids, and several pages by one
            found = waiting.pop()
            if found not in held:
                held.add(found)
                waiting += (other for key in keys[found] for other in on_page[key])
    return Questions(frozenset(usable) - held, tuple(sorted(held)[:count]))
