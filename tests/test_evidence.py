"""Evidence is where the answer stands on the page, as far as words and boxes can tell."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from active_perception_r1.data.evidence import MAX_ALTERNATIVES, GivenSpan, locate_evidence
from active_perception_r1.data.text_pieces import pieces
from active_perception_r1.geometry import Box, iou
from tests.strategies import boxes as any_box

RECEIPTS = Path(__file__).parents[2] / "shared" / "data" / "receipts-docvqa.parquet"

# Noise and answers of disjoint alphabets: noise cannot resemble an answer by chance.
noise = st.lists(st.text("uvwxyz", min_size=1, max_size=8), max_size=12)
answer = st.lists(st.text("abcdefgh", min_size=3, max_size=8), min_size=1, max_size=5)


def line(words: Sequence[str]) -> list[Box]:
    """Boxes of words that share one line, in order."""
    width = 1 / max(1, len(words))
    return [Box(i * width, 0.4, (i + 1) * width, 0.5) for i in range(len(words))]


def spans(
    words: Sequence[str], answers: Sequence[str], given: GivenSpan | None = None
) -> list[str]:
    """The words below each region of evidence."""
    boxes = line(words)
    return [
        " ".join(
            word
            for word, box in zip(words, boxes, strict=True)
            if region.box.x0 <= box.centre[0] <= region.box.x1
        )
        for region in locate_evidence(words, boxes, answers, given)
    ]


class TestWhatIsFound:
    def test_an_answer_of_several_words_is_found_as_one_region(self) -> None:
        assert spans("sold by Book Shop Ltd today".split(), ["book shop ltd"]) == ["Book Shop Ltd"]

    @pytest.mark.parametrize(
        ("words", "wanted", "found"),
        [
            ("Total: RM15.90 .", "15.90", "RM15.90"),
            ("Date:25/12/2018 8:13", "25/12/2018", "Date:25/12/2018"),
            ("TEL BAHRU,JOHOR. END", "Bahru, Johor", "BAHRU,JOHOR."),
        ],
    )
    def test_words_that_ocr_merged_are_looked_into(
        self, words: str, wanted: str, found: str
    ) -> None:
        assert spans(words.split(), [wanted]) == [found]

    def test_a_word_that_ocr_split_is_found_whole(self) -> None:
        assert spans("THE ROUN DING ERROR".split(), ["Rounding"]) == ["ROUN DING"]

    def test_misread_letters_are_tolerated(self) -> None:
        words = "FROM TEO HENG STATI0NERY & B00KS SHOP".split()
        assert spans(words, ["Ted Heng Stationery & Books"]) == ["TEO HENG STATI0NERY & B00KS"]

    def test_letters_that_look_like_digits_are_read_as_digits_in_numbers(self) -> None:
        assert spans("CASH 1O.OO TAX l.5O".split(), ["10.00"]) == ["1O.OO"]

    @pytest.mark.parametrize("word", ["15.00", "16.90", "115.90", "15.9"])
    def test_another_number_is_no_evidence(self, word: str) -> None:
        assert spans(["TOTAL", word], ["15.90"]) == []

    @pytest.mark.parametrize("word", ["A4", "14", "4.5", "4th", "1/4"])
    def test_a_single_digit_is_not_found_inside_a_word(self, word: str) -> None:
        assert spans(["SIZE", word], ["4"]) == []

    def test_a_single_digit_is_found_between_punctuation(self) -> None:
        assert spans(["SIZE", "(4)."], ["4"]) == ["(4)."]

    @pytest.mark.parametrize("answers", [[], [""], ["..."], ["unreadable"]])
    def test_there_is_honestly_no_evidence_where_nothing_resembles_an_answer(
        self, answers: list[str]
    ) -> None:
        assert spans("TOTAL 15.90".split(), answers) == []

    def test_a_page_without_words_has_no_evidence(self) -> None:
        assert locate_evidence([], [], ["15.90"]) == ()

    def test_words_and_boxes_must_match(self) -> None:
        with pytest.raises(ValueError, match="2 words but 1 boxes"):
            locate_evidence(["a", "b"], line(["a"]), ["a"])


class TestWhatTellsWordsApart:
    @pytest.mark.parametrize(
        ("day", "gift"),
        [
            ("दिन", "दान"),  # Hindi
            ("দিন", "দান"),  # Bengali
            ("மணி", "மணை"),  # Tamil
            ("గది", "గదా"),  # Telugu
            ("กิน", "กัน"),  # Thai
            ("စား", "စီး"),  # Burmese
            ("ទី", "ទា"),  # Khmer
            ("kọ́", "kọ"),  # Yoruba: no single character for this o with dot and accent
            ("été", "ete"),
        ],
    )
    def test_marks_do(self, day: str, gift: str) -> None:
        assert spans([gift], [day]) == spans([day], [gift]) == []
        assert spans([gift, day], [day]) == [day]
        assert spans([gift, day], [gift]) == [gift]

    @pytest.mark.parametrize(
        ("written", "in_full"),
        [
            ("محمد", "مُحَمَّد"),
            ("محمد", "محـــمد"),
            ("שלום", "שָׁלוֹם"),
            ("می‌خواهم", "میخواهم"),
            ("istanbul", "İSTANBUL"),
            ("café", "cafe\u0301"),
            ("が", "か\u3099"),
        ],
    )
    def test_marks_that_daily_writing_leaves_out_do_not(self, written: str, in_full: str) -> None:
        assert spans(["x", in_full], [written]) == [in_full]
        assert spans(["x", written], [in_full]) == [written]

    @pytest.mark.parametrize(
        ("wanted", "other"),
        [
            *(("A+", "A-"), ("A+", "A"), ("A-", "A"), ("A*", "A"), ("AB-", "AB+")),
            *(("C#", "C++"), ("C#", "C"), ("C++", "C"), ("F♯", "F♭")),
            *(("-5", "5"), ("-5", "+5"), ("−5", "5"), ("-500", "500"), ("-$5", "$5")),
            *((">5", "<5"), ("5+", "5"), ("5%", "5"), ("±5", "5")),
            *(("102", "10²"), ("12", "½")),
        ],
    )
    def test_symbols_that_make_a_short_answer_another_one_do(self, wanted: str, other: str) -> None:
        assert spans(["x", other], [wanted]) == spans(["x", wanted], [other]) == []
        assert spans([other, wanted], [wanted]) == [wanted]
        assert spans([other, wanted], [other]) == [other]

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            *(("-5", "−5"), ("-5", "(-5)"), ("-$5", "$-5"), ("-5", "-5,-")),
            *(("$5", "5"), ("5", "€5"), ("1/2", "½"), ("5", "5."), ("A+", "(A+),")),
            *(("10-20", "10–20"), ("5%-10%", "5%–10%"), ("A-5", "A 5")),
            *(("information", "infor- mation"), ("15.90", "15.90*"), ("15.90", "15.90¹")),
        ],
    )
    def test_other_symbols_do_not(self, wanted: str, found: str) -> None:
        assert spans(["x", *found.split()], [wanted]) == [found]

    @given(st.text(st.characters(codec="ascii"), max_size=9))
    def test_the_short_way_for_ascii_gives_what_the_long_one_does(self, text: str) -> None:
        assert pieces(f"{text} é") == [*pieces(text), "é"]


class TestAlternatives:
    def test_equally_good_occurrences_are_all_kept(self) -> None:
        assert spans("ITEM 9.00 TOTAL 9.00".split(), ["9.00"]) == ["9.00", "9.00"]

    def test_alternatives_share_one_label(self) -> None:
        words = "ITEM 9.00 TOTAL 9.00".split()
        assert len({e.label for e in locate_evidence(words, line(words), ["9.00"])}) == 1

    def test_an_exact_occurrence_excludes_similar_ones(self) -> None:
        assert spans("Jon Smith and John Smith".split(), ["John Smith"]) == ["John Smith"]

    def test_each_alias_counts(self) -> None:
        words = "on 1/1/93 that is January 1993".split()
        assert spans(words, ["January 1993", "1/1/93"]) == ["1/1/93", "January 1993"]

    def test_a_part_of_a_longer_alias_is_not_looked_for_elsewhere(self) -> None:
        assert spans("page 5 sold 5 million".split(), ["5", "5 million"]) == ["5 million"]

    def test_text_that_stands_nearly_everywhere_tells_no_place(self) -> None:
        words = ["7", "x"] * (MAX_ALTERNATIVES + 1)
        assert spans(words, ["7"]) == []
        assert len(spans(words[:-2], ["7"])) == MAX_ALTERNATIVES


class TestTheSpanThatTheDatasetNames:
    words = "ITEM 9.00 TOTAL 9.00".split()

    def test_it_comes_first_but_the_same_text_elsewhere_stays_an_alternative(self) -> None:
        boxes = line(self.words)
        found = locate_evidence(self.words, boxes, ["9.00"], GivenSpan(3, "9.00"))
        assert [region.box for region in found] == [boxes[3], boxes[1]]

    def test_if_known_to_be_exact_it_excludes_the_same_text_elsewhere(self) -> None:
        boxes = line(self.words)
        found = locate_evidence(self.words, boxes, ["9.00"], GivenSpan(3, "9.00", exact=True))
        assert [region.box for region in found] == [boxes[3]]

    @pytest.mark.parametrize(
        "span",
        [
            GivenSpan(0, "9.00"),
            GivenSpan(3, "8.00", exact=True),
            GivenSpan(-1, "9.00", exact=True),
            GivenSpan(9, "9.00", exact=True),
            GivenSpan(3, "", exact=True),
        ],
    )
    def test_if_its_text_does_not_stand_there_the_page_is_searched(self, span: GivenSpan) -> None:
        assert spans(self.words, ["9.00"], span) == ["9.00", "9.00"]

    def test_if_it_is_not_an_answer_the_page_is_searched(self) -> None:
        assert spans(self.words, ["9.00"], GivenSpan(2, "TOTAL")) == ["9.00", "9.00"]

    def test_if_something_resembles_the_answer_more_that_is_used(self) -> None:
        words = "Jon Smith and John Smith".split()
        assert spans(words, ["John Smith"], GivenSpan(0, "Jon Smith")) == ["John Smith"]


@given(noise, answer, noise)
def test_an_answer_planted_into_noise_is_found_exactly(
    before: list[str], planted: list[str], after: list[str]
) -> None:
    words = [*before, *planted, *after]
    boxes = line(words)
    region = reduce(Box.union, boxes[len(before) : len(before) + len(planted)])
    assert [e.box for e in locate_evidence(words, boxes, [" ".join(planted)])] == [region]


@given(noise, answer, noise, st.randoms(use_true_random=False))
def test_a_planted_answer_is_found_with_one_wrong_letter_in_five_and_broken_words(
    before: list[str], planted: list[str], after: list[str], rng: random.Random
) -> None:
    letters = list("".join(planted))
    assume(len(letters) >= 5)
    for i in rng.sample(range(len(letters)), len(letters) // 5):
        letters[i] = "k"
    cuts = sorted(rng.sample(range(1, len(letters)), min(3, len(letters) // 3)))
    bounds = zip([0, *cuts], [*cuts, len(letters)], strict=True)
    misread = ["".join(letters[a:b]) for a, b in bounds]
    words = [*before, *misread, *after]
    boxes = line(words)
    true_region = reduce(Box.union, boxes[len(before) : len(before) + len(misread)])
    found = locate_evidence(words, boxes, [" ".join(planted)])
    # A wrong letter that stands alone may give way to a neighbour: a half, but for rounding.
    assert any(iou(e.box, true_region) >= 0.5 - 1e-9 for e in found)


@given(
    st.lists(st.text(max_size=6), max_size=8), st.lists(st.text(max_size=10), max_size=4), st.data()
)
def test_regions_lie_inside_the_page_and_around_whole_words(
    words: list[str], answers: list[str], data: st.DataObject
) -> None:
    boxes = data.draw(st.lists(any_box(), min_size=len(words), max_size=len(words)))
    start = data.draw(st.integers(-3, 10))
    span = GivenSpan(start, " ".join(words[max(0, start) : start + 2]), data.draw(st.booleans()))
    found = locate_evidence(words, boxes, answers, span)
    assert len(found) <= MAX_ALTERNATIVES
    for region in found:
        assert region.box.inside_page
        assert any(region.box.union(box) == region.box for box in boxes)


def test_a_word_box_that_overshoots_the_page_is_cut_at_its_edge() -> None:
    (region,) = locate_evidence(["total"], [Box(-0.01, 0.5, 1.02, 0.6)], ["total"])
    assert region.box == Box(0.0, 0.5, 1.0, 0.6)


@given(noise, answer, noise)
def test_unrelated_words_at_the_end_change_nothing(
    before: list[str], planted: list[str], unrelated: list[str]
) -> None:
    words = [*before, *planted]
    boxes = line([*words, *unrelated])
    alone = locate_evidence(words, boxes[: len(words)], [" ".join(planted)])
    assert locate_evidence([*words, *unrelated], boxes, [" ".join(planted)]) == alone


@given(st.lists(st.text("ab1 .", max_size=4), max_size=12), st.data())
def test_the_order_of_aliases_and_their_repetition_do_not_matter(
    words: list[str], data: st.DataObject
) -> None:
    answers = data.draw(st.lists(st.text("ab1 .", max_size=5), max_size=4))
    shuffled = data.draw(st.permutations(answers + answers[:1]))
    boxes = line(words)
    assert locate_evidence(words, boxes, answers) == locate_evidence(words, boxes, shuffled)


@given(answer, st.sampled_from([str.upper, str.lower, str.title]))
def test_letter_case_does_not_matter(planted: list[str], case: Callable[[str], str]) -> None:
    assert spans([case(word) for word in planted], [" ".join(planted)]) != []


@pytest.mark.skipif(not RECEIPTS.exists(), reason="the shared receipts are not at hand")
class TestRealReceipts:
    """159 questions on 40 scans; 139 have a span of words that equals the answer."""

    rows = (
        pq.read_table(
            RECEIPTS, columns=["answers", "words", "bounding_boxes", "answer"]
        ).to_pylist()
        if RECEIPTS.exists()
        else []
    )

    def test_nearly_all_questions_have_evidence(self) -> None:
        found = [
            locate_evidence(
                row["words"], [Box(*box) for box in row["bounding_boxes"]], row["answers"]
            )
            for row in self.rows
        ]
        assert sum(map(bool, found)) >= 0.95 * len(self.rows)

    def test_a_search_without_the_datasets_spans_finds_their_words(self) -> None:
        hits = []
        for row in self.rows:
            if not row["answer"]:
                continue
            boxes = [Box(*box) for box in row["bounding_boxes"]]
            start = row["answer"]["start"]
            stop = start + len(row["answer"]["matched_text"].split())
            true_region = reduce(Box.union, boxes[start:stop])
            found = locate_evidence(row["words"], boxes, row["answers"])
            hits.append(any(iou(region.box, true_region) >= 0.5 for region in found))
        assert sum(hits) >= 0.97 * len(hits)
