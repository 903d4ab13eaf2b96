"""How requests go through vLLM, a scripted engine in its place; `tests/vllm` has the real one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from active_perception_r1.config import ModelConfig
from active_perception_r1.data.samples import write_samples
from active_perception_r1.models.runner import BackendRunner
from active_perception_r1.modes import ACTIVE
from tests.scripted import ZOOM, make_sample

BACKEND = "active_perception_r1.models.backends.vllm"
SLOW = 1000  # steps


class ScriptedLlm:
    """Zooms, then answers. Each reply takes a step; the first of all, which is slow, takes many.

    Args:
        happened: told what is asked and answered, in its order.
    """

    def __init__(self, happened: list[str], model: str, **options: Any) -> None:
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(model)
        self._left: dict[str, int] = {}
        self._replies: dict[str, str] = {}
        self.happened = happened
        self.llm_engine = SimpleNamespace(
            step=self._step, engine_core=SimpleNamespace(shutdown=lambda: None)
        )

    def enqueue(self, prompt: Any, sampling: Any, use_tqdm: bool) -> list[str]:
        number = str(len(self._replies))
        turn = len(prompt["multi_modal_data"]["image"])
        self._left[number] = SLOW if number == "0" else 1
        self._replies[number] = ZOOM if turn == 1 else "<answer>42</answer>"
        self.happened.append(f"{number} asked, turn {turn}")
        return [f"{number}-x"]

    def _step(self) -> list[Any]:
        outputs = []
        for number in list(self._left):
            self._left[number] -= 1
            done = self._left[number] == 0
            if done:
                del self._left[number]
                self.happened.append(f"{number} answered")
            tokens = self._tokenizer.encode(self._replies[number], add_special_tokens=False)
            completion = SimpleNamespace(token_ids=tokens, finish_reason="stop" if done else None)
            outputs.append(
                SimpleNamespace(
                    request_id=number, finished=done, prompt_token_ids=[1], outputs=[completion]
                )
            )
        return outputs


@pytest.fixture
def happened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """In the scripted engine, which is what `backend: vllm` finds."""
    events: list[str] = []
    vllm, parameters = ModuleType("vllm"), ModuleType("vllm.sampling_params")
    vars(vllm).update(LLM=partial(ScriptedLlm, events), SamplingParams=SimpleNamespace)
    vars(parameters).update(RequestOutputKind=SimpleNamespace(FINAL_ONLY=2))
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", parameters)
    monkeypatch.delitem(sys.modules, BACKEND, raising=False)
    yield events
    sys.modules.pop(BACKEND, None)


def test_a_second_turn_does_not_wait_for_the_slowest_first_turn(
    tmp_path: Path, untrained_model: ModelConfig, happened: list[str]
) -> None:
    samples = [make_sample(i) for i in range(4)]
    write_samples(tmp_path / "slice.parquet", samples)
    settings = untrained_model.model_copy(update={"backend": "vllm"})
    with BackendRunner("tiny", settings, ACTIVE) as runner:
        episodes = list(runner.run(tmp_path / "slice.parquet", [s.id for s in samples]))
    assert {episode.answer for episode in episodes} == {"42"}
    before_slow = happened[: happened.index("0 answered")]
    assert sum("turn 2" in event for event in before_slow) == len(samples) - 1
    assert [episode.sample_id for episode in episodes][-1] == samples[0].id
