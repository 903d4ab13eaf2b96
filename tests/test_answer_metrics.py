"""Answer metrics: what counts as right, and how near a wrong answer is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_perception_r1.scoring.answer_metrics import (
    anls,
    anls_batch,
    anls_lmms,
    relaxed_match,
)
from active_perception_r1.tasks.short_answer import exact_match, normalise_answer

texts = st.text(max_size=12) | st.text(alphabet="aAbB ßİ\t\"'.,5%", max_size=12)


def reference_distance(first: str, second: str) -> int:
    """Edit distance by the textbook recurrence."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(second, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def reference_lmms(prediction: str, answers: list[str]) -> float:
    """lmms-eval's anls: distance on normalised strings, lengths of the raw ones, .5 is kept."""
    values = []
    for answer in answers:
        truth = " ".join(answer.strip().lower().split())
        given = " ".join(prediction.strip().lower().split())
        length = max(len(answer.upper()), len(prediction.upper()))
        values.append(reference_distance(truth, given) / length if length else 0.0)
    score = 1 - min(values)
    return score if score >= 0.5 else 0.0


def reference_paper(prediction: str, answers: list[str]) -> float:
    """Biten et al. 2019, equation 1: best over answers of 1 - NL where NL < .5, else 0."""
    scores = []
    for answer in answers:
        truth, given = " ".join(answer.lower().split()), " ".join(prediction.lower().split())
        length = max(len(truth), len(given))
        distance = reference_distance(truth, given) / length if length else 0.0
        scores.append(1 - distance if distance < 0.5 else 0.0)
    return max(scores)


class TestExactMatch:
    @pytest.mark.parametrize(
        ("prediction", "answer"),
        [
            ("ACME Ltd", "acme ltd"),
            ("  two\t words\n", "two words"),
            ("1.50.", "1.50"),
            ('"quoted"', "quoted"),
            ("“quoted.”", "quoted"),
            ("„so“ ", "so"),
            ("STRASSE", "Straße"),
            ("Cafe\u0301", "Caf\u00e9"),
            ("no-break\u00a0space", "no-break space"),
            ("?", "?"),
            ("１２．５０％", "12.50%"),
            ("Ｔｏｔａｌ　Ａｍｏｕｎｔ", "total amount"),
            ("ｶﾞﾗｽ", "ガラス"),
            ("42\u200b", "42"),
            ("\ufeff4\u20602", "42"),
            ("co\u00adoperate", "cooperate"),
            ("\u200e42\u200f", "42"),
        ],
    )
    def test_ignores_width_case_white_space_outer_quotes_and_closing_punctuation(
        self, prediction: str, answer: str
    ) -> None:
        assert exact_match(prediction, [answer])

    @pytest.mark.parametrize(
        ("prediction", "answer"),
        [
            ("-5", "5"),
            (".5", "5"),
            ("5%", "5"),
            ("$5", "5"),
            ("10²", "102"),
            ("10²", "10２"),
            ("½", "1/2"),
            ("Ⅳ", "IV"),
            ("٤٢", "42"),
            ("1,000", "1000"),
            ("5'", '5"'),
            ("(a)", "a"),
            ("twowords", "two words"),
            ("?", "!"),
        ],
    )
    def test_keeps_what_changes_the_meaning(self, prediction: str, answer: str) -> None:
        assert not exact_match(prediction, [answer])

    def test_any_accepted_answer_will_do(self) -> None:
        assert exact_match("b", ["a", "B"])

    @pytest.mark.parametrize("prediction", [None, "", " \n", "\u200b"])
    def test_no_answer_is_never_right(self, prediction: str | None) -> None:
        assert not exact_match(prediction, ["", "a"])

    @given(texts)
    def test_normalising_twice_changes_nothing(self, text: str) -> None:
        assert normalise_answer(normalise_answer(text)) == normalise_answer(text)

    @given(texts.filter(str.strip))
    def test_every_answer_matches_itself(self, text: str) -> None:
        assert exact_match(text, [text])

    def test_a_megabyte_of_quotes_is_read_in_linear_time(self) -> None:
        assert normalise_answer('"' * 500_000 + "x" + '"' * 500_000) == "x"


class TestAnls:
    @pytest.mark.parametrize(
        ("prediction", "answers", "paper", "lmms"),
        [
            ("same", ["same"], 1.0, 1.0),
            ("Same", ["sAME"], 1.0, 1.0),
            ("42.10", ["42.00"], 0.8, 0.8),
            ("abcd", ["abxy"], 0.0, 0.5),  # NL is exactly .5
            ("abc", ["axy"], 0.0, 0.0),
            ("abcde", ["abcxy"], 0.6, 0.6),
            ("", ["abc"], 0.0, 0.0),
            ("", [""], 1.0, 1.0),
            ("abc", [""], 0.0, 0.0),
            (None, ["abc"], 0.0, 0.0),
            (None, [""], 0.0, 0.0),
            ("wxyz" + " " * 20, ["abcd"], 0.0, 1 - 4 / 24),  # padding pays in lmms-eval's form
            ("a  b", ["a b"], 1.0, 1.0),
            ("abcx", ["zzzz", "abcd"], 0.75, 0.75),
        ],
    )
    def test_golden_values(
        self, prediction: str | None, answers: list[str], paper: float, lmms: float
    ) -> None:
        assert anls(prediction, answers) == paper
        assert anls_lmms(prediction, answers) == lmms

    @given(st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), max_size=8))
    def test_a_batch_equals_the_plain_formula_on_each_pair(
        self, pairs: list[tuple[str, list[str]]]
    ) -> None:
        batch = anls_batch([p for p, _ in pairs], [answers for _, answers in pairs])
        assert batch.paper.tolist() == [reference_paper(p, answers) for p, answers in pairs]
        assert batch.lmms.tolist() == [reference_lmms(p, answers) for p, answers in pairs]

    @given(texts, st.lists(texts, min_size=1, max_size=3))
    def test_one_sample_scores_the_same_alone_as_in_a_batch(
        self, prediction: str, answers: list[str]
    ) -> None:
        batch = anls_batch([None, prediction], [["x"], answers])
        assert batch.paper[1] == anls(prediction, answers)
        assert batch.lmms[1] == anls_lmms(prediction, answers)

    @given(texts, texts)
    def test_it_is_symmetric_and_between_0_and_1(self, first: str, second: str) -> None:
        assert 0 <= anls(first, [second]) == anls(second, [first]) <= 1

    def test_a_sample_without_accepted_answers_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no accepted answer"):
            anls_batch(["a"], [[]])

    def test_lists_of_different_length_are_refused(self) -> None:
        with pytest.raises(ValueError, match="2 predictions for 1 samples"):
            anls_batch(["a", "b"], [["a"]])


class TestRelaxedMatch:
    @pytest.mark.parametrize(
        ("prediction", "answer"),
        [
            ("105", "100"),
            ("95", "100"),
            ("1.05", "1"),  # in binary floating point, 1.05 - 1 is more than 5 %
            ("-95", "-100"),
            ("1,040", "1000"),
            ("5.2 %", "5%"),
            ("0.051", "5%"),
            ("0", "0.0"),
            ("0.5", ".5"),
            ("Blue", "blue"),
        ],
    )
    def test_accepts_numbers_within_5_percent_and_equal_words(
        self, prediction: str, answer: str
    ) -> None:
        assert relaxed_match(prediction, [answer])

    @pytest.mark.parametrize(
        ("prediction", "answer"),
        [
            ("105.01", "100"),
            ("-100", "100"),
            ("5", "5%"),
            ("0.01", "0"),
            ("nan", "5"),
            ("inf", "5"),
            ("1e2", "100"),
            ("١٠٠", "100"),
            ("12,34", "1234"),
            (".", "0"),
            ("bluish", "blue"),
            (None, "0"),
        ],
    )
    def test_refuses_the_rest(self, prediction: str | None, answer: str) -> None:
        assert not relaxed_match(prediction, [answer])

    def test_any_accepted_number_will_do(self) -> None:
        assert relaxed_match("104", ["7", "100"])
