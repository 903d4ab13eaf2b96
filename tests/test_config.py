"""The configuration: what it fills in, and that every mistake is named in one line."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from snakemake.io import WILDCARD_REGEX

from active_perception_r1.config import (
    Config,
    DatasetConfig,
    ModelConfig,
    load_config,
    parse_config,
    parse_section,
)
from active_perception_r1.config.presets import PRESETS
from active_perception_r1.config.sources.parquet import ParquetDataset
from active_perception_r1.errors import ConfigError
from active_perception_r1.modes import MODES
from active_perception_r1.rewards.active_vision_reward import RewardConfig

SHIPPED = Path(__file__).parent.parent / "workflow_config.yaml"
RAW: dict[str, Any] = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
DELETE = object()


def changed(path: str, value: object) -> dict[str, Any]:
    """The shipped file with one value set, added or deleted; `path` is separated by slashes."""
    raw = copy.deepcopy(RAW)
    *parents, last = path.split("/")
    section = raw
    for key in parents:
        section = section[key]
    if value is DELETE:
        del section[last]
    else:
        section[last] = value
    return raw


def test_the_shipped_file_is_valid() -> None:
    assert load_config(SHIPPED) == parse_config(RAW)
    assert parse_config(RAW).study == "demo"


MISTAKES: list[tuple[str, object, str]] = [
    ("modles", {}, "modles: unknown key; did you mean 'models'?"),
    (
        "models/tiny-zoom-vlm/zoom_sintax",
        "zoom_roi",
        "models.tiny-zoom-vlm.zoom_sintax: unknown key; did you mean 'zoom_syntax'?",
    ),
    (
        "models/tiny-zoom-vlm/zoom_syntax",
        "zoom_rio",
        "models.tiny-zoom-vlm.zoom_syntax: 'zoom_rio' is not defined; did you mean 'zoom_roi'?",
    ),
    (
        "models/tiny-zoom-vlm/prompts",
        "tense",
        "models.tiny-zoom-vlm.prompts: 'tense' is not defined; did you mean 'terse'?",
    ),
    (
        "models/tiny-zoom-vlm/backend",
        "transformer",
        "models.tiny-zoom-vlm.backend: 'transformer' is not defined; did you mean 'transformers'?",
    ),
    (
        "models/tiny-zoom-vlm/crop/max_pixel",
        1,
        "models.tiny-zoom-vlm.crop.max_pixel: unknown key; did you mean 'max_pixels'?",
    ),
    ("models/tiny-zoom-vlm/id", DELETE, "models.tiny-zoom-vlm.id: missing"),
    (
        "models/tiny-zoom-vlm/temperature",
        0.7,
        "models.tiny-zoom-vlm: temperature is a key of the section decoding now; write"
        " decoding: {temperature: 0.7}",
    ),
    (
        "models/tiny-zoom-vlm/decoding",
        {"repetition_penality": 1.05},
        "models.tiny-zoom-vlm.decoding.repetition_penality: unknown key; did you mean"
        " 'repetition_penalty'?",
    ),
    (
        "models/tiny-zoom-vlm/gpus",
        -1,
        "models.tiny-zoom-vlm.gpus: input should be greater than or equal to 0 (got -1)",
    ),
    (
        "models/tiny-zoom-vlm/max_zooms",
        2,
        "models.tiny-zoom-vlm: max_turns (2) must exceed max_zooms (2), or there is no turn left"
        " to answer in",
    ),
    (
        "models/a b",
        {},
        "models: 'a b' cannot be a name; use letters, digits and . _ + -, with a letter or digit"
        " first",
    ),
    ("study", "dmeo", "study: 'dmeo' is not defined; did you mean 'demo'?"),
    (
        "studies/demo/modes",
        ["baseline", "activ"],
        "studies.demo.modes.1: 'activ' is not defined; did you mean 'active'?",
    ),
    (
        "studies/demo/modes",
        ["active", "oracle", "active"],
        "studies.demo.modes: 'active' is listed twice",
    ),
    (
        "training/tiny-zoom-vlm+grpo/modes",
        ["active", "baseline"],
        "training.tiny-zoom-vlm+grpo.modes: 'baseline' is no mode to learn zooming in: active,"
        " strict_zoom",
    ),
    (
        "studies/demo/models",
        ["tiny-zom-vlm"],
        "studies.demo.models: 'tiny-zom-vlm' is not defined; did you mean 'tiny-zoom-vlm'?",
    ),
    (
        "studies/demo/dataset",
        {"source": "synthetik"},
        "studies.demo.dataset.source: 'synthetik' is not defined; did you mean 'synthetic'?",
    ),
    ("studies/demo/dataset", {}, "studies.demo.dataset.source: missing"),
    (
        "studies/demo/dataset",
        "synthetic",
        "studies.demo.dataset.source: give a mapping with this key (got 'synthetic')",
    ),
    (
        "studies/demo/dataset",
        {"source": ["hub"], "id": "x"},
        "studies.demo.dataset.source: '['hub']' is not defined; did you mean 'hub'?",
    ),
    (
        "studies/demo/dataset",
        {"source": "parquet", "pth": "a.parquet"},
        "studies.demo.dataset.pth: unknown key; did you mean 'path'?",
    ),
    (
        "studies/demo/dataset",
        {"source": "parquet", "path": "pages/{v1}/test.parquet"},
        "studies.demo.dataset.path: Snakemake takes '{v1}' for a wildcard; rename that part of the"
        " path, or link to it from a path without braces",
    ),
    (
        "studies/demo/dataset",
        {"source": "parquet", "path": "~nobody-here/test.parquet"},
        "studies.demo.dataset.path: '~nobody-here' is no known home folder; give the whole path",
    ),
    (
        "studies/demo/slice/split",
        "tset",
        "studies.demo.slice.split: 'tset' is not defined; did you mean 'test'?",
    ),
    (
        "studies/demo/slice/samples",
        "many",
        "studies.demo.slice.samples: input should be a valid integer, unable to parse string as an"
        " integer (got 'many')",
    ),
    (
        "studies/demo/slice",
        {"requires_zoom": "legibility"},
        "studies.demo.slice: requires_zoom: legibility needs legible_pixels, the pixels of the"
        " first view in which answers are looked for",
    ),
    (
        "studies/demo/slice",
        {"legible_pixels": 50176},
        "studies.demo.slice: legible_pixels is only for requires_zoom: legibility",
    ),
    (
        "studies/demo/slice/requires_zoom",
        "legible",
        "studies.demo.slice.requires_zoom: 'legible' is not defined; did you mean 'legibility'?",
    ),
    (
        "studies/demo/reward",
        {"corect_weight": 0.2},
        "studies.demo.reward.corect_weight: unknown key; did you mean 'correct_weight'?",
    ),
    (
        "studies/demo/reward",
        {"max_area": 0.1},
        "studies.demo.reward: tight_area (0.25) must be below max_area (0.1)",
    ),
    (
        "training/tiny-zoom-vlm+grpo/base",
        "tiny-zom-vlm",
        "training.tiny-zoom-vlm+grpo.base: 'tiny-zom-vlm' is not defined; did you mean"
        " 'tiny-zoom-vlm'?",
    ),
    (
        "training/tiny-zoom-vlm+grpo/learning_rat",
        1,
        "training.tiny-zoom-vlm+grpo.learning_rat: unknown key; did you mean 'learning_rate'?",
    ),
    (
        "models/qwen2.5-vl-3b/family",
        "qwen25_vl",
        "models.qwen2.5-vl-3b.family: 'qwen25_vl' is not defined; did you mean 'qwen2_5_vl'?",
    ),
    (
        "models/qwen2.5-vl-3b/crop/multiple",
        1,
        "models.qwen2.5-vl-3b: family qwen2_5_vl takes sides that are multiples of 28 pixels: set"
        " crop.multiple to 28, and crop.max_pixels to at least 784",
    ),
    (
        "models/llava-1.5-7b/max_new_tokens",
        512,
        "studies.docvqa: model llava-1.5-7b: 2304 tokens of 4 images and 2048 of replies do not fit"
        " into its 4096; lower max_zooms, max_new_tokens or the pixel budgets",
    ),
    (
        "models/smolvlm-500m/max_images",
        1,
        "studies.docvqa: model smolvlm-500m: the first view and 3 zooms are 4 images, but it takes"
        " 1; lower max_zooms, or leave zooming out",
    ),
    (
        "studies/headroom/first_views",
        [401408, 500],
        "studies.headroom: model qwen2.5-vl-3b@500: family qwen2_5_vl takes sides that are"
        " multiples of 28 pixels: set first_view.multiple to 28, and first_view.max_pixels to at"
        " least 784",
    ),
    (
        "studies/headroom/models",
        ["qwen2.5-vl-3b@401408"],
        "studies.headroom.models.0: 'qwen2.5-vl-3b@401408' cannot be a name; use letters, digits"
        " and . _ + -, with a letter or digit first",
    ),
    (
        "models/qwen2.5-vl-7b/tensor_parallel",
        2,
        "models.qwen2.5-vl-7b: tensor_parallel (2) exceeds gpus (1)",
    ),
    (
        "models/tiny-zoom-vlm/backend",
        "openai",
        "models.tiny-zoom-vlm: backend openai needs a section openai with a base_url",
    ),
    (
        "models/tiny-zoom-vlm/openai",
        {"base_url": "http://localhost:8000/v1", "api_key_env": "sk-geheim"},
        "models.tiny-zoom-vlm.openai.api_key_env: give the name of an environment variable, such as"
        " OPENAI_API_KEY, never the key",
    ),
    (
        "models/tiny-zoom-vlm/openai",
        {"base_url": "http://me:geheim@localhost/v1"},
        "models.tiny-zoom-vlm.openai.base_url: no user, password or query here; a key belongs into"
        " the environment",
    ),
    (
        "models/tiny-zoom-vlm/vllm",
        {"enforce_eagr": True},
        "models.tiny-zoom-vlm.vllm.enforce_eagr: unknown key; did you mean 'enforce_eager'?",
    ),
    (
        "models/tiny-zoom-vlm/live_episodes",
        8,
        "models.tiny-zoom-vlm.live_episodes: now called max_concurrent_episodes",
    ),
    (
        "training/tiny-zoom-vlm+grpo/reward",
        {"unlooked": 0.5},
        "training.tiny-zoom-vlm+grpo.reward.unlooked: now called no_zoom_penalty",
    ),
    (
        "studies/demo/reward",
        {"x": 1},
        "studies.demo.reward.x: unknown key; known: " + ", ".join(RewardConfig().__slots__),
    ),
    (
        "training/tiny-zoom-vlm+grpo/engine",
        "verll",
        "training.tiny-zoom-vlm+grpo.engine: 'verll' is not defined; did you mean 'verl'?",
    ),
    (
        "training/qwen2.5-vl-3b-docvqa/alarms",
        {"patienc": 1},
        "training.qwen2.5-vl-3b-docvqa.alarms.patienc: unknown key; did you mean 'patience'?",
    ),
    (
        "training/tiny-zoom-vlm",
        {"base": "tiny-zoom-vlm", "study": "demo"},
        "training.tiny-zoom-vlm: the name is taken by an entry under models",
    ),
]


def test_a_path_may_begin_with_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for section, key in (("parquet", "path"), ("hub", "id")):
        dataset = parse_section(DatasetConfig, json.dumps({"source": section, key: "~/pages"}))
        assert str(getattr(dataset, key)) == "/home/me/pages"
    model = parse_config(changed("models/tiny-zoom-vlm/id", "~/model")).models["tiny-zoom-vlm"]
    assert model.id == "/home/me/model"
    assert parse_config(changed("gpu", {"lease_folder": "~/leases"})).gpu.lease_folder == (
        Path("/home/me/leases")
    )


@given(st.text("{}aé1. ,_-[]'\"$;~"))
def test_paths_are_free_of_what_snakemake_takes_for_a_wildcard_and_of_nothing_else(
    name: str,
) -> None:
    path = f"pages/{name}.parquet"
    text = json.dumps({"source": "parquet", "path": path})
    if WILDCARD_REGEX.search(path):
        with pytest.raises(ConfigError, match="for a wildcard"):
            parse_section(DatasetConfig, text)
    else:
        assert parse_section(DatasetConfig, text).path == Path(path)


@pytest.mark.parametrize(("path", "value", "message"), MISTAKES)
def test_a_mistake_is_named_with_the_nearest_valid_name(
    path: str, value: object, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(changed(path, value))
    assert str(caught.value) == message


def test_a_misspelt_required_key_is_reported_as_unknown_rather_than_missing() -> None:
    raw = changed("models/tiny-zoom-vlm/first_view", DELETE)
    raw["models"]["tiny-zoom-vlm"]["first_veiw"] = {"max_pixels": 1}
    with pytest.raises(ConfigError, match="first_veiw: unknown key; did you mean 'first_view'"):
        parse_config(raw)


def test_a_training_run_is_a_model_that_runs_as_its_base_does() -> None:
    config = parse_config(RAW)
    trained = config.model("tiny-zoom-vlm+grpo")
    assert trained.id == "results/demo/training/tiny-zoom-vlm+grpo/checkpoint"
    assert trained.model_copy(update={"id": "models/tiny-zoom-vlm"}) == config.model(
        "tiny-zoom-vlm"
    )


def test_a_model_that_takes_one_image_can_still_answer_without_zooming() -> None:
    raw = changed("models/smolvlm-500m/max_images", 1)
    raw["studies"]["docvqa"]["modes"] = ["baseline", "oracle"]
    raw["studies"]["docvqa"]["models"] = ["smolvlm-500m"]
    assert parse_config(raw).models["smolvlm-500m"].most_images == 1


def test_several_first_views_make_variants_of_every_model_of_a_study() -> None:
    raw = changed("studies/demo/first_views", [3136, 12544])
    config = parse_config(raw)
    assert config.studies["demo"].variants == [
        "tiny-zoom-vlm@3136",
        "tiny-zoom-vlm@12544",
        "tiny-zoom-vlm+grpo@3136",
        "tiny-zoom-vlm+grpo@12544",
    ]
    small, trained = (config.model(f"tiny-zoom-vlm{run}@3136") for run in ("", "+grpo"))
    assert small.first_view.max_pixels == trained.first_view.max_pixels == 3136
    assert small.id == "models/tiny-zoom-vlm"
    assert trained.id == "results/demo/training/tiny-zoom-vlm+grpo/checkpoint"
    assert small.crop == config.model("tiny-zoom-vlm").crop


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("a: [", "cannot be parsed"), ("- a", "expected a mapping"), (None, "cannot be read")],
)
def test_a_file_that_is_no_configuration_is_named(
    tmp_path: Path, text: str | None, complaint: str
) -> None:
    path = tmp_path / "mine.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_config(path)
    assert str(caught.value).startswith(str(path))


def test_sections_survive_the_way_through_a_command_line() -> None:
    config: Config = parse_config(RAW)
    model = config.models["tiny-zoom-vlm"]
    assert parse_section(ModelConfig, model.model_dump_json()) == model
    assert parse_section(DatasetConfig, '{"source": "parquet", "path": "a.parquet"}') == (
        ParquetDataset(source="parquet", path=Path("a.parquet"))
    )
    assert parse_section(RewardConfig, "{}") == RewardConfig()


def test_the_demo_has_every_mode() -> None:
    assert set(RAW["studies"]["demo"]["modes"]) == set(MODES)


class TestRepeats:
    def config(self, **second: Any) -> dict[str, Any]:
        entry = {"id": "m", "first_view": {"max_pixels": 1}, "crop": {"max_pixels": 1}}
        return {
            "study": "s",
            "studies": {
                "s": {
                    "dataset": {"source": "synthetic"},
                    "models": ["a", "b"],
                    "modes": ["active"],
                    "repeats": {"both": ["a", "b"]},
                }
            },
            "models": {"a": entry, "b": {**entry, **second}},
        }

    def test_repeats_differ_in_their_seed(self) -> None:
        assert parse_config(self.config(seed=1)).studies["s"].repeats == {"both": ["a", "b"]}

    def test_and_in_nothing_else(self) -> None:
        with pytest.raises(ConfigError, match=r"repeats.both: a and b differ in decoding"):
            parse_config(self.config(seed=1, decoding={"temperature": 0.5}))


class TestPresets:
    ENTRY: dict[str, Any] = {
        "id": "owner/model",
        "preset": "qwen3_vl_official",
        "first_view": {"max_pixels": 401_408},
        "crop": {"max_pixels": 401_408},
    }

    @pytest.mark.parametrize("name", PRESETS)
    def test_a_preset_sets_all_that_its_entry_leaves_open(self, name: str) -> None:
        model = ModelConfig.model_validate({**self.ENTRY, "preset": name})
        for key, value in PRESETS[name].items():
            found = getattr(model, key)
            if isinstance(value, dict):
                assert all(getattr(found, inner) == value[inner] for inner in value)
            else:
                assert found == value

    def test_keys_of_the_entry_override_it_one_by_one(self) -> None:
        entry = {**self.ENTRY, "max_zooms": 2, "crop": {"max_pixels": 401_408, "clamp": False}}
        model = ModelConfig.model_validate(entry)
        assert (model.max_zooms, model.crop.clamp, model.crop.min_side) == (2, False, 32)

    def test_what_was_read_reads_the_same_again(self) -> None:
        model = ModelConfig.model_validate(self.ENTRY)
        assert ModelConfig.model_validate(model.model_dump(mode="json")) == model

    def test_a_misspelt_one_is_named_with_the_nearest(self) -> None:
        raw = {**RAW, "models": {**RAW["models"], "m": {**self.ENTRY, "preset": "qwen3_official"}}}
        with pytest.raises(ConfigError, match="did you mean 'qwen3_vl_official'"):
            parse_config(raw)
