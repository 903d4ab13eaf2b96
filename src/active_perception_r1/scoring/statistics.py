"""How sure a number is: intervals for shares and means, and a test for paired outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

CONFIDENCE = 0.95
RESAMPLES = 1000


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
    interval = binomtest(successes, n).proportion_ci(CONFIDENCE, method="wilson")
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


def paired_test(before: Sequence[bool], after: Sequence[bool]) -> PairedTest:
    """Two-sided exact McNemar test (McNemar 1947): are gains and harms equally likely?

    Without any question that changed there is no evidence of a difference, and p is 1.

    Raises:
        ValueError: the lengths differ.
    """
    pairs = list(zip(before, after, strict=True))
    gained = sum(not first and bool(second) for first, second in pairs)
    harmed = sum(bool(first) and not second for first, second in pairs)
    changed = gained + harmed
    return PairedTest(
        n=len(pairs),
        difference=(gained - harmed) / len(pairs) if pairs else None,
        gained=gained,
        harmed=harmed,
        p_value=float(binomtest(gained, changed).pvalue) if changed else 1.0,
    )


def clustered_interval(
    values: Sequence[float] | npt.NDArray[np.float64], clusters: Sequence[str], seed: int = 0
) -> Interval | None:
    """Percentile bootstrap interval for a mean, resampling whole clusters.

    Questions about one document are not independent, so documents are drawn, not questions
    (Davison and Hinkley 1997, section 3.8). The same data give the same interval.

    Returns:
        None for fewer than two clusters, which say nothing about other documents.

    Raises:
        ValueError: the lengths differ.
    """
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values in {len(clusters)} clusters")
    names, member = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    if len(names) < 2:
        return None
    sums = np.bincount(member, weights=np.asarray(values, dtype=np.float64))
    sizes = np.bincount(member)
    generator = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        drawn = generator.integers(len(names), size=len(names))
        means[i] = sums[drawn].sum() / sizes[drawn].sum()
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), float(high))
