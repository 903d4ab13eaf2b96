"""What is trained on and what is validated on: never the same page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from active_perception_r1.config.engines.local import LocalTraining
from active_perception_r1.data.samples import page_keys, write_samples
from active_perception_r1.errors import DataError
from active_perception_r1.records import Sample
from active_perception_r1.training.questions import Questions, divide_questions
from tests.scripted import MODEL, make_sample

RUN = LocalTraining(
    base="base", study="study", prompts_per_step=2, validate_every=5, validation_samples=3
)
PAGES = [make_sample(page) for page in range(6)]
SAMPLES = [replace(page, id=f"{page.id}{part}") for part in "ab" for page in PAGES]


def divided(folder: Path, samples: list[Sample], run: LocalTraining = RUN) -> Questions:
    write_samples(folder / "data.parquet", samples)
    return divide_questions("mine", run, MODEL, folder / "data.parquet")


def pages(samples: list[Sample]) -> set[str]:
    return {key for sample in samples for key in page_keys(sample)}


def test_no_page_is_trained_and_validated_on(tmp_path: Path) -> None:
    questions = divided(tmp_path, SAMPLES)
    validated = questions.of_validation(tmp_path / "data.parquet")
    trained = [SAMPLES[index] for index in questions.training]
    assert len(validated) == 3
    assert len(trained) == 8  # four pages of six: two are held out, with both of their questions
    assert pages(trained).isdisjoint(pages(validated))


def test_pages_that_share_an_image_are_held_out_together(tmp_path: Path) -> None:
    copied = replace(make_sample(5), id="copy", doc_id="page-0")  # the page of 5 under the id of 0
    run = RUN.model_copy(update={"validation_samples": 1})
    questions = divided(tmp_path, [*PAGES, copied], run)
    assert questions.training == {1, 2, 3, 4}


def test_without_validation_every_question_is_trained_on(tmp_path: Path) -> None:
    run = RUN.model_copy(update={"validate_every": 0})
    assert divided(tmp_path, SAMPLES, run) == Questions(frozenset(range(12)))


def test_a_validation_that_leaves_too_little_to_train_on_is_refused(tmp_path: Path) -> None:
    run = RUN.model_copy(update={"validation_samples": 11})
    with pytest.raises(DataError, match="0 samples, without the pages of 11 to validate on"):
        divided(tmp_path, SAMPLES, run)


def test_questions_to_validate_on_are_drawn_besides_those_to_train_on() -> None:
    assert RUN.drawn == RUN.samples + 3
    assert RUN.model_copy(update={"validate_every": 0}).drawn == RUN.samples


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"steps": 4}, "validate_every (5) must not exceed steps (4)"),
        ({"export": "best", "save_every": 7}, "a multiple of validate_every (5)"),
    ],
)
def test_a_validation_that_would_never_count_is_refused(
    keys: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        LocalTraining.model_validate(RUN.model_dump() | keys)
