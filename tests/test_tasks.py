"""Tasks: what counts as right, and how near a wrong answer is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_perception_r1.tasks import TASKS, Judgement
from active_perception_r1.tasks.anls import anls, anls_lmms
from active_perception_r1.tasks.relaxed import relaxed_match
from active_perception_r1.tasks.short_answer import exact_match, normalise_answer
from active_perception_r1.tasks.vqa import normalise_vqa, vqa_accuracy
from tests.workflow import REPOSITORY

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

    @given(texts, st.lists(texts, min_size=1, max_size=3))
    def test_it_is_the_plain_formula(self, prediction: str, answers: list[str]) -> None:
        assert anls(prediction, answers) == reference_paper(prediction, answers)
        assert anls_lmms(prediction, answers) == reference_lmms(prediction, answers)

    @given(texts, texts)
    def test_it_is_symmetric_and_between_0_and_1(self, first: str, second: str) -> None:
        assert 0 <= anls(first, [second]) == anls(second, [first]) <= 1


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
            ("0", "0"),
            ("0.5", ".5"),
            ("12.0", "12"),
            ("45%", "0.45"),
            ("1e2", "100"),
            ("1.5E-3", "0.0015"),
            ("100.", "100"),
            ("١٠٠", "100"),
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
            ("0.0", "0"),  # a target of 0 is compared as text
            ("nan", "5"),
            ("inf", "5"),
            ("1e1000", "100"),
            ("e2", "100"),
            ("12,34", "1234"),
            ("1_000", "1000"),
            (".", "0"),
            ("bluish", "blue"),
            (None, "0"),
        ],
    )
    def test_refuses_the_rest(self, prediction: str | None, answer: str) -> None:
        assert not relaxed_match(prediction, [answer])

    def test_any_accepted_number_will_do(self) -> None:
        assert relaxed_match("104", ["7", "100"])


class TestVqa:
    @pytest.mark.parametrize(
        ("text", "normalised"),
        [
            ("The Stop Sign!", "stop sign"),
            ("two", "2"),
            ("None", "0"),
            ("dont", "don't"),
            ("Couldnt've", "couldn't've"),
            ("1,000", "1000"),
            ("No. 7.5", "no 7.5"),
            ("7.", "7"),
            ("x-ray", "x ray"),
            ("x-ray - yes", "xray yes"),  # a mark beside a space goes everywhere
            ("Joe's", "joe 's"),
            ("", ""),
        ],
    )
    def test_answers_are_normalised_as_by_the_official_evaluation(
        self, text: str, normalised: str
    ) -> None:
        assert normalise_vqa(text) == normalised

    @pytest.mark.parametrize(
        ("people", "score"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)]
    )
    def test_each_of_ten_people_is_left_out_in_turn(self, people: int, score: float) -> None:
        answers = ["yes"] * people + ["no"] * (10 - people)
        assert vqa_accuracy("Yes.", answers) == pytest.approx(score)

    @given(st.lists(st.sampled_from("abc"), min_size=4, max_size=12), st.sampled_from("abc"))
    def test_it_is_the_mean_over_those_left_out(self, answers: list[str], said: str) -> None:
        parts = []
        for place in range(len(answers)):
            others = answers[:place] + answers[place + 1 :]
            same = sum(normalise_vqa(other) == normalise_vqa(said) for other in others)
            parts.append(min(1, same / 3))
        assert vqa_accuracy(said, answers) == pytest.approx(sum(parts) / len(parts))

    def test_of_fewer_than_four_people_one_is_enough(self) -> None:
        assert vqa_accuracy("x ray", ["no", "X-ray"]) == 1
        assert vqa_accuracy("ray", ["no", "X-ray"]) == 0

    @pytest.mark.parametrize("prediction", [None, "", " \n"])
    def test_no_answer_is_never_right(self, prediction: str | None) -> None:
        assert vqa_accuracy(prediction, ["a"] * 10) == 0


class TestJudgements:
    @pytest.mark.parametrize(
        ("task", "answer", "answers", "expected"),
        [
            ("short_answer", "12.50", ["12.5O"], Judgement(0.0, correct=False)),
            ("anls", "12.50", ["12.5O"], Judgement(0.8, correct=True)),
            ("anls", "abcd", ["abxy"], Judgement(0.0, correct=False)),  # exactly half
            ("relaxed", "1,000", ["1000"], Judgement(1.0, correct=True)),
            ("short_answer", "1,000", ["1000"], Judgement(0.0, correct=False)),
            ("vqa", "b", ["b", "b", *"cdefghij"], Judgement(0.6, correct=True)),
            ("vqa", "b", ["b", *"cdefghijk"], Judgement(0.3, correct=False)),
        ],
    )
    def test_each_task_judges_by_its_benchmark(
        self, task: str, answer: str, answers: list[str], expected: Judgement
    ) -> None:
        judgement = TASKS[task].judge(answer, answers)
        assert judgement.score == pytest.approx(expected.score)
        assert judgement.correct == expected.correct

    @given(st.sampled_from(list(TASKS)), st.none() | texts, st.lists(texts, min_size=1, max_size=5))
    def test_scores_are_between_0_and_1_and_what_scores_nothing_is_not_correct(
        self, task: str, answer: str | None, answers: list[str]
    ) -> None:
        options = ["x", "y"] if task == "multiple_choice" else []
        judgement = TASKS[task].judge(answer, options[:1] or answers, options)
        assert 0 <= judgement.score <= 1
        assert not judgement.correct or judgement.score > 0
        assert answer is not None or judgement == Judgement(0.0, correct=False)

    @pytest.mark.parametrize("task", TASKS)
    def test_the_documentation_has_every_task_and_what_it_tells_the_model(self, task: str) -> None:
        page = (REPOSITORY / "docs" / "tasks.md").read_text(encoding="utf-8")
        (row,) = (line for line in page.splitlines() if TASKS[task].instruction in line)
        assert f"`{task}`" in row

    @pytest.mark.parametrize("task", TASKS)
    def test_every_task_says_how_to_answer_and_reads_that(self, task: str) -> None:
        assert "<answer>" in TASKS[task].instruction
        assert TASKS[task].read("<think>9</think> <answer> 42 </answer>") == "42"
        assert TASKS[task].read("I do not know.") is None
