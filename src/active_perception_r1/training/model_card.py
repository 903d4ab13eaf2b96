"""The README of a trained checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from active_perception_r1.config import TrainingConfig

_CARD = """\
---
library_name: transformers
pipeline_tag: image-text-to-text
base_model: {base}
---
# {name}

`{base}` (revision `{base_revision}`) after {steps} steps of GRPO on where to zoom, with the
{engine} engine of Active-Perception-R1, on questions of the study `{study}` (split `{split}`).

Mean reward of the last step's rollouts: {reward:.3f}; answers correct {correct:.3f}; episodes in
which a crop was shown {zoom_rate:.3f}. These are of sampled rollouts on training questions: see the
leaderboard for an evaluation.

sha256 of the training questions: `{data_sha256}`

## Settings

```json
{settings}
```

## Reward

```json
{constants}
```
"""


def model_card(
    name: str, run: TrainingConfig, about: Mapping[str, Any], last: Mapping[str, Any]
) -> str:
    """Markdown with what a reader of the checkpoint must know.

    Args:
        about: where it comes from, as `checkpoint.json` says it.
        last: metrics of the last step.
    """
    measured = {key: last[key] for key in ("reward", "correct", "zoom_rate")}
    settings = run.model_dump_json(indent=2, exclude={"reward"})
    constants = json.dumps(asdict(run.reward), indent=2)
    return _CARD.format(
        name=name,
        study=run.study,
        split=run.split,
        settings=settings,
        constants=constants,
        **about,
        **measured,
    )
