"""Answer metrics: exact match, ANLS in its two common forms, relaxed numeric accuracy.

Each takes what a model answered (None for no answer, which scores 0) and the accepted answers, of
which the best match counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cpdist

from active_perception_r1.tasks.short_answer import exact_match, normalise_answer

ANLS_THRESHOLD = 0.5
RELAXED_TOLERANCE = Decimal("0.05")

_NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?", re.ASCII)

Scores = npt.NDArray[np.float64]


class Anls(NamedTuple):
    """Average normalised Levenshtein similarity, one score in [0, 1] per sample, in two forms.

    Both compare lower-case strings with white space collapsed; d is their edit distance.

    Attributes:
        paper: Biten et al. 2019 (arXiv 1905.13648), equation 1: with NL = d / the longer length,
            1 - NL where NL < 0.5, else 0; exactly 0.5 scores 0.
        lmms: as lmms-eval and VLMEvalKit compute it: d over the longer length *before* white space
            is collapsed, so padding raises it; exactly 0.5 is kept.
    """

    paper: Scores
    lmms: Scores


def anls_batch(predictions: Sequence[str | None], answers: Sequence[Sequence[str]]) -> Anls:
    """ANLS of many samples at once; `answers[i]` are the accepted answers of sample i.

    Raises:
        ValueError: the lengths differ, or a sample has no accepted answer.
    """
    counts = [len(accepted) for accepted in answers]
    if len(predictions) != len(counts):
        raise ValueError(f"{len(predictions)} predictions for {len(counts)} samples")
    if not counts:
        return Anls(np.zeros(0), np.zeros(0))
    if min(counts) == 0:
        raise ValueError("a sample has no accepted answer")
    truths = list(chain.from_iterable(answers))
    given = ["" if prediction is None else prediction for prediction in predictions]
    clean_given, clean_truths = _collapsed(given), _collapsed(truths)

    owner = np.repeat(np.arange(len(counts)), counts)
    repeated = [clean_given[i] for i in owner.tolist()]
    distance = cpdist(repeated, clean_truths, scorer=Levenshtein.distance, dtype=np.int64)
    paper = _similarity(distance, np.maximum(_lengths(clean_given)[owner], _lengths(clean_truths)))
    # Upper case may be longer ("ß" becomes "SS"); lmms-eval measures it so.
    raw_given = _lengths([text.upper() for text in given])
    raw_truths = _lengths([text.upper() for text in truths])
    lmms = _similarity(distance, np.maximum(raw_given[owner], raw_truths))

    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    answered = np.array([prediction is not None for prediction in predictions])
    best_paper = np.where(answered, np.maximum.reduceat(paper, starts), 0.0)
    best_lmms = np.where(answered, np.maximum.reduceat(lmms, starts), 0.0)
    return Anls(
        paper=np.where(best_paper > ANLS_THRESHOLD, best_paper, 0.0),
        lmms=np.where(best_lmms >= ANLS_THRESHOLD, best_lmms, 0.0),
    )


def anls(prediction: str | None, answers: Sequence[str]) -> float:
    """ANLS of one sample in the published form (`Anls.paper`).

    >>> anls("42.10", ["42.00"]), anls("ab", ["ax"])
    (0.8, 0.0)
    """
    return float(anls_batch([prediction], [answers]).paper[0])


def anls_lmms(prediction: str | None, answers: Sequence[str]) -> float:
    """ANLS of one sample as lmms-eval computes it (`Anls.lmms`).

    >>> anls_lmms("42.10", ["42.00"]), anls_lmms("ab", ["ax"])
    (0.8, 0.5)
    """
    return float(anls_batch([prediction], [answers]).lmms[0])


def relaxed_match(prediction: str | None, answers: Sequence[str]) -> bool:
    """Relaxed accuracy for charts: a number within 5 % of an accepted one, else exact match.

    After Methani et al. 2020 and ChartQA (arXiv 2203.10244, section 5.1). As there, `5%` is 0.05
    and an accepted 0 is met only by 0; unlike there, numbers may have thousands separators, and
    the 5 % are exact in decimal, so that 1.05 is within 5 % of 1.

    >>> relaxed_match("1,040", ["1000"]), relaxed_match("1051", ["1000"])
    (True, False)
    """
    if exact_match(prediction, answers):
        return True
    given = _decimal(prediction or "")
    if given is None:
        return False
    truths = (_decimal(answer) for answer in answers)
    return any(
        truth is not None and abs(given - truth) <= RELAXED_TOLERANCE * abs(truth)
        for truth in truths
    )


def _collapsed(texts: Sequence[str]) -> list[str]:
    return [" ".join(text.lower().split()) for text in texts]


def _lengths(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    return np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))


def _similarity(distance: npt.NDArray[np.int64], length: npt.NDArray[np.int64]) -> Scores:
    """1 - distance / length; two empty strings are equal."""
    return 1.0 - distance / np.maximum(length, 1)


def _decimal(text: str) -> Decimal | None:
    """The number a text is, a percentage as its share; None if it is not a number."""
    plain = normalise_answer(text)
    digits = plain.removesuffix("%").rstrip()
    if not _NUMBER.fullmatch(digits) or not digits.strip("+-"):
        return None
    value = Decimal(digits.replace(",", ""))
    return value / 100 if plain.endswith("%") else value
