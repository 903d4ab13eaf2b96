"""The modes of evaluation: how a sample becomes an episode in each of them; one file a mode."""

from active_perception_r1.modes._episodes import (
    EpisodeSettings,
    decisive_rules,
    episode_rules,
    start_episode,
)
from active_perception_r1.modes._mode import (
    ACTIVE,
    BASELINE,
    BLANK_CROP,
    CALL_ONLY,
    MATCHED_VIEW,
    MODES,
    ORACLE,
    RANDOM_CROP,
    SHUFFLED_CROP,
    STRICT_ZOOM,
    CropSizes,
    Mode,
)

__all__ = [
    "ACTIVE",
    "BASELINE",
    "BLANK_CROP",
    "CALL_ONLY",
    "MATCHED_VIEW",
    "MODES",
    "ORACLE",
    "RANDOM_CROP",
    "SHUFFLED_CROP",
    "STRICT_ZOOM",
    "CropSizes",
    "EpisodeSettings",
    "Mode",
    "decisive_rules",
    "episode_rules",
    "start_episode",
]
