"""Episodes for training: run like any other, with the tokens of the policy kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from active_perception_r1.models.backends.transformers import Generated, TransformersBackend
from active_perception_r1.models.image_cache import encoder_outputs
from active_perception_r1.modes import episode_rules, start_episode
from active_perception_r1.records import Episode, Sample
from active_perception_r1.sim.driver import Batches, run_episodes
from active_perception_r1.sim.live_reinjection import LiveEpisode
from active_perception_r1.sim.messages import Reply
from active_perception_r1.tasks import DEFAULT_TASK


@dataclass(frozen=True, slots=True)
class Sequences:
    """Right-padded token sequences, each a prompt and what the policy wrote after it.

    Attributes:
        tokens, used: (rows, length) ids, and true where they are not padding.
        policy: (rows, length) true on tokens that the policy wrote, and on no others.
        features: for each row, (image tokens, width) outputs of the frozen vision tower.
        episodes: for each row, the index of its episode among the step's.
    """

    tokens: torch.Tensor
    used: torch.Tensor
    policy: torch.Tensor
    features: tuple[torch.Tensor, ...]
    episodes: tuple[int, ...]

    def rows(self, chosen: Sequence[int]) -> Sequences:
        """These rows, in this order, without the padding that only the others needed."""
        index = torch.tensor(chosen, device=self.tokens.device)
        length = int(self.used[index].sum(1).max())
        return Sequences(
            self.tokens[index, :length],
            self.used[index, :length],
            self.policy[index, :length],
            tuple(self.features[row] for row in chosen),
            tuple(self.episodes[row] for row in chosen),
        )

    def logits(self, model: torch.nn.Module) -> torch.Tensor:
        """(rows, length, vocabulary) under `model`, which must share the vision tower."""
        logits: torch.Tensor = model(
            input_ids=self.tokens,
            attention_mask=self.used.long(),
            mm_encoder_outputs=encoder_outputs(self.features),
            use_cache=False,
        ).logits
        return logits


@dataclass(frozen=True, slots=True)
class Rollouts:
    """Finished episodes of a training step, and every token that the policy wrote in them, once."""

    episodes: tuple[Episode, ...]
    batches: tuple[Sequences, ...]


def roll_out(
    policy: TransformersBackend,
    samples: Sequence[Sample],
    mode: str,
    seed: int,
    task: str = DEFAULT_TASK,
) -> Rollouts:
    """Run one episode for each of `samples` (repeats are separate episodes).

    Raises:
        Whatever the model raises: an episode that ended in an engine error teaches nothing.
    """
    torch.manual_seed(seed)
    rules = episode_rules(mode, policy.settings, task)
    live = [start_episode(sample, rules) for sample in samples]
    index = {id(episode): number for number, episode in enumerate(live)}
    batches: list[Sequences] = []

    def generate(episodes: Sequence[LiveEpisode]) -> list[Reply]:
        replies: list[Reply] = []
        size = policy.settings.batch_size
        for first in range(0, len(episodes), size):
            batch = episodes[first : first + size]
            start = time.perf_counter()
            generated = policy.run(policy.encode([episode.request for episode in batch]))
            replies += policy.decode(generated, time.perf_counter() - start)
            numbers = tuple(index[id(episode)] for episode in batch)
            batches.append(_sequences(generated, numbers))
        return replies

    for _ in run_episodes(live, Batches(generate), live=len(live)):
        pass
    records = (episode.record(policy.settings.id, policy.revision, seed) for episode in live)
    return Rollouts(tuple(records), merge_turns(batches))


def merge_turns(batches: Sequence[Sequences]) -> tuple[Sequences, ...]:
    """Turns of one episode in one row, wherever a later prompt begins with an earlier turn.

    A later turn is sampled after a prompt that holds the earlier ones. If its tokens are the same
    (writing and reading back a reply may tokenise it otherwise), its row can be trained for all of
    them at once; if they are not, the earlier turn keeps its own row.
    """
    merged: list[Sequences] = []
    later: dict[int, tuple[int, int]] = {}  # episode to (batch, row) of its latest merged turn
    for batch in reversed(batches):
        keep: list[int] = []
        for row, episode in enumerate(batch.episodes):
            if episode in later:
                number, other = later[episode]
                length = int(batch.used[row].sum())
                host = merged[number]
                if torch.equal(host.tokens[other, :length], batch.tokens[row, :length]):
                    host.policy[other, :length] |= batch.policy[row, :length]
                    continue
            later[episode] = (len(merged), len(keep))
            keep.append(row)
        if keep:
            merged.append(batch.rows(keep))
    return tuple(merged)


def _sequences(generated: Generated, episodes: tuple[int, ...]) -> Sequences:
    """Left-padded prompts and right-padded completions as right-padded sequences.

    Right padding lets every architecture count positions from its own default.
    """
    prompts, completions = generated.inputs["input_ids"], generated.completions
    prompt_used = generated.inputs["attention_mask"].bool()
    written = torch.arange(completions.shape[1], device=completions.device)
    written = written < generated.lengths[:, None]
    tokens = torch.cat([prompts, completions], 1)
    used = torch.cat([prompt_used, written], 1)
    policy = torch.cat([torch.zeros_like(prompt_used), written], 1)
    # A stable sort by "unused" moves the used tokens to the front and keeps their order.
    order = (~used).int().argsort(dim=1, stable=True)[:, : int(used.sum(1).max())]
    features = tuple(generated.inputs["mm_encoder_outputs"]["image"].pooler_output)
    return Sequences(
        tokens.gather(1, order), used.gather(1, order), policy.gather(1, order), features, episodes
    )
