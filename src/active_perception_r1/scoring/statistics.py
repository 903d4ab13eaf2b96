"""How sure a number is: intervals for shares and means, tests for paired outcomes, and their power.

Formulas are checked against statsmodels and scipy, and by simulation, in `tests/test_statistics`.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.optimize import brentq
from scipy.signal import fftconvolve

Values: TypeAlias = npt.NDArray[np.float64]

CONFIDENCE = 0.95
_UPPER = (1 + CONFIDENCE) / 2
POWER = 0.8
RESAMPLES = 2000
DISCORDANCE = 0.25
"""Share of the questions that are assumed to change between right and wrong, for planning."""
SMALLEST_CHANCE = 1e-18
"""What a sum of very many terms is certain to hold, at best."""
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
    return _wilson(successes / n, n) if n else Interval(0.0, 1.0)


def share_interval(outcomes: npt.ArrayLike, documents: npt.ArrayLike) -> Interval:
    """Wilson's interval for the share of true `outcomes`, whose questions may share documents.

    It is that of as many independent questions as these are worth (`effective_questions`); (0, 1)
    where one document is all there is. With Wilson's interval Franco et al. 2019, J. Surv. Stat.
    Methodol. 7:334.

    Args:
        outcomes, documents: for each question, whether it was answered right, and its document.
    """
    right = np.asarray(outcomes, dtype=np.float64)
    if not len(right):
        return Interval(0.0, 1.0)
    worth = effective_questions(right, documents)
    return _wilson(float(right.mean()), worth) if worth else Interval(0.0, 1.0)


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
    quantiles = float(stats.norm.ppf(_UPPER) / stats.t.ppf(_UPPER, count - 1))
    return min(float(n), effective * quantiles**2)


def _wilson(share: float, n: float) -> Interval:
    z2 = float(stats.norm.ppf(_UPPER)) ** 2
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


@dataclass(frozen=True, slots=True)
class PairedTest:
    """The same n questions answered twice.

    Attributes:
        difference: share right after minus share right before; None for n = 0.
        gained, harmed: wrong to right, right to wrong.
        p_value: two-sided, exact.
    """

    n: int
    difference: float | None
    gained: int
    harmed: int
    p_value: float


def paired_test(
    before: npt.ArrayLike, after: npt.ArrayLike, documents: npt.ArrayLike | None = None
) -> PairedTest:
    """Are gains and harms equally likely? By flipping the signs of whole documents, exactly.

    If nothing differs, each document might as well have its outcomes before and after exchanged. So
    its gains minus harms have either sign with equal chance, however much its questions depend on
    each other, and p is the chance of a total as far from 0 as the one that was found. Where every
    question has a document of its own this is McNemar's exact test (1947).

    Args:
        before, after: whether each question was answered right.
        documents: what each is about; without, each is about a document of its own.

    Raises:
        ValueError: the lengths differ.
    """
    first, second = np.asarray(before, dtype=bool), np.asarray(after, dtype=bool)
    if len(first) != len(second):
        raise ValueError(f"{len(first)} outcomes before and {len(second)} after")
    gains, harms = ~first & second, first & ~second
    about = np.arange(len(first)) if documents is None else np.asarray(documents)
    _, member = np.unique(about, return_inverse=True)
    changes = np.bincount(member[gains], minlength=len(first)) - np.bincount(
        member[harms], minlength=len(first)
    )
    gained, harmed = int(gains.sum()), int(harms.sum())
    return PairedTest(
        n=len(first),
        difference=(gained - harmed) / len(first) if len(first) else None,
        gained=gained,
        harmed=harmed,
        p_value=sign_flip_test(changes),
    )


def sign_flip_test(values: npt.NDArray[np.int64]) -> float:
    """Two-sided p of the sum of integers, each of which is as likely with the other sign.

    Exact: c values of size k make k (2 B - c) with a binomial B of c fair coins, and the sums of
    all sizes are convolved.

    >>> sign_flip_test(np.array([2, 2, -1])), sign_flip_test(np.array([0, 0]))
    (0.5, 1.0)
    """
    sizes, counts = np.unique(np.abs(values[values != 0]), return_counts=True)
    total, most = abs(int(values.sum())), int(sizes @ counts)
    if total == 0:
        return 1.0
    chances = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        heads = np.zeros(size * count + 1)
        heads[::size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        chances = _convolved(chances, heads)
    tail = float(chances[(most + total) // 2 :].sum())
    return min(1.0, max(2 * tail, sys.float_info.min))  # where it is too small to be written, not 0


def _convolved(one: Values, other: Values) -> Values:
    if len(one) * len(other) < 10**8:
        return np.convolve(one, other)  # keeps even the smallest chances to the last digit
    return np.maximum(fftconvolve(one, other), SMALLEST_CHANCE)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted for a family of tests (Holm 1979), in the given order.

    Of all that stay below 5 %, even one is a false alarm in at most 5 % of families. The i-th
    smallest of m is multiplied by m - i + 1, and none may fall below a smaller one's.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    ordered = np.argsort(p_values, kind="stable")
    factors = np.arange(len(ordered), 0, -1)
    raised = np.maximum.accumulate(np.asarray(p_values, dtype=np.float64)[ordered] * factors)
    adjusted = np.empty(len(ordered))
    adjusted[ordered] = np.minimum(1.0, raised)
    return [float(value) for value in adjusted]


@functools.lru_cache  # rows of one table have few different sizes
def detectable_difference(n: int, tests: int = 1, discordance: float = DISCORDANCE) -> float | None:
    """The smallest difference in accuracy that n paired questions show in 4 of 5 trials.

    Of the exact test at 5 % as it is printed: as the first of a family of `tests`, corrected after
    Holm, it must have a p of at most 5 % / `tests`. Of n independent questions a share psi
    (`discordance`) changes between right and wrong, and of these (1 + d / psi) / 2 gain.

    Returns:
        None where no difference can be shown, since d cannot exceed psi.

    >>> round(detectable_difference(300), 3), detectable_difference(16)
    (0.083, None)
    """
    changed = np.arange(n + 1)
    chances = stats.binom.pmf(changed, n, discordance)
    changed, chances = changed[chances > 1e-9], chances[chances > 1e-9]
    # The fewest gains that are significant among so many changes.
    least = stats.binom.isf((1 - CONFIDENCE) / tests / 2, changed, 0.5) + 1

    def missing_power(difference: float) -> float:
        gaining = (1 + difference / discordance) / 2
        return POWER - float(chances @ stats.binom.sf(least - 1, changed, gaining))

    if missing_power(discordance) > 0:
        return None
    return float(brentq(missing_power, 0.0, discordance, xtol=1e-6))


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
    quantile = stats.t.ppf(_UPPER, count - 1)
    return float(stats.norm.cdf(-math.sqrt(count / (count - 1)) * quantile))
