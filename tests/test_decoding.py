"""How tokens are chosen: as the model's entry says, whatever its checkpoint asks for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from active_perception_r1.config import DecodingConfig, ModelConfig
from active_perception_r1.data.samples import write_samples
from active_perception_r1.models.backends.transformers import TransformersBackend
from active_perception_r1.models.decoding import OutputPenalties
from active_perception_r1.models.infer import infer
from active_perception_r1.modes import BASELINE
from active_perception_r1.sim.messages import FinishReason, Message, Request
from tests.hostile import OPTIONS, made_hostile
from tests.scripted import make_sample

VIEW = Image.effect_noise((112, 112), 60).convert("RGB")
REQUESTS: list[Request] = [
    (Message("user", (VIEW, f"What is the value of {letter}? Answer directly.")),)
    for letter in "ABCDEFGH"
]


@pytest.fixture(scope="module")
def hostile(untrained_model: ModelConfig, tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    folder = tmp_path_factory.mktemp("models") / "hostile"
    made_hostile(Path(untrained_model.id), folder)
    return untrained_model.model_copy(update={"id": str(folder)})


def texts(settings: ModelConfig, **decoding: float) -> list[str]:
    chosen = settings.model_copy(update={"decoding": DecodingConfig.model_validate(decoding)})
    replies = TransformersBackend(chosen).generate(REQUESTS)
    assert not any(reply.error for reply in replies)
    return [reply.text for reply in replies]


@pytest.mark.parametrize(
    "decoding",
    [{}, {"temperature": 1.0}, {"temperature": 0.7, "top_p": 0.8, "top_k": 20}],
    ids=["greedy", "drawn", "drawn from the likeliest"],
)
def test_a_hostile_checkpoint_writes_what_it_writes_without_its_generation_config(
    untrained_model: ModelConfig, hostile: ModelConfig, decoding: dict[str, float]
) -> None:
    assert texts(hostile, **decoding) == texts(untrained_model, **decoding)


def test_its_generation_config_would_have_changed_every_reply(
    untrained_model: ModelConfig, hostile: ModelConfig
) -> None:
    backend = TransformersBackend(hostile)
    backend.model.generation_config = backend._checkpoint
    backend._decoding = None  # type: ignore[assignment]  # what transformers does when not told
    changed = [backend.generate([request])[0] for request in REQUESTS]
    pairs = zip(changed, texts(untrained_model), strict=True)
    assert all(reply.error or reply.text != expected for reply, expected in pairs)


def test_the_end_tokens_of_a_checkpoint_end_a_reply_and_so_does_the_tokenizers(
    untrained_model: ModelConfig, tmp_path: Path
) -> None:
    backend = TransformersBackend(untrained_model)
    first = int(backend.run(backend.encode(REQUESTS[:1])).completions[0, 0])
    copy = made_hostile(Path(untrained_model.id), tmp_path / "copy", eos_token_id=first)
    ended = TransformersBackend(untrained_model.model_copy(update={"id": str(copy)}))
    (reply,) = ended.generate(REQUESTS[:1])
    assert (reply.finish_reason, reply.completion_tokens) == (FinishReason.STOP, 1)
    assert ended._end_tokens() == {first, backend.processor.tokenizer.eos_token_id}


@pytest.mark.parametrize(
    "decoding",
    [
        {"repetition_penalty": 5.0},
        {"presence_penalty": 2.0},
        {"frequency_penalty": 2.0},
        {"temperature": 5.0},
    ],
)
def test_each_key_of_decoding_counts(
    untrained_model: ModelConfig, decoding: dict[str, float]
) -> None:
    assert texts(untrained_model, **decoding) != texts(untrained_model)


def test_one_candidate_is_the_likeliest_however_it_is_chosen(untrained_model: ModelConfig) -> None:
    greedy = texts(untrained_model)
    for only_one in ({"top_k": 1}, {"top_p": 1e-9}, {"min_p": 1.0}):
        assert texts(untrained_model, temperature=2.0, **only_one) == greedy


def test_penalties_are_those_of_the_openai_api() -> None:
    prompt, written = [1, 1, 2], [3, 3, 4]
    scores = OutputPenalties(presence=0.5, frequency=0.25, prompt=3)(
        torch.tensor([prompt + written]), torch.zeros(1, 6)
    )
    assert scores.tolist() == [[0, 0, 0, -1.0, -0.75, 0]]


@pytest.mark.slow
def test_what_is_set_aside_is_told_once_and_recorded_beside_the_predictions(
    hostile: ModelConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_samples(tmp_path / "slice.parquet", [make_sample(i) for i in range(4)])
    output = tmp_path / "out.jsonl"
    infer(tmp_path / "slice.parquet", "bad", hostile, BASELINE, output, tmp_path / "p", cores=2)
    lines = [line for line in capsys.readouterr().err.splitlines() if "set aside" in line]
    assert len(lines) == 1
    assert "bad: the generation_config of its checkpoint (" in lines[0]
    assert "repetition_penalty=7.0, " in lines[0]
    about = json.loads(output.with_suffix(".json").read_text())
    assert about["set_aside"] == OPTIONS
    assert about["settings"]["decoding"] == DecodingConfig().model_dump()


def test_a_saved_model_keeps_the_generation_config_of_its_base(
    hostile: ModelConfig, tmp_path: Path
) -> None:
    TransformersBackend(hostile).save(tmp_path)
    saved, before = (
        json.loads(Path(folder, "generation_config.json").read_text())
        for folder in (tmp_path, hostile.id)
    )
    assert saved == before
