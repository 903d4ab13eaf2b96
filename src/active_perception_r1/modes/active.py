"""The model may zoom."""

from active_perception_r1.modes._mode import Mode

MODE = Mode("may zoom", tool=True)
