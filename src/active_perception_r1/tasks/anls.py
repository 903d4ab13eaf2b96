"""A short answer that may have a few wrong letters, as in DocVQA and InfographicVQA.

Average normalised Levenshtein similarity exists in two forms. Both compare lower-case strings with
white space collapsed, and of several accepted answers the nearest counts; d is the edit distance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rapidfuzz.distance import Levenshtein

from active_perception_r1.tasks._task import Judgement, Task

THRESHOLD = 0.5


def anls(prediction: str | None, answers: Iterable[str]) -> float:
    """The published form: Biten et al. 2019 (arXiv 1905.13648), equation 1.

    With NL = d / the longer length: 1 - NL where NL < 0.5, else 0; so exactly 0.5 scores 0.

    >>> anls("42.10", ["42.00"]), anls("ab", ["ax"])
    (0.8, 0.0)
    """
    if prediction is None:
        return 0.0
    given, best = _collapsed(prediction), 0.0
    for truth in map(_collapsed, answers):
        longer = max(len(given), len(truth), 1)  # two empty strings are equal
        best = max(best, 1.0 - Levenshtein.distance(given, truth) / longer)
    return best if best > THRESHOLD else 0.0


def anls_lmms(prediction: str | None, answers: Iterable[str]) -> float:
    """As lmms-eval and VLMEvalKit compute it.

    They take the longer length *before* white space is collapsed, so padding raises the score, and
    keep exactly 0.5.

    >>> anls_lmms("42.10", ["42.00"]), anls_lmms("ab", ["ax"])
    (0.8, 0.5)
    """
    if prediction is None:
        return 0.0
    # Upper case may be longer ("ß" becomes "SS"); lmms-eval measures it so.
    given, length, best = _collapsed(prediction), len(prediction.upper()), 0.0
    for answer in answers:
        longer = max(length, len(answer.upper()), 1)
        best = max(best, 1.0 - Levenshtein.distance(given, _collapsed(answer)) / longer)
    return best if best >= THRESHOLD else 0.0


def _collapsed(text: str) -> str:
    return " ".join(text.lower().split())


class Anls(Task):
    """Credit for what is nearly right: `score` is ANLS as published, `correct` any above 0."""

    instruction = (
        "Answer with a word or a short phrase from the page, as <answer>your answer</answer>."
    )

    def judge(
        self, answer: str | None, answers: Sequence[str], options: Sequence[str] = ()
    ) -> Judgement:
        score = anls(answer, answers)
        return Judgement(score, score > 0)


TASK = Anls()
