"""Paper cash in and out as a person does it, and what the results say afterwards (SPEC Money in and out)."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from allocation.models import LedgerEntry
from core.errors import InputError
from core.types import OrderSide
from engine.models import CycleState
from engine.portfolios import cash_deposit, cash_reset, cash_withdraw
from positions.audit import books_audit
from positions.booking import fill_book
from positions.models import Valuation
from positions.valuation import (
    liquidation_check,
    portfolio_equity,
    portfolio_withdrawable,
    valuations_update,
)
from tests.integration.money.desk import Desk, desk_open

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> Desk:
    """10,000 in cash, valued once."""
    opened = desk_open(policy="perp")
    CycleState.objects.create(portfolio=opened.portfolio, next_at=opened.now)
    value(opened)
    return opened


def value(desk: Desk) -> Valuation:
    assert valuations_update(portfolio_ids=[desk.pk], now=desk.later()) == []
    return Valuation.objects.get(pk=desk.pk)


def trade(desk: Desk, side: OrderSide, quantity: str, price: str, *, closes: bool = False) -> None:
    desk.mark(price)
    order = desk.order(side, quantity, price, reduce_only=closes)
    assert fill_book(order_id=order.pk, fill=desk.fill(order, quantity, price), now=desk.now)


def gain(desk: Desk, before: str, after: str) -> None:
    """Buy 0.05 BTC at one price, sell it at another."""
    trade(desk, OrderSide.BUY, "0.05", before)
    trade(desk, OrderSide.SELL, "0.05", after, closes=True)


def differences(desk: Desk) -> set[str]:
    """What the audit finds, but for the fills that this test made up without a venue."""
    return {finding.kind for finding in books_audit(portfolio_id=desk.pk)} - {"paper_fill_was_made"}


def test_a_reset_begins_the_results_anew(desk: Desk) -> None:
    """VIEW-1: 10,000 rose to 11,000 and fell to 10,500: no drawdown, no day's loss of the time before."""
    gain(desk, "100000", "120000")
    assert value(desk).peak_unit_value == D("1.1")
    gain(desk, "100000", "90000")
    assert value(desk).peak_equity == 11000
    desk.later()
    cash_reset(portfolio=desk.portfolio, amount=D(5000), key="a", now=desk.now)
    row = Valuation.objects.get(pk=desk.pk)
    assert (row.equity, row.unit_value, row.peak_unit_value, row.peak_equity) == (5000, 1, 1, 5000)
    assert (row.day_start_equity, row.day_start_unit_value, row.day_start_deposits_net) == (5000, 1, 5000)
    assert row.peak_at == row.day_start_at == desk.now
    after = value(desk)
    assert (after.peak_unit_value, after.day_start_equity, after.day_start_deposits_net) == (1, 5000, 5000)
    assert differences(desk) == set()


def test_a_reset_pressed_twice_begins_anew_once(desk: Desk) -> None:
    """The same key again changes nothing, and so keeps the peak that came since."""
    cash_reset(portfolio=desk.portfolio, amount=D(10000), key="a", now=desk.now)
    gain(desk, "100000", "120000")
    value(desk)
    gain(desk, "100000", "90000")
    value(desk)
    cash_reset(portfolio=desk.portfolio, amount=D(10000), key="a", now=desk.later())
    assert Valuation.objects.get(pk=desk.pk).peak_unit_value == D("1.1")
    assert desk.account.cash == 10500


def test_no_margin_leaves_with_a_withdrawal(desk: Desk) -> None:
    """SPEC Money in and out: 0.05 BTC with a margin of 2,500 lost 1,000; 6,450 of 7,500 free can be spared.

    Equity 9,000; maintenance is 1.25 % of 4,000.
    """
    desk.mark("100000")
    order = desk.order("BUY", "0.05", "100000", margin_rate="0.5")
    assert fill_book(order_id=order.pk, fill=desk.fill(order, "0.05", "100000"), now=desk.now)
    desk.mark("80000")
    assert (desk.account.free, portfolio_equity(portfolio=desk.portfolio)) == (7500, 9000)
    assert portfolio_withdrawable(portfolio=desk.portfolio) == 6450
    with pytest.raises(
        InputError, match=r"\$6,450.00 can be withdrawn now, not \$6,450.01: open pos"
    ) as refused:
        cash_withdraw(portfolio=desk.portfolio, amount=D("6450.01"), key="a", now=desk.now)
    assert refused.value.field == "amount"
    assert desk.account.free == 7500
    cash_withdraw(portfolio=desk.portfolio, amount=D(6450), key="a", now=desk.now)
    assert desk.account.free == 1050
    assert not liquidation_check(portfolio_id=desk.pk).needed
    desk.mark("70000")
    assert portfolio_withdrawable(portfolio=desk.portfolio) == 0


def test_a_spot_portfolio_spares_all_that_is_free() -> None:
    """SPEC Money in and out: what is bought is paid for; nothing can be liquidated."""
    desk = desk_open(policy="spot")
    CycleState.objects.create(portfolio=desk.portfolio, next_at=desk.now)
    desk.mark("100000")
    order = desk.order("BUY", "0.05", "100000")
    assert fill_book(order_id=order.pk, fill=desk.fill(order, "0.05", "100000"), now=desk.now)
    desk.mark("10000")
    cash_withdraw(portfolio=desk.portfolio, amount=desk.account.free, key="a", now=desk.now)
    assert desk.account.free == 0


def test_a_result_outlives_the_last_unit(desk: Desk) -> None:
    """SPEC, time-weighted: +10 %, taken out whole, 500 put in again: still +10 %, and so is the peak."""
    gain(desk, "100000", "120000")
    value(desk)
    cash_withdraw(portfolio=desk.portfolio, amount=D(11000), key="a", now=desk.later())
    assert (desk.account.units, desk.account.cash) == (0, 0)
    assert value(desk).unit_value == D("1.1")
    cash_deposit(portfolio=desk.portfolio, amount=D(500), key="b", now=desk.later())
    row = value(desk)
    assert (row.equity, row.unit_value, row.peak_unit_value) == (500, D("1.1"), D("1.1"))
    assert desk.account.units == D("454.5454545454545455")
    assert row.peak_equity == 500
    assert differences(desk) == set()


def test_the_last_units_price_is_that_of_the_withdrawal(desk: Desk) -> None:
    """SPEC, time-weighted: what was gained after the last valuation is not lost either."""
    gain(desk, "100000", "120000")
    cash_withdraw(portfolio=desk.portfolio, amount=D(11000), key="a", now=desk.later())
    assert LedgerEntry.objects.get(reference="withdrawal:a").units == -10000
    cash_deposit(portfolio=desk.portfolio, amount=D(11000), key="b", now=desk.later())
    assert desk.account.units == 10000
    assert value(desk).unit_value == D("1.1")
