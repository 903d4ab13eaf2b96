"""Servers of models, and what they charge."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from active_perception_r1.config.section import Section, each_once

Omissible = Literal[
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "seed",
]
"""What some servers refuse, and others fill in from the checkpoint if it is left open."""

_SET_ELSEWHERE = ("model", "messages", "max_tokens", "max_completion_tokens", "tools", "seed")
_SECRETS = ("api_key", "apikey", "authorization", "password", "secret")


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("give a URL such as http://localhost:8000/v1")
    if parts.username or parts.password or parts.query:
        raise ValueError("no user, password or query here; a key belongs into the environment")
    return url


def _variable_name(name: str) -> str:
    if not re.fullmatch("[A-Z_][A-Z0-9_]{0,63}", name):  # The message must not repeat a key.
        raise ValueError(
            "give the name of an environment variable, such as OPENAI_API_KEY, never the key"
        )
    return name


def _only_extra(body: dict[str, Any]) -> dict[str, Any]:
    for name in _names(body):
        if name.lower() in _SECRETS:
            raise ValueError(f"{name}: a key belongs into the environment; see api_key_env")
    for name in body:
        if name in (*_SET_ELSEWHERE, *Omissible.__args__):  # type: ignore[attr-defined]
            raise ValueError(f"{name}: set by other keys of the entry")
    return body


def _names(body: Mapping[str, Any]) -> Iterator[str]:
    for name, value in body.items():
        yield name
        if isinstance(value, dict):
            yield from _names(value)


class OpenAIConfig(Section):
    """A server that speaks OpenAI's chat completions, how it is asked, and how patiently."""

    base_url: Annotated[str, AfterValidator(_without_credentials)] = Field(
        description="where it listens, such as http://localhost:8000/v1"
    )
    model: str | None = Field(default=None, description="the model's name there; null is its `id`")
    token_limit: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens", description="what it calls the length of a reply"
    )
    omit: Annotated[list[Omissible], AfterValidator(each_once)] = Field(
        default=[], description="parameters that it refuses, and is not sent"
    )
    extra_body: Annotated[dict[str, Any], AfterValidator(_only_extra)] = Field(
        default={}, description="further parameters of each request, such as `reasoning_effort`"
    )
    tools: Literal["text", "native"] = Field(
        default="text",
        description="a zoom is read from the text of a reply, or from its `tool_calls`",
    )
    crop_role: Literal["tool", "user"] = Field(
        default="tool",
        description="whose message brings a crop where a tool was called; OpenAI's own server"
        " takes no images from tools",
    )
    check_models: bool = Field(
        default=True, description="ask it first whether it has the model; some keep no list"
    )
    concurrency: int = Field(default=16, gt=0, description="requests under way at once")
    timeout_seconds: float = Field(default=120.0, gt=0, description="for one try of one request")
    retries: int = Field(
        default=5,
        ge=0,
        description="tries after failures that may pass, with growing pauses or those that the"
        " server asks for",
    )
    api_key_env: Annotated[str, AfterValidator(_variable_name)] | None = Field(
        default=None, description="environment variable that holds the key"
    )


class PriceConfig(Section):
    """What a million tokens cost, in whatever currency; what is cached costs the same here."""

    input: float = Field(ge=0, description="of prompts, images among them")
    output: float = Field(ge=0, description="of replies")

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Of so many tokens.

        >>> PriceConfig(input=2.5, output=10).of(1_000_000, 100_000)
        3.5
        """
        return (self.input * prompt_tokens + self.output * completion_tokens) / 1e6
