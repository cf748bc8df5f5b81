"""Recorded prices and the lines between them: "Worlds and time", MKT-1 offline."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.domain.prices import PriceSeries

DAY = datetime(2025, 10, 18, tzinfo=UTC)


def series(*points: tuple[float, str]) -> PriceSeries:
    """Build a series from (hours since DAY, price)."""
    return PriceSeries.from_points((DAY + timedelta(hours=hours), Decimal(price)) for hours, price in points)


def test_exact_at_points_straight_between_flat_outside() -> None:
    """Worlds and time: a worked example."""
    prices = series((0, "100"), (4, "110"), (5, "107"))
    expected = {-1: "100", 0: "100", 1: "102.5", 2: "105", 4: "110", 4.5: "108.5", 5: "107", 50: "107"}
    assert {hour: prices.price_at(DAY + timedelta(hours=hour)) for hour in expected} == {
        hour: Decimal(price) for hour, price in expected.items()
    }
    assert (prices.start_at, prices.end_at) == (DAY, DAY + timedelta(hours=5))


def test_the_last_of_several_points_at_one_moment_stands() -> None:
    """A sweep through the book leaves its last price."""
    assert series((0, "100"), (1, "101"), (1, "99")).price_at(DAY + timedelta(hours=1)) == Decimal(99)


def test_interpolated_prices_carry_nine_digits_and_recorded_ones_all_of_theirs() -> None:
    """An interpolated price is no more exact than its ends."""
    prices = series((0, "0.123456789012"), (3, "0.2"))
    assert prices.price_at(DAY) == Decimal("0.123456789012")
    assert prices.price_at(DAY + timedelta(hours=1)) == Decimal("0.148971193")


@pytest.mark.parametrize("price", ["0", "-1", "NaN"])
def test_a_price_that_is_none_is_refused(price: str) -> None:
    """A recording with such a price is damaged."""
    with pytest.raises(ValueError, match="above zero"):
        series((0, "1"), (1, price))


def test_no_points_are_refused() -> None:
    """There is no price to give."""
    with pytest.raises(ValueError, match="at least one point"):
        PriceSeries.from_points([])


@given(
    st.dictionaries(
        st.integers(0, 10**9), st.decimals("0.000001", "100000", places=6), min_size=1, max_size=8
    ),
    st.integers(-(10**8), 2 * 10**9),
)
def test_a_price_never_leaves_its_neighbours(points: dict[int, Decimal], second: int) -> None:
    """Between two points the price lies between theirs."""
    prices = PriceSeries.from_points((DAY + timedelta(seconds=at), price) for at, price in points.items())
    got = prices.price_at(DAY + timedelta(seconds=second))
    before = [at for at in sorted(points) if at <= second]
    after = [at for at in sorted(points) if at >= second]
    around = [points[at] for at in (before[-1:] + after[:1])]
    margin = max(around) * Decimal("1e-8")
    assert min(around) - margin <= got <= max(around) + margin
