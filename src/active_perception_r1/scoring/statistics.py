"""How sure a number is: intervals for shares and means, tests for paired outcomes, and their power.

Formulas are checked against statsmodels and scipy, and by simulation, in `tests/test_statistics`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

CONFIDENCE = 0.95
POWER = 0.8
RESAMPLES = 2000
DISCORDANCE = 0.25
"""Share of the questions that are assumed to change between right and wrong, for planning."""


class Interval(NamedTuple):
    """Both ends of a 95 % interval."""

    low: float
    high: float


def wilson_interval(successes: int, n: int) -> Interval:
    """Wilson's score interval for a share; (0, 1) where nothing was observed.

    Wilson 1927. Unlike mean ± 1.96 standard errors it stays inside [0, 1] and keeps a width at 0 %
    and 100 %.
    """
    if n == 0:
        return Interval(0.0, 1.0)
    interval = stats.binomtest(successes, n).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(float(interval.low), float(interval.high))


@dataclass(frozen=True, slots=True)
class PairedTest:
    """The same n questions answered twice.

    Attributes:
        difference: share right after minus share right before; None for n = 0.
        gained, harmed: wrong to right, right to wrong.
        p_value: of McNemar's exact test.
    """

    n: int
    difference: float | None
    gained: int
    harmed: int
    p_value: float


def paired_test(before: npt.ArrayLike, after: npt.ArrayLike) -> PairedTest:
    """Two-sided exact McNemar test (McNemar 1947): are gains and harms equally likely?

    Without any question that changed there is no evidence of a difference, and p is 1.

    Raises:
        ValueError: the lengths differ.
    """
    first, second = np.asarray(before, dtype=bool), np.asarray(after, dtype=bool)
    if len(first) != len(second):
        raise ValueError(f"{len(first)} outcomes before and {len(second)} after")
    gained, harmed = int((~first & second).sum()), int((first & ~second).sum())
    changed = gained + harmed
    return PairedTest(
        n=len(first),
        difference=(gained - harmed) / len(first) if len(first) else None,
        gained=gained,
        harmed=harmed,
        p_value=float(stats.binomtest(gained, changed).pvalue) if changed else 1.0,
    )


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


def detectable_difference(n: int, discordance: float = DISCORDANCE) -> float | None:
    """The smallest difference in accuracy that n paired questions show in 4 of 5 trials.

    For McNemar's test at 5 %, two-sided, with power 80 %, if a share psi of the questions
    (`discordance`) changes between right and wrong. Solves Connor's sample size (1987, Biometrics
    43:207) for the difference d, with the normal quantiles z_a = 1.96 and z_b = 0.84:

        n = (z_a sqrt(psi) + z_b sqrt(psi - d^2))^2 / d^2

    Returns:
        None where no difference can be shown, since d cannot exceed psi.

    >>> round(detectable_difference(300), 3), detectable_difference(16)
    (0.081, None)
    """
    z_a = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    z_b = float(stats.norm.ppf(POWER))
    rest = n + z_b**2 - z_a**2
    if n == 0 or rest < 0:
        return None
    found = math.sqrt(discordance) * (z_a * math.sqrt(n) + z_b * math.sqrt(rest)) / (n + z_b**2)
    return found if found <= discordance else None


class DocumentBootstrap:
    """Intervals for means over questions, by drawing whole documents.

    Questions about one document are not independent, so documents are drawn, not questions
    (Davison and Hinkley 1997, section 3.8). Every interval uses the same `RESAMPLES` draws, which
    depend on the number of documents alone: the same data give the same interval.

    The percentiles are widened as for Student's t with documents - 1 degrees of freedom, which few
    documents need (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 3.3).

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
            None for fewer than two documents that count: they say nothing about others.

        Raises:
            ValueError: not one value a question.
        """
        given = np.asarray(values, dtype=np.float64)
        if len(given) != len(self._member):
            raise ValueError(f"{len(given)} values for {len(self._member)} questions")
        counted = ~np.isnan(given)
        sizes = np.bincount(self._member, weights=counted, minlength=self._documents)
        effective = int((sizes > 0).sum())
        if effective < 2:
            return None
        sums = np.bincount(
            self._member, weights=np.where(counted, given, 0.0), minlength=self._documents
        )
        # By blocks, so that the small integers of all draws need not become large floats at once.
        totals = np.concatenate(
            [block.astype(np.float64) @ np.stack([sums, sizes], 1) for block in self._draws]
        )
        means = totals[totals[:, 1] > 0]
        tail = _widened_tail(effective)
        low, high = np.quantile(means[:, 0] / means[:, 1], [tail, 1 - tail])
        return Interval(float(low), float(high))

    @cached_property
    def _draws(self) -> list[npt.NDArray[np.uint8]]:
        """Blocks of resamples: how often each document is drawn in each, (resamples, documents)."""
        generator = np.random.default_rng(self._seed)
        count = self._documents
        draws = np.empty((RESAMPLES, count), dtype=np.uint8)
        for row in draws:
            drawn = generator.integers(count, size=count)
            row[:] = np.minimum(255, np.bincount(drawn, minlength=count))
        return np.array_split(draws, max(1, draws.size // 4_000_000))


def _widened_tail(count: int) -> float:
    """Share of resamples to leave out at each end: below 2.5 % for few documents."""
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)
    return float(stats.norm.cdf(-math.sqrt(count / (count - 1)) * quantile))
