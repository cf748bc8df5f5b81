"""What entries are ranked by, read from books and recorded prices, and where the rank goes (EXE-2)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from allocation.models import Follow, Reservation
from core.instruments import Instrument
from engine.domain.copy_types import Market
from engine.evidence import past_read, pulses_read
from engine.models import CycleState, Decision
from engine.order_life import order_send
from execution.models import Order
from execution.orders import order_submit
from execution.venues.paper_faults import fault_tell
from markets.domain.context import ContextRecord
from markets.selectors import contexts_recent
from markets.services import contexts_write
from positions.selectors import past_results
from positions.services import order_sync
from positions.transfers import slices_hand_over
from tests.integration.engine.stage import Stage, stage_open
from tests.integration.money.desk import Desk, desk_open
from tests.replaying import ReplayDriver
from tests.stateful.worlds import MadeUpWorld

pytestmark = pytest.mark.django_db
D = Decimal
GROK, QWEN = "grok-4", "qwen3-max"


@pytest.fixture
def desk() -> Desk:
    opened = desk_open(policy="perp", cash="100000")
    opened.mark("100")
    return opened


def trade(desk: Desk, side: str, price: str, *, slices: dict[int | None, str], **more: Any) -> None:
    """Send one order for these slices and let it fill in full at about ``price``."""
    desk.mark(price)
    quantity = str(abs(sum(D(part) for part in slices.values())))
    limit = str(D(price) * (D("1.01") if side == "BUY" else D("0.99")))
    order = desk.order(side, quantity, limit, slices=slices, **more)
    order_submit(order_id=order.pk, now=desk.now)
    desk.later(1)
    desk.mark(price)
    desk.match()
    assert order_sync(order_id=order.pk, now=desk.now).status == "filled"


def test_past_results_are_those_of_closed_slices(desk: Desk) -> None:
    """EXE-2: T1 bought 1 and T2 bought 3; T1 is out at 110, T2 still holds."""
    one, two = (follow.pk for follow in desk.follows)
    trade(desk, "BUY", "100", slices={one: "1", two: "3"})
    assert past_results(portfolio_id=desk.pk) == {}
    trade(desk, "SELL", "110", slices={one: "-1"}, reduce_only=True)
    ((key, result),) = past_results(portfolio_id=desk.pk).items()
    assert key == (desk.follows[0].trader_id, "BTC")
    assert (result.closed, result.won) == (1, 1)
    assert round(result.mean_return, 4) == 0.0924  # 10 of 105, less fees, spread and slippage
    trade(desk, "SELL", "90", slices={two: "-3"}, reduce_only=True)
    lost = past_results(portfolio_id=desk.pk)[(desk.follows[1].trader_id, "BTC")]
    assert (lost.closed, lost.won) == (1, 0)
    assert round(lost.mean_return, 4) == -0.1083  # -10 of 95, and the same costs


def test_a_trader_followed_again_keeps_its_record(desk: Desk) -> None:
    """EXE-2: results belong to the trader, not to the follow."""
    left = desk.follows[0]
    trade(desk, "BUY", "100", slices={left.pk: "1"})
    trade(desk, "SELL", "110", slices={left.pk: "-1"}, reduce_only=True)
    Follow.objects.filter(pk=left.pk).update(status=Follow.Status.REMOVED)
    again = Follow.objects.create(portfolio=desk.portfolio, trader=left.trader, place=3, hue=3)
    known = past_read(portfolio_id=desk.pk, follows=[again])
    assert {key: (result.closed, result.won) for key, result in known.items()} == {(again.pk, "BTC"): (1, 1)}
    assert past_read(portfolio_id=desk.pk, follows=[desk.follows[1]]) == {}


def test_a_slice_that_was_handed_over_is_no_result(desk: Desk) -> None:
    """EXE-2: it did not end by its trader's decision."""
    follow = desk.follows[0]
    trade(desk, "BUY", "100", slices={follow.pk: "1"})
    slices_hand_over(follow=follow, now=desk.now, world_at=desk.now)
    assert past_results(portfolio_id=desk.pk) == {}


def test_a_live_market_is_known_by_its_volume_and_depth(made_up: MadeUpWorld) -> None:
    """EXE-2: as read within the last 15 minutes; a recorded world has none."""
    live, now = made_up.world, made_up.now
    record = ContextRecord("ETH", D(1000000), D("0.0004"))
    assert contexts_write(contexts=[record, ContextRecord("NEVERSEEN", D(1), None)], at=now) == 1
    spec = Instrument("ETH", "ETH", D(1), D("0.0001"), 2)
    markets = {"ETH": Market(spec, D(4000))}
    pulse = pulses_read(
        world=live,
        markets=markets,
        underlyings=["ETH", "BTC"],
        contexts=contexts_recent(codes=["ETH"], now=now),
        now=now,
    )["ETH"]
    assert (pulse.day_volume, pulse.impact_spread) == (D(1000000), D("0.0004"))
    later = now + timedelta(minutes=15)
    forgotten = contexts_recent(codes=["ETH"], now=later)
    old = pulses_read(world=live, markets=markets, underlyings=["ETH"], contexts=forgotten, now=later)["ETH"]
    assert (old.day_volume, old.impact_spread) == (None, None)


def test_an_entry_carries_its_score_and_its_reservation_the_priority(arena: ReplayDriver, alice: Any) -> None:
    """EXE-2, CAP-1: from recorded prices of a day; at most five entries work at once."""
    arena.forward(600)  # 100 hours in
    portfolio = arena.portfolio(
        alice, name="ranked", keys=(GROK, QWEN), policy="perp", risk_profile="balanced"
    )
    arena.observe((GROK, QWEN))
    arena.act()
    entries = list(Order.objects.filter(portfolio=portfolio, reduce_only=False).order_by("pk"))
    assert entries
    assert len(entries) <= 5
    scores = [order.score for order in entries]
    assert None not in scores
    assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]
    for order in entries:
        assert order.reservation is not None
        expected = (
            Reservation.Priority.HIGH
            if order.score >= D("0.6")
            else Reservation.Priority.MEDIUM
            if order.score >= D("0.4")
            else Reservation.Priority.LOW
        )
        assert order.reservation.priority == expected
    decision = Decision.objects.filter(portfolio=portfolio, underlying=entries[0].underlying).latest("pk")
    assert D(decision.data["score"]) == entries[0].score
    assert decision.data["ranked_by"].startswith("velocity ")


@pytest.fixture
def stage(made_up: MadeUpWorld, alice: Any) -> Stage:
    return stage_open(play=made_up, owner=alice, traders=1)


def test_a_refused_entry_gives_its_turn_to_the_next(stage: Stage, settings: Any) -> None:
    """EXE-2, EXE-3: who is queued goes at once; what was refused is not tried again for a minute."""
    settings.MAX_OPEN_ORDERS = 1
    stage.settings(risk_profile="conservative")
    stage.hold(1, "BTC", "0.02")
    stage.hold(1, "ETH", "0.2")
    fault_tell(operation="submit", kind="refuse")
    stage.cycle()
    (first,) = Order.objects.filter(portfolio=stage.portfolio)
    refused_at = stage.play.now
    assert order_send(order_id=first.pk, now=refused_at) == "rejected"
    assert CycleState.objects.get(portfolio=stage.portfolio).wanted_why == "an order was refused"
    stage.cycle()
    first, second = Order.objects.filter(portfolio=stage.portfolio).order_by("pk")
    assert {first.underlying, second.underlying} == {"BTC", "ETH"}
    stage.settle()
    assert stage.held(second.underlying) != 0
    assert stage.orders == 2
    stage.play.pass_time(seconds=59 - (stage.play.now - refused_at).total_seconds())
    stage.cycle()
    assert stage.orders == 2
    stage.play.pass_time(seconds=1)
    stage.settle()
    assert stage.orders == 3
    assert stage.held(first.underlying) != 0


def test_a_refused_exit_wakes_nobody(stage: Stage) -> None:
    """EXE-3: it would be refused again at once; its next turn comes with the minute."""
    stage.hold(1, "BTC", "0.02")
    stage.settle()
    stage.hold(1, "BTC", "0")
    fault_tell(operation="submit", kind="refuse")
    stage.cycle()
    CycleState.objects.update(wanted_at=None)
    close = Order.objects.filter(portfolio=stage.portfolio, reduce_only=True).latest("pk")
    assert order_send(order_id=close.pk, now=stage.play.now) == "rejected"
    assert CycleState.objects.get(portfolio=stage.portfolio).wanted_at is None
