"""What trainers hand to a reward function, as records: lists, numpy arrays and JSON all occur."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from active_perception_r1.geometry import Box, is_redundant
from active_perception_r1.records import Evidence, Step, ToolStatus
from active_perception_r1.utils.trace_parser import SYNTAXES, Frame, parse_actions

# What a chat template puts around text that is not the model's own. Linear: lazy up to one marker.
_NOT_POLICY = re.compile(
    r"<tool_response>.*?(?:</tool_response>|\Z)"
    r"|<\|im_start\|>(?:user|system|tool).*?(?:<\|im_start\|>assistant|\Z)",
    re.DOTALL,
)


def plain(value: Any) -> Any:
    """Arrays to lists and numpy scalars to Python's, at any depth."""
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def structure(value: Any) -> Any:
    """Like `plain`, and a string of JSON (as parquet files often hold) becomes what it says."""
    value = plain(value)
    return json.loads(value) if isinstance(value, str) and value.strip() else value


def read_answers(ground_truth: Any, extra_info: Mapping[str, Any]) -> tuple[str, ...]:
    """All accepted answers: `extra_info["answers"]` if given, and the ground truth."""
    truth = plain(ground_truth)
    if isinstance(truth, Mapping):
        truth = truth.get("answers", truth.get("ground_truth"))
    found = [*_texts(plain(extra_info.get("answers"))), *_texts(truth)]
    return tuple(dict.fromkeys(found))


def read_evidence(value: Any) -> tuple[Evidence, ...]:
    """Evidence from rows with `label`, `weight` and either `box` or `x0 y0 x1 y1` (page units).

    Raises:
        ValueError: a row has no box.
    """
    regions = []
    for number, row in enumerate(structure(value) or ()):
        numbers = row.get("box") or [row.get(key) for key in ("x0", "y0", "x1", "y1")]
        if isinstance(numbers, Mapping):
            numbers = [numbers.get(key) for key in ("x0", "y0", "x1", "y1")]
        if len(numbers) != 4 or None in numbers:
            raise ValueError(f"evidence {number} has no box: {row}")
        box = Box(*map(float, numbers))
        regions.append(
            Evidence(str(row.get("label", "answer")), box, float(row.get("weight", 1.0)))
        )
    return tuple(regions)


def read_steps(value: Any) -> tuple[Step, ...]:
    """The executed trace: rows with the fields of `records.Step` as an episode writes them."""
    return tuple(Step.from_dict(row) for row in structure(value))


def policy_text(solution: str, extra_info: Mapping[str, Any]) -> list[str]:
    """The model's own turns, the last one last.

    `extra_info["policy_turns"]` where the rollout recorded them; otherwise the whole response as
    one turn, without what is marked as the environment's.
    """
    turns = plain(extra_info.get("policy_turns"))
    return [str(turn) for turn in turns] if turns else [_NOT_POLICY.sub(" ", solution)]


def parsed_steps(turns: Sequence[str], extra_info: Mapping[str, Any]) -> tuple[Step, ...]:
    """The trace as far as text alone tells it, when no environment recorded what was executed.

    A call counts as shown only if the model wrote an answer after it.
    """
    syntax = SYNTAXES[str(extra_info.get("zoom_syntax", "zoom_roi"))]
    frame = Frame(_size(extra_info.get("page_size")), _size(extra_info.get("view_size")))
    text = "\n".join(turns)
    last_answer = text.rfind("<answer>")
    steps: list[Step] = []
    position = 0
    for action in parse_actions(text, syntax, frame):
        position = text.index(action.raw, position) + len(action.raw)
        status, executed = action.fault or ToolStatus.ZOOM_EXECUTED, None
        if action.box is not None and action.box.inside_page:
            executed = action.box
        elif action.box is not None:
            status = ToolStatus.OUT_OF_BOUNDS
        earlier = [step.executed for step in steps if step.executed is not None]
        steps.append(
            Step(
                turn=0,
                syntax=action.syntax,
                raw=action.raw,
                status=status,
                reason=action.reason,
                requested=action.box,
                executed=executed,
                shown=executed is not None and position <= last_answer,
                redundant=executed is not None and is_redundant(executed, earlier),
            )
        )
    return tuple(steps)


def _texts(value: Any) -> Iterable[str]:
    if value is None:
        return ()
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _size(value: Any) -> tuple[int, int]:
    width, height = plain(value) or (1, 1)
    return int(width), int(height)
