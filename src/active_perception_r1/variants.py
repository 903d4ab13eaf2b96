"""Names of a model that a study shows several first views: `model@pixels`."""

from __future__ import annotations


def variant(model: str, pixels: int) -> str:
    """The name of `model` with a first view of at most `pixels`.

    >>> variant("qwen", 200704)
    'qwen@200704'
    """
    return f"{model}@{pixels}"


def first_view_pixels(name: str) -> int | None:
    """The budget in a variant's name; None for the name of a model as its entry has it.

    >>> first_view_pixels("qwen@200704"), first_view_pixels("qwen")
    (200704, None)
    """
    _, _, pixels = name.partition("@")
    return int(pixels) if pixels else None


def without_budget(name: str) -> str:
    """The name of the model that a variant is of.

    >>> without_budget("qwen@200704"), without_budget("qwen")
    ('qwen', 'qwen')
    """
    return name.partition("@")[0]
