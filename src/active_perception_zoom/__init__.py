"""The taskset `active-perception-zoom` of verifiers, which imports only top-level packages."""

from active_perception_r1.environments.verifiers_taskset import (
    ConversationHarness,
    ZoomEnv,
    ZoomTaskset,
)

__all__ = ["ConversationHarness", "ZoomEnv", "ZoomTaskset"]
