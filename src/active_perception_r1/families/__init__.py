"""What is known of families of models before one of them is loaded: one file each.

A family fixes how images become tokens, and so which budgets and conversations make sense. An entry
without a family is run as it is, and nothing of this is checked.
"""

from active_perception_r1.families._family import Family, ToolProtocol
from active_perception_r1.registry import Registry

FAMILIES: Registry[Family] = Registry(__name__, "FAMILY")

__all__ = ["FAMILIES", "Family", "ToolProtocol", "family_of"]


def family_of(name: str | None) -> Family:
    """The family of that name; one of which nothing is known if there is no name."""
    return FAMILIES[name] if name else Family(())
