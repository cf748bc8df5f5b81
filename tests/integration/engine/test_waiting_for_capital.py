"""CAP-1, CAP-3: the copy cycle and outside programs at one queue; two uses of one grant at once."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D
from functools import partial
from typing import Any

import pytest

from accounts.models import Portfolio, User
from allocation.models import CapitalAccount, Reservation
from core.clock import utc_now
from core.types import OrderSide
from engine.domain.own_entry import EntryWish
from engine.models import CycleState, Decision
from engine.outside import grant_release, grant_request, grant_use
from execution.models import Order
from markets.models import LIVE
from markets.services import world_ensure
from positions.audit import books_audit
from tests.integration.engine.stage import stage_open
from tests.integration.money.desk import desk_open
from tests.integration.money.test_races import at_once
from tests.stateful.worlds import MadeUpWorld


def ask(portfolio: Portfolio, *, amount: str, priority: int, wait_s: int, now: Any) -> Reservation:
    return grant_request(
        portfolio=portfolio,
        instrument_code="BTC",
        amount=D(amount),
        priority=priority,
        source="momentum",
        wait_s=wait_s,
        key="",
        now=now,
    )


@pytest.mark.django_db
def test_the_copy_cycle_does_not_overtake_who_waits(alice: User, made_up: MadeUpWorld) -> None:
    """CAP-1: what a critical request waits for is not spent on a copied trade; the denial says so."""
    stage = stage_open(play=made_up, owner=alice, traders=2)
    holder = ask(stage.portfolio, amount="5000", priority=2, wait_s=0, now=made_up.now)
    critical = ask(stage.portfolio, amount="6000", priority=0, wait_s=300, now=made_up.now)
    assert (holder.status, critical.status) == ("granted", "waiting")
    stage.hold(1, "BTC", "0.1")
    stage.cycle()
    assert stage.orders == 0
    denied = Reservation.objects.get(source="copy cycle")
    assert denied.status == "denied"
    told = Decision.objects.get(portfolio=stage.portfolio, kind="refused")
    assert told.reason.endswith("for which others of the same or a higher priority wait")
    grant_release(portfolio=stage.portfolio, reservation_id=holder.pk, now=made_up.now)
    critical.refresh_from_db()
    assert critical.status == "granted"
    stage.cycle()
    assert stage.orders == 1, "nobody waits any more, and 4,000 are free"


@pytest.mark.django_db(transaction=True)
def test_two_uses_of_one_grant_are_one_order(alice: User) -> None:
    """CAP-3: a program that repeats itself before it was answered gets the same order twice."""
    desk = desk_open()
    desk.now = utc_now()
    desk.world = world_ensure(name=LIVE, now=desk.now)
    Portfolio.objects.filter(pk=desk.pk).update(risk_profile="aggressive", world=LIVE)
    desk.portfolio.refresh_from_db()
    CycleState.objects.create(portfolio=desk.portfolio)
    desk.mark("100000")
    wish = EntryWish(code="BTC", side=OrderSide.BUY, quantity=D("0.01"), limit_price=D(100100))
    for number in range(1, 4):
        grant = ask(desk.portfolio, amount="1500", priority=2, wait_s=0, now=desk.now)
        use: Callable[[], object] = partial(
            grant_use,
            portfolio=desk.portfolio,
            reservation_id=grant.pk,
            wish=wish,
            by=alice,
            via="api",
            now=desk.now,
        )
        orders = at_once([use] * 4)
        assert not [order for order in orders if isinstance(order, Exception)]
        assert {order.pk for order in orders} == {Order.objects.latest("pk").pk}  # type: ignore[attr-defined]
        assert Order.objects.count() == number
        Order.objects.update(status="cancelled", committed=0)
        CapitalAccount.objects.update(free=10000, committed=0)
    assert books_audit() == []
