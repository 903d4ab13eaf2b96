"""The run that these tests make: a tiny model, a few questions, and what a CPU needs of verl."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
from pathlib import Path

from PIL import Image

from active_perception_r1.config import CropConfig, FirstView, ModelConfig
from active_perception_r1.config.engines.verl import AlarmConfig, VerlTraining
from active_perception_r1.data.samples import write_samples
from active_perception_r1.geometry import Box
from active_perception_r1.records import Evidence, Sample
from tests.configured import configure_training

REPOSITORY = Path(__file__).parents[2]
SHIMS = REPOSITORY / "tests" / "verl" / "shims"
QUESTION = "What is the total?"
MODEL = ModelConfig(
    id="tiny",
    family="qwen2_5_vl",
    dtype="float32",
    gpus=0,
    prompts="terse",
    first_view=FirstView(max_pixels=112 * 112, multiple=28),
    crop=CropConfig(max_pixels=112 * 112, multiple=28, min_area=0.0025),
    max_zooms=1,
    max_turns=2,
    max_new_tokens=48,
)
ON_CPU = {
    "trainer.device": "cpu",
    "actor_rollout_ref.model.enable_gradient_checkpointing": False,
    "actor_rollout_ref.actor.fsdp_config.param_offload": False,
    "actor_rollout_ref.actor.fsdp_config.optimizer_offload": False,
    "actor_rollout_ref.rollout.enforce_eager": True,
    "actor_rollout_ref.rollout.free_cache_engine": False,
    "+actor_rollout_ref.rollout.enable_sleep_mode": False,
    "actor_rollout_ref.rollout.max_num_batched_tokens": 1024,
    "actor_rollout_ref.rollout.max_num_seqs": 16,
    "actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes": 64,
    "actor_rollout_ref.rollout.agent.num_workers": 1,
    "transfer_queue.backend.SimpleStorage.num_data_storage_units": 1,
    "transfer_queue.backend.SimpleStorage.total_storage_size": 1000,
    "ray_kwargs.ray_init.num_cpus": 16,
    "+ray_kwargs.ray_init.num_gpus": 1,
    "+ray_kwargs.ray_init.include_dashboard": False,
    "+ray_kwargs.ray_init.object_store_memory": 500_000_000,
}
RUN = VerlTraining(
    engine="verl",
    base="tiny",
    study="demo",
    samples=4,
    steps=2,
    prompts_per_step=2,
    samples_per_prompt=4,
    validate_every=1,
    validation_samples=2,
    learning_rate=3e-4,
    warmup_steps=0,
    save_every=1,
    export="best",
    rollout_memory=0.3,
    max_prompt_tokens=128,
    max_response_tokens=256,
    alarms=AlarmConfig(patience=3, min_zoom_rate=0),
    overrides=ON_CPU,
)
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(map(str, (SHIMS, REPOSITORY, REPOSITORY / "src"))),
    "VERL_USE_EXTERNAL_MODULES": "verl_cpu",
    "VERL_PLATFORM": "cpu",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",  # threads that wait for each other are slow on a busy machine
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # not 15 more than this process has
    "HYDRA_FULL_ERROR": "1",
    "HF_HUB_OFFLINE": "1",
}


def command(folder: Path, run: VerlTraining, base: ModelConfig) -> list[str]:
    """`active-perception train` for a run on the questions in `folder`, which keeps it all."""
    config = configure_training(folder, "tiny+grpo", run, base)
    return [
        *[str(Path(sys.executable).parent / "active-perception"), "train", "--run", "tiny+grpo"],
        *["--config", str(config), "--data", str(folder / "data.parquet")],
        *["--output", str(folder / "output"), "--checkpoints", str(folder / "checkpoints")],
    ]


def finish(arguments: list[str], log: Path, record: Path | None = None) -> int:
    """Its exit status; what it says is added to `log`.

    Args:
        record: folder in which every process writes down what runs of the package.
    """
    environment = ENVIRONMENT | ({"RECORD": str(record)} if record else {})
    with log.open("ab") as file:
        return subprocess.run(arguments, env=environment, stdout=file, stderr=file).returncode


def page(side: int) -> Image.Image:
    """Noise, which `random.seed` makes again."""
    return Image.frombytes("L", (side, side), random.randbytes(side * side)).convert("RGB")


def write_questions(path: Path, count: int) -> None:
    """Each of a page of its own."""
    write_samples(path, map(_question, range(count)))


def _question(number: int) -> Sample:
    encoded = io.BytesIO()
    page(448).save(encoded, "PNG")
    return Sample(
        id=f"sample-{number}",
        doc_id=f"page-{number}",
        image=encoded.getvalue(),
        width=448,
        height=448,
        question=QUESTION,
        answers=("7",),
        evidence=(Evidence("answer", Box(0.55, 0.55, 0.7, 0.65)),),
        requires_zoom=True,
    )
