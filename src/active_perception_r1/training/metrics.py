"""What is known of a training step, whichever engine took it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Annotated

from active_perception_r1.columns import Column
from active_perception_r1.records import Sample
from active_perception_r1.rewards.active_vision_reward import Reward


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMetrics:
    """One line of metrics.jsonl: means over the episodes of a step, unless said otherwise.

    The local engine knows all of it; verl reports None for what it did not compute, `kl` without a
    KL loss among them.

    Attributes:
        means: of every field of `Reward`, under its name.
    """

    step: Annotated[int, Column("training step, from 1", "steps")]
    means: Mapping[str, float]
    reward_std: Annotated[
        float, Column("standard deviation of the reward over the step's episodes", "reward")
    ]
    zoom_rate: Annotated[float, Column("episodes in which the model saw a crop", "share")]
    frac_reward_zero_std: Annotated[
        float,
        Column("groups whose episodes all have one reward, so that nothing is learned", "share"),
    ]
    entropy: Annotated[float | None, Column("entropy of the policy", "nats a policy token")]
    kl: Annotated[
        float | None,
        Column(
            "divergence from the starting model; locally of one episode of every group",
            "nats a policy token",
        ),
    ]
    clip_fraction: Annotated[
        float | None, Column("policy tokens at which the clipped ratio is in force", "share")
    ]
    loss: Annotated[float | None, Column("loss of the last update", "loss")]
    grad_norm: Annotated[float | None, Column("norm of the gradient before it is clipped", "norm")]
    learning_rate: Annotated[float | None, Column("learning rate of the step", "learning rate")]
    seconds: Annotated[float | None, Column("time that the step took", "seconds")]
    documents: Annotated[
        float | None, Column("documents that the step's questions are about", "documents")
    ] = None
    zoom_rate_needed: Annotated[
        float | None,
        Column(
            "the zoom rate on questions that need a zoom, as their data say, where the mode leaves"
            " the choice",
            "share",
        ),
    ] = None
    zoom_rate_not_needed: Annotated[
        float | None, Column("the zoom rate on the others", "share")
    ] = None
    validation_reward: Annotated[
        float | None, Column("mean of the greedy episodes of a validation after the step", "reward")
    ] = None
    validation_correct: Annotated[
        float | None, Column("questions of a validation after the step answered right", "share")
    ] = None
    validation_documents: Annotated[
        float | None, Column("documents that the validation's questions are about", "documents")
    ] = None

    def line(self) -> dict[str, float | None]:
        """The metrics by name; `means` stand among the others, after the step."""
        own = asdict(self)
        return {"step": own.pop("step"), **own.pop("means"), **own}


def zoom_rate(rewards: Sequence[Reward], samples: Sequence[Sample], needed: bool) -> float | None:
    """Of the episodes on questions that need a zoom, or on the others; None where there are none.

    Args:
        rewards, samples: of each episode.
    """
    zoomed = [
        reward.shown > 0
        for reward, sample in zip(rewards, samples, strict=True)
        if sample.requires_zoom == needed
    ]
    return fmean(zoomed) if zoomed else None


def documents(samples: Sequence[Sample]) -> int:
    """How many documents the samples are about."""
    return len({sample.doc_id for sample in samples})


def with_validation(
    metrics: StepMetrics, rewards: Sequence[Reward], samples: Sequence[Sample]
) -> StepMetrics:
    """With those of a validation after the step.

    Args:
        rewards, samples: of each of its episodes.
    """
    return replace(
        metrics,
        validation_reward=fmean(reward.reward for reward in rewards),
        validation_correct=fmean(reward.correct for reward in rewards),
        validation_documents=documents(samples),
    )
