"""ALL-1: equal weights in steps of 0.0001, summing to exactly 1, the remainder to the last."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocation.domain.weights import UnableToAllocate, Weight, equal_weights

D = Decimal


def test_three_traders_share_what_does_not_divide_evenly() -> None:
    """ALL-1: the spec's own example."""
    assert equal_weights(trader_ids=[7, 3, 9]) == (
        Weight(7, D("0.3333")),
        Weight(3, D("0.3333")),
        Weight(9, D("0.3334")),
    )


@pytest.mark.parametrize(
    ("count", "share", "last"),
    [(1, "1", "1"), (2, "0.5", "0.5"), (4, "0.25", "0.25"), (6, "0.1666", "0.1670"), (7, "0.1428", "0.1432")],
)
def test_the_remainder_goes_to_the_last(count: int, share: str, last: str) -> None:
    """ALL-1: every share but the last is rounded down."""
    weights = [weight.weight for weight in equal_weights(trader_ids=range(count))]
    assert weights == [D(share)] * (count - 1) + [D(last)]


@given(st.lists(st.integers(), min_size=1, max_size=10, unique=True))
def test_weights_sum_to_exactly_one(trader_ids: list[int]) -> None:
    """ALL-1: for every number of traders, in the order given."""
    weights = equal_weights(trader_ids=trader_ids)
    assert sum(weight.weight for weight in weights) == 1
    assert [weight.trader_id for weight in weights] == trader_ids
    assert all(0 < weight.weight <= 1 for weight in weights)


@pytest.mark.parametrize(
    ("trader_ids", "message"),
    [([], "nobody"), (list(range(11)), "at most 10"), ([1, 2, 1], "listed twice")],
)
def test_what_cannot_be_split_is_refused(trader_ids: list[int], message: str) -> None:
    """ALL-1, FOL-1: no trader, an eleventh, one twice."""
    with pytest.raises(UnableToAllocate, match=message):
        equal_weights(trader_ids=trader_ids)
