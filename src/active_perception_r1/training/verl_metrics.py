"""What verl and our reward wrote about a step, under the names that the local engine uses."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from active_perception_r1.columns import Column
from active_perception_r1.config.engines.verl import AlarmConfig
from active_perception_r1.errors import TrainingError
from active_perception_r1.rewards.active_vision_reward import FIELDS
from active_perception_r1.rollout.episode_tally import StepEpisodes
from active_perception_r1.training.metrics import StepMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class VerlStepMetrics(StepMetrics):
    """A step of verl."""

    correlation: Annotated[
        float | None,
        Column(
            "Pearson's, of the probabilities that the rollout engine and the actor give to tokens;"
            " below .99 they run different models, unless all are so near 1 that rounding decides",
            "-1 to 1",
        ),
    ]
    probability_gap: Annotated[
        float | None, Column("mean absolute difference between these probabilities", "share")
    ]
    over_long: Annotated[
        float, Column("episodes that the response budget ended, which are masked", "share")
    ]
    images: Annotated[float, Column("shown in an episode, the first view among them", "images")]
    asked: Annotated[
        int,
        Column("episodes of the step, those of groups that were drawn again included", "episodes"),
    ]
    failed: Annotated[
        int, Column("of them, ended by an error or lost; the others are learned from", "episodes")
    ]


def episodes_asked(logged: Mapping[str, Any], prompts: int, samples: int) -> int:
    """Episodes that verl began in a step, as it logs them.

    Args:
        prompts: questions of a step.
        samples: episodes for each.
    """
    groups = "training/filter_groups"
    again = (f"{groups}/evicted_samples", f"{groups}/discarded_surplus_samples")
    return (prompts + sum(int(logged.get(key, 0)) for key in again)) * samples


def step_metrics(
    step: int, logged: Mapping[str, Any], episodes: StepEpisodes, asked: int
) -> VerlStepMetrics:
    """From verl's log line of a step and the lines of its episodes.

    Args:
        asked: episodes that there should be.

    Raises:
        TrainingError: there is none, or there are more.
    """
    rows = episodes.rewarded
    if not rows:
        raise TrainingError(
            f"step {step}: no episode was rewarded: "
            + (
                episodes.reason
                or "none was written; on several nodes, results/ must be on a file system that all"
                " of them share"
            )
        )
    if len(rows) + len(episodes.errors) > asked:
        raise TrainingError(
            f"step {step}: {len(rows) + len(episodes.errors)} episodes were written where {asked}"
            " were asked for; is another run writing to the same folder?"
        )

    def mean(key: str) -> float:
        return statistics.fmean(float(row[key]) for row in rows)

    return VerlStepMetrics(
        step=step,
        means={name: mean(name) for name in FIELDS},
        documents=_documents(rows),
        reward_std=statistics.pstdev(row["reward"] for row in rows),
        zoom_rate=statistics.fmean(row["shown"] > 0 for row in rows),
        frac_reward_zero_std=_frac_reward_zero_std(rows),
        entropy=logged.get("actor/entropy"),
        kl=logged.get("actor/kl_loss"),
        clip_fraction=logged.get("actor/pg_clipfrac"),
        loss=logged.get("actor/loss"),
        grad_norm=logged.get("actor/grad_norm"),
        learning_rate=logged.get("actor/lr"),
        seconds=logged.get("perf/time_per_step"),
        correlation=logged.get("training/rollout_actor_probs_pearson_corr"),
        probability_gap=logged.get("training/rollout_probs_diff_mean"),
        over_long=mean("over_long"),
        images=mean("image_count"),
        asked=asked,
        failed=asked - len(rows),
    )


def validated(row: VerlStepMetrics, episodes: StepEpisodes, asked: int) -> VerlStepMetrics:
    """A step with the validation after it.

    Args:
        asked: questions of the validation, each of which is played once.

    Raises:
        TrainingError: it has more or fewer episodes, so that it would be of other questions.
    """
    rows = episodes.rewarded
    if len(rows) != asked:
        raise TrainingError(
            f"step {row.step}: {len(rows)} of {asked} episodes of the validation were rewarded:"
            f" {episodes.reason or 'the others left no error; see the log of verl'}"
        )
    return replace(
        row,
        validation_reward=statistics.fmean(row["reward"] for row in rows),
        validation_correct=statistics.fmean(row["correct"] for row in rows),
        validation_documents=_documents(rows),
    )


def rollouts(step: int, episodes: StepEpisodes) -> Iterator[dict[str, Any]]:
    """What is kept of each episode of a step, as the local engine keeps it."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in episodes.rewarded:
        groups.setdefault(row["id"], []).append(row)
    for number, group in enumerate(groups.values()):
        rewards = [row["reward"] for row in group]
        mean = statistics.fmean(rewards)
        spread = statistics.stdev(rewards) if len(rewards) > 1 else 0.0
        for row in group:
            yield {
                "step": step,
                "group": number,
                "advantage": (row["reward"] - mean) / (spread + 1e-6),  # as verl divides
                "reward": {name: row[name] for name in FIELDS},
                "episode": row["episode"],
            }


def _documents(rows: Sequence[Mapping[str, Any]]) -> int:
    return len({row["doc_id"] for row in rows})


def _frac_reward_zero_std(rows: Sequence[Mapping[str, Any]]) -> float:
    groups: dict[str, set[float]] = {}
    for row in rows:
        groups.setdefault(row["id"], set()).add(row["reward"])
    return sum(len(scores) == 1 for scores in groups.values()) / len(groups)


class Alarms:
    """Looks at every step, and stops a run that cannot be mended by going on."""

    def __init__(self, limits: AlarmConfig) -> None:
        self._limits = limits
        self._broken: dict[str, int] = {}

    def check(self, row: VerlStepMetrics, reason: str = "") -> None:
        """Take notice of a step.

        Args:
            reason: why episodes failed, if any did.

        Raises:
            TrainingError: what is wrong, since when, and what to look at.
        """
        limits = self._limits
        self.check_failures(row.step, row.failed, row.asked, reason)
        for name in ("reward", "loss", "grad_norm"):
            value = row.line()[name]
            if value is None or not math.isfinite(value):
                raise TrainingError(
                    f"step {row.step}: {name} is not a number; lower learning_rate, or raise"
                    " max_response_tokens if over_long is near 1"
                )
        correlation, gap = row.correlation, row.probability_gap
        related = correlation is not None and correlation >= limits.min_correlation
        close = gap is not None and gap <= limits.max_probability_gap
        self._watch(
            row.step,
            "rollout and actor disagree",
            not (related or close),
            f"correlation {correlation} < {limits.min_correlation}, probability_gap {gap} >"
            f" {limits.max_probability_gap}: vLLM does not run the trained weights (load_format"
            " must be auto) or not in the same precision",
        )
        self._watch(
            row.step,
            "zooming has collapsed",
            row.zoom_rate < limits.min_zoom_rate,
            f"zoom_rate {row.zoom_rate} < {limits.min_zoom_rate}: no looking is left to reward",
        )
        self._watch(
            row.step,
            "all rewards are equal",
            row.reward_std == 0,
            "reward_std 0: nothing can be learned; the questions are too hard or too easy",
        )

    def check_failures(self, step: int, failed: int, asked: int, reason: str) -> None:
        """Take notice of how many episodes of a step failed.

        Raises:
            TrainingError: they are too many.
        """
        if failed > self._limits.max_failed * asked:
            raise TrainingError(
                f"step {step}: {failed} of {asked} episodes failed, more than alarms.max_failed"
                f" allows ({self._limits.max_failed}):"
                f" {reason or 'none left an error; see the log of verl'}"
            )

    def _watch(self, step: int, name: str, broken: bool, why: str) -> None:
        self._broken[name] = self._broken.get(name, 0) + 1 if broken else 0
        if (count := self._broken[name]) >= self._limits.patience:
            raise TrainingError(f"step {step}: {name} for {count} steps: {why}")
