"""Do the tests keep what they promise, in 20,000 slices each? python benchmarks/simulation.py

Power: of slices in which the detectable difference is there, how many show it, by the exact test as
it is printed, corrected after Holm for so many tests. False alarms: of comparisons in which nothing
differs, how many are called different at 5 %; questions about one document share much of its fate.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from measuring import Figure, report
from scipy.stats import binom

from active_perception_r1.scoring.paired_tests import (
    DISCORDANCE,
    detectable_difference,
    holm,
    paired_test,
)

SLICES = 20_000
DOCUMENTS = 60


def main() -> None:
    report("simulation", [*power(), *false_alarms()])


def power() -> Iterator[Figure]:
    for n in (100, 300, 1000):
        for tests in (1, 10, 25):
            difference = detectable_difference(n, tests) or 0.0
            generator = np.random.default_rng(n + tests)
            changed = generator.binomial(n, DISCORDANCE, SLICES)
            gained = generator.binomial(changed, (1 + difference / DISCORDANCE) / 2)
            p_values = 2 * binom.cdf(np.minimum(gained, changed - gained), changed, 0.5)
            shown = [holm([p, *[1.0] * (tests - 1)])[0] <= 0.05 for p in p_values]
            what = f"power, n = {n}, {tests} tests, difference {difference:.3f}"
            yield Figure(what, float(np.mean(shown)), bar=".78 to .82")


def false_alarms() -> Iterator[Figure]:
    for questions in (1, 4, 10):
        documents = np.repeat(np.arange(DOCUMENTS), questions)
        alarms = {"by document": 0, "as if independent": 0}
        generator = np.random.default_rng(questions)
        for _ in range(SLICES):
            chances = generator.beta(0.3, 0.3, (2, DOCUMENTS))[:, documents]
            before, after = generator.random(chances.shape) < chances
            alarms["by document"] += paired_test(before, after, documents).p_value <= 0.05
            alarms["as if independent"] += paired_test(before, after).p_value <= 0.05
        for how, count in alarms.items():
            bar = "<= .055" if how == "by document" else ""
            what = f"false alarms, {questions} questions a document, {how}"
            yield Figure(what, count / SLICES, bar=bar)


if __name__ == "__main__":
    main()
