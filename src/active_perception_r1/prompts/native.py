"""The zoom as a function, declared and answered as the model's family was trained with functions.

Needs a call syntax that is a function call. The texts are ours; the form is the family's
(`families.ToolProtocol`), and the chat template puts it into the family's own words.
"""

from __future__ import annotations

import json

from active_perception_r1.prompts._offer import ZoomOffer
from active_perception_r1.sim.conversation import Prompts

_DUTY = "Call the tool to look closer before you answer.\n"
_NO_MORE = "No call is left: answer now."


def prompts(offer: ZoomOffer) -> Prompts:
    """A crop comes without words, until no zoom is left."""
    protocol, tool = offer.protocol, offer.syntax.tool
    if tool is None:
        raise ValueError(f"zoom_syntax {offer.syntax.name} is no function call; see docs/models.md")
    asked = f"{{question}}\n{_DUTY * offer.require_zoom}{offer.instruction}"
    if not offer.tool:
        return Prompts(first=asked, refused="", later=(), system=protocol.system)
    schema = json.dumps(tool.schema(), ensure_ascii=False)
    declared = "" if protocol.in_template else _declared(schema, offer.syntax.example)
    return Prompts(
        first=asked,
        refused="Error: {fault}.",
        later=(_NO_MORE, *[""] * offer.max_zooms),
        system="\n\n".join(text for text in (protocol.system, declared) if text),
        tools=(schema,) if protocol.in_template else (),
        role=protocol.role,
        around=protocol.around,
    )


def _declared(schema: str, example: str) -> str:
    return (
        "# Tools\n\nThese functions may be called:\n"
        f"<tools>\n{schema}\n</tools>\n\n"
        f"A call is written as {example}"
    )
