"""Multiple choice: how options are put, which replies name one, and which are refused."""

from __future__ import annotations

from string import ascii_uppercase

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from active_perception_r1.errors import DataError
from active_perception_r1.scoring.metrics.choice_lmms_hrbench import read_hrbench
from active_perception_r1.scoring.metrics.choice_lmms_vstar import read_vstar
from active_perception_r1.tasks import TASKS
from active_perception_r1.tasks.multiple_choice import read_choice, right_letters

COLOURS = ["red", "blue", "green", "black"]
TASK = TASKS["multiple_choice"]

FORMS = (
    *("{}", "({})", "[{}]", "{})", "{}.", "{}:", " {} \n", "*{}*", "`{}`", "'{}'", "{}!"),
    *("{}: the one on the left", "{}. the one on the left", "({}) on the left", "{} - on the left"),
    *("{}, because it shines", "{}\nIt is on the left.", "It is on the left.\n\n{}"),
    *("Option {}", "Definitely option {}.", "Choice ({})", "I think it's {}.", "It is {}"),
    *("The answer is ({})", "The answer is {}.", "Answer: {}", "The answer is option {}."),
    *("The answer is {} because it shines.", "{} is correct", "{} is the right one."),
    *(r"\boxed{{{}}}", r"$\boxed{{\text{{{}}}}}$", r"So it is \boxed{{({})}}."),
    *("**{}**", "The answer is **{}**.", "**Answer:** {}", "**Answer: {}**", "**{}. on the left**"),
    "<answer>{}</answer>",
)
letters = st.sampled_from("ABCD")
forms = st.sampled_from(FORMS)
words = st.text("abcdefghijklmnopqrstuvwxyzABCDIäß", min_size=2, max_size=8)


class TestForms:
    @pytest.mark.parametrize("form", FORMS)
    @given(letters)
    def test_a_letter_is_read_in_each_form(self, form: str, letter: str) -> None:
        assert read_choice(form.format(letter), COLOURS) == letter

    @pytest.mark.parametrize("form", ["{}", "({})", "{})", "{}.", "option {}", r"\boxed{{{}}}"])
    @given(letters)
    def test_small_letters_will_do(self, form: str, letter: str) -> None:
        assert read_choice(form.format(letter.lower()), COLOURS) == letter

    @pytest.mark.parametrize(
        ("reply", "letter"),
        [
            ("Blue", "B"),
            ("blue.", "B"),
            ('"Blue"', "B"),
            ("It is red.", "A"),
            ("The answer is red", "A"),
            ("Answer: **green**", "C"),
            ("B. blue", "B"),
            ("The correct answer is (C) green.", "C"),
            ("The answer is (B). A blue car is visible.", "B"),
        ],
    )
    def test_an_options_text_names_it(self, reply: str, letter: str) -> None:
        assert read_choice(reply, COLOURS) == letter

    def test_an_options_text_may_hold_letters_and_articles(self) -> None:
        assert read_choice("A cat", ["A dog", "A cat"]) == "B"
        assert read_choice("The answer is A cat.", ["A dog", "A cat"]) == "B"
        assert read_choice("vitamin B", ["vitamin A", "vitamin B"]) == "B"
        assert read_choice("(A) vitamin B", ["vitamin B", "vitamin A"]) == "A"


class TestRefusals:
    @pytest.mark.parametrize(
        "reply",
        [
            *("A or B", "A and B", "A, B", "A/B", "A B", "A; B", "(A) or (B)", "(A)(B)", "b or a)"),
            *("The answer is A or B", "option A, option B", "A, B, C, D", "red or blue"),
            "The answer is (A). No, (B).",
        ],
    )
    def test_two_options_are_ambiguous(self, reply: str) -> None:
        assert read_choice(reply, COLOURS) is None

    @pytest.mark.parametrize(
        "reply", ["Apple", "Bad", "ABCD", "A-frame", "A.I.", "B's", "cab", "The dog is on a chair"]
    )
    def test_a_letter_inside_a_word_is_none(self, reply: str) -> None:
        assert read_choice(reply, COLOURS) is None

    @pytest.mark.parametrize(
        "reply", ["A dog", "a dog", "A red car", "Answer: A dog", "It is A dog", "I think so"]
    )
    def test_an_article_or_a_pronoun_is_no_letter(self, reply: str) -> None:
        assert read_choice(reply, [*COLOURS, *"fghi"]) is None
        assert read_choice(reply, ["cat", "dog"]) is None

    @pytest.mark.parametrize("reply", ["A. blue", "(A) Blue", "Answer: A. blue"])
    def test_a_letter_with_the_text_of_another_option_is_ambiguous(self, reply: str) -> None:
        assert read_choice(reply, COLOURS) is None

    @pytest.mark.parametrize(
        "reply",
        ["not (A)", "It is not B", "The answer is not B", "Option A is wrong", "it isn't (C)"],
    )
    def test_what_is_denied_is_not_chosen(self, reply: str) -> None:
        assert read_choice(reply, COLOURS) is None

    @pytest.mark.parametrize(
        "reply", ["", "  ", "E", "Option E", "The letter is B", "none of them"]
    )
    def test_what_names_no_option_is_none(self, reply: str) -> None:
        assert read_choice(reply, COLOURS) is None

    def test_a_text_that_two_options_have_names_neither(self) -> None:
        assert read_choice("red", ["red", "Red", "blue"]) is None
        assert read_choice("B", ["red", "Red", "blue"]) == "B"

    @given(forms, letters, forms, letters, st.sampled_from(["\n", " or ", ", ", ". No, "]))
    def test_two_letters_in_any_forms_are_refused(
        self, form: str, letter: str, other_form: str, other: str, between: str
    ) -> None:
        assume(letter != other)
        reply = form.format(letter) + between + other_form.format(other)
        assert read_choice(reply, COLOURS) is None

    @given(st.lists(words, min_size=1, max_size=8))
    def test_words_without_a_letter_name_no_option(self, said: list[str]) -> None:
        assume(not {"it", "answer", "option", "choice", "is"}.intersection(said))
        assert read_choice(" ".join(said), ["x1", "x2", "x3", "x4"]) is None

    @given(
        st.text() | st.text("AaBbI ().:*\\{}boxedanswer is\n'", max_size=40),
        st.lists(st.text(max_size=6), max_size=30),
    )
    def test_any_reply_is_an_option_or_none(self, reply: str, options: list[str]) -> None:
        choice = read_choice(reply, options)
        assert choice is None or choice in ascii_uppercase[: len(options)]

    def test_a_long_reply_is_read_in_linear_time(self) -> None:
        for part in ("answer is A. ", "**a** ", r"\boxed{", "(A)", "it is ", "[[", "A\n"):
            read_choice(part * (100_000 // len(part)), COLOURS)


class TestTask:
    def test_options_stand_under_the_question_by_their_letters(self) -> None:
        assert TASK.put("What colour?", ["red", "blue"]) == "What colour?\nA. red\nB. blue"

    @pytest.mark.parametrize("count", [0, 27])
    def test_it_needs_options_and_a_letter_for_each(self, count: int) -> None:
        with pytest.raises(DataError, match=f"{count} options, but multiple choice needs 1 to 26"):
            TASK.put("What colour?", ["red"] * count)

    @pytest.mark.parametrize("accepted", [["B"], ["b"], ["Blue"], ["B", "blue"]])
    def test_what_is_accepted_is_a_letter_or_a_text(self, accepted: list[str]) -> None:
        assert TASK.judge("B", accepted, COLOURS).correct
        assert TASK.judge("blue", accepted, COLOURS).score == 1
        assert not TASK.judge("A", accepted, COLOURS).correct
        assert not TASK.judge(None, accepted, COLOURS).correct

    def test_equal_texts_are_equally_right(self) -> None:
        assert right_letters(["RED"], ["red", "blue", "Red."]) == {"A", "C"}
        assert right_letters(["red"], ["red", "blue", "Red."]) == {"A"}  # exactly

    @pytest.mark.parametrize("answer", ["E", "purple", ""])
    def test_an_accepted_answer_that_is_no_option_is_refused(self, answer: str) -> None:
        with pytest.raises(DataError, match=f"answer '{answer}' is neither a letter nor the text"):
            right_letters([answer], COLOURS)

    @pytest.mark.parametrize(
        ("reply", "answer"),
        [
            ("<answer>B</answer>", "B"),
            ("I see (A) or (B). <answer>B</answer>", "B"),
            ("<think>A or B?</think>\n(B)", "(B)"),
            (r"The answer is \boxed{D}.", r"The answer is \boxed{D}."),
            ("I cannot tell.", None),
            ("A or B", None),
        ],
    )
    def test_without_tags_a_reply_that_states_a_letter_counts(
        self, reply: str, answer: str | None
    ) -> None:
        assert TASK.read(reply) == answer


class TestAsLmmsEvalReads:
    """Values of lmms-eval 0.7.3, beside which benchmarks/peers.py compares many more."""

    @pytest.mark.parametrize(
        ("reply", "letter"),
        [
            ("B", "B"),
            ("(c)", "C"),
            ("The answer is D", "D"),
            ("Blue", "B"),
            ("It is red.", "D"),
            ("The dog is on a chair", "A"),
            ("Definitely option B", "D"),
            ("", None),
            ("why not", None),
        ],
    )
    def test_vstar_bench(self, reply: str, letter: str | None) -> None:
        assert read_vstar(reply, COLOURS) == letter

    @pytest.mark.parametrize(
        ("reply", "letter"),
        [
            ("B", "B"),
            ("b", None),
            (r"\boxed{D}", "D"),
            ("A or B", None),
            ("It is covered.", "A"),
            ("Z", "Z"),
            ("Cannot determine the answer", "Z"),
            ("red or blue", None),
        ],
    )
    def test_hrbench(self, reply: str, letter: str | None) -> None:
        assert read_hrbench(reply, COLOURS) == letter
