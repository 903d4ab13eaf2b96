"""One pass over the first view."""

from active_perception_r1.modes._mode import Mode

MODE = Mode("answers from the first view, the page shrunk to its pixel budget")
