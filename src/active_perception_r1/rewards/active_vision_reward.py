"""The reward: was the answer right, and was the looking meaningful.

Per episode, with E the known evidence, n_x the number of zoom calls of kind x, and the maximum over
crops that were executed and shown to the model:

    tight(b)  = 1                                            if area(b) <= tight_area
                (max_area - area(b)) / (max_area - tight_area), clipped to [0, 1], otherwise
    relevance = max over crops b of coverage(b, E) * tight(b);  0 when E is unknown
    faults    = min(max_faults, malformed * n_malformed + invalid * n_invalid
                                + redundant * n_redundant)
    process   = relevance - faults        if a crop was shown
                -no_zoom_penalty - faults        if none was and the task needs a zoom
                -faults                   otherwise;         clipped to [-1, 1]
    score     = 1 + correct_weight * process   if the answer is correct
                wrong_weight * process         if it is wrong

n_invalid counts boxes that are invalid, out of bounds or too small; n_redundant counts repeats of
an earlier crop and zooms over the limit. The maximum, never a sum, makes repeats worthless, and
the weights keep every wrong trace below every correct one: with the defaults a wrong one scores at
most 0.10 and a correct one at least 0.65. The formula is ours.

`curiosity_bonus` is a separate term against collapsed tool use, off by default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from active_perception_r1.columns import Column
from active_perception_r1.geometry import iou
from active_perception_r1.records import (
    Episode,
    Evidence,
    Sample,
    Step,
    ToolStatus,
    evidence_coverage,
)
from active_perception_r1.rewards.payload import (
    parsed_steps,
    plain,
    policy_text,
    read_answers,
    read_evidence,
    read_steps,
)
from active_perception_r1.tasks import DEFAULT_TASK, TASKS


@dataclass(frozen=True, slots=True)
class RewardConfig:
    """Constants of the formula above; a section of the configuration file.

    Raises:
        ValueError: the constants would let a wrong trace reach a correct one, or a shape is off.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    correct_weight: float = 0.35
    wrong_weight: float = 0.10
    tight_area: float = 0.25
    max_area: float = 0.65
    malformed: float = 0.25
    invalid: float = 0.25
    redundant: float = 0.10
    max_faults: float = 0.5
    no_zoom_penalty: float = 0.5
    curiosity: float = 0.0
    curiosity_target: float = 0.3
    curiosity_steps: int = 100

    def __post_init__(self) -> None:
        if not 0 <= self.tight_area < self.max_area <= 1:
            raise ValueError("tight_area must be below max_area, both in [0, 1]")
        penalties = (
            self.malformed,
            self.invalid,
            self.redundant,
            self.max_faults,
            self.no_zoom_penalty,
        )
        weights = (self.correct_weight, self.wrong_weight, self.curiosity, self.curiosity_target)
        if min(*weights, *penalties) < 0 or self.curiosity_steps < 1:
            raise ValueError("weights and penalties must not be negative")
        most_for_wrong = self.wrong_weight + self.curiosity * self.curiosity_target
        if 1 - self.correct_weight <= most_for_wrong:
            raise ValueError(
                "1 - correct_weight must exceed wrong_weight + curiosity * curiosity_target,"
                " or a lie can pay"
            )


@dataclass(frozen=True, slots=True)
class Reward:
    """A score and what it is made of."""

    score: Annotated[
        float, Column("what the episode is paid, by the formula of the reward", "reward")
    ]
    correct: Annotated[bool, Column("the answer is right")]
    process: Annotated[float, Column("how well the model looked: relevance less faults", "-1 to 1")]
    relevance: Annotated[float, Column("best coverage of a crop that is tight", "share")]
    faults: Annotated[float, Column("what faulty zoom calls cost", "share")]
    coverage: Annotated[float, Column("most of the evidence that one crop showed", "share")]
    iou: Annotated[float, Column("best overlap of a crop with the evidence, as IoU", "share")]
    calls: Annotated[int, Column("all of them", "zoom calls")]
    shown: Annotated[int, Column("executed, and the model saw the crop", "zoom calls")]
    relevant: Annotated[int, Column("shown, with some of the evidence", "zoom calls")]
    malformed: Annotated[int, Column("could not be read", "zoom calls")]
    invalid: Annotated[int, Column("asked for a box that is invalid or too small", "zoom calls")]
    out_of_bounds: Annotated[int, Column("reached outside the page", "zoom calls")]
    over_limit: Annotated[int, Column("came when no zoom was left", "zoom calls")]
    redundant: Annotated[int, Column("repeated what an earlier crop had shown", "zoom calls")]


def episode_reward(
    episode: Episode,
    sample: Sample,
    config: RewardConfig = RewardConfig(),
    task: str = DEFAULT_TASK,
) -> Reward:
    """The reward of an episode on its sample; the task decides whether the answer is correct."""
    correct = TASKS[task].judge(episode.answer, sample.answers).correct
    return trace_reward(episode.steps, correct, sample.evidence, sample.requires_zoom, config)


def curiosity_bonus(
    reward: Reward, requires_zoom: bool, zoom_rate: float, step: int, config: RewardConfig
) -> float:
    """What is added to the score of a rollout that looked, while too few of its group do.

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


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    **constants: Any,
) -> dict[str, float | str]:
    """The same reward in the calling convention of verl and TRL.

    Args:
        solution_str: the decoded response. Only the policy's own text is read from it: with
            `extra_info["policy_turns"]` (a list of its turns) exactly that, otherwise the response
            without what chat markup attributes to others.
        ground_truth: a text, a list of aliases, or a mapping with `answers`.
        extra_info: `tool_trace` (executed steps as recorded by the episode) and `final_answer` (the
            one that counts, or None); `task`, `answers`, `evidence`, `requires_zoom`; `zoom_rate`,
            `step`
            for the curiosity bonus; for traces that were not executed also `zoom_syntax`,
            `page_size` and `view_size`. Lists, numpy arrays and JSON strings are all understood.
        constants: fields of `RewardConfig`.

    >>> info = {"evidence": [{"box": [0.4, 0.4, 0.5, 0.5]}], "requires_zoom": True}
    >>> said = "<zoom_roi x0=0.3 y0=0.3 x1=0.6 y1=0.6/> <answer>42</answer>"
    >>> compute_score("demo", said, "42", info)["score"]
    1.35
    """
    info = extra_info or {}
    turns = policy_text(solution_str, info)
    executed = info.get("tool_trace") is not None
    steps = read_steps(info["tool_trace"]) if executed else parsed_steps(turns, info)
    task = TASKS[str(info.get("task", DEFAULT_TASK))]
    answer = plain(info["final_answer"]) if "final_answer" in info else task.read(turns[-1])
    config = RewardConfig(**constants)
    correct = task.judge(answer, read_answers(ground_truth, info)).correct
    needed = bool(plain(info.get("requires_zoom", False)))
    reward = trace_reward(steps, correct, read_evidence(info.get("evidence")), needed, config)
    zoom_rate, step = float(info.get("zoom_rate", 1.0)), int(info.get("step", 0))
    bonus = curiosity_bonus(reward, needed, zoom_rate, step, config)
    return {
        "score": reward.score + bonus,
        "acc": float(reward.correct),
        "pred": answer or "",
        "outcome_reward": float(reward.correct),
        "process_reward": reward.process,
        "visual_perception_reward": reward.relevance,
        "fault_penalty": reward.faults,
        "curiosity_bonus": bonus,
        "tool_trace_source": "executed" if executed else "parsed",
        "zoom_call_count": float(reward.calls),
        "valid_zoom_count": float(reward.shown),
        "relevant_zoom_count": float(reward.relevant),
        "malformed_zoom_count": float(reward.malformed),
        "invalid_bbox_count": float(reward.invalid),
        "out_of_bounds_zoom_count": float(reward.out_of_bounds),
        "redundant_zoom_count": float(reward.redundant),
        "best_region_coverage": reward.coverage,
        "best_region_iou": reward.iou,
    }


def trace_reward(
    steps: Sequence[Step],
    correct: bool,
    evidence: Sequence[Evidence],
    requires_zoom: bool,
    config: RewardConfig = RewardConfig(),
) -> Reward:
    """The reward of a list of zoom calls together with the correctness of the answer.

    >>> trace_reward([], correct=True, evidence=[], requires_zoom=False).score
    1.0
    >>> trace_reward([], correct=True, evidence=[], requires_zoom=True).score
    0.825
    """
    shown = [step.executed for step in steps if step.executed is not None and step.shown]
    malformed = _count(steps, ToolStatus.MALFORMED_ZOOM)
    out_of_bounds = _count(steps, ToolStatus.OUT_OF_BOUNDS)
    invalid = _count(steps, ToolStatus.INVALID_BBOX) + _count(steps, ToolStatus.TOO_SMALL)
    over_limit = _count(steps, ToolStatus.ZOOM_LIMIT_REACHED)
    redundant = sum(step.redundant for step in steps)
    faults = min(
        config.max_faults,
        config.malformed * malformed
        + config.invalid * (invalid + out_of_bounds)
        + config.redundant * (redundant + over_limit),
    )
    coverages = [evidence_coverage(box, evidence) for box in shown]
    relevance = max(
        (c * _tightness(box.area, config) for c, box in zip(coverages, shown, strict=True)),
        default=0.0,
    )
    no_zoom_penalty = config.no_zoom_penalty if requires_zoom and not shown else 0.0
    process = max(-1.0, min(1.0, relevance - faults - no_zoom_penalty))
    return Reward(
        score=1 + config.correct_weight * process if correct else config.wrong_weight * process,
        correct=correct,
        process=process,
        relevance=relevance,
        faults=faults,
        coverage=max(coverages, default=0.0),
        iou=max((iou(box, e.box) for box in shown for e in evidence), default=0.0),
        calls=len(steps),
        shown=len(shown),
        relevant=sum(c > 0 for c in coverages),
        malformed=malformed,
        invalid=invalid,
        out_of_bounds=out_of_bounds,
        over_limit=over_limit,
        redundant=redundant,
    )


def _count(steps: Sequence[Step], status: ToolStatus) -> int:
    return sum(step.status is status for step in steps)


def _tightness(area: float, config: RewardConfig) -> float:
    """1 for a crop that singles something out, falling to 0 for one of (nearly) the whole page."""
    if area <= config.tight_area:
        return 1.0
    return max(0.0, (config.max_area - area) / (config.max_area - config.tight_area))
