"""Slices, transfers, hand-overs, flips, funding and liquidation in the books (EXE-7, BEY-1)."""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from allocation.models import LedgerEntry
from allocation.reservations import capital_reserve
from core.errors import BooksDiffer
from execution.models import Order
from markets.models import Instrument
from positions.audit import books_audit
from positions.booking import FillBooked, fill_book
from positions.funding import positions_fund
from positions.models import Position, PositionSlice, SliceEntry
from positions.selectors import FollowResult, WinCount, follow_results, win_count
from positions.transfers import slices_hand_over, transfers_book
from positions.valuation import Unpriced, liquidation_check
from tests.integration.money.desk import WORLD, Desk, desk_open, instrument_make

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> Desk:
    opened = desk_open(policy="perp")
    opened.mark("100000")
    return opened


def clean() -> bool:
    """Tell whether the books agree, the made-up venue aside."""
    return {finding.kind for finding in books_audit()} <= {"paper_fill_was_made"}


def filled(desk: Desk, side: str, quantity: str, price: str, fee: str = "0", **kw: object) -> FillBooked:
    """Store an order and book one fill of all of it at a price."""
    order = desk.order(side, quantity, price, **kw)  # type: ignore[arg-type]
    booked = fill_book(order_id=order.pk, fill=desk.fill(order, quantity, price, fee), now=desk.now)
    assert booked is not None
    return booked


def transfer(desk: Desk, *pairs: tuple[int | None, int | None, str], mark: str) -> Position | None:
    return transfers_book(
        portfolio=desk.portfolio,
        instrument_code="BTC",
        underlying="BTC",
        pairs=[(seller, buyer, D(quantity)) for seller, buyer, quantity in pairs],
        mark=D(mark),
        margin_rate=D(1),
        run=1,
        now=desk.now,
        world_at=desk.now,
    )


def parts(position: Position) -> dict[int | None, tuple[D, D, D]]:
    """Return quantity, cost and realized P&L of each slice."""
    return {p.follow_id: (p.quantity, p.cost, p.realized_pnl) for p in position.slices.all()}


def test_long_and_short_slices_net_into_one_position(desk: Desk) -> None:
    """BEY-1: one trader long, one short; each keeps quantity, cost and P&L, the fee is shared by size."""
    one, two = (follow.pk for follow in desk.follows)
    filled(desk, "BUY", "0.02", "100000", "0.9", slices={one: "0.02"})
    filled(desk, "SELL", "0.005", "101000", "0.3", slices={two: "-0.005"})
    position = Position.objects.get()
    assert (position.quantity, position.cost, position.realized_pnl) == (D("0.015"), D(1500), D(5))
    assert parts(position) == {one: (D("0.02"), D(2000), 0), two: (D("-0.005"), D(-505), 0)}
    assert {part.follow_id: part.fees for part in position.slices.all()} == {one: D("0.9"), two: D("0.3")}
    assert position.margin == D(1500)
    assert clean()


def test_a_transfer_moves_slices_at_the_mark_without_fee(desk: Desk) -> None:
    """BEY-1: what one sells the other buys; position, cash and margin stay as they are."""
    one, two = (follow.pk for follow in desk.follows)
    filled(desk, "BUY", "0.02", "100000", slices={one: "0.02"})
    before = desk.account
    transfer(desk, (one, two, "0.005"), mark="110000")
    position = Position.objects.get()
    assert (position.quantity, position.cost, position.realized_pnl) == (D("0.02"), D(2000), 0)
    assert parts(position) == {one: (D("0.015"), D(1500), D(50)), two: (D("0.005"), D(550), 0)}
    account = desk.account
    assert (account.free, account.committed) == (before.free, before.committed)
    assert account.version == before.version + 1
    sides = SliceEntry.objects.filter(kind="transfer").order_by("id")
    assert [(e.quantity, e.notional, e.price, e.fee) for e in sides] == [
        (D("-0.005"), D(-550), D(110000), 0),
        (D("0.005"), D(550), D(110000), 0),
    ]
    assert len({e.transfer_id for e in sides}) == 1
    assert clean()


def test_traders_who_cross_open_a_flat_position_and_close_it(desk: Desk) -> None:
    """BEY-1: quantity 0 with slices of +1 and -1 is an open position; it closes when the slices are gone."""
    one, two = (follow.pk for follow in desk.follows)
    opened = transfer(desk, (one, two, "0.01"), mark="100000")
    assert opened is not None
    assert (opened.quantity, opened.cost, opened.status) == (0, 0, "active")
    assert parts(opened) == {one: (D("-0.01"), D(-1000), 0), two: (D("0.01"), D(1000), 0)}
    assert Position.objects.exclude(status="closed").get() == opened
    closed = transfer(desk, (two, one, "0.01"), mark="120000")
    assert closed is not None
    assert closed.status == "closed"
    assert closed.closed_at == desk.now
    assert parts(closed) == {one: (0, 0, D(-200)), two: (0, 0, D(200))}
    assert closed.realized_pnl == 0
    assert clean()


@pytest.mark.parametrize(("quantity", "mark"), [("0", "100"), ("-1", "100"), ("1", "0")])
def test_transfers_that_make_no_sense(desk: Desk, quantity: str, mark: str) -> None:
    """A transfer moves something between two slices, or nothing is booked."""
    with pytest.raises(ValueError, match="a transfer moves"):
        transfer(desk, (None, desk.follows[0].pk, quantity), mark=mark)
    with pytest.raises(ValueError, match="a transfer moves"):
        transfer(desk, (None, None, "1"), mark="100")
    assert transfer(desk, mark="100") is None
    assert not Position.objects.exists()


def test_slices_are_handed_over_at_cost(desk: Desk) -> None:
    """SPEC Joining: removed and kept means mine now; the follow realizes nothing by it."""
    one, two = desk.follows
    filled(desk, "BUY", "0.02", "100000", "0.9", slices={one.pk: "0.015", two.pk: "0.005"})
    version = desk.account.version
    assert slices_hand_over(follow=one, now=desk.now) == 1
    assert slices_hand_over(follow=one, now=desk.now) == 0
    assert desk.account.version == version + 1
    position = Position.objects.get()
    assert parts(position) == {
        one.pk: (0, 0, 0),
        two.pk: (D("0.005"), D(500), 0),
        None: (D("0.015"), D(1500), 0),
    }
    assert PositionSlice.objects.get(follow=one).fees == D("0.675"), "what it paid stays its own"
    assert clean()


def test_handing_over_against_my_own_side_cancels(desk: Desk) -> None:
    """My short of 0.01 at 110,000 meets a long of 0.01 at 100,000: I realize 100, nothing is left."""
    one = desk.follows[0]
    transfer(desk, (None, one.pk, "0.01"), mark="110000")
    PositionSlice.objects.filter(follow=one).update(cost=1000)
    PositionSlice.objects.filter(follow=None).update(cost=-1100)
    slices_hand_over(follow=one, now=desk.now)
    position = Position.objects.get()
    assert position.status == "closed"
    assert parts(position)[None] == (0, 0, D(100))


def test_an_order_through_zero_flips_the_position(desk: Desk) -> None:
    """EXE-7: the old side is realized, the new one opens with its own margin."""
    filled(desk, "BUY", "0.01", "100000", margin_rate="0.5")
    booked = filled(desk, "SELL", "0.03", "102000", margin_rate="0.5")
    position = Position.objects.get()
    assert booked.realized == D(20)
    assert (position.quantity, position.cost, position.margin) == (D("-0.02"), D(-2040), D(1020))
    assert position.status == "active"
    assert desk.account.cash == D(10020)
    assert clean()


def test_after_a_close_comes_a_new_position(desk: Desk) -> None:
    """EXE-7: one open position per underlying, closed ones stay as they ended."""
    filled(desk, "BUY", "0.01", "100000")
    filled(desk, "SELL", "0.01", "99000", reduce_only=True)
    filled(desk, "BUY", "0.01", "98000")
    first, second = Position.objects.order_by("id")
    assert (first.status, first.realized_pnl, second.status) == ("closed", D(-10), "active")


def test_closing_in_pieces_walks_the_table(desk: Desk) -> None:
    """EXE-7: opening, active, partial exit, closing, closed."""
    seen = []

    def piece(order: Order, quantity: str) -> None:
        fill_book(order_id=order.pk, fill=desk.fill(order, quantity, "100000"), now=desk.now)
        seen.append(Position.objects.get().status)

    entry = desk.order("BUY", "0.02", "100000")
    piece(entry, "0.01")
    piece(entry, "0.01")
    reduce = desk.order("SELL", "0.005", "100000", reduce_only=True, purpose="reduce")
    piece(reduce, "0.005")
    close = desk.order("SELL", "0.015", "100000", reduce_only=True)
    piece(close, "0.005")
    piece(close, "0.01")
    assert seen == ["opening", "active", "partial_exit", "closing", "closed"]
    assert clean()


def test_another_instrument_of_the_same_underlying_is_not_mixed_in(desk: Desk) -> None:
    """SPEC Conflicts: one position per underlying, in one instrument."""
    instrument_make("kBTC", underlying="BTC")
    filled(desk, "BUY", "0.01", "100000")
    order = desk.order("BUY", "0.01", "100000", code="kBTC")
    with pytest.raises(BooksDiffer, match="perp kBTC, the open position of BTC is perp BTC"):
        fill_book(order_id=order.pk, fill=desk.fill(order, "0.01", "100000"), now=desk.now)
    assert clean()


def test_locks_are_taken_capital_then_order_then_position(desk: Desk) -> None:
    """STYLE 5: one order of locks, and it is in the SQL."""
    order = desk.order("BUY", "0.01", "100000")
    with CaptureQueriesContext(connection) as queries:
        fill_book(order_id=order.pk, fill=desk.fill(order, "0.01", "100000"), now=desk.now)
    locks = [q["sql"] for q in queries.captured_queries if "FOR UPDATE" in q["sql"]]
    tables = [
        "allocation_capitalaccount",
        "execution_order",
        "positions_position",
        "positions_exitguard",
    ]
    assert [next(t for t in tables if f'FROM "{t}"' in sql) for sql in locks] == tables


def test_funding_by_the_hour(desk: Desk) -> None:
    """SPEC Money in and out: 0.02 BTC at 100,000 for 2 h at 0.00125 %: 0.05; slices pay each other."""
    one, two = (follow.pk for follow in desk.follows)
    filled(desk, "BUY", "0.03", "100000", slices={one: "0.03"})
    filled(desk, "SELL", "0.01", "100000", slices={two: "-0.01"})
    cash = desk.account.cash
    assert positions_fund(portfolio_id=desk.pk, world=WORLD, now=desk.now, world_at=desk.later(3599)) == 0
    paid = positions_fund(portfolio_id=desk.pk, world=WORLD, now=desk.now, world_at=desk.later(3601))
    assert paid == D("-0.05")
    assert positions_fund(portfolio_id=desk.pk, world=WORLD, now=desk.now, world_at=desk.now) == 0
    position = Position.objects.get()
    assert position.funding == D("-0.05")
    assert {p.follow_id: p.funding for p in position.slices.all()} == {one: D("-0.075"), two: D("0.025")}
    assert desk.account.cash == cash - D("0.05")
    entry = LedgerEntry.objects.get(kind="funding")
    assert (entry.amount, entry.note) == (D("-0.05"), "2 h of BTC")
    assert clean()


def test_nobody_leaves_without_paying_funding(desk: Desk) -> None:
    """SPEC Money in and out: hours that struck before a fill are booked with it, at the size held then."""
    filled(desk, "SELL", "0.01", "100000")
    desk.later(4 * 3600)
    filled(desk, "BUY", "0.01", "100000", reduce_only=True)
    position = Position.objects.get()
    assert (position.status, position.funding) == ("closed", D("0.05"))
    assert desk.account.cash == D("10000.05")
    assert clean()


@pytest.mark.parametrize(
    ("held", "margin", "free"),
    [
        ("0.04", "6990", "0"),  # 20 are due: of 110 free, 90 are left for the margin that lacks 100
        ("-0.04", "7000", "30"),  # 20 are received, and 100 of 130 taken
    ],
)
def test_margin_reaches_as_far_as_funding_leaves(desk: Desk, held: str, margin: str, free: str) -> None:
    """SPEC Capital: setting margin aside never makes a deficit, also in the hour in which funding is due."""
    Instrument.objects.filter(pk="BTC").update(funding_rate_hourly=D("0.005"))
    side = "BUY" if D(held) > 0 else "SELL"
    filled(desk, side, "0.04", "100000")
    order = desk.order(side, "0.03", "100000", reserve="2900")
    capital_reserve(
        portfolio_id=desk.pk, amount=D(2990), source="t", instrument_code="ETH", now=desk.now, timeout_s=30
    )
    assert (desk.account.free, desk.account.committed) == (110, 6900)
    desk.later(3600)
    booked = fill_book(order_id=order.pk, fill=desk.fill(order, "0.03", "100000"), now=desk.now)
    assert booked is not None
    assert booked.deficit == 0
    assert Position.objects.get().margin == D(margin)
    assert (desk.account.free, desk.account.committed) == (D(free), D(margin))
    assert clean()


def test_spot_pays_no_funding() -> None:
    """Funding is for perpetuals."""
    desk = desk_open(policy="spot")
    desk.mark("100000")
    filled(desk, "BUY", "0.01", "100000")
    assert positions_fund(portfolio_id=desk.pk, world=WORLD, now=desk.now, world_at=desk.later(9 * 3600)) == 0
    assert not LedgerEntry.objects.filter(kind="funding").exists()


def test_liquidation_when_equity_no_longer_carries_the_positions() -> None:
    """SPEC Money in and out: 0.1 BTC at 100,000 on 1,000 of cash; maintenance is 1.25 % of notional."""
    desk = desk_open(policy="perp", cash="6000")
    desk.mark("100000")
    filled(desk, "BUY", "0.1", "100000", margin_rate="0.5")
    desk.mark("40506.4")  # equity 50.64, maintenance 50.633
    assert not liquidation_check(portfolio_id=desk.pk).needed
    desk.mark("40506.3")  # equity 50.63, maintenance 50.632875
    plan = liquidation_check(portfolio_id=desk.pk)
    assert plan.needed
    assert (plan.equity, plan.maintenance) == (D("50.63"), D("50.632875"))
    assert [(close.code, close.quantity) for close in plan.closes] == [("BTC", D("0.1"))]


def test_without_a_mark_nothing_is_said_about_liquidation(desk: Desk) -> None:
    """No fallback price: what cannot be valued is told."""
    filled(desk, "BUY", "0.1", "100", code="ETH")
    with pytest.raises(Unpriced, match="holds ETH without a mark"):
        liquidation_check(portfolio_id=desk.pk)


def test_results_per_follow_add_up_to_the_portfolio(desk: Desk) -> None:
    """EXE-7: contribution of each trader: realized, fees and funding, over open and closed slices."""
    one, two = (follow.pk for follow in desk.follows)
    filled(desk, "BUY", "0.02", "100000", "0.9", slices={one: "0.01", two: "0.01"})
    filled(desk, "SELL", "0.01", "103000", "0.5", slices={one: "-0.01"}, reduce_only=True, purpose="reduce")
    desk.later(3600)
    assert positions_fund(portfolio_id=desk.pk, world=WORLD, now=desk.now, world_at=desk.now) == D("-0.0125")
    results = follow_results(portfolio_id=desk.pk)
    assert results == {
        one: FollowResult(realized=D(30), fees=D("0.95")),
        two: FollowResult(fees=D("0.45"), funding=D("-0.0125"), open_positions=1),
    }
    assert sum(result.realized_net for result in results.values()) == desk.account.cash - 10000


def test_wins_are_counted_after_fees(desk: Desk) -> None:
    """VIEW-1: a gain of 1 with fees of 1.2 is no win."""
    for exit_price, fee in (("100100", "0.6"), ("100100", "0.2"), ("99000", "0")):
        filled(desk, "BUY", "0.01", "100000", fee)
        filled(desk, "SELL", "0.01", exit_price, fee, reduce_only=True)
    assert win_count(portfolio_id=desk.pk) == WinCount(won=1, closed=3)
