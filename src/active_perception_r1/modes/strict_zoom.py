"""The model must zoom validly; anything else is a tool failure."""

from active_perception_r1.modes._mode import Mode

MODE = Mode("must zoom validly before it answers", tool=True, require_zoom=True)
