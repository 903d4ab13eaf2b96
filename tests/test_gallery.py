"""The gallery: what a model really saw, each picture once, and nothing hostile in the page."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from active_perception_r1.config import FirstView
from active_perception_r1.data.samples import write_samples
from active_perception_r1.envs.zoom_simulator import ViewRules
from active_perception_r1.errors import DataError
from active_perception_r1.modes import ACTIVE, BASELINE, ORACLE, SHUFFLED_CROP
from active_perception_r1.report.answers import Entry
from active_perception_r1.report.gallery.evaluation import gallery_of
from active_perception_r1.report.gallery.folder import write_gallery
from active_perception_r1.report.gallery.names import name_of
from active_perception_r1.report.gallery.pictures import LOSSLESS_PIXELS, PAGE_PIXELS, Pictures
from active_perception_r1.report.gallery.training import gallery_of_training
from active_perception_r1.rewards.active_vision_reward import RewardConfig
from active_perception_r1.scoring.diagnosis import diagnose
from active_perception_r1.scoring.score import score
from active_perception_r1.tasks import DEFAULT_TASK
from tests.gallery_pages import (
    MODES,
    answers,
    make_gallery,
    make_training_gallery,
    read_data,
)
from tests.scripted import AWAY, MODEL, ZOOM, make_sample, page_bytes, run

ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(1)><!--\u2028"


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("gallery"))


@pytest.fixture(scope="module")
def index(gallery: Path) -> dict[str, Any]:
    return read_data(gallery, "index")


def column(index: dict[str, Any], model: str, mode: str, name: str) -> list[Any]:
    """What is known of each question in one model and mode."""
    place = [(c["model"], c["mode"]) for c in index["columns"]].index((model, mode))
    return list(index["episodes"][name][place :: len(index["columns"])])


class TestWhatIsThere:
    def test_every_question_is_there_in_every_model_and_mode(self, index: dict[str, Any]) -> None:
        assert index["questions"]["id"] == ["sample-0", "sample-7"]
        assert {len(values) for values in index["episodes"].values()} == {2 * 2 * len(MODES)}
        assert index["about"] == "All 2 questions, in every model and mode."

    def test_questions_beyond_the_limit_are_left_out_whole(self, tmp_path: Path) -> None:
        index = read_data(make_gallery(tmp_path, limit=2 * len(MODES) + 3), "index")
        assert index["questions"]["id"] == ["sample-0"]
        assert index["about"].startswith("The first 1 of 2 questions")

    def test_questions_are_read_in_chunks(self, tmp_path: Path) -> None:
        samples = [make_sample(number) for number in range(23)]
        gallery = make_gallery(tmp_path, samples)
        sizes = [len(read_data(gallery, f"questions-{i}")["questions"]) for i in range(2)]
        assert sizes == [20, 3]
        assert read_data(gallery, "index")["chunk"] == 20

    def test_predictions_of_another_slice_are_refused(self, tmp_path: Path) -> None:
        make_gallery(tmp_path)
        write_samples(tmp_path / "other.parquet", [make_sample(3)])
        entry = Entry("before", ACTIVE, MODEL, tmp_path / "before-active.jsonl")
        gallery = gallery_of(answers(tmp_path / "other.parquet", [entry]), {})
        with pytest.raises(DataError, match=r"before-active\.jsonl: not the predictions of"):
            write_gallery(gallery, tmp_path / "gallery")

    def test_a_gallery_is_made_anew_in_the_place_of_an_earlier_one(self, tmp_path: Path) -> None:
        first = {path.name for path in make_gallery(tmp_path).rglob("*")}
        (tmp_path / "gallery" / "data" / "questions-9.js").write_text("old")
        assert {path.name for path in make_gallery(tmp_path).rglob("*")} == first


class TestPictures:
    def test_what_is_shown_is_checked_against_what_was_recorded(self, gallery: Path) -> None:
        """Crops of the second sample were shuffled with another distractor than the slice's."""
        questions = read_data(gallery, "questions-0")["questions"]
        inexact = {
            (number, MODES[place % len(MODES)])
            for number, question in enumerate(questions)
            for place, episode in enumerate(question["episodes"])
            if not episode["exact"]
        }
        assert inexact == {(1, SHUFFLED_CROP)}

    def test_a_first_view_is_kept_to_the_last_pixel(self, gallery: Path) -> None:
        question = read_data(gallery, "questions-0")["questions"][0]
        name, width, height = question["episodes"][0]["turns"][0]["pictures"][0]
        rules = ViewRules(FirstView(max_pixels=10_000).max_pixels)
        seen = run_first_view(rules)
        with Image.open(gallery / "images" / name) as kept:
            assert kept.size == seen.size == (width, height)
            assert kept.tobytes() == seen.tobytes()

    def test_equal_pictures_are_kept_once_and_named_after_their_content(
        self, gallery: Path
    ) -> None:
        files = [path for path in (gallery / "images").rglob("*") if path.is_file()]
        for path in files:
            name = f"{path.parent.name}/{path.name}"
            assert name == name_of(path.read_bytes(), path.suffix[1:])
        used = re.findall(
            r"[0-9a-f]{2}/[0-9a-f]{16}\.png", (gallery / "data/questions-0.js").read_text()
        )
        assert {f"{path.parent.name}/{path.name}" for path in files} == set(used)
        assert len(files) < len(used)

    def test_a_page_is_kept_as_it_came_unless_a_browser_would_not_show_it_so(
        self, tmp_path: Path
    ) -> None:
        pictures = Pictures(tmp_path)
        page = page_bytes()
        assert (tmp_path / "images" / pictures.add_page(page)).read_bytes() == page
        odd = BytesIO()
        with Image.open(BytesIO(page)) as image:
            image.save(odd, "TIFF")
        copy = tmp_path / "images" / pictures.add_page(odd.getvalue())
        assert copy.suffix == ".jpg"
        with Image.open(copy) as image:
            assert image.size == (400, 300)

    def test_a_very_large_page_is_made_smaller(self, tmp_path: Path) -> None:
        large = BytesIO()
        Image.new("L", (4000, 2000), 255).save(large, "PNG")
        name = Pictures(tmp_path).add_page(large.getvalue())
        with Image.open(tmp_path / "images" / name) as image:
            assert 0.99 * PAGE_PIXELS < image.width * image.height <= PAGE_PIXELS

    def test_a_large_view_keeps_its_size(self, tmp_path: Path) -> None:
        side = int(LOSSLESS_PIXELS**0.5) + 1
        name, *size = Pictures(tmp_path).add_view(Image.new("RGB", (side, side), "white"))
        assert name.endswith(".jpg")
        assert size == [side, side]


def run_first_view(rules: ViewRules) -> Image.Image:
    from active_perception_r1.envs.zoom_simulator import opening_view

    return opening_view(make_sample(0).image, rules)


class TestFacts:
    def test_gains_and_losses_are_against_the_baseline_and_through_training(
        self, index: dict[str, Any]
    ) -> None:
        assert column(index, "after", ACTIVE, "change") == ["gained"] * 2
        assert column(index, "before", ACTIVE, "change") == ["wrong in both"] * 2
        assert column(index, "after", ACTIVE, "trained") == ["gained"] * 2
        assert column(index, "after", ORACLE, "trained") == ["right in both"] * 2
        assert column(index, "before", ACTIVE, "trained") == [""] * 2

    def test_zooms_hit_or_miss_and_controls_do_neither(self, index: dict[str, Any]) -> None:
        assert column(index, "before", ACTIVE, "zoom") == ["missed"] * 2
        assert column(index, "after", ACTIVE, "zoom") == ["hit"] * 2
        assert column(index, "after", SHUFFLED_CROP, "zoom") == [""] * 2
        assert column(index, "after", BASELINE, "zoom") == [""] * 2
        assert column(index, "before", ACTIVE, "headroom") == ["missed"] * 2

    def test_they_are_those_of_the_diagnosis(self, tmp_path: Path) -> None:
        samples = [make_sample(number) for number in range(6)]
        plays = {
            BASELINE: [["<answer>7</answer>"]] * 5 + [["<answer>42</answer>"]],
            ORACLE: [["<answer>42</answer>"]] * 6,
            ACTIVE: [
                [ZOOM, "<answer>42</answer>"],
                [ZOOM, "<answer>7</answer>"],
                [AWAY, "<answer>7</answer>"],
                ["<answer>7</answer>"],
                ["<answer>42</answer>"],
                [AWAY, "<answer>7</answer>"],
            ],
        }
        write_samples(tmp_path / "slice.parquet", samples)
        entries, scores = [], {}
        for mode, of_mode in plays.items():
            path = tmp_path / "m" / f"{mode}.jsonl"
            path.parent.mkdir(exist_ok=True)
            pairs = zip(of_mode, samples, strict=True)
            lines = (run(play, mode, sample).to_json() + "\n" for play, sample in pairs)
            path.write_text("".join(lines))
            entries.append(Entry("m", mode, MODEL, path))
            scores["m", mode] = path.with_suffix(".parquet")
            score(
                path,
                tmp_path / "slice.parquet",
                RewardConfig(),
                scores["m", mode],
                0.0,
                DEFAULT_TASK,
            )
        (told,) = diagnose(scores, {"m": ViewRules(10_000)}, tmp_path, "study")
        write_gallery(
            gallery_of(answers(tmp_path / "slice.parquet", entries), {}), tmp_path / "gallery"
        )
        index = read_data(tmp_path / "gallery", "index")
        found = Counter(column(index, "m", ACTIVE, "headroom"))
        assert {name: found[name.replace("_", " ")] for name in told.headroom} == {
            name: share.count for name, share in told.headroom.items()
        }
        changes = Counter(column(index, "m", ACTIVE, "change"))
        effects = told.effects
        assert changes["gained"] == effects["call_gain"].count + effects["schema_gain"].count
        assert changes["harmed"] == effects["call_harm"].count + effects["schema_harm"].count

    def test_tokens_are_those_of_the_conversation(self, index: dict[str, Any]) -> None:
        assert column(index, "before", BASELINE, "tokens") == [15, 15]


class TestTraining:
    def test_first_last_and_best_of_each_group_are_there_by_step(self, tmp_path: Path) -> None:
        index = read_data(make_training_gallery(tmp_path), "index")
        assert index["questions"]["step"] == [1, 1, 2, 2, 3, 3]
        assert [c["mode"] for c in index["columns"]] == ["first", "last", "best"]
        assert column(index, "m+grpo", "best", "outcome") == ["right"] * 6
        assert column(index, "m+grpo", "best", "coverage") == [1.0] * 6
        assert column(index, "m+grpo", "last", "answer") == ["8"] * 6

    def test_steps_beyond_the_limit_are_left_out_evenly(self, tmp_path: Path) -> None:
        index = read_data(make_training_gallery(tmp_path, steps=9, limit=18), "index")
        assert index["questions"]["step"] == [1, 1, 5, 5, 9, 9]
        assert "of 3 of 9 steps" in index["about"]

    def test_what_the_model_saw_is_played_again(self, tmp_path: Path) -> None:
        questions = read_data(make_training_gallery(tmp_path), "questions-0")["questions"]
        assert all(episode["exact"] for q in questions for episode in q["episodes"])

    def test_a_run_without_episodes_says_so(self, tmp_path: Path) -> None:
        lost = tmp_path / "rollouts.jsonl.gz"
        gallery = gallery_of_training("r", MODEL, DEFAULT_TASK, lost, tmp_path / "data.parquet")
        assert gallery.about == "No episodes of this run were kept."
        write_gallery(gallery, tmp_path / "gallery")
        assert read_data(tmp_path / "gallery", "index")["questions"]["id"] == []

    def test_damaged_episodes_are_named(self, tmp_path: Path) -> None:
        lost = tmp_path / "rollouts.jsonl.gz"
        lost.write_bytes(b"no gzip")
        with pytest.raises(DataError, match=r"rollouts\.jsonl\.gz: damaged"):
            gallery_of_training("r", MODEL, DEFAULT_TASK, lost, tmp_path / "data.parquet")


class TestHostileText:
    def test_data_are_one_text_each_and_no_code(self, tmp_path: Path) -> None:
        samples = [
            replace(make_sample(0), question=ATTACK, id=ATTACK, doc_id=ATTACK),
            make_sample(7),
        ]
        gallery = make_gallery(tmp_path, samples, models={"before": "__proto__"}, study=ATTACK)
        for path in (gallery / "data").iterdir():
            script = path.read_text(encoding="utf-8")
            assert script.isascii()
            assert re.fullmatch(
                r'receive\("[a-z0-9-]+", "(?:[^"\\\n]|\\["\\/bfnrtu])*"\);\n', script
            )
        index = read_data(gallery, "index")
        assert index["questions"]["id"][0] == index["questions"]["question"][0] == ATTACK
        assert index["title"] == f"Traces of study {ATTACK}"

    def test_names_of_pages_are_kept_as_they_are_and_name_no_file(self, tmp_path: Path) -> None:
        odd = "../<b>\u202egpj.exe"
        gallery = make_gallery(tmp_path, [replace(make_sample(0), doc_id=odd), make_sample(7)])
        assert read_data(gallery, "index")["questions"]["page"][0] == odd
        assert not any("gpj" in path.name for path in tmp_path.rglob("*"))

    def test_the_page_is_the_same_for_all_data_and_allows_no_other_script(
        self, gallery: Path
    ) -> None:
        page = (gallery / "index.html").read_text()
        policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
        assert policy
        assert policy[1].startswith("default-src 'none';")
        assert "unsafe" not in policy[1]
        assert "<script>" not in page
        texts = [path.read_text() for path in gallery.iterdir() if path.is_file()]
        addresses = set(re.findall(r"https?://[^\"' ]+", json.dumps(texts)))
        assert addresses == {"http://www.w3.org/2000/svg\\"}
