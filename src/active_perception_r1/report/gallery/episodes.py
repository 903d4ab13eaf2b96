"""What the gallery shows, as plain data.

Predictions hold no pixels. So each episode is run again with the replies that were recorded, on
the state machine that inference uses, and what it would have put in front of the model is taken
from there; the recorded hash of every request tells whether it is exactly what the model saw.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from active_perception_r1.data.distractors import with_distractors
from active_perception_r1.data.predictions import read_predictions
from active_perception_r1.data.samples import read_slice, slice_length
from active_perception_r1.envs.encoded_page import open_page
from active_perception_r1.errors import DataError
from active_perception_r1.geometry import Box
from active_perception_r1.modes import MODES, episode_rules, start_episode
from active_perception_r1.records import Episode, Sample, Step
from active_perception_r1.report.answers import Answers, Entry
from active_perception_r1.report.gallery.images import Pictures
from active_perception_r1.rewards.active_vision_reward import TERMS, episode_reward
from active_perception_r1.sim.live_reinjection import LiveEpisode
from active_perception_r1.sim.messages import FinishReason, Message, Reply, request_id

Data = dict[str, Any]

_REWARD = {**TERMS, "coverage": "coverage of the evidence"}
"""What is shown of an episode's reward, and what it is called."""


def gallery_data(answers: Answers, limit: int) -> Data:
    """Everything on the page: entries, samples, episodes, and the pictures they refer to by index.

    Args:
        limit: how many episodes at most. Whole questions are left out, the last ones of the slice,
            so that every question that is there can be compared across models and modes.

    Raises:
        DataError: a file cannot be read, or predictions are not those of the slice.
    """
    slice_file, entries = answers.slice_file, answers.entries
    total = slice_length(slice_file)
    shown = min(total, max(1, limit // len(entries)))
    shuffles = any(MODES[entry.mode].needs_distractor for entry in entries)
    pictures = Pictures()
    data: Data = {
        "study": answers.study,
        "total": total,
        "terms": _REWARD,
        "entries": [_entry(entry) for entry in entries],
        "samples": [],
        "episodes": [],
    }
    predictions = [read_predictions(entry.predictions) for entry in entries]
    rules = [episode_rules(entry.mode, entry.settings, answers.task) for entry in entries]
    pairs = islice(_pairs(slice_file, shuffles), shown)
    for number, (sample, distractor) in enumerate(tqdm(pairs, total=shown, unit="question")):
        data["samples"].append(_sample(sample, pictures))
        episodes: dict[tuple[str, str], Episode] = {}
        for entry, lines in zip(entries, predictions, strict=True):
            episode = next(lines, None)
            if episode is None or episode.sample_id != sample.id:
                raise DataError(
                    f"{entry.predictions}: not the predictions of {slice_file}; run infer again"
                )
            episodes[entry.model, entry.mode] = episode
        for index, entry in enumerate(entries):
            episode = episodes[entry.model, entry.mode]
            earlier = episodes.get((entry.model, MODES[entry.mode].goes_by))
            opened = start_episode(
                sample, rules[index], distractor, earlier.crop_sizes if earlier else ()
            )
            shown_to_model = _replay(episode, opened, pictures)
            data["episodes"].append(
                {
                    "sample": number,
                    "entry": index,
                    **_episode(episode, sample, answers),
                    **shown_to_model,
                }
            )
    return {**data, "pictures": pictures.encoded}


def _entry(entry: Entry) -> Data:
    mode = MODES[entry.mode]
    return {
        "model": entry.model,
        "mode": entry.mode,
        "opening": mode.opening_name,
        "crops": mode.crops_are,
    }


def _pairs(slice_file: Path, shuffles: bool) -> Iterator[tuple[Sample, Sample | None]]:
    samples = read_slice(slice_file)
    return with_distractors(samples) if shuffles else ((sample, None) for sample in samples)


def _sample(sample: Sample, pictures: Pictures) -> Data:
    return {
        "id": sample.id,
        "page": sample.doc_id,
        "question": sample.question,
        "answers": list(sample.answers),
        "evidence": [_corners(region.box) for region in sample.evidence],
        "size": [sample.width, sample.height],
        "picture": pictures.add_page(open_page(sample.image)),
    }


def _episode(episode: Episode, sample: Sample, answers: Answers) -> Data:
    reward = asdict(episode_reward(episode, sample, answers.reward, answers.task))
    return {
        "right": reward["correct"] and not episode.error,
        "status": str(episode.tool_status),
        "answer": episode.answer,
        "error": episode.error,
        "reward": {name: round(float(reward[name]), 4) for name in _REWARD},
        "steps": [_step(step) for step in episode.steps],
    }


def _step(step: Step) -> Data:
    box = step.executed or step.requested
    return {
        "turn": step.turn,
        "call": step.raw,
        "status": str(step.status),
        "reason": step.reason,
        "box": box and _corners(box),
        "executed": step.executed is not None,
        "shown": step.shown,
        "redundant": step.redundant,
    }


def _replay(episode: Episode, live: LiveEpisode, pictures: Pictures) -> Data:
    """The turns of an episode with what the model was shown before each; `live` has none yet."""
    turns, exact = [], True
    for turn in episode.turns:
        if live.finished:  # The code has changed since, and ends this episode earlier.
            exact = False
            break
        exact = exact and request_id(live.request) == turn.prompt_id
        turns.append({**_asked(live.request[-1], pictures), "text": turn.text})
        live.receive(Reply(turn.text, FinishReason(turn.finish_reason)))
    return {"turns": turns, "exact": exact}


def _asked(message: Message, pictures: Pictures) -> Data:
    return {
        "prompt": "".join(part for part in message.parts if isinstance(part, str)),
        "pictures": [pictures.add_view(image) for image in message.images],
    }


def _corners(box: Box) -> list[float]:
    return [round(value, 4) for value in box.as_tuple()]
