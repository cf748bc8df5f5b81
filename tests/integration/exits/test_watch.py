"""EXT-3: what the watch triggers, from the tape to the stored order."""

from __future__ import annotations

from engine.exits.standing import triggers_work
from engine.models import Decision, ExitTrigger
from execution.models import Order
from positions.models import Position
from tests.integration.exits.scene import D, Scene


def test_a_stop_is_triggered_at_the_first_price_beyond_it(scene: Scene) -> None:
    """8 % below 100,000 is 92,000; the gap to 91,500 closes at what was seen."""
    position = scene.hold()
    scene.look()
    scene.tell("95000", "92000.1", "91500", "91000")
    scene.look()
    assert scene.triggers() == [("stop_loss", D("91500"), "working")]
    (order,) = scene.exit_orders()
    assert (order.side, order.quantity, order.limit_price) == ("SELL", D("0.1"), D("90585"))
    assert (order.reduce_only, order.purpose, order.status) == (True, "close", "pending")
    trigger = ExitTrigger.objects.get()
    assert (trigger.level, trigger.order, trigger.found_by) == (D("92000"), order, "watch")
    assert trigger.position_id == position.pk
    decision = Decision.objects.get(kind="exit")
    assert decision.text == "Stop loss of BTC at 91500: selling 0.1"
    assert decision.reason.startswith("92000 was reached at 91500.")
    assert list(decision.follows.all()) == [scene.desk.follows[0]]


def test_a_trailing_stop_follows_the_best_price_and_closes_behind_it(scene: Scene) -> None:
    """From 112,000 on it trails; 120,000 makes it 114,000."""
    position = scene.hold()
    scene.look()
    scene.tell("112000", "120000", "114000.1")
    scene.look()
    assert scene.triggers() == []
    guard = scene.guard(position)
    assert (guard.peak_price, guard.trail_price) == (D("120000"), D("114000"))
    scene.tell("113999.9")
    scene.look()
    assert scene.triggers() == [("trailing", D("113999.9"), "working")]


def test_a_short_is_watched_the_other_way_round(scene: Scene) -> None:
    position = scene.hold("-0.1")
    scene.look()
    scene.tell("88000", "80000", "83999")
    scene.look()
    assert scene.guard(position).trail_price == D("84000")
    assert scene.triggers() == []
    scene.tell("84000")
    scene.look()
    assert scene.triggers() == [("trailing", D("84000"), "working")]
    (order,) = scene.exit_orders()
    assert (order.side, order.limit_price) == ("BUY", D("84840"))


def test_prices_from_before_the_fill_trigger_nothing(scene: Scene) -> None:
    scene.tell("90000")
    position = scene.hold()
    scene.look()
    assert scene.triggers() == []
    assert scene.guard(position).peak_price == D("100000")


def test_a_position_is_held_against_every_price_since_its_fill_however_late_it_is_heard_of(
    scene: Scene,
) -> None:
    """The watch reads the tape past the fill before it hears of the guard."""
    scene.look()
    scene.hold()
    scene.tell("91999", "99000")
    scene.watch.turn(block_ms=1)  # too early to ask for guards again
    scene.look()
    assert scene.triggers() == [("stop_loss", D("91999"), "working")]


def test_what_was_closed_is_not_bought_again_and_the_trigger_is_done(scene: Scene) -> None:
    """EXE-8: the leg is let go with the order; once the venue has filled it nothing is left to do."""
    position = scene.hold()
    scene.look()
    scene.tell("91000")
    scene.look()
    (order,) = scene.exit_orders()
    triggers_work(now=scene.clock.now())  # nothing to do: the order works
    fill(scene, order, "91000")
    triggers_work(now=scene.clock.now())
    assert scene.triggers() == [("stop_loss", D("91000"), "done")]
    position.refresh_from_db()
    assert position.status == Position.Status.CLOSED
    scene.tell("80000")
    scene.look()
    assert Order.objects.filter(origin="exit").count() == 1


def fill(scene: Scene, order: Order, price: str, quantity: str = "") -> None:
    """Let the venue fill an order, or a part of it."""
    from positions.booking import fill_book

    size = quantity or str(order.quantity)
    fill_book(order_id=order.pk, fill=scene.desk.fill(order, size, price), now=scene.clock.now())
