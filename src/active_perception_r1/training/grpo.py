"""The local GRPO engine: group-relative policy optimisation of zooming, on one device.

For each of P questions, G episodes are sampled at a temperature. With the reward R of an episode,
its advantage is A = (R - mean) / (std + 1e-4) over its group (Shao et al. 2024, DeepSeekMath), and
the loss over the tokens t that the policy wrote in any turn is

    - sum_t min(r_t A, clip(r_t, 1 - clip_low, 1 + clip_high) A) / (number of such tokens)
    + kl * sum_t (exp(d_t) - d_t - 1) / (the same number)

where r_t is the probability ratio to the policy that sampled and d_t the log ratio of the starting
model to the policy. Normalising by tokens and clipping asymmetrically follow DAPO (Yu et al. 2025).
Each turn is trained under exactly the prompt that it was sampled under. The vision tower and the
projection behind it are frozen, so that an image is encoded once for sampling, update and
reference: what is trained is where to look and what to say, not how to see.
"""

from __future__ import annotations

import copy
import functools
import random
import time
from collections.abc import Callable, Sequence

import torch

from active_perception_r1.config import ModelConfig, TrainingConfig
from active_perception_r1.errors import BackendError
from active_perception_r1.models.backends.transformers import TransformersBackend
from active_perception_r1.models.image_cache import TAKES_ENCODED_IMAGES
from active_perception_r1.modes import ACTIVE
from active_perception_r1.records import Sample
from active_perception_r1.rewards.active_vision_reward import (
    Reward,
    episode_reward,
    reward_means,
    with_curiosity,
)
from active_perception_r1.runtime.precision import fast_in_bfloat16
from active_perception_r1.tasks import DEFAULT_TASK
from active_perception_r1.training.freezing import freeze_vision
from active_perception_r1.training.metrics import StepMetrics
from active_perception_r1.training.rollout import Rollouts, Sequences, roll_out


class GrpoTrainer:
    """The policy, its starting point and the optimiser; `step` is one round of all of it."""

    def __init__(
        self,
        run: TrainingConfig,
        base: ModelConfig,
        samples: Sequence[Sample],
        task: str = DEFAULT_TASK,
    ) -> None:
        if not TAKES_ENCODED_IMAGES:
            raise BackendError("the local engine needs transformers 5.23 or later; update it")
        self.run = run
        self.policy = TransformersBackend(base.drawn_at(run.temperature))
        self._halves = fast_in_bfloat16(self.policy.device)
        if self.policy.device.type == "cpu":  # fused attention in bfloat16 is slow there
            self.policy.model.set_attn_implementation("eager")
        self.reference = copy.deepcopy(self.policy.model).requires_grad_(False)
        self.trainable = freeze_vision(self.policy.model)
        self.optimiser = torch.optim.AdamW(
            self.trainable, lr=run.learning_rate, betas=(0.9, 0.95), weight_decay=0
        )
        self._samples = samples
        self._task = task

    def step(self, step: int) -> StepMetrics:
        """Sample episodes, reward them, update the policy. Steps count from 1.

        Everything drawn depends on (seed, step) alone, so that a resumed run draws the same.
        """
        start = time.perf_counter()
        run = self.run
        questions = self.questions(step)
        asked = [sample for sample in questions for _ in range(run.samples_per_prompt)]
        seed = run.seed * 1_000_003 + step
        with self._cheaper_products():
            rollouts = roll_out(self.policy, asked, ACTIVE, seed, self._task)
        rewards = [
            episode_reward(episode, sample, run.reward, self._task)
            for episode, sample in zip(rollouts.episodes, asked, strict=True)
        ]
        rewards = self._with_bonus(asked, rewards, step)
        scores = torch.tensor([reward.reward for reward in rewards])
        advantages = group_advantages(scores.view(len(questions), run.samples_per_prompt))
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(run, step)
        with self._cheaper_products():
            update = self._update(rollouts, advantages.flatten())
        return StepMetrics(
            step=step,
            means=reward_means(rewards),
            reward_std=float(scores.std()),
            zoom_rate=sum(reward.shown > 0 for reward in rewards) / len(rewards),
            frac_reward_zero_std=float((advantages == 0).all(1).float().mean()),
            **update,
            learning_rate=learning_rate(run, step),
            seconds=time.perf_counter() - start,
        )

    def _cheaper_products(self) -> torch.autocast:
        """Products in bfloat16 where that is faster; weights and optimiser keep their precision."""
        return torch.autocast(self.policy.device.type, torch.bfloat16, enabled=self._halves)

    def _with_bonus(
        self, asked: Sequence[Sample], rewards: Sequence[Reward], step: int
    ) -> list[Reward]:
        """Rewards with the curiosity bonus, which depends on how often each group looked."""
        size, paid = self.run.samples_per_prompt, []
        for first in range(0, len(rewards), size):
            group = rewards[first : first + size]
            zoom_rate = sum(reward.shown > 0 for reward in group) / size
            for sample, reward in zip(asked[first : first + size], group, strict=True):
                paid.append(
                    with_curiosity(
                        reward, sample.requires_zoom, zoom_rate, step - 1, self.run.reward
                    )
                )
        return paid

    def questions(self, step: int) -> list[Sample]:
        """The samples of a step: every sample is asked once before any is asked again."""
        count, total = self.run.prompts_per_step, len(self._samples)
        chosen = []
        for position in range((step - 1) * count, step * count):
            epoch, place = divmod(position, total)
            chosen.append(self._samples[_permutation(self.run.seed, epoch, total)[place]])
        return chosen

    def _update(self, rollouts: Rollouts, advantages: torch.Tensor) -> dict[str, float]:
        """Gradient steps on the rollouts; means over the policy's tokens in the last of them."""
        run, tokens = self.run, sum(int(batch.policy.sum()) for batch in rollouts.batches)
        batches: Sequence[Sequences] = rollouts.batches
        if not run.kl:  # without a penalty, an advantage of zero is a gradient of zero
            batches = _rows(batches, lambda episode: bool(advantages[episode] != 0))
        sampled: list[torch.Tensor] = []
        for _ in range(run.updates_per_step):
            totals = {"loss": 0.0, "entropy": 0.0, "clip_fraction": 0.0}
            self.optimiser.zero_grad(set_to_none=True)
            for number, batch in enumerate(batches):
                log_probs, entropy = self._log_probs(self.policy.model, batch)
                if len(sampled) <= number:  # the first update is on the policy that sampled
                    sampled.append(log_probs.detach())
                ratio = (log_probs - sampled[number]).exp()
                clipped = ratio.clamp(1 - run.clip_low, 1 + run.clip_high)
                advantage = _by_token(advantages, batch)
                loss = -torch.minimum(ratio * advantage, clipped * advantage).sum() / tokens
                if run.kl:
                    loss = loss + run.kl * self._divergence(log_probs, batch).sum() / tokens
                loss.backward()  # type: ignore[no-untyped-call]
                totals["loss"] += loss.item()
                totals["entropy"] += entropy.sum().item() / tokens
                totals["clip_fraction"] += float((clipped != ratio).sum()) / tokens
            norm = torch.nn.utils.clip_grad_norm_(self.trainable, run.max_grad_norm)
            self.optimiser.step()
        return {**totals, "kl": self._drift(rollouts), "grad_norm": float(norm)}

    def _drift(self, rollouts: Rollouts) -> float:
        """Divergence from the starting model after the update, on one episode of every group."""
        size = self.run.samples_per_prompt
        watched = _rows(rollouts.batches, lambda episode: episode % size == 0)
        with torch.no_grad():
            found = [
                self._divergence(self._log_probs(self.policy.model, batch)[0], batch)
                for batch in watched
            ]
        return float(torch.cat(found).mean())

    def _divergence(self, log_probs: torch.Tensor, batch: Sequences) -> torch.Tensor:
        """(tokens,) unbiased, never negative estimate of KL(policy || starting model)."""
        with torch.no_grad():
            reference, _ = self._log_probs(self.reference, batch)
        difference = reference - log_probs
        return difference.exp() - difference - 1

    def _log_probs(
        self, model: torch.nn.Module, batch: Sequences
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return policy_log_probs(model, batch, self.run.temperature)


def learning_rate(run: TrainingConfig, step: int) -> float:
    """Linear warm-up, then linear decay towards zero after the last step; steps count from 1.

    The noise of a few hundred episodes a step is what keeps a fixed rate from settling.
    """
    warm = min(1.0, step / max(1, run.warmup_steps))
    return run.learning_rate * warm * (1 - (step - 1) / run.steps)


def group_advantages(scores: torch.Tensor) -> torch.Tensor:
    """(groups, episodes) rewards to advantages of mean 0 and (nearly) unit deviation per group.

    A group with one reward throughout gets exact zeros.
    """
    centred = scores - scores.mean(1, keepdim=True)
    deviation = scores.std(1, keepdim=True)
    return torch.where(deviation > 1e-6, centred / (deviation + 1e-4), torch.zeros_like(centred))


def policy_log_probs(
    model: torch.nn.Module, batch: Sequences, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each policy token given all before it, and the entropy there: (tokens,).

    Both are of the distribution at the sampling temperature; tokens are in row order.
    """
    mask = batch.policy[:, 1:]
    logits = batch.logits(model)[:, :-1]
    distribution = (logits[mask].float() / temperature).log_softmax(-1)
    targets = batch.tokens[:, 1:][mask]
    log_probs = distribution.gather(-1, targets[:, None])[:, 0]
    entropy = -(distribution.detach().exp() * distribution.detach()).sum(-1)
    return log_probs, entropy


def _rows(batches: Sequence[Sequences], wanted: Callable[[int], bool]) -> list[Sequences]:
    """The rows of the episodes that are wanted, without batches that have none."""
    chosen = [
        (batch, [row for row, episode in enumerate(batch.episodes) if wanted(episode)])
        for batch in batches
    ]
    return [batch.rows(rows) for batch, rows in chosen if rows]


def _by_token(advantages: torch.Tensor, batch: Sequences) -> torch.Tensor:
    """(tokens,) the advantage of the episode that each policy token belongs to."""
    mask = batch.policy[:, 1:]
    return advantages[list(batch.episodes)].to(mask.device)[:, None].expand_as(mask)[mask]


@functools.lru_cache(maxsize=2)  # the current epoch and the one a step runs over into
def _permutation(seed: int, epoch: int, total: int) -> list[int]:
    order = list(range(total))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return order
