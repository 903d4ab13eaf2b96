"""How replies are generated."""

from __future__ import annotations

from pydantic import Field

from active_perception_r1.config.section import Section


class DecodingConfig(Section):
    """How tokens are chosen: all of it, so that nothing is left to an engine or a checkpoint.

    The defaults are greedy and neutral. Penalties are those of vLLM and of OpenAI's API.
    """

    temperature: float = Field(
        default=0.0, ge=0, description="0 takes the likeliest token; above it, tokens are drawn"
    )
    top_p: float = Field(
        default=1.0, gt=0, le=1, description="drawn from the likeliest tokens with this share"
    )
    top_k: int = Field(
        default=0, ge=0, description="drawn from this many of the likeliest tokens; 0 is all"
    )
    min_p: float = Field(
        default=0.0, ge=0, le=1, description="drawn from tokens this likely beside the likeliest"
    )
    repetition_penalty: float = Field(
        default=1.0, gt=0, description="divides scores of tokens of the prompt and the reply"
    )
    presence_penalty: float = Field(
        default=0.0, ge=-2, le=2, description="taken off the score of a token of the reply"
    )
    frequency_penalty: float = Field(
        default=0.0, ge=-2, le=2, description="the same, for each time that it was written"
    )


class VllmConfig(Section):
    """Options of vLLM's engine, by its own names."""

    gpu_memory_utilization: float = Field(
        default=0.9, gt=0, le=1, description="share of a GPU's memory that it takes"
    )
    max_model_len: int | None = Field(
        default=None, gt=0, description="tokens of a conversation; null is the model's limit"
    )
    enforce_eager: bool = Field(default=False, description="starts faster and runs slower")
