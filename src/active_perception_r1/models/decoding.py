"""How tokens are chosen: as the model's entry says, and in nothing as its checkpoint would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig, LogitsProcessor

from active_perception_r1.models.weights import Weights

if TYPE_CHECKING:  # types only: a change of the configuration's schema changes no episode
    from active_perception_r1.config import DecodingConfig

# Of a `generation_config`, what is no choice of tokens.
_NO_DECODING = (
    *("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"),
    *("cache_implementation", "transformers_version", "use_cache"),
)


def only_tokens(checkpoint: GenerationConfig, tokenizer: Any) -> GenerationConfig:
    """The special tokens of a checkpoint's `generation_config`, and nothing else of it.

    In a model's place for it, since transformers takes from there whatever a call leaves open.
    As in vLLM, the tokenizer's end token ends a reply, too.
    """
    ends = checkpoint.eos_token_id
    known = {*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id} - {None}
    padding = checkpoint.pad_token_id
    return GenerationConfig(  # type: ignore[no-untyped-call]
        bos_token_id=checkpoint.bos_token_id,
        eos_token_id=sorted(known),
        pad_token_id=tokenizer.pad_token_id if padding is None else padding,
    )


def generation_config(
    decoding: DecodingConfig, max_new_tokens: int, suppressed: int
) -> GenerationConfig:
    """The entry's decoding for transformers, apart from what `OutputPenalties` does.

    Args:
        suppressed: a token that is never written.
    """
    drawn: dict[str, Any] = {}
    if decoding.temperature > 0:
        drawn = {
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "top_k": decoding.top_k,
            "min_p": decoding.min_p or None,
        }
    return GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=max_new_tokens,
        do_sample=decoding.temperature > 0,
        repetition_penalty=decoding.repetition_penalty,
        suppress_tokens=[suppressed],
        **drawn,
    )


def own_decoding(weights: Weights) -> GenerationConfig:
    """A checkpoint's `generation_config`; an empty one if it has none."""
    version: dict[str, Any] = {"revision": weights.commit}
    try:
        return GenerationConfig.from_pretrained(weights.id, **version)
    except OSError:
        return GenerationConfig()  # type: ignore[no-untyped-call]


def set_aside(decoding: DecodingConfig, checkpoint: GenerationConfig) -> dict[str, Any]:
    """What the checkpoint's own `generation_config` asks for and the entry does not.

    >>> from active_perception_r1.config import DecodingConfig
    >>> set_aside(DecodingConfig(), GenerationConfig(do_sample=False, repetition_penalty=1.05))
    {'repetition_penalty': 1.05}
    """
    ours = {"do_sample": decoding.temperature > 0, **decoding.model_dump()}
    return {
        name: value
        for name, value in sorted(checkpoint.to_diff_dict().items())
        if name not in _NO_DECODING and value != ours.get(name)
    }


class OutputPenalties(LogitsProcessor):
    """The presence and frequency penalties of OpenAI's API, over what was written so far.

    Of the score of a token, `presence` is taken off if the reply has it, and `frequency` for each
    time that it has (platform.openai.com/docs/api-reference/chat; vLLM does the same).
    """

    def __init__(self, presence: float, frequency: float, prompt: int) -> None:
        """`prompt` is the length of the prompts, padding included."""
        self._presence = presence
        self._frequency = frequency
        self._prompt = prompt

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(batch, vocabulary) scores of the next token after (batch, length) ids."""
        written = input_ids[:, self._prompt :]
        counts = torch.zeros_like(scores)
        counts.scatter_add_(1, written, torch.ones_like(written, dtype=scores.dtype))
        return scores - self._frequency * counts - self._presence * (counts > 0)


def output_penalties(decoding: DecodingConfig, prompt: int) -> list[LogitsProcessor]:
    """None where both are 0, which is the rule and costs nothing."""
    presence, frequency = decoding.presence_penalty, decoding.frequency_penalty
    return [OutputPenalties(presence, frequency, prompt)] if presence or frequency else []
