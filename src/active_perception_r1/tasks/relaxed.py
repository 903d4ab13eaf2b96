"""A number that may be a little off, or else an exact word, as in ChartQA."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from active_perception_r1.tasks._task import Judgement, Task
from active_perception_r1.tasks.short_answer import exact_match, normalise_answer

TOLERANCE = Decimal("0.05")

# Thousands separators, and an exponent; at least one digit (`_decimal` sees to it).
_NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d*)?(?:(?<=[\d.])e[+-]?\d{1,3})?")


def relaxed_match(prediction: str | None, answers: Sequence[str]) -> bool:
    """Relaxed accuracy: a number within 5 % of an accepted one, else exact match.

    After Methani et al. 2020 and ChartQA (arXiv 2203.10244, section 5.1). As there, `5%` is 0.05,
    and an accepted 0 is compared as text, since nothing but itself is within 5 % of it; unlike
    there, numbers may have thousands separators, and the 5 % are exact in decimal, so that 1.05 is
    within 5 % of 1.

    >>> relaxed_match("1,040", ["1000"]), relaxed_match("1051", ["1000"])
    (True, False)
    """
    if exact_match(prediction, answers):
        return True
    given = _decimal(prediction or "")
    if given is None:
        return False
    truths = filter(None, map(_decimal, answers))
    return any(abs(given - truth) <= TOLERANCE * abs(truth) for truth in truths)


def _decimal(text: str) -> Decimal | None:
    """The number a text is, a percentage as its share; None if it is not a number."""
    plain = normalise_answer(text)
    number = plain.removesuffix("%").rstrip()
    if not _NUMBER.fullmatch(number) or not any(map(str.isdigit, number.partition("e")[0])):
        return None
    value = Decimal(number.replace(",", ""))
    return value / 100 if plain.endswith("%") else value


class Relaxed(Task):
    """Relaxed accuracy: right or wrong, nothing between."""

    instruction = "Answer with one word or number, as <answer>your answer</answer>."

    def judge(
        self, answer: str | None, answers: Sequence[str], options: Sequence[str] = ()
    ) -> Judgement:
        correct = relaxed_match(answer, answers)
        return Judgement(float(correct), correct)


TASK = Relaxed()
