"""What sets the modes of evaluation apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from active_perception_r1.records import CropContent, Mode


@dataclass(frozen=True, slots=True)
class ModeRules:
    """How a mode differs from `baseline`; see `EpisodeRules` for the first three."""

    tool: bool = False
    require_zoom: bool = False
    crop_content: CropContent = CropContent.REAL
    shows_evidence: bool = False


MODES: Mapping[Mode, ModeRules] = {
    Mode.BASELINE: ModeRules(),
    Mode.ACTIVE: ModeRules(tool=True),
    Mode.STRICT_ZOOM: ModeRules(tool=True, require_zoom=True),
    Mode.ORACLE: ModeRules(shows_evidence=True),
    Mode.BLANK_CROP: ModeRules(tool=True, crop_content=CropContent.BLANK),
    Mode.SHUFFLED_CROP: ModeRules(tool=True, crop_content=CropContent.SHUFFLED),
}
