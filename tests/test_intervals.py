"""Intervals hold the true value as often as they say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap as scipy_bootstrap
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint

from active_perception_r1.scoring.intervals import (
    MIN_DOCUMENTS,
    DocumentBootstrap,
    share_interval,
    wilson_interval,
)


class TestWilsonInterval:
    def test_matches_the_closed_form(self) -> None:
        z, p, n = 1.959963984540054, 0.3, 10
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        assert wilson_interval(3, 10) == pytest.approx((centre - half, centre + half))

    @pytest.mark.parametrize(("successes", "n"), [(0, 7), (3, 16), (150, 300), (299, 300)])
    def test_matches_statsmodels(self, successes: int, n: int) -> None:
        expected = proportion_confint(successes, n, method="wilson")
        assert wilson_interval(successes, n) == pytest.approx(expected)

    def test_3_of_16_and_2_of_16_cannot_be_told_apart(self) -> None:
        assert wilson_interval(3, 16).low < 2 / 16 < 3 / 16 < wilson_interval(2, 16).high

    def test_nothing_observed_means_nothing_known(self) -> None:
        assert wilson_interval(0, 0) == (0.0, 1.0)

    @given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
    def test_holds_the_share_and_stays_between_0_and_1(self, counts: tuple[int, int]) -> None:
        successes, n = counts
        low, high = wilson_interval(successes, n)
        assert 0 <= low <= successes / n + 1e-12
        assert successes / n - 1e-12 <= high <= 1
        assert low < high


class TestShareInterval:
    def test_is_wilsons_where_no_question_shares_its_document(self) -> None:
        outcomes = [True] * 30 + [False] * 70
        assert share_interval(outcomes, range(100)) == wilson_interval(30, 100)

    def test_counts_documents_whose_questions_share_a_fate(self) -> None:
        outcomes, documents = np.repeat([True, False], 100), np.repeat(range(50), 4)
        found, alone = share_interval(outcomes, documents), wilson_interval(25, 50)
        # Of two hundred questions, fifty and a little less, for the t of 49 degrees of freedom.
        assert found.high - found.low == pytest.approx(alone.high - alone.low, rel=0.05)

    def test_does_not_count_more_questions_than_there_are(self) -> None:
        # Documents that hardly differ would make a hundred questions count as thousands.
        outcomes, documents = [True, False] * 49 + [True, True], np.repeat(range(50), 2)
        assert share_interval(outcomes, documents) == pytest.approx(wilson_interval(51, 100))

    @pytest.mark.parametrize("right", [False, True])
    def test_one_document_says_nothing_about_others(self, right: bool) -> None:
        assert share_interval([right] * 50, ["page"] * 50) == (0.0, 1.0)
        assert share_interval([], []) == (0.0, 1.0)

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=60))
    def test_holds_the_share_and_stays_between_0_and_1(self, rows: list[tuple[bool, int]]) -> None:
        outcomes = [right for right, _ in rows]
        low, high = share_interval(outcomes, [page for _, page in rows])
        assert 0 <= low <= np.mean(outcomes) + 1e-12
        assert np.mean(outcomes) - 1e-12 <= high <= 1
        assert low < high


SIZES = {
    "10 documents": [5] * 10,
    "20 documents": [3] * 20,
    "100 documents": [3] * 100,
    "20 documents of unequal size": [1, 2, 3, 6] * 5,
    "100 documents of unequal size": [1, 2, 3, 6] * 25,
}
"""Questions about each document."""


@pytest.mark.slow
class TestCoverage:
    """Of 2,000 simulated slices, how many 95 % intervals hold the true value: 93 to 97 %."""

    @pytest.mark.parametrize("accuracy", [0.1, 0.3, 0.5, 0.9])
    @pytest.mark.parametrize("n", [100, 300])
    def test_of_wilsons_interval(self, n: int, accuracy: float) -> None:
        successes = np.random.default_rng(7).binomial(n, accuracy, size=2000)
        intervals = {int(k): wilson_interval(int(k), n) for k in np.unique(successes)}
        held = [intervals[k].low <= accuracy <= intervals[k].high for k in successes.tolist()]
        assert 0.93 <= np.mean(held) <= 0.97

    @pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
    def test_of_accuracy_with_questions_that_share_documents(self, sizes: list[int]) -> None:
        owner = np.repeat(np.arange(len(sizes)), sizes)
        generator = np.random.default_rng(len(sizes))
        held = []
        for _ in range(2000):
            quality = generator.beta(2, 1, size=len(sizes))[owner]  # mean 2/3
            interval = share_interval(generator.random(len(owner)) < quality, owner)
            held.append(interval.low <= 2 / 3 <= interval.high)
        assert 0.93 <= np.mean(held) <= 0.97

    @pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
    def test_of_the_bootstrap_with_questions_that_share_documents(self, sizes: list[int]) -> None:
        owner = np.repeat(np.arange(len(sizes)), sizes)
        generator = np.random.default_rng(len(sizes))
        bootstrap = DocumentBootstrap([f"page {i}" for i in owner])
        held = []
        for _ in range(2000):
            quality = generator.beta(2, 1, size=len(sizes))[owner]  # mean 2/3
            similarity = generator.uniform(0.5, 1, size=len(owner))  # mean 3/4
            anls = np.where(generator.random(len(owner)) < quality, similarity, 0.0)
            interval = bootstrap.interval(anls)
            assert interval is not None
            held.append(interval.low <= 0.5 <= interval.high)
        assert 0.93 <= np.mean(held) <= 0.97


class TestDocumentBootstrap:
    def test_agrees_with_scipy_where_documents_hold_one_question(self) -> None:
        values = np.random.default_rng(3).beta(2, 5, size=200)
        ours = DocumentBootstrap([str(i) for i in range(200)]).interval(values)
        theirs = scipy_bootstrap((values,), np.mean, method="percentile", rng=1, n_resamples=9999)
        assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.003)

    def test_agrees_with_the_clustered_errors_of_statsmodels(self) -> None:
        generator = np.random.default_rng(4)
        owner = np.repeat(np.arange(150), 4)
        values = generator.normal(size=150)[owner] + generator.normal(size=600)
        ours = DocumentBootstrap([str(i) for i in owner]).interval(values)
        fit = OLS(values, np.ones(600)).fit(cov_type="cluster", cov_kwds={"groups": owner})
        assert ours == pytest.approx(tuple(fit.conf_int()[0]), abs=0.03)

    def test_holds_the_mean_and_is_repeatable(self) -> None:
        values, documents = [0.0, 1.0] * 50, [f"page {i}" for i in range(100)]
        interval = DocumentBootstrap(documents).interval(values)
        assert interval is not None
        assert interval.low < 0.5 < interval.high
        assert interval == DocumentBootstrap(documents).interval(values)

    def test_is_wider_when_questions_share_documents(self) -> None:
        values = [0.0] * 50 + [1.0] * 50
        alone = DocumentBootstrap([f"page {i}" for i in range(100)]).interval(values)
        shared = DocumentBootstrap([f"page {i // 10}" for i in range(100)]).interval(values)
        assert alone is not None
        assert shared is not None
        assert shared.high - shared.low > 2 * (alone.high - alone.low)

    def test_weighs_documents_by_their_questions(self) -> None:
        owner = np.repeat(np.arange(40), [3, 1] * 20)
        interval = DocumentBootstrap([str(i) for i in owner]).interval(owner % 2 == 0)
        assert interval is not None
        assert interval.low < 0.75 < interval.high
        assert interval.low > 0.5

    def test_questions_without_a_value_do_not_count(self) -> None:
        documents = [str(i) for i in range(40)]
        some = [0.0, 1.0] * 10
        missing = DocumentBootstrap(documents).interval(some + [math.nan] * 20)
        assert missing is not None
        assert missing.low < 0.5 < missing.high
        assert DocumentBootstrap(documents).interval([1.0] + [math.nan] * 39) is None

    def test_too_few_documents_have_no_interval(self) -> None:
        pages = [f"page {i}" for i in range(MIN_DOCUMENTS)]
        values = [0.1, 0.9] * (MIN_DOCUMENTS // 2)
        assert DocumentBootstrap(pages).interval(values) is not None
        assert DocumentBootstrap(pages[:-1]).interval(values[:-1]) is None
        assert DocumentBootstrap([]).interval([]) is None

    def test_one_large_document_among_small_ones_leaves_few(self) -> None:
        documents = ["large"] * 40 + [f"small {i}" for i in range(30)]
        assert DocumentBootstrap(documents).interval([0.5] * 70) is None

    def test_values_and_questions_must_match(self) -> None:
        with pytest.raises(ValueError, match="1 values for 2 questions"):
            DocumentBootstrap(["a", "b"]).interval([0.5])
