"""A checkpoint whose `generation_config` would change every reply, if anything heeded it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

# Of every kind that transformers knows; numbers are ids of tokens that any model here has.
OPTIONS: dict[str, Any] = {
    "do_sample": True,
    "temperature": 3.0,
    "top_k": 5,
    "top_p": 0.5,
    "min_p": 0.1,
    "typical_p": 0.9,
    "repetition_penalty": 7.0,
    "encoder_repetition_penalty": 3.0,
    "no_repeat_ngram_size": 1,
    "num_beams": 3,
    "num_return_sequences": 1,
    "length_penalty": 2.0,
    "early_stopping": True,
    "min_length": 9,
    "min_new_tokens": 9,
    "max_length": 9,
    "max_new_tokens": 1,
    "forced_bos_token_id": 9,
    "forced_eos_token_id": 9,
    "suppress_tokens": list(range(10, 100)),
    "begin_suppress_tokens": [20, 21, 22],
    "bad_words_ids": [[30], [31, 32]],
    "exponential_decay_length_penalty": [1, 3.0],
    "guidance_scale": 2.0,
    "stop_strings": ["a", "e", "1"],
    "renormalize_logits": True,
}


def made_hostile(folder: Path, copy: Path, **more: Any) -> Path:
    """`copy`, the model of `folder` with these options and `more` beside its special tokens."""
    shutil.copytree(folder, copy)
    config = copy / "generation_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **OPTIONS, **more}))
    return copy
