"""Maintenance margin, liquidation and funding, worked by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal as D

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from positions.domain.margin import (
    PerpHolding,
    funding_hours,
    funding_payments,
    hour_floor,
    liquidation_plan,
    liquidation_price,
    maintenance_margin,
)

BTC = PerpHolding("BTC", "BTC", D("0.1"), D(100000), 40)
ETH = PerpHolding("ETH", "ETH", D(-2), D(4000), 25)


def test_maintenance_is_half_the_initial_margin_at_highest_leverage() -> None:
    """10,000 of BTC at 1.25 % and 8,000 of ETH at 2 %: 125 + 160."""
    assert maintenance_margin(holdings=[BTC, ETH]) == D(285)


@pytest.mark.parametrize(
    ("equity", "closes"), [("285", []), ("285.00000001", []), ("284.99999999", ["BTC", "ETH"])]
)
def test_liquidated_below_maintenance_and_not_at_it(equity: str, closes: list[str]) -> None:
    """The account is margined as one: all perpetuals go, largest first."""
    plan = liquidation_plan(equity=D(equity), holdings=[ETH, BTC])
    assert [holding.code for holding in plan.closes] == closes
    assert plan.needed is bool(closes)
    assert plan.maintenance == 285


def test_flat_positions_are_not_liquidated() -> None:
    """A position whose slices net to zero has nothing to close."""
    flat = PerpHolding("SOL", "SOL", D(0), D(200), 20)
    assert liquidation_plan(equity=D(-5), holdings=[flat]).closes == ()


def test_liquidation_prices_by_hand() -> None:
    """Long 0.1 at 100,000 with equity 1,000: 90,000 / 0.09875 ÷ … = 91,139.24; short mirrors it."""
    long = liquidation_price(quantity=D("0.1"), mark=D(100000), equity=D(1000), max_leverage=40)
    assert long is not None
    assert long.quantize(D("0.01")) == D("91139.24")
    short = liquidation_price(quantity=D("-0.1"), mark=D(100000), equity=D(1000), max_leverage=40)
    assert short is not None
    assert short.quantize(D("0.01")) == D("108641.98")
    assert liquidation_price(quantity=D("0.1"), mark=D(100000), equity=D(10000), max_leverage=40) is None
    assert liquidation_price(quantity=D(0), mark=D(1), equity=D(1), max_leverage=40) is None
    assert liquidation_price(quantity=D(1), mark=None, equity=D(1), max_leverage=40) is None


@given(
    st.decimals(min_value="-100", max_value="100", places=3),
    st.decimals(min_value="0.5", max_value="100000", places=2),
    st.decimals(min_value="1", max_value="1000000", places=2),
    st.integers(min_value=1, max_value=50),
)
def test_at_the_liquidation_price_equity_meets_maintenance(
    quantity: D, mark: D, equity: D, leverage: int
) -> None:
    """The price solves the equation it is defined by."""
    price = liquidation_price(quantity=quantity, mark=mark, equity=equity, max_leverage=leverage)
    assume(price is not None and price > D("0.000001"))
    assert price is not None
    then = equity + quantity * (price - mark)
    needed = abs(quantity) * price / (2 * leverage)
    assert abs(then - needed) < D("0.0000001") * max(D(1), equity, needed)


def test_funding_by_hand() -> None:
    """Long 0.5 BTC at 100,000, 0.00125 % an hour, 8 h: pays 5.00; a short of the same receives it."""
    rate = D("0.0000125")
    assert funding_payments(slices=[D("0.5")], mark=D(100000), rate_hourly=rate, hours=8) == [
        D("-5.00000000")
    ]
    paid = funding_payments(slices=[D("0.8"), D("-0.3")], mark=D(100000), rate_hourly=rate, hours=8)
    assert paid == [D("-8.00000000"), D("3.00000000")]
    assert sum(paid) == D("-5")


@given(
    st.lists(st.decimals(min_value="-9", max_value="9", places=12), min_size=1, max_size=6),
    st.decimals(min_value="0.0001", max_value="99999", places=6),
)
def test_funding_of_slices_sums_to_that_of_the_position(slices: list[D], mark: D) -> None:
    """Long and short slices pay each other; the net position pays the rest, to the last decimal."""
    parts = funding_payments(slices=slices, mark=mark, rate_hourly=D("0.0000125"), hours=3)
    whole = funding_payments(slices=[sum(slices, D(0))], mark=mark, rate_hourly=D("0.0000125"), hours=3)
    assert sum(parts) == whole[0]


def test_hours_strike_on_the_hour() -> None:
    """Held from 10:05 to 12:00 sharp: two full hours struck, at 11 and at 12."""
    opened = datetime(2025, 10, 18, 10, 5, 7, 3, tzinfo=UTC)
    assert hour_floor(opened) == datetime(2025, 10, 18, 10, tzinfo=UTC)
    until = hour_floor(opened)
    assert funding_hours(funded_until=until, world_at=datetime(2025, 10, 18, 12, 0, tzinfo=UTC)) == 2
    assert funding_hours(funded_until=until, world_at=datetime(2025, 10, 18, 11, 59, 59, tzinfo=UTC)) == 1
    assert funding_hours(funded_until=until, world_at=datetime(2025, 10, 18, 9, tzinfo=UTC)) == 0
