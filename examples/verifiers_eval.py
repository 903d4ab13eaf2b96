"""Eight questions played by verifiers, with any server of OpenAI's chat completions.

    python examples/verifiers_eval.py --questions results/demo/slice/test.parquet \\
        --base-url http://localhost:8000/v1 --served-model tiny
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import verifiers.v1 as vf
from verifiers.v1.utils.loaders import load_environment, resolve_env_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=Path, required=True, help="a slice file")
    parser.add_argument("--config", type=Path, default=Path("workflow_config.yaml"))
    parser.add_argument("--study", default="demo", help="a study of the configuration")
    parser.add_argument("--model", default="tiny-zoom-vlm", help="an entry of the configuration")
    parser.add_argument("--base-url", required=True, help="of the server")
    parser.add_argument("--served-model", required=True, help="what the server calls the model")
    options = parser.parse_args()

    taskset = {
        "id": "active-perception-zoom",
        "config": options.config,
        "study": options.study,
        "model": options.model,
        "questions": options.questions,
    }
    env = load_environment(resolve_env_config({"taskset": taskset}))
    context = vf.ModelContext(
        model=options.served_model,
        client=vf.EvalClientConfig(base_url=options.base_url, api_key_var="OPENAI_API_KEY"),
        sampling=vf.SamplingConfig(temperature=0.0, max_tokens=64),
    )
    for episode in asyncio.run(play(env, context, count=8)):
        (trace,) = episode.traces
        paid, correct = trace.reward, trace.metrics["correct"]
        print(f"{trace.task.data.id}: {trace.num_turns} turns, {correct=:.0f}, reward {paid:.3f}")


async def play(env: vf.Env, context: vf.ModelContext, count: int) -> list[vf.Episode]:
    """The first questions of the taskset, four episodes at a time."""
    gate = asyncio.Semaphore(4)
    async with env.serving():
        slots = [slot for task in env.taskset.take(count) for slot in env.slots(task)]
        return await asyncio.gather(*(env.run_slot(slot, context, gate) for slot in slots))


if __name__ == "__main__":
    main()
