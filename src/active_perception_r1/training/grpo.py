"""The local GRPO engine: group-relative policy optimisation of zooming, on one device.

On a CPU, `training.replicas` can share out the questions of a step.

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
import random
import time
from collections.abc import Sequence
from itertools import chain, compress
from typing import NamedTuple

import torch

from active_perception_r1.config import ModelConfig, TrainingConfig
from active_perception_r1.modes import ACTIVE, MODES
from active_perception_r1.records import Sample
from active_perception_r1.rewards.active_vision_reward import (
    Reward,
    episode_reward,
    reward_means,
    with_curiosity,
)
from active_perception_r1.tasks import DEFAULT_TASK
from active_perception_r1.training.metrics import StepMetrics, documents, zoom_rate
from active_perception_r1.training.played import Played, group_advantages
from active_perception_r1.training.policy import Policy
from active_perception_r1.training.questions import modes_by_turns
from active_perception_r1.training.replicas import Replicas
from active_perception_r1.training.rollout import roll_out
from active_perception_r1.training.update import PolicyUpdate

ALONE = Replicas()
REFILLS = 3
"""Times that questions are drawn for groups whose rewards have no spread."""


class Question(NamedTuple):
    """A sample, and the mode that it is asked in."""

    sample: Sample
    mode: str


class Step(NamedTuple):
    """What a step did."""

    metrics: StepMetrics
    played: Played


class GrpoTrainer:
    """The policy and its optimiser; `step` is one round of all of it.

    Args:
        micro_batch: episodes at once in an update; those of a batch of rollouts if not given.
        replicas: the processes that share out the questions of a step. What is drawn depends on
            their number.
    """

    def __init__(
        self,
        run: TrainingConfig,
        base: ModelConfig,
        samples: Sequence[Sample],
        task: str = DEFAULT_TASK,
        micro_batch: int | None = None,
        replicas: Replicas = ALONE,
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
        size = micro_batch or run.micro_batch or base.batch_size
        self.update = PolicyUpdate(run, self.policy, self.optimiser, size, replicas)
        self._replicas = replicas
        self._samples = samples
        self._task = task

    def step(self, step: int) -> Step:
        """Sample episodes, reward them, update the policy. Steps count from 1.

        Everything drawn depends on (seed, step) and the replica alone, so that a resumed run draws
        the same.
        """
        start = time.perf_counter()
        run, replicas = self.run, self._replicas
        seed = (run.seed * 1_000_003 + step) * replicas.count + replicas.rank
        played = self._play(replicas.share(self.questions(step)), seed, step)
        rollouts = played.rollouts
        if run.refill:
            played = self._refilled(played, seed, step)
            rollouts = played.rollouts.without(played.flat)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(run, step)
        update = self.update.apply(rollouts, played.advantages.flatten())
        played = functools.reduce(Played.followed_by, replicas.gather(played.told))
        rewards, chosen = played.rewards, _with_choice(played)
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
            zoom_rate_needed=zoom_rate(*chosen, needed=True),
            zoom_rate_not_needed=zoom_rate(*chosen, needed=False),
        )
        return Step(metrics, played)

    def validate(self, samples: Sequence[Sample]) -> list[Reward]:
        """Rewards of one greedy episode for each of the samples, which draws nothing."""
        engine = self.policy.engine.drawn_at(0)
        with self.policy.cheaper_products():
            own = self._replicas.share(samples)
            episodes = roll_out(engine, own, ACTIVE, self.run.seed, self._task).episodes
        rewards = [
            episode_reward(episode, sample, self.run.reward, self._task)
            for episode, sample in zip(episodes, own, strict=True)
        ]
        return list(chain.from_iterable(self._replicas.gather(rewards)))

    def _play(self, questions: Sequence[Question], seed: int, step: int) -> Played:
        run = self.run
        each = [question for question in questions for _ in range(run.samples_per_prompt)]
        asked, modes = [sample for sample, _ in each], [mode for _, mode in each]
        with self.policy.cheaper_products():
            rollouts = roll_out(self.policy.engine, asked, modes, seed, self._task)
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
        size, questions = self.run.samples_per_prompt, len(played.advantages)
        for attempt in range(1, REFILLS + 1):
            useful = (len(played.rewards) - len(played.flat)) // size
            missing = questions - useful
            if not missing:
                break
            draw = random.Random(f"{seed}/{attempt}")
            others = self._by_turns(draw.sample(self._samples, missing))
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

    def questions(self, step: int) -> list[Question]:
        """Those of a step: every sample is asked once before any is asked again."""
        count, total = self.run.prompts_per_step, len(self._samples)
        chosen = []
        for position in range((step - 1) * count, step * count):
            epoch, place = divmod(position, total)
            chosen.append(self._samples[_permutation(self.run.seed, epoch, total)[place]])
        return self._by_turns(chosen, (step - 1) * count)

    def _by_turns(self, samples: Sequence[Sample], first: int = 0) -> list[Question]:
        """Each with the mode whose turn it is, `first` samples having had theirs."""
        return list(map(Question, samples, modes_by_turns(self.run.modes, first)))


def _with_choice(played: Played) -> tuple[list[Reward], list[Sample]]:
    """Rewards and samples of the episodes that might do without a zoom."""
    free = [not MODES[episode.mode].require_zoom for episode in played.rollouts.episodes]
    return list(compress(played.rewards, free)), list(compress(played.samples, free))


def learning_rate(run: TrainingConfig, step: int) -> float:
    """Linear warm-up, then linear decay towards zero after the last step; steps count from 1.

    The noise of a few hundred episodes a step is what keeps a fixed rate from settling.
    """
    warm = min(1.0, step / max(1, run.warmup_steps))
    return run.learning_rate * warm * (1 - (step - 1) / run.steps)


@functools.lru_cache(maxsize=2)  # the current epoch and the one a step runs over into
def _permutation(seed: int, epoch: int, total: int) -> list[int]:
    order = list(range(total))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return order
