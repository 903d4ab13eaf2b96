"""Which option was chosen, read strictly."""

from active_perception_r1.scoring.metrics._metric import Metric, of_choices
from active_perception_r1.tasks.multiple_choice import read_choice

METRIC = Metric(
    "1 if the answer names a right option and no other; null where there are no options",
    "share",
    of_choices(read_choice),
)
