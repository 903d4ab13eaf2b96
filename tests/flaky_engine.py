"""An engine that knows one answer and fails when told to; `install` has a command use it.

While the file `broken` is there, it fails for the number of requests that it holds, and while
`stalled` is, it waits. Every request is counted in `asked`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from active_perception_r1.models import load
from active_perception_r1.models.backends import BatchBackend
from active_perception_r1.sim.messages import FinishReason, Reply, Request


class Flaky(BatchBackend):
    revision = "r0"
    set_aside = {}
    live = 64

    def generate(self, requests: Sequence[Request]) -> list[Reply]:
        broken = Path("broken")
        count = int(broken.read_text()) if broken.exists() else 0
        with Path("asked").open("a") as asked:
            asked.write("x" * len(requests))
        while Path("stalled").exists():
            time.sleep(0.1)
        good = Reply("<answer>42</answer>", FinishReason.STOP)
        bad = Reply("", FinishReason.ERROR, error="server gone")
        return [bad if number < count else good for number, _ in enumerate(requests)]


def install() -> None:
    load.load_backend = lambda settings: Flaky()
