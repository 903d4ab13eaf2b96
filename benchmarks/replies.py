"""Replies of every kind that answer metrics treat differently, each with what it means."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

LETTERS = "ABCD"
_WORDS = (
    "red blue green black white stop exit open closed invoice total amount street avenue coffee"
    " bakery north south march april couldn't don't apple cherry banana dog cat bicycle"
).split()


@dataclass(frozen=True, slots=True)
class Question:
    """What a reply is scored against.

    Attributes:
        answers: of ten people; the first one is accepted where only one is.
        options: four, one of which is the answer.
        letter: of that option.
    """

    answers: tuple[str, ...]
    options: tuple[str, ...]
    letter: str

    @property
    def answer(self) -> str:
        return self.answers[0]


@dataclass(frozen=True, slots=True)
class Reply:
    """`meant` is the letter of the option that a reader would take from it; None for none."""

    kind: str
    text: str
    meant: str | None
    question: Question


Written = tuple[str, str | None]
"""A text and what it means."""

Writer = Callable[[random.Random, Question], Written]


def _the_answer(form: Callable[[random.Random, str], str]) -> Writer:
    """The right answer, in some form."""
    return lambda rng, question: (form(rng, question.answer), question.letter)


def _no_option(form: Callable[[random.Random, Question], str]) -> Writer:
    """What may be right by another metric, but names an option only if it is its very text."""

    def write(rng: random.Random, question: Question) -> Written:
        text = form(rng, question)
        named = dict(zip(question.options, LETTERS, strict=True))
        return text, named.get(text.strip().lower().removeprefix("the "))

    return write


def _letter(*forms: str) -> Writer:
    """A letter, right in four of five replies; TEXT is that of its option."""

    def write(rng: random.Random, question: Question) -> Written:
        letter = question.letter if rng.random() < 0.8 else rng.choice(LETTERS)
        text = question.options[LETTERS.index(letter)]
        return rng.choice(forms).replace("LETTER", letter).replace("TEXT", text), letter

    return write


def _fixed(*texts: str) -> Writer:
    return lambda rng, question: (rng.choice(texts), None)


def _two(rng: random.Random, question: Question) -> Written:
    form = rng.choice(["{} or {}", "({}) or ({})", "{}, {}", "Option {}, no, {}"])
    return form.format(*rng.sample(LETTERS, 2)), None


def _denied(rng: random.Random, question: Question) -> Written:
    text, _ = _letter("not LETTER", "It is not (LETTER)", "LETTER is wrong")(rng, question)
    return text, None


def _misspelt(text: str, rng: random.Random, share: float) -> str:
    wrong = rng.sample(range(len(text)), round(share * len(text)))
    return "".join("#" if place in wrong else letter for place, letter in enumerate(text))


def _number(rng: random.Random, question: Question, factor: float) -> str:
    """The answer times a factor, if it is a number; else any number."""
    try:
        return f"{float(question.answer) * factor:g}"
    except ValueError:
        return str(rng.randint(1, 99))


def _separated(rng: random.Random, question: Question, mark: str) -> str:
    """The answer in thousands, if it is a whole number; else any number."""
    number = int(question.answer) if question.answer.isdecimal() else rng.randint(1000, 9999)
    return f"{number:,}".replace(",", mark)


KINDS: Mapping[str, Writer] = {
    "as accepted": _the_answer(lambda rng, answer: answer),
    "capitals": _the_answer(lambda rng, answer: answer.upper()),
    "spaces around": _the_answer(lambda rng, answer: f"  {answer}{' ' * rng.randint(1, 20)}"),
    "a full stop": _the_answer(lambda rng, answer: f"{answer}."),
    "quotes": _the_answer(lambda rng, answer: f"“{answer}”"),
    "an article in front": _the_answer(lambda rng, answer: f"the {answer}"),
    "a sentence with the answer": _the_answer(lambda rng, answer: f"The answer is {answer}."),
    "another option": _no_option(lambda rng, question: rng.choice(question.options)),
    "another's answer": _no_option(lambda rng, question: rng.choice(question.answers)),
    "few letters wrong": _no_option(lambda rng, question: _misspelt(question.answer, rng, 0.2)),
    "few wrong, spaces around": _no_option(
        lambda rng, question: f"  {_misspelt(question.answer, rng, 0.2)}      "
    ),
    "half the letters wrong": _no_option(lambda rng, q: _misspelt(q.answer, rng, 0.5)),
    "within a word": _no_option(lambda rng, question: f"un{question.answer}ed"),
    "within 5 %": _no_option(lambda rng, q: _number(rng, q, rng.uniform(0.96, 1.04))),
    "at 5 %": _no_option(lambda rng, question: _number(rng, question, 1.05)),
    "beyond 5 %": _no_option(lambda rng, q: _number(rng, q, rng.choice([0.9, 1.1, 2.0]))),
    "thousands": _no_option(lambda rng, question: _separated(rng, question, ",")),
    "percent": _no_option(lambda rng, question: f"{_number(rng, question, 100)}%"),
    "zero": _no_option(lambda rng, question: rng.choice(["0", "0.0", "0%"])),
    "numbers of Python": _no_option(
        lambda rng, q: rng.choice([_separated(rng, q, "_"), "nan", "inf", "1e3"])
    ),
    "a letter": _letter("LETTER", "(LETTER)", "LETTER.", "LETTER. TEXT", "LETTER) TEXT"),
    "a letter in a sentence": _letter(
        "The answer is (LETTER).", "Option LETTER", "Answer: LETTER", "The answer is LETTER. TEXT"
    ),
    "a letter in markup": _letter(r"\boxed{LETTER}", "**LETTER**", "**LETTER. TEXT**"),
    "a letter at the end": _letter("Definitely option LETTER", "It must be option LETTER."),
    "a small letter": lambda rng, question: (question.letter.lower(), question.letter),
    "words that begin with A to D": _fixed("Bad light", "Cannot see it", "Difficult", "Aha"),
    "no answer": _fixed("I do not know", "It is over there", "The light is poor"),
    "an article": _fixed("A house", "There is a house on a hill"),
    "two letters": _two,
    "a letter denied": _denied,
}


def replies(count: int) -> list[Reply]:
    """As many of every kind, in turn; a third of the questions is about numbers."""
    rng = random.Random(7)
    kinds = list(KINDS)
    found = []
    for place in range(count):
        question = _question(rng, about_numbers=place // len(kinds) % 3 == 0)
        kind = kinds[place % len(kinds)]
        found.append(Reply(kind, *KINDS[kind](rng, question), question))
    return found


def _question(rng: random.Random, about_numbers: bool) -> Question:
    options = _numbers(rng) if about_numbers else _phrases(rng)
    letter = rng.choice(LETTERS)
    answer = options[LETTERS.index(letter)]
    agree = rng.randint(1, 9)
    said = [answer, *(rng.choice([answer, answer.upper(), f"the {answer}"]) for _ in range(agree))]
    said += rng.choices(options, k=10 - len(said))
    return Question(tuple(said), tuple(options), letter)


def _phrases(rng: random.Random) -> list[str]:
    """Four of one to seven words, without a word in common."""
    words = rng.sample(_WORDS, 28)
    return [" ".join(words[7 * place :][: rng.randint(1, 7)]) for place in range(4)]


def _numbers(rng: random.Random) -> list[str]:
    """Four that are far from each other, 0 and shares among them."""
    draws = [rng.choice(["0", "0.5", "1", "20"]), str(rng.randint(100, 999))]
    draws += [str(rng.randint(2_000, 9_999)), str(rng.randint(10, 99) / 1000)]
    return rng.sample(draws, 4)
