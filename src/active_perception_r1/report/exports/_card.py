"""A `README.md` for the Hugging Face Hub."""

from __future__ import annotations

from huggingface_hub import CardData


def as_card(data: CardData, text: str) -> str:
    """Markdown whose first lines, in YAML, are for the Hub."""
    return f"---\n{data.to_yaml()}\n---\n\n{text}"
