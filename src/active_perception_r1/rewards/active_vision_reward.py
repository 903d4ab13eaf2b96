"""The reward: was the answer right, and was the looking meaningful.

Per episode, with E the known evidence, n_x the number of zoom calls of kind x, and the maximum over
crops that were executed and shown to the model:

    tight(b)  = 1                                            if area(b) <= tight_area
                (max_area - area(b)) / (max_area - tight_area), clipped to [0, 1], otherwise
    look      = max over crops b of coverage(b, E) * tight(b);  0 when E is unknown
    relevance = look                  if the task needs a zoom, else 0
    faults    = min(max_faults, malformed * n_malformed + invalid * n_invalid
                                + redundant * (n_redundant + n_over_limit))
    no_zoom   = no_zoom_penalty       if the task needs a zoom and look is 0 (E unknown: and no crop
                                      was shown), else 0
    process   = relevance - faults - no_zoom, clipped to [-1, 1]
    cost      = visual_token_cost * min(1, tokens of the shown crops / tokens of the first view)
    reward    = 1 + correct_weight * process - cost   if the answer is correct
                wrong_weight * process                if it is wrong

n_invalid counts boxes that are invalid, out of bounds or too small; n_redundant counts repeats of
an earlier crop. The maximum, never a sum, makes repeats worthless, and so is a crop that shows
nothing of the evidence. Whatever the process is made of, the clip and the weights keep every wrong
trace below every correct one: with the defaults a wrong one scores at most 0.10 and a correct one
at least 0.65. The formula is ours.

`visual_token_cost` is off by default. It prices looking where both answers are right, and is less
than a look that is needed gains; a wrong answer is not made better by having looked at less.

`curiosity_bonus` is a separate term against collapsed tool use, off by default.

A new term is a field of `Reward`, its value and place in `trace_reward`, and its constant in
`constants.RewardConfig`; whatever reports the reward goes by the fields of `Reward`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from statistics import fmean
from typing import Annotated, Any

from active_perception_r1.columns import Column
from active_perception_r1.errors import DataError, PayloadError
from active_perception_r1.geometry import iou
from active_perception_r1.records import (
    Episode,
    Evidence,
    Sample,
    Step,
    ToolStatus,
    evidence_coverage,
)
from active_perception_r1.rewards.constants import RewardConfig
from active_perception_r1.rewards.payload import (
    ExtraInfo,
    Payload,
    read_constants,
    read_payload,
    read_payloads,
)
from active_perception_r1.rewards.policy_text import parsed_steps
from active_perception_r1.tasks import DEFAULT_TASK, TASKS

__all__ = [
    "FIELDS",
    "KEYS",
    "TERMS",
    "Reward",
    "RewardConfig",
    "compute_score",
    "curiosity_bonus",
    "episode_reward",
    "own_names",
    "reward_means",
    "trace_reward",
    "trl_reward",
    "with_curiosity",
]


@dataclass(frozen=True, slots=True)
class Reward:
    """A reward and what it is made of.

    Fields with a `term` make up the reward; that is what figures and the gallery call them.
    """

    reward: Annotated[float, Column("what the episode is paid", "reward")] = field(
        metadata={"term": "reward"}
    )
    correct: Annotated[bool, Column("the answer is right")] = field(
        metadata={"term": "answer correct"}
    )
    process: Annotated[
        float, Column("how well the model looked: relevance less faults and no_zoom", "-1 to 1")
    ] = field(metadata={"term": "process"})
    relevance: Annotated[
        float, Column("best coverage of a crop that is tight, where a zoom is needed", "share")
    ] = field(metadata={"term": "relevance of the zooms"})
    faults: Annotated[float, Column("what faulty zoom calls cost", "share")] = field(
        metadata={"term": "faults"}
    )
    no_zoom: Annotated[
        float, Column("what it cost not to look where a look is needed", "share")
    ] = field(metadata={"term": "no look where one is needed"})
    coverage: Annotated[float, Column("most of the evidence that one crop showed", "share")]
    iou: Annotated[float, Column("best overlap of a crop with the evidence, as IoU", "share")]
    calls: Annotated[int, Column("written by the model", "zoom calls")]
    shown: Annotated[int, Column("executed, and the model saw the crop", "zoom calls")]
    relevant: Annotated[int, Column("shown, with some of the evidence in the crop", "zoom calls")]
    malformed: Annotated[int, Column("that could not be read", "zoom calls")]
    invalid: Annotated[int, Column("for a box that is invalid or too small", "zoom calls")]
    out_of_bounds: Annotated[int, Column("for a box that reaches outside the page", "zoom calls")]
    over_limit: Annotated[int, Column("refused, since no zoom was left", "zoom calls")]
    redundant: Annotated[int, Column("for what an earlier crop had shown", "zoom calls")]
    visual_token_cost: Annotated[
        float, Column("what the visual tokens of its crops cost a right answer", "reward")
    ] = field(default=0.0, metadata={"term": "visual tokens of the crops"})
    curiosity_bonus: Annotated[
        float, Column("paid in training for a look that few of a group took", "reward")
    ] = field(default=0.0, metadata={"term": "curiosity bonus"})


FIELDS = tuple(part.name for part in fields(Reward))
TERMS: Mapping[str, str] = {
    part.name: part.metadata["term"] for part in fields(Reward) if "term" in part.metadata
}
"""The fields of `Reward` that make up a reward, and what they are called in words."""


def reward_means(rewards: Sequence[Reward]) -> dict[str, float]:
    """The mean of every field; of `correct` it is the share of right answers."""
    return {name: fmean(getattr(reward, name) for reward in rewards) for name in FIELDS}


def episode_reward(
    episode: Episode,
    sample: Sample,
    config: RewardConfig = RewardConfig(),
    task: str = DEFAULT_TASK,
) -> Reward:
    """The reward of an episode on its sample; the task says whether the answer is right.

    Raises:
        DataError: crops cost something, and the engine has not told their tokens.
    """
    correct = TASKS[task].judge(episode.answer, sample.answers, sample.options).correct
    crop_tokens = _crop_tokens(episode) if config.visual_token_cost else 0.0
    return trace_reward(
        episode.steps, correct, sample.evidence, sample.requires_zoom, config, crop_tokens
    )


def _crop_tokens(episode: Episode) -> float:
    """Visual tokens of the crops that were shown, over those of the first view."""
    if not episode.crop_sizes:
        return 0.0
    first, last = episode.turns[0].visual_tokens, episode.turns[-1].visual_tokens
    if not first or last is None:
        raise DataError(
            f"sample {episode.sample_id}: reward.visual_token_cost needs the tokens of images, and"
            " the engine has not told them; set it to 0"
        )
    return (last - first) / first


def trace_reward(
    steps: Sequence[Step],
    correct: bool,
    evidence: Sequence[Evidence],
    requires_zoom: bool,
    config: RewardConfig = RewardConfig(),
    crop_tokens: float = 0.0,
) -> Reward:
    """The reward of a list of zoom calls together with the correctness of the answer.

    Args:
        crop_tokens: visual tokens of the shown crops, over those of the first view.

    >>> trace_reward([], correct=True, evidence=[], requires_zoom=False).reward
    1.0
    >>> trace_reward([], correct=True, evidence=[], requires_zoom=True).reward
    0.825
    """
    shown = [step.executed for step in steps if step.executed is not None and step.shown]
    coverages = [evidence_coverage(box, evidence) for box in shown]
    look = max(
        (c * _tightness(box.area, config) for c, box in zip(coverages, shown, strict=True)),
        default=0.0,
    )
    statuses = [step.status for step in steps]
    malformed = statuses.count(ToolStatus.MALFORMED_ZOOM)
    out_of_bounds = statuses.count(ToolStatus.OUT_OF_BOUNDS)
    invalid = statuses.count(ToolStatus.INVALID_BBOX) + statuses.count(ToolStatus.TOO_SMALL)
    over_limit = statuses.count(ToolStatus.ZOOM_LIMIT_REACHED)
    redundant = sum(step.redundant for step in steps)

    looked = look > 0 if evidence else bool(shown)
    relevance = look if requires_zoom else 0.0
    faults = min(
        config.max_faults,
        config.malformed * malformed
        + config.invalid * (invalid + out_of_bounds)
        + config.redundant * (redundant + over_limit),
    )
    cost = config.visual_token_cost * min(1.0, crop_tokens) if correct else 0.0
    no_zoom = config.no_zoom_penalty if requires_zoom and not looked else 0.0
    process = max(-1.0, min(1.0, relevance - faults - no_zoom))
    return Reward(
        reward=1 + config.correct_weight * process - cost
        if correct
        else config.wrong_weight * process,
        correct=correct,
        process=process,
        relevance=relevance,
        faults=faults,
        no_zoom=no_zoom,
        coverage=max(coverages, default=0.0),
        iou=max((iou(box, e.box) for box in shown for e in evidence), default=0.0),
        calls=len(steps),
        shown=len(shown),
        relevant=sum(c > 0 for c in coverages),
        malformed=malformed,
        invalid=invalid,
        out_of_bounds=out_of_bounds,
        over_limit=over_limit,
        visual_token_cost=cost,
        redundant=redundant,
    )


def _tightness(area: float, config: RewardConfig) -> float:
    """1 for a crop that singles something out, falling to 0 for one of (nearly) the whole page."""
    if area <= config.tight_area:
        return 1.0
    return max(0.0, (config.max_area - area) / (config.max_area - config.tight_area))


def with_curiosity(
    reward: Reward, requires_zoom: bool, zoom_rate: float, step: float, config: RewardConfig
) -> Reward:
    """The reward and its `curiosity_bonus`."""
    bonus = curiosity_bonus(reward, requires_zoom, zoom_rate, step, config)
    return replace(reward, reward=reward.reward + bonus, curiosity_bonus=bonus) if bonus else reward


def curiosity_bonus(
    reward: Reward, requires_zoom: bool, zoom_rate: float, step: float, config: RewardConfig
) -> float:
    """What is added to the reward of a rollout that looked, while too few of its group do.

        curiosity * max(0, 1 - step / curiosity_steps) * max(0, curiosity_target - zoom_rate)

    where a crop was shown and the task needs one; otherwise 0. The middle factor, a linear decay,
    is ours; the rest is the curiosity bonus of Pixel-Reasoner (Su et al. 2025, arXiv 2505.15966).

    Args:
        zoom_rate: share of the rollouts of this prompt in which a crop was shown.
        step: training step, from 0.
    """
    if not requires_zoom or not reward.shown:
        return 0.0
    decay = max(0.0, 1 - step / config.curiosity_steps)
    return config.curiosity * decay * max(0.0, config.curiosity_target - zoom_rate)


KEYS: Mapping[str, str] = {
    "reward": "score",
    "correct": "acc",
    "process": "process_reward",
    "relevance": "visual_perception_reward",
    "faults": "fault_penalty",
    "coverage": "best_region_coverage",
    "iou": "best_region_iou",
    "calls": "zoom_call_count",
    "shown": "valid_zoom_count",
    "relevant": "relevant_zoom_count",
    "malformed": "malformed_zoom_count",
    "invalid": "invalid_bbox_count",
    "out_of_bounds": "out_of_bounds_zoom_count",
    "redundant": "redundant_zoom_count",
}
"""What `compute_score` calls a field of `Reward`, where that is another name."""


def own_names(scored: Mapping[str, Any]) -> dict[str, Any]:
    """What `compute_score` returned, with the fields of `Reward` under their own names."""
    own = {name: scored[KEYS.get(name, name)] for name in FIELDS}
    return own | {"pred": scored["pred"], "tool_trace_source": scored["tool_trace_source"]}


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | str | None = None,
    **constants: Any,
) -> dict[str, float | str]:
    """The same reward in the calling convention of verl.

    A response of several turns is scored 0 unless `policy_turns` says which text is the model's:
    `tool_trace_source` is then `refused`, and a warning says so.

    Args:
        solution_str: the decoded response.
        ground_truth: a text, a list of aliases, or a mapping with `answers`.
        extra_info: the fields of `payload.ExtraInfo`. Executed zooms are in `tool_trace`; without
            it, the calls are read from the text, under the limits of an episode.
        constants: fields of `RewardConfig`.

    Raises:
        PayloadError: something cannot be read, or no answer is accepted; the message names it.

    >>> info = {"evidence": [{"box": [0.4, 0.4, 0.5, 0.5]}], "requires_zoom": True}
    >>> said = "<zoom_roi x0=0.3 y0=0.3 x1=0.6 y1=0.6/> <answer>42</answer>"
    >>> compute_score("demo", said, "42", info)["score"]
    1.35
    """
    said = read_payload(solution_str, ground_truth, extra_info)
    reward, answer, source = _paid(said, read_constants(constants))
    return {
        **{KEYS.get(name, name): float(getattr(reward, name)) for name in FIELDS},
        "outcome_reward": float(reward.correct),
        "pred": answer or "",
        "tool_trace_source": source,
    }


def trl_reward(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    config: RewardConfig = RewardConfig(),
    **columns: Any,
) -> list[float]:
    """The same reward in the calling convention of TRL: one number for each completion.

    Args:
        completions: texts, or lists of messages, of which the assistant's are the policy's.
        columns: `ground_truth` and `extra_info` as for `compute_score`, and the fields of
            `payload.ExtraInfo` as columns of their own, which come first; others are left alone.

    Raises:
        PayloadError: as for `compute_score`, with the number of the completion.

    >>> reply = [{"role": "assistant", "content": "<answer>42</answer>"}]
    >>> trl_reward(prompts=["?", "?"], completions=["no", reply], ground_truth=["42", "42"])
    [0.0, 1.0]
    """
    return [_paid(said, config)[0].reward for said in read_payloads(completions, columns)]


def _paid(said: Payload, config: RewardConfig) -> tuple[Reward, str | None, str]:
    """The reward, the answer that it is for, and where the zoom calls are from."""
    info = said.info
    executed = info.tool_trace is not None
    if said.turns is None and not (executed and info.has_final_answer):
        warnings.warn(_REFUSED, RuntimeWarning, stacklevel=3)
        return trace_reward((), False, (), False, config), None, "refused"
    turns = said.turns or ()
    answer = info.final_answer
    if not info.has_final_answer:
        answer = info.asked.read(turns[-1]) if turns else None
    steps = info.tool_trace
    if steps is None:
        steps = parsed_steps(turns, info.syntax, info.frame, info.max_zooms, info.min_area)
    correct = info.asked.judge(answer, said.answers, info.options).correct
    crop_tokens = _told_crop_tokens(info, steps, config)
    reward = trace_reward(steps, correct, info.evidence, info.needs_zoom, config, crop_tokens)
    reward = with_curiosity(reward, info.needs_zoom, info.zoom_rate, info.step, config)
    return reward, answer, "executed" if executed else "parsed"


def _told_crop_tokens(info: ExtraInfo, steps: Sequence[Step], config: RewardConfig) -> float:
    if info.crop_tokens is None and config.visual_token_cost and any(s.shown for s in steps):
        raise PayloadError(
            "extra_info: crop_tokens: crops have a visual_token_cost; give the visual tokens of"
            " those that were shown, over those of the first view"
        )
    return info.crop_tokens or 0.0


_REFUSED = (
    "a response of several turns is scored 0, since its text does not tell who wrote what: give"
    " policy_turns in extra_info, the replies of the model ([response] if it wrote all of it)"
)
