"""The controls of zooming: crops from elsewhere, calls without crops, pixels without a choice."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from active_perception_r1.config import ModelConfig, parse_config
from active_perception_r1.data.samples import write_samples
from active_perception_r1.envs.encoded_page import open_page
from active_perception_r1.envs.zoom_simulator import ViewRules, first_view, tile_views
from active_perception_r1.errors import ConfigError, DataError, UserError
from active_perception_r1.families import FAMILIES
from active_perception_r1.geometry import Box, equal_tiles
from active_perception_r1.models import runner
from active_perception_r1.models.infer import infer
from active_perception_r1.modes import (
    ACTIVE,
    BASELINE,
    CALL_ONLY,
    MATCHED_VIEW,
    MODES,
    RANDOM_CROP,
    CropSizes,
    episode_rules,
    start_episode,
)
from active_perception_r1.modes.random_crop import elsewhere
from active_perception_r1.records import Episode, Sample, ToolStatus
from active_perception_r1.sim.messages import Request, request_id
from tests.scripted import AWAY, MODEL, SAMPLE, ZOOM, make_sample, run, start, stop, text_of
from tests.test_infer import Scripted

ANSWER = "<answer>42</answer>"
PAGE_SIDES = st.integers(1, 9)


class TestTiles:
    @given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 12))
    def test_tiles_are_equal_and_together_the_page(self, width: int, height: int, n: int) -> None:
        tiles = equal_tiles((width, height), n)
        assert len(tiles) == n
        assert sum(tile.area for tile in tiles) == pytest.approx(1)
        for tile, other in itertools.combinations(tiles, 2):
            assert tile.width == pytest.approx(other.width)
            assert tile.height == pytest.approx(other.height)
            assert tile.intersection(other).area == pytest.approx(0)

    @pytest.mark.parametrize(
        ("size", "count", "columns"),
        [((1, 1), 2, 1), ((2, 1), 2, 2), ((1, 2), 2, 1), ((1, 1), 4, 2), ((1, 1), 3, 1)],
    )
    def test_they_are_as_near_to_squares_as_can_be_and_lines_stay_whole(
        self, size: tuple[int, int], count: int, columns: int
    ) -> None:
        assert len({tile.x0 for tile in equal_tiles(size, count)}) == columns

    def test_one_tile_is_the_first_view(self) -> None:
        page, rules = open_page(SAMPLE.image), ViewRules(10_000)
        (only,) = tile_views(page, 1, rules)
        assert only.tobytes() == first_view(page, rules).tobytes()

    def test_each_is_squeezed_into_a_square_of_the_budget(self) -> None:
        page = Image.new("RGB", (672, 672))
        assert [tile.size for tile in tile_views(page, 2, ViewRules(112**2))] == [(112, 112)] * 2

    def test_they_come_in_reading_order_and_show_the_pages_pixels(self) -> None:
        page = Image.new("RGB", (40, 40), "white")
        page.paste("black", (0, 20, 40, 40))
        above, below = tile_views(page, 2, ViewRules(10_000))
        assert (above.getpixel((0, 0)), below.getpixel((0, 0))) == ((255,) * 3, (0,) * 3)


@st.composite
def crops_of_pages(draw: st.DrawFn) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    width, height = draw(PAGE_SIDES), draw(PAGE_SIDES)
    wide, high = draw(st.integers(1, width)), draw(st.integers(1, height))
    x, y = draw(st.integers(0, width - wide)), draw(st.integers(0, height - high))
    return (x, y, x + wide, y + high), (width, height)


class TestRandomCrop:
    @given(crops_of_pages(), st.integers(0, 20))
    def test_it_has_the_size_asked_for_and_lies_beside_it_where_there_is_room(
        self, crop: tuple[tuple[int, int, int, int], tuple[int, int]], seed: int
    ) -> None:
        (x0, y0, x1, y1), (width, height) = crop
        box = Box(x0 / width, y0 / height, x1 / width, y1 / height)
        found = elsewhere(box, (width, height), random.Random(seed))
        assert found.width == pytest.approx(box.width)
        assert found.height == pytest.approx(box.height)
        assert found.expanded(1e-9).inside_page
        places = itertools.product(range(width - x1 + x0 + 1), range(height - y1 + y0 + 1))
        overlaps = [
            max(0, x1 - x0 - abs(x - x0)) * max(0, y1 - y0 - abs(y - y0)) for x, y in places
        ]
        assert found.intersection(box).area * width * height == pytest.approx(min(overlaps))

    def test_every_place_beside_it_is_as_likely(self) -> None:
        box, draw = Box(0.25, 0.25, 0.75, 0.5), random.Random(0)
        drawn = [elsewhere(box, (8, 8), draw) for _ in range(6400)]
        counts = [drawn.count(place) for place in set(drawn)]
        assert len(counts) == 5 * 7 - 5 * 3  # of 4 x 2 pixels on 8 x 8, those that do not touch it
        assert min(counts) > 250 < max(counts) < 390

    def test_it_is_the_same_in_every_run_and_another_for_every_zoom_and_question(self) -> None:
        def crops(sample: Sample) -> list[bytes]:
            live = start(RANDOM_CROP, sample)
            live.receive(stop(ZOOM))
            live.receive(stop(ZOOM))
            return [i.tobytes() for message in live.request[1:] for i in message.images]

        first, second = crops(make_sample(1)), crops(replace(make_sample(1), id="other"))
        assert first == crops(make_sample(1))
        assert len({*first, *second}) == 4

    def test_it_is_shown_as_a_crop_of_that_place_would_be(self) -> None:
        live = start(RANDOM_CROP)
        live.receive(stop(ZOOM))
        (shown,) = live.request[-1].images
        asked = start(ACTIVE)
        asked.receive(stop(ZOOM))
        (wanted,) = asked.request[-1].images
        assert shown.size == wanted.size
        assert shown.tobytes() != wanted.tobytes()


class TestCallOnly:
    def test_the_call_is_accepted_and_the_model_is_shown_nothing(self) -> None:
        live, zooming = start(CALL_ONLY), start(ACTIVE)
        for episode in (live, zooming):
            episode.receive(stop(ZOOM))
        (message,), (other,) = live.request[2:], zooming.request[2:]
        assert message.images == ()
        assert text_of(message) == text_of(other)

    def test_its_zooms_count_against_the_limit_and_none_was_shown(self) -> None:
        episode = run([ZOOM, AWAY, ANSWER], CALL_ONLY)
        assert [step.status for step in episode.steps] == [ToolStatus.ZOOM_EXECUTED] * 2
        assert all(step.executed and not step.crop_size for step in episode.steps)
        assert episode.shown_crops == ()
        assert (episode.answer, episode.tool_status) == ("42", ToolStatus.ANSWERED_WITHOUT_ZOOM)

    def test_in_the_role_of_a_tool_the_answer_to_the_call_is_empty(self) -> None:
        model = MODEL.model_copy(update={"prompts": "native", "zoom_syntax": "qwen3_vl"})
        live = start(CALL_ONLY, model=model)
        live.receive(
            stop(
                '<tool_call>{"name": "image_zoom_in_tool", "arguments":'
                ' {"bbox_2d": [0, 0, 500, 500]}}</tool_call>'
            )
        )
        assert (live.request[-1].role, live.request[-1].parts) == ("tool", ())


def of_family(family: str) -> ModelConfig:
    multiple = FAMILIES[family].multiple
    budgets = {"max_pixels": 80_000, "multiple": multiple}
    return ModelConfig(id="m", gpus=0, family=family, first_view=budgets, crop=budgets)


def matched(model: ModelConfig, earlier: CropSizes, sample: Sample = SAMPLE) -> Request:
    return start_episode(sample, episode_rules(MATCHED_VIEW, model), earlier=earlier).request


class TestMatchedView:
    @pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
    @pytest.mark.parametrize("zooms", [[ZOOM], [ZOOM, AWAY], [ZOOM, AWAY, ZOOM]])
    def test_a_larger_view_has_the_tokens_of_first_view_and_crops(
        self, family: str, zooms: list[str]
    ) -> None:
        model = of_family(family)
        active = run([*zooms, ANSWER], ACTIVE, model=model)
        (view,) = start(ACTIVE, model=model).request[0].images
        spent = sum(w * h for w, h in [view.size, *active.crop_sizes])
        (larger,) = matched(model, active.crop_sizes)[0].images
        side = FAMILIES[family].multiple
        assert larger.width % side == 0 == larger.height % side
        assert 0.93 * spent <= larger.width * larger.height <= spent

    @pytest.mark.parametrize("family", ["idefics3", "llava"])
    def test_a_model_of_one_resolution_sees_as_many_tiles_as_it_saw_images(
        self, family: str
    ) -> None:
        message = matched(of_family(family), [(9, 9), (9, 9)])[0]
        tiles = tile_views(open_page(SAMPLE.image), 3, ViewRules(80_000))
        assert [i.tobytes() for i in message.images] == [tile.tobytes() for tile in tiles]
        assert message.parts[:3] == message.images
        assert message.parts[3:] == start(BASELINE).request[0].parts[1:]

    @pytest.mark.parametrize("family", ["idefics3", "qwen3_vl"])
    def test_where_active_did_not_zoom_it_is_the_baseline(self, family: str) -> None:
        model = of_family(family)
        assert request_id(matched(model, [])) == request_id(start(BASELINE, model=model).request)

    def test_an_engine_is_set_up_for_its_larger_view_and_for_nothing_else(self) -> None:
        flexible, fixed = of_family("qwen3_vl"), of_family("idefics3")
        assert flexible.showing(MATCHED_VIEW).first_view.max_pixels == 4 * 80_000
        assert fixed.showing(MATCHED_VIEW) == fixed
        others = [mode for mode in MODES if mode != MATCHED_VIEW]
        assert all(flexible.showing(mode) == flexible for mode in others)

    def test_a_study_without_active_cannot_have_it(self) -> None:
        view = {"max_pixels": 99}
        study = {"dataset": {"source": "synthetic"}, "models": ["m"]}
        raw = {"study": "s", "models": {"m": {"id": "m", "first_view": view, "crop": view}}}
        alone = {**raw, "studies": {"s": {**study, "modes": [BASELINE, MATCHED_VIEW]}}}
        with pytest.raises(
            ConfigError, match="s.modes: matched_view goes by .* active; add active"
        ):
            parse_config(alone)
        assert parse_config({**raw, "studies": {"s": {**study, "modes": [ACTIVE, MATCHED_VIEW]}}})


class TestInferenceGoingByAnother:
    SLICE = tuple(make_sample(i) for i in range(4))

    @pytest.fixture(autouse=True)
    def _backend(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.backend = Scripted()
        monkeypatch.setattr(runner, "load_backend", lambda settings: self.backend)

    def infer(self, folder: Path, earlier: Path | None) -> list[Episode]:
        write_samples(folder / "slice.parquet", self.SLICE)
        output, partial = folder / "out.jsonl", folder / "partial.jsonl"
        model = of_family("llava")
        infer(
            folder / "slice.parquet",
            "m",
            model,
            MATCHED_VIEW,
            output,
            partial,
            earlier=earlier,
        )
        return [Episode.from_json(line) for line in output.read_text().splitlines()]

    def active(self, folder: Path, zooms: Mapping[str, int], seconds: float = 0) -> Path:
        path = folder / "active.jsonl"
        lines = []
        for sample in self.SLICE:
            episode = run([*[ZOOM] * zooms.get(sample.id, 0), ANSWER], ACTIVE, sample)
            turns = tuple(replace(turn, seconds=seconds) for turn in episode.turns)
            lines.append(replace(episode, turns=turns).to_json() + "\n")
        path.write_text("".join(lines))
        return path

    def test_each_question_is_shown_by_what_was_shown_for_it(self, tmp_path: Path) -> None:
        shown: dict[str, int] = {"sample-1": 1, "sample-2": 2}
        episodes = self.infer(tmp_path, self.active(tmp_path, shown))
        model = of_family("llava")
        for sample, episode in zip(self.SLICE, episodes, strict=True):
            crops = [(9, 9)] * shown.get(sample.id, 0)
            assert episode.turns[0].prompt_id == request_id(matched(model, crops, sample))

    def test_what_is_kept_holds_as_long_as_the_crops_are_the_same(self, tmp_path: Path) -> None:
        self.infer(tmp_path, self.active(tmp_path, {"sample-1": 1}))
        asked = self.backend.asked
        self.infer(tmp_path, self.active(tmp_path, {"sample-1": 1}, seconds=9))
        assert self.backend.asked == asked
        self.infer(tmp_path, self.active(tmp_path, {"sample-1": 2}))
        assert self.backend.asked == 2 * asked

    def test_without_earlier_predictions_it_says_which(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"matched_view goes by .* mode active; .* --earlier"):
            self.infer(tmp_path, None)

    def test_predictions_of_another_slice_are_refused(self, tmp_path: Path) -> None:
        path = self.active(tmp_path, {})
        path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
        with pytest.raises(DataError, match="no prediction for sample sample-0"):
            self.infer(tmp_path, path)
