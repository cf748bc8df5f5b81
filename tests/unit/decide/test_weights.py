"""ALL-1, ALL-2: weights in steps of 0.0001, summing to exactly 1, the remainder to the last."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocation.domain.weights import (
    UnableToAllocate,
    Weight,
    chosen_weights,
    equal_weights,
    shares_checked,
)

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


def weights_of(*shares: str | None) -> list[Decimal]:
    """Return the weights of traders 1, 2, … with these chosen shares."""
    given = [(place, None if share is None else D(share)) for place, share in enumerate(shares, start=1)]
    weights = chosen_weights(shares=given)
    assert [weight.trader_id for weight in weights] == [trader_id for trader_id, _ in given]
    return [weight.weight for weight in weights]


@pytest.mark.parametrize(
    ("shares", "weights"),
    [
        (("0.5", "0.3", "0.2"), ("0.5", "0.3", "0.2")),  # chosen over all: as they are
        (("0.3", "0.2"), ("0.6", "0.4")),  # the first of three paused: the others pro rata
        (("0.5", "0.25", "0.1"), ("0.5882", "0.2941", "0.1177")),  # the remainder to the last
        (("0.5", "0.3", "0.2", None), ("0.375", "0.225", "0.15", "0.25")),  # one joined: 1/4
        ((None, None, None), ("0.3333", "0.3333", "0.3334")),  # nobody chose: equal
        (("0.9", "0.01", None), ("0.6567", "0.01", "0.3333")),  # nobody below 1 %: the largest gives
        (("0.97", "0.01", "0.01", "0.01", "0.5"), ("0.6367", "0.01", "0.01", "0.01", "0.3333")),
        (("0.02",), ("1",)),
    ],
)
def test_chosen_shares_become_weights(shares: tuple[str | None, ...], weights: tuple[str, ...]) -> None:
    """ALL-2: worked examples of choosing, pausing, leaving and joining."""
    assert weights_of(*shares) == [D(weight) for weight in weights]


@given(st.lists(st.one_of(st.none(), st.decimals("0.01", "1", places=4)), min_size=1, max_size=10))
def test_chosen_weights_sum_to_exactly_one(shares: list[Decimal | None]) -> None:
    """ALL-2: for every mix; nobody below 1 %, none beyond 1."""
    weights = [weight.weight for weight in chosen_weights(shares=list(enumerate(shares)))]
    assert sum(weights) == 1
    assert all(D("0.01") <= weight <= 1 for weight in weights)
    known = [share for share in shares if share is not None]
    usual = sum(known) / len(known) if known else D(1)
    sizes = [usual if share is None else share for share in shares]
    for size, weight in zip(sizes, weights, strict=True):
        assert abs(weight - max(size / sum(sizes), D("0.01"))) <= D("0.001") + D("0.01") * len(shares)


def test_percentages_are_at_least_one_and_sum_to_a_hundred() -> None:
    """ALL-2: 33.33 % of one hundredth is as fine as it gets."""
    whole = {1: D("33.33"), 2: D("33.33"), 3: D("33.34")}
    assert shares_checked(percents=whole, trader_ids=[1, 2, 3]) == {
        1: D("0.3333"),
        2: D("0.3333"),
        3: D("0.3334"),
    }


@pytest.mark.parametrize(
    ("percents", "message"),
    [
        ({1: "50", 2: "49.99"}, "must sum to exactly 100, they sum to 99.99"),
        ({1: "50", 2: "50.01"}, "must sum to exactly 100, they sum to 100.01"),
        ({1: "99.5", 2: "0.5"}, "at least 1 %.* number 2 was given 0.5 %"),
        ({1: "33.333", 2: "66.667"}, "steps of 0.01 %"),
        ({1: "NaN", 2: "50"}, "at least 1 %"),
        ({1: "-20", 2: "120"}, "at least 1 %"),
        ({1: "100"}, r"each active trader its percentage: \[1, 2\], got \[1\]"),
        ({1: "50", 3: "50"}, "each active trader"),
    ],
)
def test_percentages_that_make_no_sense_are_refused(percents: dict[int, str], message: str) -> None:
    """ALL-2: each at least 1 %, exactly 100 % over the active traders."""
    given_percents = {trader_id: D(percent) for trader_id, percent in percents.items()}
    with pytest.raises(UnableToAllocate, match=message) as refused:
        shares_checked(percents=given_percents, trader_ids=[1, 2])
    assert refused.value.field == "weights"
