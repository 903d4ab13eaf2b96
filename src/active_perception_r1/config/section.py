"""What the sections of the configuration have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, GetJsonSchemaHandler, Tag
from pydantic.annotated_handlers import GetCoreSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from active_perception_r1.config.decisive import Decisive
from active_perception_r1.config.errors import undefined

NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
"""Names become parts of paths, so they hold nothing that has a meaning there."""

Name = Annotated[str, Field(pattern=f"^{NAME}$")]
T = TypeVar("T")


class Section(BaseModel):
    """A mapping of the file: unknown keys are errors, values do not change.

    Attributes:
        decisive: which of its keys decide results; None where all of them do.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    decisive: ClassVar[Decisive | None] = None

    def deciding(self, without: Collection[str] = ()) -> dict[str, Any]:
        """The keys that decide results, with their values; those in `without` left out."""
        values = self.model_dump(mode="json")
        return (self.decisive or Decisive(tuple(values))).of(values, without)


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Marks a key that takes only the name of something that the code defines."""

    names: Collection[str]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "enum": list(self.names)}

    def _check(self, word: str) -> str:
        if word not in self.names:
            raise ValueError(undefined(word, self.names))
        return word


@dataclass(frozen=True, slots=True, eq=False)
class OneOf:
    """Marks a section that is of one of several kinds, and says of which.

    Attributes:
        kinds: the sections, each with its name as the only value of `tag`.
        tag: the key that holds the name.
        default: name where the key is missing; None if it must be there.
    """

    kinds: Mapping[str, type[Section]]
    tag: str
    default: str | None = None

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        tagged = [Annotated[kind, Tag(name)] for name, kind in self.kinds.items()]
        return handler.generate_schema(Annotated[reduce(or_, tagged), Discriminator(self._kind_of)])

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        described = handler(schema)
        # As OpenAPI writes it; JSON Schema itself has no word for the key that decides.
        mapping = dict(zip(self.kinds, (kind["$ref"] for kind in described["oneOf"]), strict=True))
        return {**described, "discriminator": {"propertyName": self.tag, "mapping": mapping}}

    def _kind_of(self, value: Any) -> str | None:
        given = (
            value.get(self.tag, self.default)
            if isinstance(value, Mapping)
            else getattr(value, self.tag, None)
        )
        return None if given is None else str(given)


def each_once(names: list[T]) -> list[T]:
    """For lists that name things: none of them twice."""
    if names and (most := Counter(names).most_common(1)[0])[1] > 1:
        raise ValueError(f"'{most[0]}' is listed twice")
    return names
