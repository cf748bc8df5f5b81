"""RSK-1: hourly returns, from what was known by the hour and nothing later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import isnan

from markets.domain.prices import PriceSeries
from markets.domain.returns import RETURN_HOURS, hour_of, hourly_returns, hours_until

DAY = datetime(2025, 10, 18, tzinfo=UTC)


def hours(count: float) -> datetime:
    return DAY + timedelta(hours=count)


def test_a_return_is_over_one_hour_and_a_gap_is_never_bridged() -> None:
    """RSK-1: 100 → 110 → (unknown) → 99 → 103.95 gives 10 %, nothing, nothing, 5 %."""
    prices = {
        hours(0): Decimal(100),
        hours(1): Decimal(110),
        hours(3): Decimal(99),
        hours(4): Decimal("103.95"),
    }
    row = hourly_returns(prices=prices, newest=hours(4))
    assert len(row) == RETURN_HOURS == 168
    assert [round(value, 12) for value in row[-4:] if not isnan(value)] == [0.1, 0.05]
    assert [isnan(value) for value in row[-5:]] == [True, False, True, True, False]
    assert all(isnan(value) for value in row[:-4])


def test_the_grid_is_full_hours() -> None:
    assert hour_of(hours(1.99)) == hours(1)
    assert hours_until(hours(200))[0] == hours(32)
    assert hours_until(hours(200))[-1] == hours(200)


def test_a_price_on_the_line_to_a_later_trade_is_not_known_yet() -> None:
    """RSK-1: between 100 at 0 h and 110 at 4 h lies 105 at 2 h, which nobody can know before 4 h."""
    series = PriceSeries.from_points([(hours(0), Decimal(100)), (hours(4), Decimal(110))])
    assert series.price_at(hours(2)) == Decimal(105)
    assert series.price_known(hours(2), by=hours(3.9)) is None
    assert series.price_known(hours(2), by=hours(4)) == Decimal(105)
    assert series.price_known(hours(0), by=hours(1)) == Decimal(100)
    assert series.price_known(hours(-1), by=hours(9)) is None  # before the first trade
    assert series.price_known(hours(5), by=hours(9)) is None  # after the last
