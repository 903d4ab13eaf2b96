"""Every family of models, as a tiny stand-in, from slice through all modes to score."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from active_perception_r1.config import ModelConfig, SliceConfig, parse_section
from active_perception_r1.config.sources.synthetic import SyntheticDataset
from active_perception_r1.data.download import download
from active_perception_r1.data.slices import sample_slice
from active_perception_r1.errors import BackendError
from active_perception_r1.models import runner
from active_perception_r1.models.backends.transformers import TransformersBackend
from active_perception_r1.models.infer import infer
from active_perception_r1.modes import CALL_ONLY, MODES
from active_perception_r1.records import Episode, ToolStatus
from active_perception_r1.rewards.active_vision_reward import RewardConfig
from active_perception_r1.scoring.score import score
from active_perception_r1.sim.messages import FinishReason, Message, Reply, Request
from tests.families import BUILDERS, SYNTAX, build

CALLS = {
    "zoom_roi": '<zoom_roi x0="0.2" y0="0.2" x1="0.6" y1="0.6"/>',
    "qwen2_5_vl": '<tool_call>{"name": "image_zoom_in_tool", "arguments": {"bbox_2d":'
    " [10, 10, 60, 60]}}</tool_call>",
    "qwen3_vl": '<tool_call>{"name": "image_zoom_in_tool", "arguments": {"bbox_2d":'
    " [200, 200, 600, 600]}}</tool_call>",
}


class Zooming(TransformersBackend):
    """A stand-in that is made to zoom in its first two turns and then writes as it likes."""

    def replies(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply]]:
        call = Reply(CALLS[self.settings.zoom_syntax], FinishReason.STOP)
        for index, reply in super().replies(requests):
            yield index, call if len(requests[index]) < 4 and not reply.error else reply


@pytest.fixture(scope="module")
def slice_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    download(SyntheticDataset(source="synthetic", questions={"test": 3}), "test", folder / "a")
    sample_slice(folder / "a", SliceConfig(samples=3), folder / "slice.parquet")
    return folder / "slice.parquet"


@pytest.fixture(scope="module", params=BUILDERS)
def entry(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    folder = tmp_path_factory.mktemp("stand-ins") / request.param
    return parse_section(ModelConfig, json.dumps({**build(request.param, folder), "max_zooms": 2}))


@pytest.fixture(scope="module")
def backend(entry: ModelConfig) -> TransformersBackend:
    return Zooming(entry)


@pytest.mark.slow
def test_a_family_goes_from_slice_to_score_in_every_mode(
    entry: ModelConfig,
    backend: TransformersBackend,
    slice_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "load_backend", lambda settings: backend)
    for mode in MODES:
        output = tmp_path / f"{mode}.jsonl"
        by = MODES[mode].goes_by
        earlier = tmp_path / f"{by}.jsonl" if by else None
        infer(slice_path, "stand-in", entry, mode, output, tmp_path / "partial", earlier=earlier)
        episodes = [Episode.from_json(line) for line in output.read_text().splitlines()]
        assert len(episodes) == 3
        assert ToolStatus.BACKEND_ERROR not in {episode.tool_status for episode in episodes}
        if MODES[mode].tool:
            shown = 0 if mode == CALL_ONLY else 2
            assert all(len(episode.shown_crops) == shown for episode in episodes)
            assert all(step.executed for episode in episodes for step in episode.steps)
        score(output, slice_path, RewardConfig(), tmp_path / "scores.parquet")
        assert len(pd.read_parquet(tmp_path / "scores.parquet")) == 3


def noise(width: int, height: int) -> Image.Image:
    return Image.effect_noise((width, height), 60).convert("RGB")


def test_replies_do_not_depend_on_the_batch(entry: ModelConfig) -> None:
    backend = TransformersBackend(entry)
    multiple = entry.first_view.multiple
    page, crop = noise(2 * multiple, 3 * multiple), noise(3 * multiple, multiple)
    opening = Message("user", (page, "What is the total?"))
    asked_again = (opening, Message("assistant", ("a",)), Message("user", (crop, page, "Total?")))
    requests = [(opening,), asked_again]
    alone = [backend.generate([request])[0] for request in requests]
    together = backend.generate(requests)
    assert [reply.text for reply in together] == [reply.text for reply in alone]
    assert [reply.prompt_tokens for reply in together] == [reply.prompt_tokens for reply in alone]
    assert [reply.error for reply in together] == ["", ""]


def test_a_model_of_another_family_is_refused(entry: ModelConfig) -> None:
    other = "qwen2_vl" if entry.family != "qwen2_vl" else "qwen3_vl"
    with pytest.raises(BackendError, match=f"not of family {other}"):
        TransformersBackend(entry.model_copy(update={"family": other}))


def ask(backend: TransformersBackend, image: Image.Image) -> dict[str, object]:
    processor = backend.processor
    inputs: dict[str, object] = processor(
        text=[processor.image_token], images=[[image]], return_tensors="pt"
    )
    return inputs


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_what_was_sized_for_a_qwen_model_is_not_resized_again(family: str, tmp_path: Path) -> None:
    """Or coordinates in pixels of the view would be of an image that the model never saw."""
    entry = parse_section(ModelConfig, json.dumps(build(family, tmp_path)))
    side = entry.first_view.multiple
    for columns, rows in [(1, 1), (1, 3), (6, 2), (3, 4)]:
        inputs = ask(TransformersBackend(entry), noise(columns * side, rows * side))
        grid = inputs["image_grid_thw"]
        assert grid.tolist() == [[1, 2 * rows, 2 * columns]]  # type: ignore[attr-defined]


def test_smolvlm_takes_no_more_tiles_than_the_budget_fills(tmp_path: Path) -> None:
    entry = parse_section(ModelConfig, json.dumps(build("idefics3", tmp_path)))
    tiles = {}
    for pixels in (56 * 56, 112 * 112):
        views = {
            name: getattr(entry, name).model_copy(update={"max_pixels": pixels})
            for name in ("first_view", "crop")
        }
        backend = TransformersBackend(entry.model_copy(update=views))
        tiles[pixels] = ask(backend, noise(50, 40))["pixel_values"].shape[1]  # type: ignore[attr-defined]
    assert tiles == {56 * 56: 1, 112 * 112: 4 + 1}


def test_llava_sees_the_whole_page_and_not_only_its_middle(tmp_path: Path) -> None:
    backend = TransformersBackend(parse_section(ModelConfig, json.dumps(build("llava", tmp_path))))
    blank = Image.new("RGB", (40, 100), "white")
    headed = blank.copy()
    headed.paste("black", (0, 0, 40, 8))
    views = [ask(backend, page)["pixel_values"] for page in (blank, headed)]
    assert (views[0] != views[1]).any()  # type: ignore[attr-defined]


def test_the_call_syntaxes_of_the_stand_ins_are_those_of_the_real_models() -> None:
    assert set(SYNTAX.values()) <= CALLS.keys()
