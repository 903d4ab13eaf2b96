"""Logs for `inspect view` (https://inspect.aisi.org.uk), one for each model and mode.

An `.eval` log is a ZIP of JSON files: a header, a summary of all samples, and each sample with its
conversation, images included. It is written sample by sample, so that a large study needs no
memory.
"""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import json
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from active_perception_r1.records import Episode, Step
from active_perception_r1.report.answers import Entry
from active_perception_r1.report.conversations import Conversation, conversations
from active_perception_r1.report.exports import Export
from active_perception_r1.report.finished import FinishedStudy
from active_perception_r1.scoring.leaderboard_row import LeaderboardRow
from active_perception_r1.sim.messages import FinishReason, Message
from active_perception_r1.storage.files import atomic

Json = dict[str, Any]

SCORED = ("correct", "score", "reward")
_SUMMARISED = {"id", "epoch", "target", "choices", "scores", "total_time"}
_ENDED = {
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.ERROR: "unknown",
}


def write(study: FinishedStudy, folder: Path) -> Iterator[Path]:
    for entry in study.answers.entries:
        path = folder / f"{study.plan.name}_{entry.model}_{entry.mode}.eval"
        with atomic(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as log:
            _write_log(study, entry, log)
        yield path


def _write_log(study: FinishedStudy, entry: Entry, log: zipfile.ZipFile) -> None:
    scores = {row["sample_id"]: row for row in _scores(study.scores(entry))}
    summaries, failed = [], 0
    told = conversations(study.answers, entry)
    for conversation in tqdm(told, desc=f"{entry.model} {entry.mode}", unit="episode"):
        sample = _sample(conversation, scores[conversation.sample.id])
        log.writestr(f"samples/{sample['id']}_epoch_1.json", json.dumps(sample))
        summaries.append(_summary(sample))
        failed += bool(conversation.episode.error)
    spec = _spec(study, entry, [summary["id"] for summary in summaries])
    results = _results(study.row(entry), len(summaries), failed)
    now = datetime.now(UTC).isoformat()
    header = {
        "version": 2,
        "status": "success",
        "eval": spec,
        "plan": {"name": entry.mode, "steps": []},
        "results": results,
        "stats": {"started_at": study.manifest["created"], "completed_at": now, "model_usage": {}},
    }
    log.writestr("summaries.json", json.dumps(summaries))
    log.writestr("header.json", json.dumps(header))


def _scores(path: Path) -> list[Json]:
    rows: list[Json] = pq.read_table(path, columns=["sample_id", *SCORED]).to_pylist()
    return rows


def _spec(study: FinishedStudy, entry: Entry, samples: list[str]) -> Json:
    identity = hashlib.sha256(
        json.dumps([study.manifest["digest"], entry.model, entry.mode]).encode()
    ).hexdigest()
    settings = entry.settings.model_dump(mode="json")
    return {
        "eval_id": identity[:22],
        "run_id": study.manifest["digest"][:22],
        "task_id": identity[22:44],
        "created": study.manifest["created"],
        "task": f"{study.plan.name}/{entry.mode}",
        "dataset": {
            "name": study.plan.study.dataset.name,
            "samples": len(samples),
            "sample_ids": samples,
        },
        "model": entry.model,
        "model_args": {"revision": study.manifest["revisions"]["models"].get(entry.model)},
        "config": {},
        "metadata": {"mode": entry.mode, "settings": settings},
        "packages": study.manifest["packages"],
        "scorers": [{"name": name} for name in SCORED],
    }


def _results(row: LeaderboardRow, total: int, failed: int) -> Json:
    found = {"correct": row.accuracy, "score": row.mean("score"), "reward": row.mean("reward")}
    return {
        "total_samples": total,
        "completed_samples": total - failed,
        "scores": [
            {"name": name, "scorer": name, "metrics": {"mean": {"name": "mean", "value": value}}}
            for name, value in found.items()
            if value is not None
        ],
    }


def _sample(told: Conversation, scores: Mapping[str, Any]) -> Json:
    sample, episode = told.sample, told.episode
    messages = [_message(message, f"{sample.id}-{i}") for i, message in enumerate(told.messages)]
    opening = itertools.takewhile(lambda message: message["role"] != "assistant", messages)
    found: Json = {
        "id": sample.id,
        "epoch": 1,
        "input": list(opening),
        "target": list(sample.answers),
        "messages": messages,
        "output": {"model": episode.model, "choices": _choices(episode, messages)},
        "scores": {
            name: {"value": scores[name], "answer": episode.answer}
            for name in SCORED
            if scores[name] is not None
        },
        "metadata": {
            "doc_id": sample.doc_id,
            "layout": sample.layout,
            "requires_zoom": sample.requires_zoom,
            "evidence": [region.box.as_tuple() for region in sample.evidence],
            "tool_status": episode.tool_status,
            "zooms": list(map(_zoom, episode.steps)),
            "exact": told.exact,
        },
        "total_time": sum(turn.seconds for turn in episode.turns),
    }
    if sample.options:
        found["choices"] = list(sample.options)
    if episode.error:
        found["error"] = {"message": episode.error, "traceback": "", "traceback_ansi": ""}
    return found


def _choices(episode: Episode, messages: list[Json]) -> list[Json]:
    """The last reply."""
    if not episode.turns or messages[-1]["role"] != "assistant":
        return []
    reason = _ENDED[FinishReason(episode.turns[-1].finish_reason)]
    return [{"message": messages[-1], "stop_reason": reason}]


def _zoom(step: Step) -> Json:
    box = step.executed or step.requested
    return {"call": step.raw, "box": box and box.as_tuple(), "status": step.status}


def _message(message: Message, name: str) -> Json:
    content = [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image", "image": _data_url(part)}
        for part in message.parts
    ]
    return {"id": name, "role": message.role, "content": content}


def _data_url(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _summary(sample: Json) -> Json:
    """What the list of samples shows; images stay with the sample."""
    told = {name: sample[name] for name in sample.keys() & _SUMMARISED}
    text = "\n".join(
        part["text"]
        for message in sample["input"]
        for part in message["content"]
        if part["type"] == "text"
    )
    error = {"error": sample["error"]["message"]} if "error" in sample else {}
    return {**told, "input": text, "completed": True, **error}


EXPORT = Export("logs for `inspect view` of inspect_ai", write)
