"""What people would answer, of whom ten were asked, as in TextVQA and VQA."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from active_perception_r1.tasks._task import Judgement, Task

CORRECT_FROM = 0.5
ENOUGH = 3  # people who agree

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_PERIOD = re.compile(r"\.(?!\d)")
_MAX_PERIODS = 32  # The official code gives a flag of this value in the place of a count.
_ARTICLES = frozenset(("a", "an", "the"))
_NUMBERS = "zero one two three four five six seven eight nine ten"
_CONTRACTIONS = (
    "'ow's'at 'twas ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't"
    " hadn't've hasn't haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am"
    " might've mightn't mightn't've must've mustn't needn't not've o'clock oughtn't shan't"
    " she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd"
    " someone'd've someone'll someone's something'd something'd've something'll that's there'd"
    " there'd've there're there's they'd they'd've they'll they're they've wasn't we'd've we've"
    " weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll"
    " who's who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'd've"
    " y'all'll you'd you'd've you'll you're you've"
)


def _misspelt(contraction: str) -> Iterator[str]:
    """It, with one apostrophe left out in every possible way."""
    for place, letter in enumerate(contraction):
        if letter == "'":
            yield contraction[:place] + contraction[place + 1 :]


_WORDS = {
    **{wrong: right for right in _CONTRACTIONS.split() for wrong in _misspelt(right)},
    "somebody'd": "somebodyd",  # so in the official table
    **{word: str(number) for number, word in enumerate(_NUMBERS.split())},
    "none": "0",
}


def normalise_vqa(text: str) -> str:
    """What VQA accuracy compares: the normalisation of the official evaluation (EvalAI).

    1. Lower case; commas and question marks go, and `'s` becomes a word of its own.
    2. A punctuation mark that stands beside a space somewhere in the text goes everywhere; any
       other becomes a space.
    3. A period goes unless a digit follows it.
    4. Numbers up to ten become digits, articles go, and contractions get their apostrophe back.

    >>> normalise_vqa("The dont-walk sign, No. 7.")
    "don't walk sign no 7"
    """
    lower = text.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    lower = lower.replace("\n", " ").replace("\t", " ").strip()
    plain = lower
    for mark in _PUNCTUATION:
        beside_space = f"{mark} " in lower or f" {mark}" in lower
        plain = plain.replace(mark, "" if beside_space else " ")
    words = _PERIOD.sub("", plain, _MAX_PERIODS).lower().split()
    return " ".join(_WORDS.get(word, word) for word in words if word not in _ARTICLES)


def vqa_accuracy(prediction: str | None, answers: Sequence[str]) -> float:
    """VQA accuracy (Antol et al. 2015, arXiv 1505.00468; Singh et al. 2019, arXiv 1904.08920).

    For each of the people asked, min(1, the number of the *others* who gave this answer / 3); the
    mean over all of them. So of ten people it takes four who agree for a full score, and two for
    0.6. Of fewer than four people no three others can agree; then an answer that any of them gave
    scores 1.

    Args:
        answers: one for each person; equal ones are repeated.

    >>> vqa_accuracy("Two.", ["2"] * 2 + ["3"] * 8), vqa_accuracy("2", ["two"])
    (0.6, 1.0)
    """
    if prediction is None or not prediction.strip():
        return 0.0
    given, people = normalise_vqa(prediction), len(answers)
    agree = [normalise_vqa(answer) for answer in answers].count(given)
    if people <= ENOUGH:
        return float(agree > 0)
    thirds = agree * min(ENOUGH, agree - 1) + (people - agree) * min(ENOUGH, agree)
    return thirds / (ENOUGH * people)


class Vqa(Task):
    """VQA accuracy: `correct` from a score of 0.5, so with two of ten people."""

    instruction = "Answer with a single word or phrase, as <answer>your answer</answer>."

    def judge(
        self, answer: str | None, answers: Sequence[str], options: Sequence[str] = ()
    ) -> Judgement:
        score = vqa_accuracy(answer, answers)
        return Judgement(score, score >= CORRECT_FROM)


TASK = Vqa()
