"""What decides the result of a job: change it, and the job runs again; nothing else counts."""

from active_perception_r1.keys.jobs import (
    JobKeys,
    Key,
    download_key,
    inference_key,
    recipe_key,
    training_key,
)

__all__ = [
    "JobKeys",
    "Key",
    "download_key",
    "inference_key",
    "recipe_key",
    "training_key",
]
