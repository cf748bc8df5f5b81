"""Stops that also rest at the venue (EXT-2, EXT-4): placed, moved, recreated, taken back; they sell once."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from engine.barring import barring_read, underlyings_barred
from engine.models import ExitTrigger
from engine.order_life import orders_work
from engine.own_orders import position_close
from engine.recovery import portfolio_reconcile
from engine.venue_stops import venue_stops_work
from execution.models import Fill, Order, PaperOrder, PaperStop, VenueOrphan
from execution.venues.paper_faults import fault_tell
from positions.audit import books_audit
from positions.exits import RULE_FIELDS, defaults_of
from positions.models import ExitDefaults, ExitGuard, Position, VenueStop
from tests.integration.engine.stage import Stage, stage_open
from tests.integration.engine.test_races import at_once
from tests.stateful.worlds import MadeUpWorld

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage(made_up: MadeUpWorld, alice: Any) -> Stage:
    """One trader long 0.05 BTC at 100,000, copied in full, with stops wanted at the venue."""
    opened = stage_open(play=made_up, owner=alice, traders=1)
    rules = defaults_of(portfolio_id=opened.portfolio.pk)
    ExitDefaults.objects.create(
        portfolio=opened.portfolio,
        stops_at_venue=True,
        **{name: getattr(rules, name) for name in RULE_FIELDS},
    )
    opened.hold(1, "BTC", "0.05")
    opened.settle(steps=4)
    return opened


def work(stage: Stage, seconds: float = 1) -> None:
    """Let a second pass, in which orders and stops are looked after."""
    stage.play.pass_time(seconds=seconds)
    orders_work(now=stage.play.now)
    venue_stops_work(now=stage.play.now)


def position(stage: Stage) -> Position:
    return Position.objects.get(portfolio=stage.portfolio)


def armed() -> list[tuple[str, D, D]]:
    rows = PaperStop.objects.filter(status="armed").order_by("pk")
    return list(rows.values_list("side", "quantity", "trigger_price"))


def barred(stage: Stage) -> dict[str, str]:
    """Return what may not be opened while nothing is held."""
    rows = barring_read(positions={stage.portfolio.pk: {}}, now=stage.play.now)
    return underlyings_barred(rows=rows[stage.portfolio.pk], positions={})


def statuses() -> list[str]:
    return list(VenueStop.objects.order_by("pk").values_list("status", flat=True))


def raise_stop(stage: Stage, price: str) -> None:
    ExitGuard.objects.filter(position=position(stage)).update(stop_price=D(price))


def test_it_rests_below_a_long_and_never_above_the_level(stage: Stage) -> None:
    """EXT-2: 8 % below the average entry, rounded away from the market; a second look changes nothing."""
    work(stage)
    guard = ExitGuard.objects.get(position=position(stage))
    ((side, quantity, price),) = armed()
    assert (side, quantity) == ("SELL", position(stage).quantity)
    assert guard.stop_price is not None
    assert D(0) <= guard.stop_price - price < D(1)
    work(stage)
    work(stage)
    assert statuses() == ["resting"]
    assert Order.objects.filter(origin="exit").count() == 0


def test_it_rests_above_a_short(made_up: MadeUpWorld, alice: Any) -> None:
    """EXT-2: mirrored: a buy stop at or above the level."""
    stage = stage_open(play=made_up, owner=alice, traders=1)
    rules = defaults_of(portfolio_id=stage.portfolio.pk)
    ExitDefaults.objects.create(
        portfolio=stage.portfolio, stops_at_venue=True, **{name: getattr(rules, name) for name in RULE_FIELDS}
    )
    stage.hold(1, "BTC", "-0.05")
    stage.settle(steps=4)
    work(stage)
    guard = ExitGuard.objects.get(position=position(stage))
    ((side, quantity, price),) = armed()
    assert (side, quantity) == ("BUY", -position(stage).quantity)
    assert guard.stop_price is not None
    assert D(0) <= price - guard.stop_price < D(1)
    stage.price("BTC", str(price))
    work(stage)
    work(stage)
    assert (stage.held("BTC"), books_audit()) == (D(0), [])


def test_nothing_rests_where_the_owner_does_not_want_it(stage: Stage) -> None:
    """EXT-2: off by default; switched off, what rests is taken back."""
    work(stage)
    ExitDefaults.objects.update(stops_at_venue=False)
    work(stage)
    assert (armed(), statuses()) == ([], ["cancelled"])
    work(stage)
    assert statuses() == ["cancelled"]


def test_touched_it_closes_the_position_and_is_not_bought_again(stage: Stage) -> None:
    """EXT-4, EXE-8: booked once, with its trigger, at the price of the touch; the trader still holds it."""
    work(stage)
    held = position(stage).quantity
    stage.price("BTC", "91000")
    work(stage)
    work(stage)
    order = Order.objects.get(origin="exit")
    assert (order.status, order.side, order.filled_quantity) == ("filled", "SELL", held)
    assert position(stage).status == "closed"
    trigger = ExitTrigger.objects.get()
    assert (trigger.kind, trigger.found_by, trigger.order_id) == ("stop_loss", "venue", order.pk)
    assert (statuses(), armed()) == (["triggered"], [])
    assert VenueStop.objects.get().order == order
    stage.settle(steps=2)
    assert stage.held("BTC") == 0
    assert Order.objects.filter(origin="exit").count() == 1
    assert books_audit() == []


def test_a_price_short_of_it_touches_nothing(stage: Stage) -> None:
    """EXT-1: one venue step before the trigger it still rests; at the trigger it goes."""
    work(stage)
    ((_, _, price),) = armed()
    stage.price("BTC", str(price + D("0.1")))
    work(stage)
    assert statuses() == ["resting"]
    stage.price("BTC", str(price))
    work(stage)
    assert statuses() == ["triggered"]


def test_it_follows_the_ratchet_in_steps_and_is_never_away(stage: Stage) -> None:
    """EXT-2: the new one rests before the old one goes; a move below 0.1 % waits."""
    work(stage)
    raise_stop(stage, "95000")
    stage.play.pass_time(seconds=6)
    venue_stops_work(now=stage.play.now)
    assert [price for _, _, price in armed()][-1] == D(95000)
    assert statuses() == ["leaving", "resting"]
    work(stage)
    assert [price for _, _, price in armed()] == [D(95000)]
    raise_stop(stage, "95090")
    work(stage, seconds=6)
    assert [price for _, _, price in armed()] == [D(95000)]
    raise_stop(stage, "95095")
    work(stage, seconds=6)
    work(stage)
    assert [price for _, _, price in armed()] == [D(95095)]


def test_a_refused_move_leaves_the_old_one(stage: Stage) -> None:
    """EXT-2: the position keeps its stop until the new one rests, and it is tried again."""
    work(stage)
    first = armed()
    raise_stop(stage, "95000")
    fault_tell(operation="submit", kind="refuse")
    work(stage, seconds=6)
    assert (armed(), statuses()) == (first, ["resting", "refused"])
    work(stage)
    assert statuses() == ["resting", "refused"]
    work(stage, seconds=6)
    work(stage)
    assert [price for _, _, price in armed()] == [D(95000)]


@pytest.mark.parametrize("kind", ["timeout_after", "timeout_before", "forget", "refuse", "unavailable"])
def test_it_comes_to_rest_whatever_goes_wrong_at_first(stage: Stage, kind: str) -> None:
    """EXT-2, EXE-6: lost on the way, lost on the way back, forgotten, refused, away: one rests in the end."""
    fault_tell(operation="submit", kind=kind)
    for _ in range(14):
        work(stage)
    assert len(armed()) == 1
    assert VenueStop.objects.filter(status="resting").count() == 1
    assert VenueStop.objects.filter(status__in=("placing", "leaving")).count() == 0


def test_it_is_recreated_when_it_vanishes(stage: Stage) -> None:
    """EXT-2: gone from the venue, there is a new one within seconds."""
    work(stage)
    work(stage, seconds=10)
    PaperStop.objects.all().delete()
    work(stage)
    assert len(armed()) == 1
    assert statuses() == ["gone", "resting"]


def test_taken_back_without_an_answer_it_is_asked_about_again(stage: Stage) -> None:
    """EXT-2: a lost cancel is repeated; one that the venue claims not to know is found by the list."""
    work(stage, seconds=6)
    fault_tell(operation="cancel", kind="timeout_before")
    fault_tell(operation="cancel", kind="unavailable")
    ExitDefaults.objects.update(stops_at_venue=False)
    for _ in range(4):
        work(stage)
    assert (armed(), statuses()) == ([], ["cancelled"])


def test_a_cancel_denied_by_a_forgetful_venue_is_mended_by_the_recovery(stage: Stage) -> None:
    """EXE-6: the venue says it never had it and lets it rest: the next settling takes it back."""
    work(stage)
    work(stage, seconds=10)
    fault_tell(operation="cancel", kind="forget")
    ExitDefaults.objects.update(stops_at_venue=False)
    work(stage)
    assert (len(armed()), statuses()) == (1, ["gone"])
    portfolio_reconcile(portfolio_id=stage.portfolio.pk, now=stage.play.now)
    assert armed() == []


def test_a_close_by_hand_takes_it_back(stage: Stage) -> None:
    """EXT-2: cancelled with the position; till then nothing new is opened there, which it would close."""
    work(stage)
    pos = position(stage)
    position_close(
        portfolio=stage.portfolio, position_id=pos.pk, fraction=D(1), market=True, command_id=None,
        origin="person", now=stage.play.now,
    )  # fmt: skip
    for _ in range(3):
        stage.play.pass_time(seconds=1)
        orders_work(now=stage.play.now)
    assert position(stage).status == "closed"
    assert barred(stage) == {"BTC": "the stop of the position before it still rests at the venue"}
    work(stage)
    assert (armed(), statuses()) == ([], ["cancelled"])
    assert barred(stage) == {}
    assert books_audit() == []


@pytest.mark.parametrize("stop_first", [True, False])
def test_with_another_exit_on_its_way_it_sells_once(stage: Stage, *, stop_first: bool) -> None:
    """EXT-4: an exit of ours and the stop meet the same price, in either order: what is held is sold once."""
    work(stage)
    pos = position(stage)
    held = pos.quantity
    if stop_first:
        stage.price("BTC", "91000")
        orders_work(now=stage.play.now)
    closing = position_close(
        portfolio=stage.portfolio, position_id=pos.pk, fraction=D(1), market=True, command_id=None,
        origin="breaker", now=stage.play.now,
    )  # fmt: skip
    assert closing.order_id is not None
    stage.price("BTC", "91000")
    for _ in range(6):
        work(stage)
    sold = sum(Fill.objects.filter(order__side="SELL").values_list("quantity", flat=True), D(0))
    assert sold == held
    assert (stage.held("BTC"), armed()) == (D(0), [])
    assert VenueStop.objects.filter(status__in=VenueStop.STANDING).count() == 0
    assert not Order.objects.filter(status__in=Order.OPEN_STATUSES).exists()
    assert (books_audit(), VenueOrphan.objects.count()) == ([], 0)


def test_a_standing_trigger_that_closes_all_is_not_doubled(stage: Stage) -> None:
    """EXT-4: the watch was first: its trigger stands, the stop's order is booked beside it."""
    work(stage)
    pos = position(stage)
    ours = ExitTrigger.objects.create(
        position=pos, portfolio=stage.portfolio, kind="stop_loss", price=91_000, seen_at=stage.play.now,
        world_at=stage.play.now,
    )  # fmt: skip
    stage.price("BTC", "91000")
    work(stage)
    work(stage)
    assert list(ExitTrigger.objects.all()) == [ours]
    assert stage.held("BTC") == 0


def test_it_takes_the_place_of_a_partial_trigger(stage: Stage) -> None:
    """EXT-4: half of a take profit stood; the stop closes all of it and says so."""
    work(stage)
    half = ExitTrigger.objects.create(
        position=position(stage), portfolio=stage.portfolio, kind="take_profit", fraction=D("0.5"),
        price=110_000, seen_at=stage.play.now, world_at=stage.play.now,
    )  # fmt: skip
    stage.price("BTC", "91000")
    work(stage)
    work(stage)
    half.refresh_from_db()
    assert (half.status, half.text) == ("void", "A stop at the venue closes all of it")
    assert ExitTrigger.objects.exclude(pk=half.pk).get().found_by == "venue"
    assert stage.held("BTC") == 0


def test_the_recovery_knows_it_as_ours(stage: Stage) -> None:
    """EXE-6: touched while nothing of ours ran but the recovery: adopted, no orphan, no breaker."""
    portfolio_reconcile(portfolio_id=stage.portfolio.pk, now=stage.play.now)
    work(stage)
    stage.price("BTC", "91000")
    stage.play.pass_time(seconds=1)
    orders_work(now=stage.play.now)
    assert PaperOrder.objects.filter(client_order_id=VenueStop.objects.get().client_order_id).exists()
    found = portfolio_reconcile(portfolio_id=stage.portfolio.pk, now=stage.play.now)
    assert (found.orphans, VenueOrphan.objects.count()) == ((), 0)
    assert statuses() == ["triggered"]
    assert stage.held("BTC") == 0
    assert books_audit() == []


def test_more_held_than_rested_is_sold_in_two_parts_and_once(stage: Stage) -> None:
    """EXT-4: enlarged since, a stop sells what it was placed for; what is left gets one, and goes as well."""
    stage.hold(1, "BTC", "0.02")
    stage.settle(steps=4)
    work(stage)
    before = position(stage).quantity
    stage.hold(1, "BTC", "0.03")
    stage.settle(steps=4)
    after = position(stage).quantity
    assert after > before
    stage.price("BTC", "90000")
    for _ in range(4):
        work(stage)
    orders = Order.objects.filter(origin="exit").order_by("pk")
    assert [(o.purpose, o.filled_quantity) for o in orders] == [("reduce", before), ("close", after - before)]
    assert stage.held("BTC") == 0
    assert ExitTrigger.objects.get().fraction == 1
    assert books_audit() == []


@pytest.mark.django_db(transaction=True)
def test_two_workers_place_and_book_it_once(made_up: MadeUpWorld, alice: Any) -> None:
    """EXT-4: both look at the same moment: one stop rests; both find it touched: one order, sold once."""
    stage = stage_open(play=made_up, owner=alice, traders=1)
    rules = defaults_of(portfolio_id=stage.portfolio.pk)
    ExitDefaults.objects.create(
        portfolio=stage.portfolio, stops_at_venue=True, **{name: getattr(rules, name) for name in RULE_FIELDS}
    )
    stage.hold(1, "BTC", "0.05")
    stage.settle(steps=4)
    stage.play.pass_time(seconds=1)

    def look() -> None:
        venue_stops_work(now=stage.play.now)

    assert at_once(look, look) == [None, None]
    assert (len(armed()), statuses()) == (1, ["resting"])
    held = position(stage).quantity
    stage.price("BTC", "91000")
    stage.play.pass_time(seconds=1)
    orders_work(now=stage.play.now)
    assert at_once(look, look) == [None, None]
    work(stage)
    assert Order.objects.get(origin="exit").filled_quantity == held
    assert Fill.objects.filter(order__origin="exit").count() == 1
    assert ExitTrigger.objects.count() == 1
    assert (stage.held("BTC"), books_audit()) == (D(0), [])
