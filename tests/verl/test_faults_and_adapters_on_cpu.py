"""verl's trainer on a CPU: a run whose episodes fail by design, and one that trains an adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import AutoModelForImageTextToText

from active_perception_r1.config import ModelConfig
from active_perception_r1.config.engines.verl import VerlTraining
from active_perception_r1.data.samples import read_slice
from active_perception_r1.models.backends.transformers import TransformersBackend
from active_perception_r1.modes import ACTIVE, episode_rules, start_episode
from active_perception_r1.training.engines import Job
from active_perception_r1.training.verl_launch import RunFiles, agent_loops
from tests.test_keys import uncounted
from tests.verl import failing_agent
from tests.verl.runs import ON_CPU, RUN, command, finish, write_questions


def changed(**changes: Any) -> VerlTraining:
    one_step = {"steps": 1, "validate_every": 0, "export": "last"}
    return VerlTraining(**{**RUN.model_dump(), **one_step, **changes})


def metrics(folder: Path) -> list[dict[str, Any]]:
    (path,) = folder.glob("checkpoints/*/metrics.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_in_which_a_third_of_the_episodes_fail_stops_and_says_why(
    tmp_path: Path, tiny: ModelConfig
) -> None:
    write_questions(tmp_path / "data.parquet", 3)
    key, agents = "actor_rollout_ref.rollout.agent.agent_loop_config_path", tmp_path / "agents.yaml"
    run = changed(samples=3, prompts_per_step=3, overrides={**ON_CPU, key: str(agents)})
    checkpoints = tmp_path / "checkpoints"
    job = Job("tiny+grpo", run, tiny, tmp_path / "data.parquet", tmp_path / "output", checkpoints)
    files = RunFiles(job.data, job.state, "001")
    (loop,) = yaml.safe_load(agent_loops(tiny, files))
    loop["_target_"] = f"{failing_agent.__name__}.{failing_agent.FailingAgentLoop.__name__}"
    agents.write_text(yaml.safe_dump([loop]))
    log = tmp_path / "train.log"
    assert finish(command(tmp_path, run, tiny), log) == 1
    last = log.read_text().splitlines()[-1]
    assert last == (
        "error: step 1: 4 of 12 episodes failed, more than alarms.max_failed allows (0.02):"
        f" RuntimeError: {failing_agent.FAULT} (4 times)"
    )
    assert len((files.episodes / "1.jsonl").read_text().splitlines()) == 12
    assert not (tmp_path / "output/checkpoint").exists()


def test_an_adapter_is_trained_beside_a_base_in_bfloat16_and_merged_into_it(
    tmp_path: Path, tiny: ModelConfig
) -> None:
    """What ran in its processes counts or is mechanism."""
    write_questions(tmp_path / "data.parquet", 4)
    base = tiny.model_copy(update={"dtype": "bfloat16"})
    run = changed(lora_rank=4, learning_rate=3e-3, micro_batch=2)
    log, record = tmp_path / "train.log", tmp_path / "record"
    record.mkdir()
    assert finish(command(tmp_path, run, base), log, record) == 0, log.read_text()
    (row,) = metrics(tmp_path)
    assert (row["asked"], row["failed"]) == (8, 0)
    assert row["grad_norm"] > 0
    folder = tmp_path / "output/checkpoint"
    assert not (folder / "lora_adapter").exists()
    after = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).state_dict()
    before = AutoModelForImageTextToText.from_pretrained(base.id, dtype=torch.float32)
    moved = {
        name
        for name, value in before.state_dict().items()
        if not torch.equal(value.bfloat16().float(), after[name])
    }
    assert moved
    assert all("language_model.layers" in name and "_proj" in name for name in moved)
    assert len(evaluated(folder, base, tmp_path / "data.parquet")) == 4
    assert len(list(record.iterdir())) > 5
    assert uncounted(record, tmp_path) == {}


def evaluated(checkpoint: Path, base: ModelConfig, data: Path) -> list[str]:
    """Status of every question of `data`, played by the checkpoint as in evaluation."""
    settings = base.model_copy(update={"id": str(checkpoint), "dtype": "float32"})
    engine, rules = TransformersBackend(settings), episode_rules(ACTIVE, settings)
    found = []
    for sample in read_slice(data):
        live = start_episode(sample, rules)
        while not live.finished:
            live.receive(*engine.generate([live.request]))
        found.append(str(live.record("m", "r", seed=0).tool_status))
    return found
