"""The constants of the reward: a section of the configuration file."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar


def _constant(default: float, description: str, least: float = 0, most: float | None = None) -> Any:
    """A field with what a reader must know of it, by pydantic's names for its JSON Schema."""
    limits = {"ge": least, "allow_inf_nan": False} | ({} if most is None else {"le": most})
    return field(default=default, metadata={"description": description, **limits})


@dataclass(frozen=True, slots=True)
class RewardConfig:
    """What an answer, a look and a fault are worth; docs/protocol.md has the formula.

    Raises:
        ValueError: a constant is out of its range or no number, or all of them together would let
            a wrong answer be paid as well as a correct one.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    correct_weight: float = _constant(
        0.35, "how far the process moves the reward of a correct answer from 1"
    )
    wrong_weight: float = _constant(
        0.10, "how far the process moves the reward of a wrong answer from 0"
    )
    tight_area: float = _constant(
        0.25, "share of the page up to which a crop is a close look", most=1
    )
    max_area: float = _constant(
        0.65, "share of the page from which on a crop is no close look at all", most=1
    )
    malformed: float = _constant(0.25, "taken from the process for a call that cannot be read")
    invalid: float = _constant(
        0.25, "taken from the process for a box that is invalid, too small or off the page"
    )
    redundant: float = _constant(
        0.10, "taken from the process for a repeat, or for a zoom over the limit"
    )
    max_faults: float = _constant(0.5, "the most that all faults together take from the process")
    no_zoom_penalty: float = _constant(
        0.5, "taken from the process where a look was needed and not taken"
    )
    visual_token_cost: float = _constant(
        0.0,
        "taken from a right answer in full if its crops have as many visual tokens as the first"
        " view, in proportion if they have fewer; 0 is none",
    )
    curiosity: float = _constant(
        0.0, "weight of a bonus for episodes that zoom while few of their group do; 0 is none"
    )
    curiosity_target: float = _constant(
        0.3, "share of a group's episodes with a zoom from which on there is no bonus", most=1
    )
    curiosity_steps: int = _constant(
        100, "training steps in which the bonus fades to nothing", least=1
    )

    def __post_init__(self) -> None:
        for name, least, most in _LIMITS:
            value = getattr(self, name)
            if not isinstance(value, int | float) or not least <= value <= most:  # NaN is in none
                wanted = f"of at least {least}" if most == _LARGEST else f"from {least} to {most}"
                raise ValueError(f"{name} must be a number {wanted}, not {value!r}")
        if self.tight_area >= self.max_area:
            raise ValueError(
                f"tight_area ({self.tight_area}) must be below max_area ({self.max_area})"
            )
        most_for_wrong = self.wrong_weight + self.curiosity * self.curiosity_target
        least_for_correct = 1 - self.correct_weight - self.visual_token_cost
        if least_for_correct <= most_for_wrong:
            raise ValueError(
                f"1 - correct_weight - visual_token_cost ({least_for_correct:g}) must exceed"
                f" wrong_weight + curiosity * curiosity_target ({most_for_wrong:g}), or a lie can"
                " pay: lower them"
            )
        look = self.correct_weight * self.no_zoom_penalty
        if self.visual_token_cost and self.visual_token_cost >= look:
            raise ValueError(
                f"visual_token_cost ({self.visual_token_cost:g}) must be below correct_weight *"
                f" no_zoom_penalty ({look:g}), or a look that is needed may not pay: lower it"
            )


_LARGEST = sys.float_info.max
_LIMITS = tuple(
    (constant.name, constant.metadata["ge"], constant.metadata.get("le", _LARGEST))
    for constant in fields(RewardConfig)
)
