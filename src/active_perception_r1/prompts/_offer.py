"""What a prompt set has to tell a model about."""

from __future__ import annotations

from dataclasses import dataclass

from active_perception_r1.families import ToolProtocol
from active_perception_r1.utils.trace_parser import Syntax


@dataclass(frozen=True, slots=True)
class ZoomOffer:
    """What an episode lets the model do: nothing (`tool` false), or zoom, or only zoom first.

    Attributes:
        instruction: the task's, on how to answer.
        syntax: in which zoom calls are read.
        max_zooms: executed zooms in an episode.
        protocol: how the model was trained to call functions.
    """

    tool: bool
    require_zoom: bool
    instruction: str
    syntax: Syntax
    max_zooms: int
    protocol: ToolProtocol = ToolProtocol()
