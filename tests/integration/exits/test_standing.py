"""EXT-1, EXT-4: a trigger stands until what it asks for is closed, and sells it once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from engine.barring import barring_read, underlyings_barred
from engine.emergency import emergency_stop
from engine.exits import placing
from engine.exits.standing import triggers_work
from engine.exits.sweep import positions_confirm, positions_sweep
from engine.exits.triggers import hits_store
from engine.exits.watched import Hit
from engine.models import ExitShard, ExitTrigger
from engine.order_life import orders_work
from engine.own_orders import position_close
from execution.models import Order, PaperHolding
from execution.orders import order_cancel
from positions.audit import books_audit
from positions.booking import fill_book
from positions.models import ExitGuard, Position
from tests.integration.exits.scene import D, Scene


def fill(scene: Scene, order: Order, price: str, quantity: str = "") -> None:
    """Let the venue fill an order, or a part of it."""
    made = scene.desk.fill(order, quantity or str(order.quantity), price)
    fill_book(order_id=order.pk, fill=made, now=scene.clock.now())


def at_venue(scene: Scene, quantity: str = "0.1") -> None:
    """Let the paper venue know what the desk holds."""
    account = f"portfolio:{scene.desk.pk}"
    PaperHolding.objects.create(account=account, instrument_code="BTC", quantity=D(quantity))


def rules(position: Position, **values: object) -> None:
    """Write rules into a guard, as an edit does."""
    guard = ExitGuard.objects.get(pk=position.pk)
    for name, value in values.items():
        setattr(guard, name, value)
    guard.version += 1
    guard.save()


STEPS = [
    {"gain_pct": "5", "fraction_pct": "50"},
    {"gain_pct": "10", "fraction_pct": "50"},
    {"gain_pct": "15", "fraction_pct": "100"},
]


# ---------------------------------------------------------------- parts
def test_steps_of_take_profit_close_parts_and_then_all_of_it(scene: Scene) -> None:
    """Half at 105,000, half of the rest at 110,000, the rest at 115,000; limits half a percent below."""
    position = scene.hold()
    rules(position, take_profit=STEPS, changed_at=scene.clock.now())
    scene.look()
    expected = [("105100", "104475", "0.05"), ("110000", "109450", "0.025"), ("116000", "114425", "0.025")]
    for price, limit, quantity in expected:
        scene.tell(price)
        scene.look()
        triggers_work(now=scene.clock.now())
        order = scene.exit_orders()[-1]
        assert (order.limit_price, order.quantity) == (D(limit), D(quantity))
        fill(scene, order, price)
        triggers_work(now=scene.clock.now())
    assert [kind for kind, _, status in scene.triggers() if status == "done"] == ["take_profit"] * 3
    position.refresh_from_db()
    assert position.status == Position.Status.CLOSED


def test_a_step_reached_while_the_one_before_it_works_joins_it(scene: Scene) -> None:
    """Half, then half of the rest: a quarter stays, and one trigger stands."""
    position = scene.hold("0.2")
    rules(position, take_profit=STEPS, changed_at=scene.clock.now())
    scene.look()
    scene.tell("105000")
    scene.look()
    triggers_work(now=scene.clock.now())
    scene.tell("110000")
    scene.look()
    (trigger,) = ExitTrigger.objects.all()
    assert (trigger.fraction, trigger.keeps, trigger.status) == (D("0.75"), D("0.05"), "working")
    fill(scene, scene.exit_orders()[0], "105000")
    triggers_work(now=scene.clock.now())
    assert [order.quantity for order in scene.exit_orders()] == [D("0.1"), D("0.05")]
    fill(scene, scene.exit_orders()[1], "110000")
    triggers_work(now=scene.clock.now())
    position.refresh_from_db()
    assert position.quantity == D("0.05")
    assert scene.triggers() == [("take_profit", D("110000"), "done")]


def test_a_stop_takes_the_place_of_a_take_profit_that_stands(scene: Scene) -> None:
    """The price turns before the step is filled: its order is called back, and everything is sold."""
    position = scene.hold()
    rules(position, take_profit=STEPS, changed_at=scene.clock.now())
    at_venue(scene)
    scene.look()
    scene.tell("105000")
    scene.look()
    triggers_work(now=scene.clock.now())
    scene.tell("91000")
    scene.look()
    assert scene.triggers() == [
        ("take_profit", D("105000"), "void"),
        ("stop_loss", D("91000"), "waiting"),
    ]
    scene.later(0.5)
    triggers_work(now=scene.clock.now())
    scene.later(0.5)
    triggers_work(now=scene.clock.now())
    first, second = scene.exit_orders()
    assert (first.status, second.quantity, second.purpose) == ("cancelled", D("0.1"), "close")


def test_a_part_below_the_smallest_step_is_void_with_a_reason(scene: Scene) -> None:
    position = scene.hold("0.00001")
    rules(position, take_profit=STEPS[:1], changed_at=scene.clock.now())
    scene.look()
    scene.tell("106000")
    scene.look()
    triggers_work(now=scene.clock.now())
    trigger = ExitTrigger.objects.get()
    assert (trigger.status, trigger.text) == (
        "void",
        "There is nothing to close in the venue's steps of 0.00001",
    )
    assert scene.exit_orders() == []


# ---------------------------------------------------------------- orders that end
def test_an_order_that_is_not_filled_is_followed_by_another_at_the_price_now(scene: Scene) -> None:
    """The second reaches 5 % beyond the mark, for what the first left."""
    scene.hold()
    at_venue(scene)
    scene.look()
    scene.tell("91000")
    scene.look()
    (first,) = scene.exit_orders()
    fill(scene, first, "91000", quantity="0.04")
    scene.tell("85000")
    scene.later(20)
    order_cancel(order_id=first.pk, now=scene.clock.now(), why="Not filled in time")
    Order.objects.filter(pk=first.pk).update(status="expired", committed=0)
    triggers_work(now=scene.clock.now())
    _, second = scene.exit_orders()
    assert (second.quantity, second.limit_price) == (D("0.06"), D("80750"))
    fill(scene, second, "84900")
    triggers_work(now=scene.clock.now())
    (trigger,) = ExitTrigger.objects.all()
    assert (trigger.status, trigger.orders_placed, trigger.closed_quantity) == ("done", 2, D("0.1"))


def test_a_refused_order_waits_before_the_next(scene: Scene) -> None:
    """The venue says no: in two seconds the next one, not at once."""
    scene.hold()
    scene.look()
    scene.tell("91000")
    scene.look()
    (first,) = scene.exit_orders()
    Order.objects.filter(pk=first.pk).update(
        status="rejected", status_reason="no", finished_at=scene.clock.now()
    )
    triggers_work(now=scene.clock.now())
    assert len(scene.exit_orders()) == 1
    assert "The venue refused its order (no)" in ExitTrigger.objects.get().text
    triggers_work(now=scene.clock.now() + timedelta(seconds=3))
    assert len(scene.exit_orders()) == 2


def test_an_entry_at_work_is_called_back_first(scene: Scene) -> None:
    """Exits before entries: what would enlarge the position goes, then everything is sold."""
    scene.hold()
    at_venue(scene)
    entry = scene.desk.order("BUY", "0.05", "90000")
    scene.look()
    scene.tell("91500")
    scene.look()
    assert scene.triggers() == [("stop_loss", D("91500"), "waiting")]
    assert scene.exit_orders() == []
    triggers_work(now=scene.clock.now())
    entry.refresh_from_db()
    assert entry.status == Order.Status.CANCELLED
    (order,) = scene.exit_orders()
    assert order.quantity == D("0.1")


def test_nothing_is_opened_while_an_exit_stands_or_the_price_is_at_the_stop(scene: Scene) -> None:
    held, portfolio_id = {"BTC": scene.hold()}, scene.desk.pk

    def barred() -> dict[str, str]:
        rows = barring_read(positions={portfolio_id: held}, now=scene.clock.now())
        return underlyings_barred(rows=rows[portfolio_id], positions=held)

    assert barred() == {}
    scene.tell("91500")
    assert barred() == {"BTC": "its price is at its stop"}
    scene.look()
    assert barred() == {"BTC": "an exit closes it"}


def test_something_else_closes_it_first(scene: Scene) -> None:
    """The trigger has nothing left to do, and its order is called back."""
    position = scene.hold()
    scene.look()
    scene.tell("91000")
    scene.look()
    other = scene.desk.order("SELL", "0.1", "91000", reduce_only=True)
    fill(scene, other, "91000")
    triggers_work(now=scene.clock.now())
    (order,) = scene.exit_orders()
    assert order.status == Order.Status.CANCELLED
    triggers_work(now=scene.clock.now())
    assert scene.triggers(position) == [("stop_loss", D("91000"), "void")]


def test_one_order_that_makes_no_sense_stops_no_other(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The triggers are stored all the same, and the sound one is sold."""
    broken, sound = scene.hold(), scene.hold("1", "4000", code="ETH")
    scene.look()
    real = placing.exit_draft

    def draft(**values: Any) -> Any:
        if values["held"].instrument.code == "BTC":
            raise ValueError("no sense")
        return real(**values)

    monkeypatch.setattr(placing, "exit_draft", draft)
    scene.tell("91000")
    scene.tell("3600", code="ETH")
    scene.look()
    triggers_work(now=scene.clock.now())
    assert scene.triggers(broken) == [("stop_loss", D("91000"), "waiting")]
    assert scene.triggers(sound) == [("stop_loss", D("3600"), "working")]
    assert "it is tried again in a second" in caplog.text


# ---------------------------------------------------------------- the second line
def test_the_sweep_triggers_at_once_where_nobody_watches(scene: Scene) -> None:
    position = scene.hold()
    scene.hold("1", "4000", code="ETH")
    scene.tell("91000")
    assert positions_sweep(now=scene.clock.now()) == []
    assert scene.triggers() == [("stop_loss", D("91000"), "working")]
    assert ExitTrigger.objects.get().found_by == "sweep"
    scene.look()
    assert scene.triggers(position) == [("stop_loss", D("91000"), "working")]


def test_the_sweep_gives_a_living_watch_its_time(scene: Scene) -> None:
    """What the watch triggers meanwhile is not triggered again; what it leaves is."""
    scene.hold()
    scene.look()
    scene.tell("91000")
    doubtful = positions_sweep(now=scene.clock.now())
    assert len(doubtful) == 1
    assert scene.triggers() == []
    assert positions_confirm(doubtful=doubtful, now=scene.clock.now()) == 1
    assert positions_confirm(doubtful=doubtful, now=scene.clock.now()) == 0
    assert ExitTrigger.objects.get().found_by == "sweep"
    scene.look()
    assert len(scene.exit_orders()) == 1


def test_a_time_stop_needs_no_price(scene: Scene) -> None:
    """14 days of world time, and no tick came since: the last mark is what it closes at."""
    scene.hold()
    scene.look()
    scene.later(14 * 86400 - 10)
    ExitShard.objects.update(lease_until=None)
    assert positions_sweep(now=scene.clock.now()) == []
    assert scene.triggers() == []
    scene.later(20)
    positions_sweep(now=scene.clock.now())
    assert scene.triggers() == [("time_stop", D("100000"), "working")]


def test_the_sweep_finds_nothing_where_nothing_is_reached(scene: Scene) -> None:
    scene.hold()
    scene.tell("92001", "107000")
    assert positions_sweep(now=scene.clock.now()) == []
    assert not ExitTrigger.objects.exists()


# ---------------------------------------------------------------- at the same time
def at_once(*steps: Callable[[], object]) -> None:
    """Run steps at the same moment, each on a connection of its own."""
    ready = threading.Barrier(len(steps))
    failed: list[BaseException] = []

    def run(step: Callable[[], object]) -> None:
        try:
            ready.wait(timeout=20)
            step()
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failed == []


def hit_of(scene: Scene) -> Hit:
    """What a watch has just found and not stored yet."""
    shard = next(shard for shard in scene.watch.shards.values() if len(shard.book))
    entries = scene.watch._reader.read(block_ms=1)
    (hit,) = [hit for entry in entries if entry.shard == shard.lease.shard for hit in shard.look(entry)]
    return hit


@pytest.mark.parametrize("turn", range(3))
def test_two_finders_a_person_and_the_emergency_stop_sell_it_once(scene: Scene, turn: int) -> None:
    """EXT-4: whoever is first, the venue is asked to sell what is held, once."""
    position = scene.hold()
    at_venue(scene)
    scene.look()
    scene.tell("91000")
    hit = hit_of(scene)
    now, portfolio = scene.clock.now(), scene.desk.portfolio

    at_once(
        lambda: hits_store(hits=[hit], found_by="watch", now=now),
        lambda: hits_store(hits=[hit], found_by="sweep", now=now),
        lambda: position_close(
            portfolio=portfolio, position_id=position.pk, fraction=D(1), market=True, command_id=None,
            origin="person", now=now,
        ),
        lambda: emergency_stop(portfolio_id=portfolio.pk, by="alice", reason="race", now=now),
        lambda: triggers_work(now=now),
    )  # fmt: skip
    assert ExitTrigger.objects.count() == 1
    for _ in range(8):
        scene.tell("91000", each_s=1)
        orders_work(now=scene.clock.now())
        triggers_work(now=scene.clock.now())
    position.refresh_from_db()
    assert (position.status, position.quantity) == (Position.Status.CLOSED, 0)
    assert ExitTrigger.objects.get().status in {"done", "void"}
    filled = Order.objects.filter(reduce_only=True)
    assert sum(order.filled_quantity for order in filled) == D("0.1")
    own = [found for found in books_audit() if not found.kind.startswith("paper")]
    assert own == []  # the paper venue was told of the holding, not of the fill that made it
