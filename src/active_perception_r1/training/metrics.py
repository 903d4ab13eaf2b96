"""What is known of a training step, whichever engine took it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated

from active_perception_r1.columns import Column


@dataclass(frozen=True, slots=True)
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

    def line(self) -> dict[str, float | None]:
        """The metrics by name; `means` stand among the others, after the step."""
        own = asdict(self)
        return {"step": own.pop("step"), **own.pop("means"), **own}
