"""Is a difference one: tests for questions that were answered twice, and what they can show.

Formulas are checked against statsmodels and scipy, and by simulation, in `tests/test_paired_tests`
and, with many more slices, in `benchmarks/simulation.py`.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.optimize import brentq
from scipy.signal import fftconvolve

from active_perception_r1.scoring.intervals import CONFIDENCE, Values

POWER = 0.8
DISCORDANCE = 0.25
"""Share of the questions that are assumed to change between right and wrong, for planning."""
SMALLEST_CHANCE = 1e-18
"""What a sum of very many terms is certain to hold, at best."""


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
    each other, and p is the chance of a total as far from 0 as the one that was found (Canay,
    Romano and Shaikh 2017, Econometrica 85:1013). Where every question has a document of its own
    this is McNemar's exact test (1947).

    Args:
        before: whether each question was answered right.
        after: the same, in the same order.
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
