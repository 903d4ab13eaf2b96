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
reference: what is trained is where to look and what to say, not how to see. `training.policy` says
which weights those are.
"""

from __future__ import annotations

import functools
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch

from active_perception_r1.config import ModelConfig, TrainingConfig
from active_perception_r1.errors import TrainingError
from active_perception_r1.modes import ACTIVE
from active_perception_r1.records import Sample
from active_perception_r1.rewards.active_vision_reward import (
    Reward,
    episode_reward,
    reward_means,
    with_curiosity,
)
from active_perception_r1.runtime.memory import out_of_memory
from active_perception_r1.tasks import DEFAULT_TASK
from active_perception_r1.training.metrics import StepMetrics, documents, zoom_rate
from active_perception_r1.training.policy import Policy
from active_perception_r1.training.rollout import Rollouts, Sequences, roll_out

REFILLS = 3
"""Times that questions are drawn for groups whose rewards have no spread."""


@dataclass(frozen=True, slots=True)
class Played:
    """Rewarded episodes of a step, those of a question one after the other.

    Attributes:
        samples: the question of each episode.
        advantages: (questions, episodes of each).
    """

    rollouts: Rollouts
    samples: tuple[Sample, ...]
    rewards: tuple[Reward, ...]
    advantages: torch.Tensor

    def lines(self, step: int) -> Iterator[dict[str, Any]]:
        """What is kept of each episode, its crops as the boxes that they show of the page."""
        size = self.advantages.shape[1]
        advantages = self.advantages.flatten().tolist()
        for number, episode in enumerate(self.rollouts.episodes):
            yield {
                "step": step,
                "group": number // size,
                "advantage": advantages[number],
                "reward": asdict(self.rewards[number]),
                "episode": json.loads(episode.to_json()),
            }

    @property
    def flat(self) -> frozenset[int]:
        """Episodes of groups that all have one reward, from which nothing is learned."""
        size = self.advantages.shape[1]
        groups = (self.advantages == 0).all(1).nonzero()[:, 0].tolist()
        return frozenset(group * size + place for group in groups for place in range(size))

    def followed_by(self, later: Played) -> Played:
        """Both together."""
        return Played(
            self.rollouts.followed_by(later.rollouts),
            self.samples + later.samples,
            self.rewards + later.rewards,
            torch.cat([self.advantages, later.advantages]),
        )


class Step(NamedTuple):
    """What a step did."""

    metrics: StepMetrics
    played: Played


class GrpoTrainer:
    """The policy and its optimiser; `step` is one round of all of it.

    Args:
        micro_batch: episodes at once in an update; those of a batch of rollouts if not given.
    """

    def __init__(
        self,
        run: TrainingConfig,
        base: ModelConfig,
        samples: Sequence[Sample],
        task: str = DEFAULT_TASK,
        micro_batch: int | None = None,
    ) -> None:
        self.run = run
        self.policy = Policy(run, base)
        self.optimiser = torch.optim.AdamW(
            self.policy.trainable.values(),
            lr=run.learning_rate,
            betas=(0.9, 0.95),
            weight_decay=0,
            fused=self.policy.engine.device.type == "cuda",  # the other way takes a copy of all
        )
        self._micro_batch = micro_batch or run.micro_batch or base.batch_size
        self._samples = samples
        self._task = task

    def step(self, step: int) -> Step:
        """Sample episodes, reward them, update the policy. Steps count from 1.

        Everything drawn depends on (seed, step) alone, so that a resumed run draws the same.
        """
        start = time.perf_counter()
        run = self.run
        seed = run.seed * 1_000_003 + step
        played = self._play(self.questions(step), seed, step)
        rollouts = played.rollouts
        if run.refill:
            played = self._refilled(played, seed, step)
            rollouts = played.rollouts.without(played.flat)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(run, step)
        update = self._update(rollouts, played.advantages.flatten())
        rewards = played.rewards
        metrics = StepMetrics(
            step=step,
            means=reward_means(rewards),
            reward_std=float(torch.tensor([reward.reward for reward in rewards]).std()),
            zoom_rate=sum(reward.shown > 0 for reward in rewards) / len(rewards),
            frac_reward_zero_std=len(played.flat) / len(rewards),
            **update,
            learning_rate=learning_rate(run, step),
            seconds=time.perf_counter() - start,
            documents=documents(played.samples),
            zoom_rate_needed=zoom_rate(rewards, played.samples, needed=True),
            zoom_rate_not_needed=zoom_rate(rewards, played.samples, needed=False),
        )
        return Step(metrics, played)

    def validate(self, samples: Sequence[Sample]) -> list[Reward]:
        """Rewards of one greedy episode for each of the samples, which draws nothing."""
        engine = self.policy.engine.drawn_at(0)
        with self.policy.cheaper_products():
            episodes = roll_out(engine, samples, ACTIVE, self.run.seed, self._task).episodes
        return [
            episode_reward(episode, sample, self.run.reward, self._task)
            for episode, sample in zip(episodes, samples, strict=True)
        ]

    def _play(self, questions: Sequence[Sample], seed: int, step: int) -> Played:
        run = self.run
        asked = [sample for sample in questions for _ in range(run.samples_per_prompt)]
        with self.policy.cheaper_products():
            rollouts = roll_out(self.policy.engine, asked, ACTIVE, seed, self._task)
        rewards = [
            episode_reward(episode, sample, run.reward, self._task)
            for episode, sample in zip(rollouts.episodes, asked, strict=True)
        ]
        rewards = self._with_bonus(asked, rewards, step)
        scores = torch.tensor([reward.reward for reward in rewards])
        advantages = group_advantages(scores.view(len(questions), run.samples_per_prompt))
        return Played(rollouts, tuple(asked), tuple(rewards), advantages)

    def _refilled(self, played: Played, seed: int, step: int) -> Played:
        """With episodes of other questions for every group without a spread (DAPO, section 3.2).

        The number of tries is limited: a model that is always right, or never, is trained on what
        there is.
        """
        size = self.run.samples_per_prompt
        for attempt in range(1, REFILLS + 1):
            useful = (len(played.rewards) - len(played.flat)) // size
            missing = self.run.prompts_per_step - useful
            if not missing:
                break
            draw = random.Random(f"{self.run.seed}/{step}/{attempt}")
            others = draw.sample(self._samples, missing)
            played = played.followed_by(self._play(others, (seed << 8) + attempt, step))
        return played

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

    def _update(self, rollouts: Rollouts, advantages: torch.Tensor) -> dict[str, float | None]:
        """Gradient steps on the rollouts; means over the tokens of the last of them."""
        run, tokens = self.run, rollouts.tokens
        if not run.kl:  # without a penalty, an advantage of zero is a gradient of zero
            flat = (advantages == 0).nonzero()[:, 0].tolist()
            learned = rollouts.without(frozenset(flat))
        else:
            learned = rollouts
        sampled, totals, norm = None, Totals(), torch.zeros(())
        for _ in range(run.updates_per_step):
            totals, log_probs = self._gradient(learned, advantages, sampled, tokens)
            if sampled is None:  # the first update is on the policy that sampled
                sampled = log_probs
            norm = torch.nn.utils.clip_grad_norm_(self.policy.trainable.values(), run.max_grad_norm)
            self.optimiser.step()
        return {**totals.means(), "kl": self._drift(rollouts), "grad_norm": float(norm)}

    def _gradient(
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
            self.optimiser.zero_grad(set_to_none=True)
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
        run, totals, found = self.run, Totals(), []
        counts = [int(part.policy.sum()) for part in parts]
        known = None if sampled is None else torch.split(sampled, counts)
        for number, part in enumerate(parts):
            log_probs, entropy = self.policy.log_probs(part)
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
        if not self.policy.has_reference:
            return None
        size = self.run.samples_per_prompt
        others = (episode for episode in range(len(rollouts.episodes)) if episode % size)
        watched = rollouts.without(frozenset(others)).batches
        if not watched:
            return None
        with torch.no_grad():
            found = [
                self._divergence(self.policy.log_probs(part)[0], part)
                for batch in watched
                for part in batch.parts(self._micro_batch)
            ]
        return float(torch.cat(found).mean())

    def _divergence(self, log_probs: torch.Tensor, batch: Sequences) -> torch.Tensor:
        """(tokens,) unbiased, never negative estimate of KL(policy || starting model)."""
        difference = self.policy.reference_log_probs(batch) - log_probs
        return difference.exp() - difference - 1


@dataclass(slots=True)
class Totals:
    """Sums over the micro-batches of an update."""

    loss: float = 0.0
    entropy: float = 0.0
    clipped: int = 0
    tokens: int = 0

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


def _by_token(advantages: torch.Tensor, batch: Sequences) -> torch.Tensor:
    """(tokens,) the advantage of the episode that each policy token belongs to."""
    mask = batch.policy[:, 1:]
    return advantages[list(batch.episodes)].to(mask.device)[:, None].expand_as(mask)[mask]


@functools.lru_cache(maxsize=2)  # the current epoch and the one a step runs over into
def _permutation(seed: int, epoch: int, total: int) -> list[int]:
    order = list(range(total))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return order
