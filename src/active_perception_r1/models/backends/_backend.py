"""The interface between episodes and engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from active_perception_r1.sim.messages import Reply, Request


class Backend(Protocol):
    """An engine with a model loaded.

    Attributes:
        revision: what exactly is loaded: a hub commit, or a fingerprint of a local folder.
        set_aside: what its checkpoint's own `generation_config` asks for, and the entry's
            `decoding` does not; empty where that cannot be known.
    """

    revision: str
    set_aside: Mapping[str, Any]

    def generate(self, requests: Sequence[Request]) -> Sequence[Reply]:
        """One reply per request, in order; a request that failed gets a reply with `error`."""
