"""Orders of a live portfolio: its own venue, its rules, few questions, nobody else waits (EXE-5, EXE-6)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from accounts.models import LiveAccount, Portfolio
from engine.emergency import emergency_stop
from engine.liquidation import portfolios_liquidate
from engine.live.turn import account_turn, accounts_due
from engine.models import ExitTrigger
from engine.order_life import order_send, orders_work
from engine.portfolios import portfolio_open
from engine.recovery import portfolios_reconcile
from engine.tasks import orders_submit
from engine.upkeep import positions_fund
from execution.desks import desk_of
from execution.models import Fill, Order, PaperOrder
from execution.venues.paper_faults import fault_tell
from execution.venues.paper_matching import paper_match
from positions.models import Position
from tests.integration.engine.stage import Stage, stage_open
from tests.integration.live.stand import FAR, FarVenue, key_make, live_make
from tests.stateful.worlds import MadeUpWorld

pytestmark = pytest.mark.django_db


def turn(stage: Stage, seconds: float = 1) -> bool:
    """Let time pass, the exchange match, and the account have its turn."""
    stage.play.pass_time(seconds=seconds)
    match(stage)
    return account_turn(portfolio_id=stage.portfolio.pk, now=stage.play.now)


def match(stage: Stage) -> None:
    paper_match(world="live", now=stage.play.now, clock=stage.play.world.clock())


def bought(stage: Stage, quantity: str = "0.05") -> Position:
    """Let the trader buy, and the portfolio after it."""
    stage.hold(1, "BTC", quantity)
    stage.cycle()
    for _ in range(4):
        turn(stage, seconds=2)
    return Position.objects.get(portfolio=stage.portfolio)


def test_orders_go_to_the_portfolios_own_venue_by_its_rules(stage: Stage, far: FarVenue) -> None:
    """EXE-5: in the venue's steps of 0.001 and 0.1, at its fee of 10 bps, under its name."""
    live_make(stage.portfolio, now=stage.play.now)
    position = bought(stage, "0.0447")
    order = Order.objects.get(portfolio=stage.portfolio)
    assert (order.venue, order.status, far.sent) == (FAR, "filled", [order.client_order_id])
    assert order.quantity == position.quantity == D("0.044")  # on paper it would be 0.0447
    fill = Fill.objects.get(order=order)
    assert (fill.venue, fill.fee) == (FAR, round(fill.quantity * fill.price * D("0.001"), 8))
    assert order.limit_price == round(order.limit_price, 1)


def test_a_shadow_trades_on_paper_by_the_venues_rules(stage: Stage, far: FarVenue) -> None:
    """BEY-8: same steps and fee, and the venue never hears of it."""
    live_make(stage.portfolio, now=stage.play.now, state="shadow")
    stage.hold(1, "BTC", "0.0447")
    stage.settle(steps=4)
    order = Order.objects.get(portfolio=stage.portfolio)
    assert (order.venue, order.status, order.quantity) == ("paper", "filled", D("0.044"))
    fill = Fill.objects.get(order=order)
    assert fill.fee == round(fill.quantity * fill.price * D("0.001"), 8)
    assert far.asked == []


def test_what_the_venue_does_not_trade_is_not_bought(stage: Stage, far: FarVenue) -> None:
    """EXE-5: its markets are the markets there are."""
    account = live_make(stage.portfolio, now=stage.play.now)
    desk = desk_of(portfolio_id=account.pk)
    assert desk.rules is not None
    from markets.models import VenueInstrument

    VenueInstrument.objects.filter(instrument_id="ETH").update(active=False)
    stage.hold(1, "ETH", "1")
    stage.cycle()
    assert not Order.objects.exists()


def test_open_orders_cost_one_request_a_turn(stage: Stage, far: FarVenue) -> None:
    """SYN-3: a resting order is listed every ten seconds, and asked about only once the list differs."""
    live_make(stage.portfolio, now=stage.play.now)
    stage.hold(1, "BTC", "0.05")
    stage.cycle()
    turn(stage, seconds=0)  # sent; settled once
    Order.objects.update(created_at=stage.play.now - timedelta(seconds=20))
    LiveAccount.objects.update(polled_at=stage.play.now)
    PaperOrder.objects.update(matchable_at=stage.play.now + timedelta(seconds=30))
    far.asked.clear()
    for _ in range(25):
        turn(stage)
    assert far.asked.count("open") == 2
    assert "fetch" not in far.asked
    PaperOrder.objects.update(matchable_at=stage.play.now)
    for _ in range(11):
        turn(stage)
    assert far.asked.count("fetch") == 1
    assert Order.objects.get().status == "filled"


def test_only_accounts_with_something_to_do_have_a_turn(stage: Stage, far: FarVenue) -> None:
    """EXE-5: nothing is open: nothing is asked, and no message is sent."""
    live_make(stage.portfolio, now=stage.play.now, looked_at=stage.play.now)
    assert accounts_due(now=stage.play.now) == []
    stage.hold(1, "BTC", "0.05")
    stage.cycle()
    assert accounts_due(now=stage.play.now) == [stage.portfolio.pk]


def test_a_venue_that_is_away_has_pauses_and_paper_goes_on(
    stage: Stage, far: FarVenue, made_up: MadeUpWorld, alice: Any
) -> None:
    """EXE-6: its own portfolio alone waits, longer each time, and comes back by itself."""
    live_make(stage.portfolio, now=stage.play.now)
    other = stage_open(play=made_up, owner=alice, traders=1, name="Paper")
    stage.hold(1, "BTC", "0.05")
    stage.cycle()
    far.away = True
    pauses = []
    for _ in range(3):
        account = LiveAccount.objects.get()
        stage.play.now = account.retry_at or stage.play.now
        assert turn(stage, seconds=0)
        account.refresh_from_db()
        assert account.retry_at is not None
        assert account.claimed_at is None
        pauses.append((account.retry_at - stage.play.now).total_seconds())
        assert not turn(stage, seconds=1), "not asked before its pause is over"
    assert pauses == [2, 4, 8]
    assert "no route" in account.error
    far.asked.clear()
    other.sync()
    other.settle()
    assert other.held("BTC") == D("0.05")
    assert portfolios_reconcile(now=stage.play.now + timedelta(hours=1)) is not None
    assert far.asked == [], "neither orders of others nor their settling touch the venue"
    far.away = False
    stage.play.now = account.retry_at + timedelta(seconds=20)
    stage.play.marks_write()
    for _ in range(6):
        turn(stage, seconds=2)
        stage.cycle()  # what was never sent in its time is placed anew
    assert stage.held("BTC") == D("0.05")
    account.refresh_from_db()
    assert (account.failures, account.error) == (0, "")


def test_killed_between_sending_and_the_answer(stage: Stage, far: FarVenue) -> None:
    """EXE-6: the order is at the venue, our row says nothing: it is asked about, never sent twice."""
    live_make(stage.portfolio, now=stage.play.now)
    stage.hold(1, "BTC", "0.05")
    stage.cycle()
    order = Order.objects.get()

    def died(**_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("execution.orders._answer_keep", died)
        with pytest.raises(KeyboardInterrupt):
            order_send(order_id=order.pk, now=stage.play.now)
    order.refresh_from_db()
    assert (order.status, far.sent) == ("pending", [order.client_order_id])
    for _ in range(8):
        turn(stage, seconds=2)
    assert far.sent == [order.client_order_id]
    assert stage.held("BTC") == D("0.05")
    assert Order.objects.count() == 1


def test_no_answer_to_an_order_holds_its_capital_and_bars_entries(stage: Stage, far: FarVenue) -> None:
    """EXE-3: UNKNOWN until the venue has told us; then booked once."""
    live_make(stage.portfolio, now=stage.play.now)
    fault_tell(operation="submit", kind="timeout_after")
    stage.hold(1, "BTC", "0.05")
    stage.cycle()
    turn(stage, seconds=0)
    order = Order.objects.get()
    assert order.committed > 0
    for _ in range(4):
        turn(stage, seconds=2)
    assert stage.held("BTC") == D("0.05")
    assert far.sent == [order.client_order_id]


def test_an_exit_is_sent_to_the_venue_and_not_from_the_exit_workers(stage: Stage, far: FarVenue) -> None:
    """EXT-3, EXE-5: the trigger's order is in the venue's steps; who sends exits hands it on."""
    live_make(stage.portfolio, now=stage.play.now)
    position = bought(stage)
    trigger = ExitTrigger.objects.create(
        position=position,
        portfolio=stage.portfolio,
        kind="stop_loss",
        price=D(92000),
        level=D(92000),
        seen_at=stage.play.now,
        world_at=stage.play.now,
    )
    far.asked.clear()
    from engine.exits.standing import triggers_work

    triggers_work(now=stage.play.now)
    assert (Order.objects.count(), far.asked) == (1, []), "what is live waits for its own turn"
    for _ in range(6):
        turn(stage, seconds=2)
    trigger.refresh_from_db()
    assert trigger.status == "done"
    assert stage.held("BTC") == 0
    assert {order.venue for order in Order.objects.all()} == {FAR}


def test_the_queue_of_paper_orders_hands_on_what_is_live(
    stage: Stage, far: FarVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EXE-6: a slow venue is waited for by its own workers alone."""
    live_make(stage.portfolio, now=stage.play.now)
    stage.hold(1, "BTC", "0.05")
    stage.cycle()
    handed: list[int] = []
    monkeypatch.setattr("engine.tasks.live_submit_later", handed.append)
    order = Order.objects.get()
    orders_submit(order.pk)
    orders_work(now=stage.play.now)
    assert (handed, far.asked) == ([order.pk], [])


def test_emergency_stop_closes_at_the_venue(stage: Stage, far: FarVenue) -> None:
    """RSK-3: exactly as on paper."""
    live_make(stage.portfolio, now=stage.play.now)
    bought(stage)
    emergency_stop(portfolio_id=stage.portfolio.pk, by="alice", reason="", now=stage.play.now)
    for _ in range(5):
        turn(stage, seconds=2)
    assert stage.held("BTC") == 0
    closing = Order.objects.get(purpose="liquidation")
    assert (closing.venue, closing.status, closing.reduce_only) == (FAR, "filled", True)


def test_paper_funding_and_liquidation_leave_live_alone(stage: Stage, far: FarVenue) -> None:
    """SPEC, money: the venue charges and liquidates by its own rules."""
    live_make(stage.portfolio, now=stage.play.now)
    position = bought(stage)
    Position.objects.update(funded_until=stage.play.now - timedelta(hours=9))
    stage.price("BTC", "10")
    assert positions_fund(now=stage.play.now) == 0
    assert portfolios_liquidate(now=stage.play.now) == []
    position.refresh_from_db()
    assert position.funding == 0


def test_one_portfolio_per_account(stage: Stage, far: FarVenue, alice: Any) -> None:
    """SPEC, money: whoever comes second is refused by the database; a stopped one gives the account free."""
    first = live_make(stage.portfolio, now=stage.play.now)
    second = portfolio_open(
        owner=alice, initial_cash=D(100), now=stage.play.now, name="Second", policy="perp"
    )
    key = key_make(alice, account_id="other")
    fields = {
        "credential": key, "venue": FAR, "sandbox": True, "policy": "perp", "quote": "USDT",
        "account_id": "main", "assigned": D(1), "connected_at": stage.play.now,
    }  # fmt: skip
    with pytest.raises(IntegrityError, match="live_account_of_one_portfolio"), transaction.atomic():
        LiveAccount.objects.create(portfolio=second, **fields)
    LiveAccount.objects.filter(pk=first.pk).update(state="stopped")
    assert LiveAccount.objects.create(portfolio=second, **fields).state == "shadow"
    assert Portfolio.objects.filter(live__isnull=False).count() == 2
