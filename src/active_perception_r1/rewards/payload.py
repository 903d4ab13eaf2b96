"""What a trainer hands to the reward: a response, the truth, and what else is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from active_perception_r1.errors import PayloadError
from active_perception_r1.records import Evidence, Step
from active_perception_r1.rewards import values
from active_perception_r1.rewards.constants import RewardConfig
from active_perception_r1.rewards.need import needs_zoom
from active_perception_r1.rewards.policy_text import policy_turns
from active_perception_r1.rewards.values import Reader, missing, plain, structure
from active_perception_r1.tasks import DEFAULT_TASK, TASKS, Task
from active_perception_r1.utils.trace_parser import SYNTAXES, Frame, Syntax, Unit


def _read(read: Reader, default: Any = None) -> Any:
    """A field that is read so where it is given."""
    return field(default=default, metadata={"read": read})


@dataclass(frozen=True, slots=True)
class ExtraInfo:
    """What the reward reads of `extra_info`. All of it may be missing, null, of numpy, or JSON.

    Attributes:
        task, options: the kind of question, and what there was to choose from.
        answers: that are accepted, beside the ground truth.
        evidence: rows with a `box` (0-1 of the page), and maybe `label` and `weight`.
        requires_zoom: a look is needed; without it, `need.needs_zoom` tells from the evidence.
        policy_turns: the model's own replies, in order, without what it was shown.
        tool_trace: executed zoom calls, as an episode records them.
        final_answer: the answer that counts; where it is given as null, none does.
        zoom_syntax, page_size, view_size, max_zooms, min_area: where no trace was recorded: how
            calls are written; (width, height) in pixels of the page and of the first view, for
            syntaxes in pixels; the zooms that count, and the least area of one, as a share of the
            page. The defaults are those of a model's entry in the configuration.
        crop_tokens: visual tokens of the crops that were shown, over those of the first view; for
            the constant `visual_token_cost`.
        zoom_rate, step: for the curiosity bonus, see `curiosity_bonus`.
    """

    task: str = _read(values.text, DEFAULT_TASK)
    options: tuple[str, ...] = _read(values.texts, ())
    answers: tuple[str, ...] = _read(values.answers, ())
    evidence: tuple[Evidence, ...] = _read(values.evidence, ())
    requires_zoom: bool | None = _read(values.flag)
    policy_turns: tuple[str, ...] | None = _read(values.texts)
    tool_trace: tuple[Step, ...] | None = _read(values.steps)
    final_answer: str | None = _read(values.text)
    zoom_syntax: str = _read(values.text, "zoom_roi")
    page_size: tuple[int, int] | None = _read(values.size)
    view_size: tuple[int, int] | None = _read(values.size)
    max_zooms: int = _read(values.count, 3)
    min_area: float = _read(values.number(0, 1), 0.0005)
    crop_tokens: float | None = _read(values.number(0))
    zoom_rate: float = _read(values.number(0, 1), 1.0)
    step: float = _read(values.number(0), 0)
    has_final_answer: bool = False

    @classmethod
    def read(cls, value: Any) -> ExtraInfo:
        """From a mapping, its JSON, or None.

        Raises:
            PayloadError: a field is wrong; the message names it.
        """
        given = _given(value)
        read: dict[str, Any] = {"has_final_answer": "final_answer" in given}
        for name in _FIELDS.intersection(given):
            try:
                read[name] = None if given[name] is None else _READERS[name](given[name])
            except ValueError as error:
                raise PayloadError(f"extra_info: {name}: {error}") from None
        info = cls(**read)
        for name, word, known in (
            ("zoom_syntax", info.zoom_syntax, SYNTAXES),
            ("task", info.task, TASKS),
        ):
            if word not in known:
                raise PayloadError(
                    f"extra_info: {name}: '{word}' is not defined; known: {', '.join(known)}"
                )
        return info

    @property
    def asked(self) -> Task:
        return TASKS[self.task]

    @property
    def needs_zoom(self) -> bool:
        return needs_zoom(self.evidence) if self.requires_zoom is None else self.requires_zoom

    @property
    def syntax(self) -> Syntax:
        return SYNTAXES[self.zoom_syntax]

    @property
    def frame(self) -> Frame:
        """The sizes that pixels are of.

        Raises:
            PayloadError: the one that the syntax needs is missing.
        """
        needed = {Unit.PAGE_PIXELS: self.page_size, Unit.VIEW_PIXELS: self.view_size}
        if needed.get(self.syntax.unit, ()) is None:
            size = "page_size" if self.syntax.unit is Unit.PAGE_PIXELS else "view_size"
            raise PayloadError(
                f"extra_info: {size}: zoom_syntax {self.zoom_syntax} is in pixels; give [width,"
                " height]"
            )
        return Frame(self.page_size or (1, 1), self.view_size or (1, 1))


_READERS: Mapping[str, Reader] = {
    known.name: known.metadata["read"] for known in fields(ExtraInfo) if known.metadata
}
_FIELDS = frozenset(_READERS)


def _given(value: Any) -> dict[str, Any]:
    """What is said of a row: nulls, of which tables are full, say nothing.

    But for the final answer, where null says that no answer of the episode counts.
    """
    info = structure(plain(value))
    if missing(info) or info == "":
        return {}
    if not isinstance(info, Mapping):
        raise PayloadError(f"extra_info: give a mapping or its JSON, not {info!r:.80}")
    return {
        key: None if missing(item) else item
        for key, item in info.items()
        if key == "final_answer" or not missing(item)
    }


@dataclass(frozen=True, slots=True)
class Payload:
    """One response with what is known of it.

    Attributes:
        turns: the model's own replies; None if it cannot be told which text is its own.
        answers: those accepted; as often as they are given, which some tasks count.
    """

    turns: tuple[str, ...] | None
    answers: tuple[str, ...]
    info: ExtraInfo


def read_payload(completion: Any, ground_truth: Any, extra_info: Any) -> Payload:
    """What was said, what it is compared with, and what is known of it.

    Args:
        completion: the response as a text, or a list of messages with `role` and `content`.

    Raises:
        PayloadError: a field is wrong, or no answer is accepted; the message names it.
    """
    info = ExtraInfo.read(extra_info)
    truths = values.answers(plain(ground_truth))
    answers = (*info.answers, *(truth for truth in truths if truth not in info.answers))
    if not answers:
        raise PayloadError("no accepted answer: give ground_truth, or answers in extra_info")
    if info.policy_turns is not None:
        return Payload(info.policy_turns, answers, info)
    said = plain(completion)
    called = not isinstance(said, str) and any(message.get("tool_calls") for message in said)
    if called and info.tool_trace is None and "<tool_call>{" not in info.syntax.example:
        raise PayloadError(
            f"tool_calls cannot be read as zoom_syntax {info.zoom_syntax}: give tool_trace, what"
            " became of them"
        )
    return Payload(policy_turns(said), answers, info)


def read_payloads(completions: Sequence[Any], columns: Mapping[str, Any]) -> Iterator[Payload]:
    """The same of a batch, from columns of as many values; unknown ones are left alone.

    Raises:
        PayloadError: as above, with the number of the completion or the name of the column.
    """
    known = {"ground_truth", "extra_info", *_FIELDS}.intersection(columns)
    for name in known:
        column = columns[name]
        if not isinstance(column, Sequence | np.ndarray) or isinstance(column, str):
            raise PayloadError(f"column {name}: give a list, one value for each completion")
        if len(column) != len(completions):
            raise PayloadError(
                f"column {name}: {len(column)} values for {len(completions)} completions"
            )
    for number, completion in enumerate(completions):
        row = {name: columns[name][number] for name in known}
        truth, info = row.pop("ground_truth", None), row.pop("extra_info", None)
        try:
            yield read_payload(completion, truth, _given(info) | _given(row))
        except PayloadError as error:
            raise PayloadError(f"completion {number}: {error}") from None


def read_constants(constants: Mapping[str, Any]) -> RewardConfig:
    """Constants by name.

    Raises:
        PayloadError: one is unknown or wrong; the message names it.
    """
    known = [constant.name for constant in fields(RewardConfig)]
    for name in constants:
        if name not in known:
            raise PayloadError(f"'{name}' is no constant of the reward; known: {', '.join(known)}")
    try:
        return RewardConfig(**constants)
    except ValueError as error:
        raise PayloadError(f"constants of the reward: {error}") from None
