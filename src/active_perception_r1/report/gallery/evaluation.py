"""The questions of a study, and what every model did on them in every mode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import islice

from tqdm import tqdm

from active_perception_r1.data.predictions import read_predictions
from active_perception_r1.data.samples import slice_length
from active_perception_r1.modes import MODES, episode_rules, start_episode
from active_perception_r1.records import Episode, Sample
from active_perception_r1.report.answers import Answers
from active_perception_r1.report.conversations import next_episode, pairs
from active_perception_r1.report.gallery.episodes import Gallery
from active_perception_r1.report.gallery.questions import Asked, Column, Played, facts_of
from active_perception_r1.rewards.active_vision_reward import episode_reward
from active_perception_r1.sim.live_reinjection import LiveEpisode

MAX_EPISODES = 20_000
"""More are opened by a browser as quickly, but not looked at; each takes milliseconds to make."""


def gallery_of(
    answers: Answers, started_from: Mapping[str, str], limit: int = MAX_EPISODES
) -> Gallery:
    """The gallery of a study.

    Args:
        started_from: for each trained model, the one that it started from.
        limit: how many episodes at most. Whole questions are left out, the last ones of the slice,
            so that every question that is there can be compared across models and modes.

    Raises:
        DataError: a file cannot be read. Predictions that are not those of the slice raise it when
            the questions are gone through.
    """
    total = slice_length(answers.slice_file)
    shown = min(total, max(1, limit // len(answers.entries)))
    about = (
        f"All {total} questions" if shown == total else f"The first {shown} of {total} questions"
    )
    return Gallery(
        title=f"Traces of study {answers.study}",
        about=f"{about}, in every model and mode.",
        columns=[
            Column(e.model, e.mode, mode.opening_name, mode.crops_are, mode.tool)
            for e in answers.entries
            for mode in (MODES[e.mode],)
        ],
        questions=islice(_asked(answers, started_from, shown), shown),
    )


def _asked(answers: Answers, started_from: Mapping[str, str], shown: int) -> Iterator[Asked]:
    entries = answers.entries
    names = [(entry.model, entry.mode) for entry in entries]
    shuffles = any(MODES[entry.mode].needs_distractor for entry in entries)
    files = [read_predictions(entry.predictions) for entry in entries]
    rules = [episode_rules(entry.mode, entry.settings, answers.task) for entry in entries]
    asked = pairs(answers.slice_file, shuffles)
    for sample, distractor in tqdm(asked, total=shown, unit="question"):
        episodes: dict[tuple[str, str], Episode] = {}
        for entry, lines in zip(entries, files, strict=True):
            episode = next_episode(lines, entry, answers.slice_file, sample)
            episodes[entry.model, entry.mode] = episode
        played = []
        for entry, its_rules in zip(entries, rules, strict=True):
            earlier = episodes.get((entry.model, MODES[entry.mode].goes_by))
            start = start_episode(
                sample, its_rules, distractor, earlier.crop_sizes if earlier else ()
            )
            played.append(_played(episodes[entry.model, entry.mode], start, sample, answers))
        yield Asked(sample, played, facts_of(names, played, sample, started_from))


def _played(episode: Episode, start: LiveEpisode, sample: Sample, answers: Answers) -> Played:
    if episode.error:
        return Played(episode, start, False, None)
    reward = episode_reward(episode, sample, answers.reward, answers.task)
    return Played(episode, start, reward.correct, asdict(reward))
