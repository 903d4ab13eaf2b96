"""What the sections of the configuration have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from active_perception_r1.config.errors import undefined

NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
"""Names become parts of paths, so they hold nothing that has a meaning there."""

Name = Annotated[str, Field(pattern=f"^{NAME}$")]
T = TypeVar("T")


class Section(BaseModel):
    """A mapping of the file: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def known(names: Collection[str]) -> AfterValidator:
    """Accepts only the name of something that the code defines."""

    def check(word: str) -> str:
        if word not in names:
            raise ValueError(undefined(word, names))
        return word

    return AfterValidator(check)


def each_once(names: list[T]) -> list[T]:
    """For lists that name things: none of them twice."""
    if names and (most := Counter(names).most_common(1)[0])[1] > 1:
        raise ValueError(f"'{most[0]}' is listed twice")
    return names
