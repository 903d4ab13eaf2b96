"""Session traces for the viewer of the Hugging Face Hub, one file for each model and mode.

The format is the Session Trace Simple Format (https://huggingface.co/docs/hub/session-traces-format):
lines of JSON, a header for each session and then its messages. It has no images, so a view or a
crop stands there as its size, and what the crop shows as the box of the call.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from active_perception_r1.report.conversations import Conversation, conversations
from active_perception_r1.report.exports import Export
from active_perception_r1.report.finished import FinishedStudy
from active_perception_r1.sim.messages import Message
from active_perception_r1.storage.files import atomic

HARNESS = "active-perception-r1"


def write(study: FinishedStudy, folder: Path) -> Iterator[Path]:
    answers = study.answers
    for entry in answers.entries:
        path = folder / entry.model / f"{entry.mode}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as part, part.open("w", encoding="utf-8") as file:
            told = conversations(answers, entry)
            for conversation in tqdm(told, desc=f"{entry.model} {entry.mode}", unit="episode"):
                for line in _session(answers.study, conversation):
                    file.write(f"{json.dumps(line, ensure_ascii=False)}\n")
        yield path


def _session(study: str, told: Conversation) -> Iterator[dict[str, Any]]:
    episode, sample = told.episode, told.sample
    yield {
        "type": "session",
        "harness": HARNESS,
        "id": f"{study}/{episode.model}/{episode.mode}/{sample.id}",
        "name": sample.question,
        "answers": sample.answers,
        "answer": episode.answer,
        "tool_status": episode.tool_status,
    }
    for message in told.messages:
        spoken = {"role": message.role, "content": _text(message)}
        if message.role == "assistant":
            spoken["model"] = episode.model
        yield {"type": "message", "message": spoken}


def _text(message: Message) -> str:
    return "".join(
        part if isinstance(part, str) else f"[image of {part.width} x {part.height} pixels]\n"
        for part in message.parts
    )


EXPORT = Export("session traces for the viewer of the Hugging Face Hub", write)
