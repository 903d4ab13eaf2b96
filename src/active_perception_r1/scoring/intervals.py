"""How sure a number is: intervals for shares and means of questions that may share documents.

Formulas are checked against statsmodels and scipy, and by simulation, in `tests/test_intervals`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special  # `scipy.stats` asks the same, and takes half a second to import

Values: TypeAlias = npt.NDArray[np.float64]

CONFIDENCE = 0.95
_UPPER = (1 + CONFIDENCE) / 2
RESAMPLES = 2000
MIN_DOCUMENTS = 10
"""Effective documents; with fewer, bootstrap intervals do not hold what they promise."""


class Interval(NamedTuple):
    """Both ends of a 95 % interval."""

    low: float
    high: float


def wilson_interval(successes: int, n: int) -> Interval:
    """Wilson's score interval for a share; (0, 1) where nothing was observed.

    Wilson 1927. Unlike mean ± 1.96 standard errors it stays inside [0, 1] and keeps a width at 0 %
    and 100 %.
    """
    return wilson(successes / n, n) if n else Interval(0.0, 1.0)


def share_interval(outcomes: npt.ArrayLike, documents: npt.ArrayLike) -> Interval:
    """Wilson's interval for the share of true `outcomes`, whose questions may share documents.

    It is that of as many independent questions as these are worth (`effective_questions`); (0, 1)
    where one document is all there is. With Wilson's interval Franco et al. 2019, J. Surv. Stat.
    Methodol. 7:334.

    Args:
        outcomes: for each question, whether it was answered right.
        documents: for each, what it is about.
    """
    right = np.asarray(outcomes, dtype=np.float64)
    if not len(right):
        return Interval(0.0, 1.0)
    worth = effective_questions(right, documents)
    return wilson(float(right.mean()), worth) if worth else Interval(0.0, 1.0)


def effective_questions(outcomes: npt.ArrayLike, documents: npt.ArrayLike) -> float:
    """As how many questions with a document of their own these count.

    Questions about one document tell less than as many about different ones. So n is replaced by
    (z / t)^2 p (1 - p) / v, at most n. p is the share of true `outcomes`, v its variance between
    documents, linearised and times G / (G - 1), and t Student's quantile for G - 1 degrees of
    freedom; G is the effective number of documents. (Korn and Graubard 1998, Survey Methodology
    24:193.) 0 where one document is all there is, which says nothing about others.

    >>> effective_questions([True, False, True], ["a", "b", "c"])
    3.0
    """
    right = np.asarray(outcomes, dtype=np.float64)
    _, member, sizes = np.unique(np.asarray(documents), return_inverse=True, return_counts=True)
    n = len(right)
    if len(sizes) == n:
        return float(n)
    count = effective_number(sizes)
    if count <= 1:
        return 0.0
    share = float(right.mean())
    residuals = np.bincount(member, weights=right) - share * sizes
    variance = count / (count - 1) * float(residuals @ residuals) / n**2
    effective = share * (1 - share) / variance if variance else n
    quantiles = float(special.ndtri(_UPPER) / special.stdtrit(count - 1, _UPPER))
    return min(float(n), effective * quantiles**2)


def wilson(share: float, n: float) -> Interval:
    """Wilson's score interval for a share of as many observations, which may be no whole number."""
    z2 = float(special.ndtri(_UPPER)) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    # At both ends the terms cancel, but for the last bits.
    return Interval(centre - half if share > 0 else 0.0, centre + half if share < 1 else 1.0)


def effective_number(sizes: npt.ArrayLike) -> float:
    """As how many documents of one size count documents of these sizes: (sum m)^2 / sum m^2.

    Kish 1965, Survey Sampling, section 11.2; the number that decides how many clusters are few
    is of this form, too (Carter, Schnepel and Steigerwald 2017, Rev. Econ. Stat. 99:698).

    >>> effective_number([2, 2, 2]), effective_number([4, 1, 1])
    (3.0, 2.0)
    """
    given = np.asarray(sizes, dtype=np.float64)
    return float(given.sum() ** 2 / (given @ given)) if given.any() else 0.0


class DocumentBootstrap:
    """Intervals for means over questions, by drawing whole documents.

    Questions about one document are not independent, so documents are drawn, not questions
    (Davison and Hinkley 1997, section 3.8). Every interval uses the same `RESAMPLES` draws, which
    depend on the number of documents alone: the same data give the same interval.

    The percentiles are widened as for Student's t with documents - 1 degrees of freedom, which few
    documents need (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 3.3);
    documents of unequal size are as few as their effective number.

    Args:
        documents: for each question, the document it is about.
    """

    def __init__(self, documents: Sequence[str], seed: int = 0) -> None:
        names, self._member = np.unique(np.asarray(documents, dtype=str), return_inverse=True)
        self._documents = len(names)
        self._seed = seed

    def interval(self, values: npt.ArrayLike) -> Interval | None:
        """Interval for the mean of `values`, one a question; NaN where a question does not count.

        Returns:
            None where the documents that count are effectively fewer than `MIN_DOCUMENTS`.

        Raises:
            ValueError: not one value a question.
        """
        return self.intervals(np.asarray(values, dtype=np.float64)[:, None])[0]

    def intervals(self, values: npt.ArrayLike) -> list[Interval | None]:
        """The same for each column of `values`, (questions, columns), in one go."""
        given = np.asarray(values, dtype=np.float64)
        if len(given) != len(self._member):
            raise ValueError(f"{len(given)} values for {len(self._member)} questions")
        counted = ~np.isnan(given)
        sizes = self._by_document(counted)
        sums = self._by_document(np.where(counted, given, 0.0))
        # By blocks, so that the small integers of all draws need not become large floats at once.
        totals = np.concatenate(
            [block.astype(np.float64) @ np.hstack([sums, sizes]) for block in self._draws]
        )
        drawn_sums, drawn_sizes = np.hsplit(totals, 2)
        return [
            _percentiles(*column)
            for column in zip(drawn_sums.T, drawn_sizes.T, sizes.T, strict=True)
        ]

    def _by_document(self, values: npt.NDArray[Any]) -> Values:
        """(documents, columns) the sum over each document's questions."""
        sums = [
            np.bincount(self._member, weights=column, minlength=self._documents)
            for column in values.T
        ]
        return np.stack(sums, axis=1)

    @functools.cached_property
    def _draws(self) -> list[npt.NDArray[np.uint8]]:
        """Blocks of resamples: how often each document is drawn in each, (resamples, documents)."""
        generator = np.random.default_rng(self._seed)
        count = self._documents
        draws = np.empty((RESAMPLES, count), dtype=np.uint8)
        for row in draws:
            drawn = generator.integers(count, size=count)
            row[:] = np.minimum(255, np.bincount(drawn, minlength=count))
        return np.array_split(draws, max(1, draws.size // 4_000_000))


def _percentiles(sums: Values, counts: Values, sizes: Values) -> Interval | None:
    """Of the means of all draws.

    Args:
        sums, counts: of the values that count, and their number, in each draw.
        sizes: how many values count of each document.
    """
    effective = effective_number(sizes)
    if effective < MIN_DOCUMENTS:
        return None
    drawn = counts > 0
    tail = _widened_tail(effective)
    low, high = np.quantile(sums[drawn] / counts[drawn], [tail, 1 - tail])
    return Interval(float(low), float(high))


def _widened_tail(count: float) -> float:
    """Share of resamples to leave out at each end: below 2.5 % for few documents."""
    quantile = special.stdtrit(count - 1, _UPPER)
    return float(special.ndtr(-math.sqrt(count / (count - 1)) * quantile))
