"""Work done ahead: the order, the errors and the memory are those of a plain `map`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from active_perception_r1.sim.prefetch import prefetch


def test_results_come_in_order() -> None:
    assert list(prefetch(lambda n: n * n, range(100), ahead=7)) == [n * n for n in range(100)]
    assert list(prefetch(str, [], ahead=7)) == []


def test_no_more_is_drawn_than_asked_for() -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            drawn.append(item)
            yield item

    made = prefetch(lambda n: n, items(), ahead=5)
    for count in range(10):
        assert next(made) == count
        assert len(drawn) == count + 5


def test_an_error_comes_in_its_place() -> None:
    made = prefetch(lambda n: 1 // n, [1, 1, 0, 1], ahead=4)
    assert [next(made), next(made)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(made)
