"""What is known of a training step, whichever engine took it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """One line of metrics.jsonl: means over the episodes of a step, unless said otherwise.

    The local engine knows all of it; verl reports None for what it did not compute, `kl` without a
    KL loss among them.

    Attributes:
        means: of every field of `Reward`, under its name.
        reward_std: over all episodes of the step.
        zoom_rate: share of episodes in which a crop was shown.
        frac_reward_zero_std: share of groups whose episodes all have one reward: nothing to learn.
        entropy: nats per policy token. kl: to the starting model, nats per policy token; the local
            engine looks at one episode of every group.
        clip_fraction: share of policy tokens at which the clipped ratio is in force.
    """

    step: int
    means: Mapping[str, float]
    reward_std: float
    zoom_rate: float
    frac_reward_zero_std: float
    entropy: float | None
    kl: float | None
    clip_fraction: float | None
    loss: float | None
    grad_norm: float | None
    learning_rate: float | None
    seconds: float | None

    def line(self) -> dict[str, float | None]:
        """The metrics by name; `means` stand among the others, after the step."""
        own = asdict(self)
        return {"step": own.pop("step"), **own.pop("means"), **own}
