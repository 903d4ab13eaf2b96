"""The agent loop with a fault: every episode of one question fails."""

from __future__ import annotations

from typing import Any

from active_perception_r1.records import Sample
from active_perception_r1.rollout.active_perception_agent import ActivePerceptionZoomAgentLoop
from active_perception_r1.rollout.trajectory import Trajectory

FAULT = "the page is torn"


class FailingAgentLoop(ActivePerceptionZoomAgentLoop):  # type: ignore[misc]  # verl has no types
    async def play(self, sample: Sample, *args: Any) -> Trajectory:
        if sample.id == "sample-0":
            raise RuntimeError(FAULT)
        return await super().play(sample, *args)
