"""Finished episodes as conversations: all that a model was shown, and all that it said.

Predictions hold no pixels. So each episode is run again with the replies that were recorded, on the
state machine that inference uses; the recorded hash of every request tells whether that is exactly
what the model saw.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from active_perception_r1.data.distractors import with_distractors
from active_perception_r1.data.predictions import read_predictions
from active_perception_r1.data.samples import read_slice
from active_perception_r1.errors import DataError
from active_perception_r1.modes import MODES, episode_rules, start_episode
from active_perception_r1.records import Episode, Sample
from active_perception_r1.report.answers import Answers, Entry
from active_perception_r1.sim.live_reinjection import LiveEpisode
from active_perception_r1.sim.messages import FinishReason, Message, Reply, Request


@dataclass(frozen=True, slots=True)
class Conversation:
    """A finished episode.

    Attributes:
        messages: everything from the first message to the last reply.
        exact: every request is, pixel by pixel, the one that was recorded.
    """

    sample: Sample
    episode: Episode
    messages: Request
    exact: bool


def conversations(answers: Answers, entry: Entry) -> Iterator[Conversation]:
    """Those of one model in one mode, in the order of the slice, one at a time.

    Raises:
        DataError: a file cannot be read, or predictions are not those of the slice.
    """
    mode, rules = MODES[entry.mode], episode_rules(entry.mode, entry.settings, answers.task)
    earlier = _earlier(answers, entry)
    lines = read_predictions(entry.predictions)
    for sample, distractor in pairs(answers.slice_file, mode.needs_distractor):
        episode = next_episode(lines, entry, answers.slice_file, sample)
        before = next(earlier, None)
        start = start_episode(sample, rules, distractor, before.crop_sizes if before else ())
        messages = start.request
        requests, exact = replay(episode, start)
        if requests:
            reply = Message("assistant", (episode.turns[len(requests) - 1].text,))
            messages = (*requests[-1], reply)
        yield Conversation(sample, episode, messages, exact)


def replay(episode: Episode, start: LiveEpisode) -> tuple[list[Request], bool]:
    """What the model was asked before each of its turns, and whether that is what was recorded.

    It is not where the code has changed since; then the episode may also end earlier.

    Args:
        start: the episode without a turn; it is played.
    """
    requests: list[Request] = []
    for turn in episode.turns:
        if start.finished:
            break
        requests.append(start.request)
        start.receive(Reply(turn.text, FinishReason(turn.finish_reason)))
    asked = [turn.prompt_id for turn in start.turns]
    return requests, asked == [turn.prompt_id for turn in episode.turns]


def pairs(slice_file: Path, shuffles: bool) -> Iterator[tuple[Sample, Sample | None]]:
    """The samples of a slice, each with another page where a mode needs one."""
    samples = read_slice(slice_file)
    return with_distractors(samples) if shuffles else ((sample, None) for sample in samples)


def next_episode(
    lines: Iterator[Episode], entry: Entry, slice_file: Path, sample: Sample
) -> Episode:
    """The next one of an entry's predictions, which is about this sample.

    Raises:
        DataError: it is not.
    """
    episode = next(lines, None)
    if episode is None or episode.sample_id != sample.id:
        raise DataError(
            f"{entry.predictions}: not the predictions of {slice_file}; run infer again"
        )
    return episode


def _earlier(answers: Answers, entry: Entry) -> Iterator[Episode]:
    """The episodes that the entry's mode goes by, if it goes by any."""
    goes_by = MODES[entry.mode].goes_by
    for other in answers.entries:
        if (other.model, other.mode) == (entry.model, goes_by):
            return read_predictions(other.predictions)
    return iter(())
