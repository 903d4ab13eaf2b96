"""Paired tests raise few false alarms, and find what they say they find."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, norm
from scipy.stats import permutation_test as scipy_permutation_test
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from active_perception_r1.scoring.paired_tests import detectable_difference, holm, paired_test


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
