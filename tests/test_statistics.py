"""Intervals and paired tests."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_perception_r1.scoring.statistics import (
    clustered_interval,
    paired_test,
    wilson_interval,
)


class TestWilsonInterval:
    def test_matches_the_closed_form(self) -> None:
        z, p, n = 1.959963984540054, 0.3, 10
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        assert wilson_interval(3, 10) == pytest.approx((centre - half, centre + half))

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


class TestPairedTest:
    def test_p_is_the_two_sided_binomial_tail_of_the_changed_pairs(self) -> None:
        before = [True] + [False] * 9
        after = [False] + [True] * 8 + [False]
        result = paired_test(before, after)
        assert (result.gained, result.harmed, result.n) == (8, 1, 10)
        assert result.difference == pytest.approx(0.7)
        assert result.p_value == pytest.approx(2 * (1 + 9) / 2**9)

    def test_without_a_changed_pair_p_is_1(self) -> None:
        result = paired_test([True, False], [True, False])
        assert (result.difference, result.p_value) == (0.0, 1.0)

    def test_without_any_pair_there_is_no_difference(self) -> None:
        result = paired_test([], [])
        assert (result.n, result.difference, result.p_value) == (0, None, 1.0)

    def test_answers_to_different_questions_are_refused(self) -> None:
        with pytest.raises(ValueError, match="shorter"):
            paired_test([True, False], [True])

    @given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
    def test_swapping_the_sides_turns_the_sign_and_keeps_p(
        self, pairs: list[tuple[bool, bool]]
    ) -> None:
        forth = paired_test([a for a, _ in pairs], [b for _, b in pairs])
        back = paired_test([b for _, b in pairs], [a for a, _ in pairs])
        assert forth.p_value == pytest.approx(back.p_value)
        assert (forth.gained, forth.harmed) == (back.harmed, back.gained)
        assert 0 < forth.p_value <= 1


class TestClusteredInterval:
    def test_holds_the_mean_and_is_repeatable(self) -> None:
        values, documents = [0.0, 1.0] * 50, [f"page {i}" for i in range(100)]
        interval = clustered_interval(values, documents)
        assert interval is not None
        assert interval.low < 0.5 < interval.high
        assert interval == clustered_interval(values, documents)

    def test_is_wider_when_questions_share_documents(self) -> None:
        values = [0.0] * 50 + [1.0] * 50
        alone = clustered_interval(values, [f"page {i}" for i in range(100)])
        shared = clustered_interval(values, [f"page {i // 10}" for i in range(100)])
        assert alone is not None
        assert shared is not None
        assert shared.high - shared.low > 2 * (alone.high - alone.low)

    def test_weighs_documents_by_their_questions(self) -> None:
        interval = clustered_interval([1.0] * 9 + [0.0], ["large"] * 9 + ["small"])
        assert interval == (0.0, 1.0)

    def test_one_document_says_nothing_about_others(self) -> None:
        assert clustered_interval([0.1, 0.9], ["page", "page"]) is None
        assert clustered_interval([], []) is None

    def test_values_and_clusters_must_match(self) -> None:
        with pytest.raises(ValueError, match="1 values in 2 clusters"):
            clustered_interval([0.5], ["a", "b"])
