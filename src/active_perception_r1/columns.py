"""Fields of records that say what they hold, where they are declared.

Tables of results and their documentation are made from them, so that a quantity has one name and
one meaning wherever it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_type_hints


@dataclass(frozen=True, slots=True)
class Column:
    """What a field holds; in the `Annotated` type of a dataclass's field.

    Attributes:
        description: in words, and when it is null.
        unit: of a number. A `share` is in [0, 1]. Empty for texts and for what is true or false.
    """

    description: str
    unit: str = ""


def columns(record: type) -> Mapping[str, Column]:
    """The described fields of a dataclass by name, in their order.

    >>> from dataclasses import make_dataclass
    >>> from typing import Annotated
    >>> width = Annotated[int, Column("of the page", "pixels")]
    >>> columns(make_dataclass("Page", [("width", width), ("notes", str)]))
    {'width': Column(description='of the page', unit='pixels')}
    """
    described: dict[str, Column] = {}
    for name, hint in get_type_hints(record, include_extras=True).items():
        for note in getattr(hint, "__metadata__", ()):
            if isinstance(note, Column):
                described[name] = note
    return described
