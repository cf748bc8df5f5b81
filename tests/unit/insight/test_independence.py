"""BEY-5: ten copies of one bet are one; unrelated traders count whole; always between one and all."""

from __future__ import annotations

from itertools import pairwise
from math import nan
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocation.domain.correlation import COMMON_LEAST
from allocation.domain.independence import Pair, TraderBets, independence_measure, overlap_of

HOURS = 168


def noise(seed: int) -> list[float]:
    """Return a week of returns that follow nobody's."""
    drawn = Random(seed)
    return [drawn.gauss(0, 0.01) for _ in range(HOURS)]


def trader(
    key: int, *, weight: float = 1, returns: list[float] | None = None, **exposures: float
) -> TraderBets:
    """Return one trader; without returns nothing is known of them."""
    return TraderBets(key, weight, exposures, [nan] * HOURS if returns is None else returns)


@pytest.mark.parametrize("count", [1, 2, 5, 10])
def test_identical_traders_are_one(count: int) -> None:
    """BEY-5: by what they hold, by how they move, or both."""
    by_book = [trader(n, BTC=2.0, ETH=-1.0) for n in range(count)]
    by_returns = [trader(n, returns=noise(1)) for n in range(count)]
    for traders in (by_book, by_returns):
        found = independence_measure(traders=traders)
        assert found.count == count
        assert found.effective == pytest.approx(1)


@pytest.mark.parametrize("count", [1, 2, 5, 10])
def test_traders_that_share_nothing_count_whole(count: int) -> None:
    """BEY-5: each in an instrument of its own."""
    found = independence_measure(traders=[trader(n, **{f"COIN{n}": 1.0}) for n in range(count)])
    assert found.effective == pytest.approx(count)


def test_shares_count() -> None:
    """BEY-5: 0.9 and 0.1 of two unrelated traders are 1 / (0.81 + 0.01) = 1.2195."""
    found = independence_measure(traders=[trader(1, weight=9, BTC=1), trader(2, weight=1, ETH=1)])
    assert found.effective == pytest.approx(1 / 0.82)


def test_a_worked_example() -> None:
    """BEY-5: A and B hold BTC, C holds ETH: 1 / (3/9 + 2/9) = 1.8."""
    found = independence_measure(traders=[trader(1, BTC=1), trader(2, BTC=3), trader(3, ETH=1)])
    assert found.effective == pytest.approx(1.8)
    assert [pair.similarity for pair in found.pairs] == pytest.approx([1, 0, 0])


def test_opposed_bets_count_as_independent_and_no_more() -> None:
    """BEY-5: long against short: a similarity of 0, not below."""
    found = independence_measure(traders=[trader(1, BTC=1), trader(2, BTC=-1)])
    (pair,) = found.pairs
    assert (pair.overlap, pair.similarity) == (-1, 0)
    assert found.effective == pytest.approx(2)


def test_the_larger_of_two_measures_counts() -> None:
    """BEY-5: who holds other things and moves the same is alike."""
    found = independence_measure(
        traders=[trader(1, returns=noise(1), BTC=1), trader(2, returns=noise(1), ETH=1)]
    )
    assert found.pairs[0].overlap == 0
    assert found.effective == pytest.approx(1)


def test_too_little_is_said_so() -> None:
    """BEY-5: 23 common hours and nothing held: between one and two, no number in between is made up."""
    short = [*noise(1)[: COMMON_LEAST - 1], *[nan] * (HOURS - COMMON_LEAST + 1)]
    found = independence_measure(traders=[trader(1, returns=short), trader(2, returns=short)])
    assert (found.effective, found.unknown) == (None, 1)
    assert (found.least, found.most) == pytest.approx((1, 2))
    assert independence_measure(traders=()).count == 0


def test_overlap_is_a_cosine() -> None:
    """BEY-5: size does not matter, only what and on which side."""
    assert overlap_of(one={"BTC": 1, "ETH": 1}, other={"BTC": 5, "ETH": 5}) == pytest.approx(1)
    assert overlap_of(one={"BTC": 3, "ETH": 4}, other={"BTC": 1}) == pytest.approx(0.6)
    assert overlap_of(one={}, other={"BTC": 1}) is None
    assert Pair(1, 2, None, None).similarity is None


_exposures = st.dictionaries(
    st.sampled_from(["BTC", "ETH", "SOL"]), st.integers(-300, 300).map(lambda n: n / 100), max_size=3
)


@given(
    books=st.lists(st.tuples(_exposures, st.floats(0.01, 1)), min_size=1, max_size=10),
    scale=st.floats(0.1, 10),
)
def test_bounds(books: list[tuple[dict[str, float], float]], scale: float) -> None:
    """BEY-5: 1 <= least <= most <= 1/Σw² <= n, whatever is known; shares are only proportions."""
    traders = [TraderBets(n, weight, book, [nan] * HOURS) for n, (book, weight) in enumerate(books)]
    found = independence_measure(traders=traders)
    total = sum(weight for _, weight in books)
    whole = 1 / sum((weight / total) ** 2 for _, weight in books)
    steps = [1, found.least, found.most, whole, len(books)]
    assert all(low <= high + 1e-9 for low, high in pairwise(steps))
    again = independence_measure(
        traders=[TraderBets(t.key, t.weight * scale, t.exposures, t.returns) for t in traders]
    )
    assert again.most == pytest.approx(found.most)


@given(books=st.lists(_exposures.filter(lambda book: any(book.values())), min_size=1, max_size=5))
def test_a_copy_of_everyone_adds_nothing(books: list[dict[str, float]]) -> None:
    """BEY-5: following each trader twice, with half the share, is following each once."""
    once = independence_measure(
        traders=[TraderBets(n, 1, book, [nan] * HOURS) for n, book in enumerate(books)]
    )
    twice = independence_measure(
        traders=[TraderBets(n, 0.5, book, [nan] * HOURS) for n, book in enumerate(books * 2)]
    )
    assert twice.most == pytest.approx(once.most)
