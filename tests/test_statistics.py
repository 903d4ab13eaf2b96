"""Intervals and paired tests."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, norm
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import permutation_test as scipy_permutation_test
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from active_perception_r1.scoring.statistics import (
    MIN_DOCUMENTS,
    DocumentBootstrap,
    detectable_difference,
    holm,
    paired_test,
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


class TestPairedTest:
    def test_p_is_the_two_sided_binomial_tail_of_the_changed_pairs(self) -> None:
        before = [True] + [False] * 9
        after = [False] + [True] * 8 + [False]
        result = paired_test(before, after)
        assert (result.gained, result.harmed, result.n) == (8, 1, 10)
        assert result.difference == pytest.approx(0.7)
        assert result.p_value == pytest.approx(2 * (1 + 9) / 2**9)

    @pytest.mark.parametrize(("gained", "harmed"), [(9, 2), (30, 30), (0, 6), (157, 1)])
    def test_matches_statsmodels(self, gained: int, harmed: int) -> None:
        before = [False] * gained + [True] * (harmed + 20)
        after = [True] * gained + [False] * harmed + [True] * 20
        expected = mcnemar([[20, harmed], [gained, 0]], exact=True).pvalue
        assert paired_test(before, after).p_value == pytest.approx(expected)

    def test_without_a_changed_pair_p_is_1(self) -> None:
        result = paired_test([True, False], [True, False])
        assert (result.difference, result.p_value) == (0.0, 1.0)

    def test_without_any_pair_there_is_no_difference(self) -> None:
        result = paired_test([], [])
        assert (result.n, result.difference, result.p_value) == (0, None, 1.0)

    def test_answers_to_different_questions_are_refused(self) -> None:
        with pytest.raises(ValueError, match="2 outcomes before and 1 after"):
            paired_test([True, False], [True])

    @pytest.mark.parametrize("seed", range(5))
    def test_matches_the_sign_flips_of_scipy(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        before, after = generator.random((2, 40)) < [[0.4], [0.7]]
        documents = generator.integers(12, size=40)
        changes = np.bincount(documents, after.astype(float) - before)
        expected = scipy_permutation_test(
            (changes,), np.sum, permutation_type="samples", n_resamples=10**6
        )
        assert paired_test(before, after, documents).p_value == pytest.approx(expected.pvalue)

    def test_documents_with_one_question_each_make_it_mcnemars(self) -> None:
        before, after = [False] * 9 + [True] * 4, [True] * 9 + [False] * 2 + [True] * 2
        alone = [f"page {i}" for i in range(13)]
        assert paired_test(before, after, alone) == paired_test(before, after)

    def test_a_document_counts_once_however_many_questions_it_has(self) -> None:
        result = paired_test([False] * 20, [True] * 20, ["a"] * 10 + ["b"] * 10)
        assert (result.gained, result.p_value) == (20, 0.5)

    def test_very_many_documents_are_no_trouble(self) -> None:
        generator = np.random.default_rng(0)
        before, after = generator.random((2, 100_000)) < 0.5
        documents = generator.integers(30_000, size=100_000)
        alike = paired_test(before, after, documents).p_value
        assert 0.05 < alike < 1
        assert 0 < paired_test(before & after, after, documents).p_value < 1e-9

    @given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
    def test_swapping_the_sides_turns_the_sign_and_keeps_p(
        self, pairs: list[tuple[bool, bool]]
    ) -> None:
        forth = paired_test([a for a, _ in pairs], [b for _, b in pairs])
        back = paired_test([b for _, b in pairs], [a for a, _ in pairs])
        assert forth.p_value == pytest.approx(back.p_value)
        assert (forth.gained, forth.harmed) == (back.harmed, back.gained)
        assert 0 < forth.p_value <= 1


class TestHolm:
    def test_matches_statsmodels(self) -> None:
        p_values = np.random.default_rng(0).uniform(size=40) ** 3
        expected = multipletests(p_values, method="holm")[1]
        assert holm(list(p_values)) == pytest.approx(expected)

    def test_no_test_needs_no_adjustment(self) -> None:
        assert holm([]) == []


class TestDetectableDifference:
    @pytest.mark.parametrize("tests", [1, 10, 25])
    @pytest.mark.parametrize("n", [100, 300, 1000])
    def test_is_found_in_four_of_five_slices(self, n: int, tests: int) -> None:
        """By the test that is printed, with Holm's correction for others that show nothing."""
        discordance, difference = 0.25, detectable_difference(n, tests)
        assert difference is not None
        generator = np.random.default_rng(n)
        changed = generator.binomial(n, discordance, size=4000)
        gained = generator.binomial(changed, (discordance + difference) / (2 * discordance))
        p_values = 2 * binom.cdf(np.minimum(gained, changed - gained), changed, 0.5)
        found = [holm([p, *[1.0] * (tests - 1)])[0] <= 0.05 for p in p_values]
        assert 0.78 <= np.mean(found) <= 0.82

    def test_a_few_questions_show_nothing(self) -> None:
        assert [detectable_difference(n) for n in (0, 1, 3, 16)] == [None] * 4

    def test_shrinks_with_the_slice_and_grows_with_the_tests(self) -> None:
        found = [detectable_difference(n) for n in (50, 100, 1000, 10_000)]
        assert found == sorted(found, key=float, reverse=True)  # type: ignore[arg-type]
        found = [detectable_difference(300, tests) for tests in (1, 2, 10, 25)]
        assert found == sorted(found, key=float)  # type: ignore[arg-type]

    @pytest.mark.parametrize("n", [300, 1000])
    def test_is_near_the_sample_size_of_connor(self, n: int) -> None:
        """1987, Biometrics 43:207, by normal theory; the exact test needs a little more."""
        psi, z = 0.25, norm.ppf([0.975, 0.8])
        rest = n + z[1] ** 2 - z[0] ** 2
        connor = math.sqrt(psi) * (z @ [math.sqrt(n), math.sqrt(rest)]) / (n + z[1] ** 2)
        assert connor < (detectable_difference(n) or 1) < 1.05 * connor


class TestFalseAlarms:
    """Of simulated comparisons in which nothing differs, at most 5.5 % are called different."""

    @pytest.mark.parametrize("questions", [1, 4, 10])
    def test_where_questions_about_a_document_share_its_fate(self, questions: int) -> None:
        documents = np.repeat(np.arange(30), questions)
        generator = np.random.default_rng(questions)
        alarms = [
            paired_test(*correlated(generator, documents), documents).p_value < 0.05
            for _ in range(2000)
        ]
        assert np.mean(alarms) <= 0.055

    def test_a_test_that_ignores_documents_has_many(self) -> None:
        documents = np.repeat(np.arange(30), 10)
        generator = np.random.default_rng(10)
        alarms = [paired_test(*correlated(generator, documents)).p_value < 0.05 for _ in range(500)]
        assert np.mean(alarms) > 0.15


def correlated(
    generator: np.random.Generator, documents: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Outcomes before and after that have the same chances, which differ between documents."""
    chances = generator.beta(0.3, 0.3, size=(2, documents.max() + 1))[:, documents]
    before, after = generator.random(chances.shape) < chances
    return before, after


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
