"""The gradient steps on the episodes of a training step, in the memory that there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import torch

from active_perception_r1.config import TrainingConfig
from active_perception_r1.errors import TrainingError
from active_perception_r1.runtime.memory import out_of_memory
from active_perception_r1.training.policy import Policy
from active_perception_r1.training.replicas import Replicas
from active_perception_r1.training.rollout import Rollouts, Sequences


class PolicyUpdate:
    """Moves a policy; `training.grpo` says by what loss.

    Args:
        micro_batch: episodes at once.
        replicas: the processes that learn from a share of the rollouts each.
    """

    def __init__(
        self,
        run: TrainingConfig,
        policy: Policy,
        optimiser: torch.optim.Optimizer,
        micro_batch: int,
        replicas: Replicas,
    ) -> None:
        self._run = run
        self._policy = policy
        self._optimiser = optimiser
        self._micro_batch = micro_batch
        self._replicas = replicas

    def apply(self, rollouts: Rollouts, advantages: torch.Tensor) -> dict[str, float | None]:
        """Gradient steps on all rollouts, those given being this process's share of them.

        Returns:
            Means over the tokens of the last step.
        """
        run, tokens = self._run, int(*self._replicas.sums(rollouts.tokens))
        if not run.kl:  # without a penalty, an advantage of zero is a gradient of zero
            flat = (advantages == 0).nonzero()[:, 0].tolist()
            learned = rollouts.without(frozenset(flat))
        else:
            learned = rollouts
        sampled, totals, norm = None, Totals(), torch.zeros(())
        for _ in range(run.updates_per_step):
            totals, log_probs = self.gradient(learned, advantages, sampled, tokens)
            if sampled is None:  # the first update is on the policy that sampled
                sampled = log_probs
            self._replicas.add_gradients(self._policy.trainable.values())
            norm = torch.nn.utils.clip_grad_norm_(
                self._policy.trainable.values(), run.max_grad_norm
            )
            self._optimiser.step()
        means = Totals(*self._replicas.sums(*astuple(totals))).means()
        return {**means, "kl": self._drift(rollouts), "grad_norm": float(norm)}

    def gradient(
        self,
        rollouts: Rollouts,
        advantages: torch.Tensor,
        sampled: torch.Tensor | None,
        tokens: int,
    ) -> tuple[Totals, torch.Tensor]:
        """Of the loss, left in the weights, by micro-batches that halve themselves until they fit.

        Args:
            sampled: (tokens,) log-probabilities of the policy that sampled, if it is not this one.
            tokens: by which the loss is divided.
        """
        while True:
            self._optimiser.zero_grad(set_to_none=True)
            parts = [part for batch in rollouts.batches for part in batch.parts(self._micro_batch)]
            try:
                return self._accumulated(parts, advantages, sampled, tokens)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                if self._micro_batch == 1:
                    raise TrainingError(
                        "out of memory in an update of a single episode; set"
                        " gradient_checkpointing: true or a lora_rank, or lower"
                        " first_view.max_pixels, crop.max_pixels or max_new_tokens of the base"
                    ) from error
            # Outside the handler: what was computed is freed with its traceback.
            self._micro_batch = max(1, self._micro_batch // 2)

    def _accumulated(
        self,
        parts: Sequence[Sequences],
        advantages: torch.Tensor,
        sampled: torch.Tensor | None,
        tokens: int,
    ) -> tuple[Totals, torch.Tensor]:
        run, totals, found = self._run, Totals(), []
        counts = [int(part.policy.sum()) for part in parts]
        known = None if sampled is None else torch.split(sampled, counts)
        for number, part in enumerate(parts):
            log_probs, entropy = self._policy.log_probs(part)
            found.append(log_probs.detach())
            ratio = (log_probs - (known[number] if known else found[-1])).exp()
            clipped = ratio.clamp(1 - run.clip_low, 1 + run.clip_high)
            advantage = _by_token(advantages, part)
            loss = -torch.minimum(ratio * advantage, clipped * advantage).sum() / tokens
            if run.kl:
                loss = loss + run.kl * self._divergence(log_probs, part).sum() / tokens
            loss.backward()  # type: ignore[no-untyped-call]
            totals.add(
                loss.item(), entropy.sum().item(), int((clipped != ratio).sum()), counts[number]
            )
        return totals, torch.cat(found) if found else torch.empty(0)

    def _drift(self, rollouts: Rollouts) -> float | None:
        """Divergence from the starting model after the update, on one episode of every group.

        None where that model is not at hand.
        """
        if not self._policy.has_reference:
            return None
        size = self._run.samples_per_prompt
        others = (episode for episode in range(len(rollouts.episodes)) if episode % size)
        watched = rollouts.without(frozenset(others)).batches
        total, tokens = 0.0, 0
        with torch.no_grad():
            for part in (part for batch in watched for part in batch.parts(self._micro_batch)):
                found = self._divergence(self._policy.log_probs(part)[0], part)
                total, tokens = total + found.sum().item(), tokens + len(found)
        total, every = self._replicas.sums(total, tokens)
        return total / every if every else None

    def _divergence(self, log_probs: torch.Tensor, batch: Sequences) -> torch.Tensor:
        """(tokens,) unbiased, never negative estimate of KL(policy || starting model)."""
        difference = self._policy.reference_log_probs(batch) - log_probs
        return difference.exp() - difference - 1


@dataclass(slots=True)
class Totals:
    """Sums over the micro-batches of an update."""

    loss: float = 0.0
    entropy: float = 0.0
    clipped: float = 0
    tokens: float = 0

    def add(self, loss: float, entropy: float, clipped: int, tokens: int) -> None:
        self.loss += loss
        self.entropy += entropy
        self.clipped += clipped
        self.tokens += tokens

    def means(self) -> dict[str, float | None]:
        """By the names of `StepMetrics`; those over tokens are unknown where nothing is learned."""
        return {
            "loss": self.loss,
            "entropy": self.entropy / self.tokens if self.tokens else None,
            "clip_fraction": self.clipped / self.tokens if self.tokens else None,
        }


def _by_token(advantages: torch.Tensor, batch: Sequences) -> torch.Tensor:
    """(tokens,) the advantage of the episode that each policy token belongs to."""
    mask = batch.policy[:, 1:]
    return advantages[list(batch.episodes)].to(mask.device)[:, None].expand_as(mask)[mask]
