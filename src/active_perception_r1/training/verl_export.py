"""From a checkpoint of verl to a model that loads like any other."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from active_perception_r1.errors import TrainingError

TAIL_LINES = 30


def export(checkpoint: Path, folder: Path) -> None:
    """Write verl's sharded checkpoint as a Hugging Face folder with processor.

    An adapter is merged into the weights, so that the result loads like any other model.

    Raises:
        TrainingError: verl's merger failed.
    """
    actor = checkpoint / "actor"
    merge = ["-m", "verl.model_merger", "merge", "--backend", "fsdp"]
    where = ["--local_dir", str(actor), "--target_dir", str(folder)]
    done = subprocess.run([sys.executable, *merge, *where], capture_output=True, text=True)
    if done.returncode:
        raise TrainingError(f"{actor}: cannot be exported: {tail(done.stdout + done.stderr)}")
    adapter = folder / "lora_adapter"
    if adapter.is_dir():
        merge_adapter(adapter, folder)


def merge_adapter(adapter: Path, folder: Path) -> None:
    """Into the model in `folder`.

    Raises:
        TrainingError: its weights are not all of them ones of the model's.
    """
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors.torch import load_file
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(folder, dtype="auto")
    adapted = PeftModel.from_pretrained(model, str(adapter))
    written = load_file(adapter / "adapter_model.safetensors")
    # peft only warns. It has more: verl names layers by their last names, which some of the vision
    # tower share; there the adapter is new, and so adds nothing.
    if odd := written.keys() - get_peft_model_state_dict(adapted).keys():
        raise TrainingError(f"{adapter}: {len(odd)} weights have no place, such as {min(odd)}")
    adapted.merge_and_unload().save_pretrained(folder)
    shutil.rmtree(adapter)


def tail(text: str) -> str:
    """Its last lines, which say why a process failed."""
    return "\n".join(text.splitlines()[-TAIL_LINES:])
