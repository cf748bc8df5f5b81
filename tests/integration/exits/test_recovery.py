"""EXT-3: a watch may die anywhere; the next one computes what a living one would have."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.conf import settings
from django.db import connection

from engine.exits import leases, triggers, watch
from engine.exits.leases import LeaseLost, shard_take, shards_alive
from engine.exits.watch import ExitWatch
from engine.models import ExitGap, ExitShard, ExitTrigger, ExitWatcher
from markets.tape import shard_of
from positions.booking import fill_book
from positions.models import Position
from tests.integration.exits.scene import D, Scene


class Killed(BaseException):
    """The process ends here."""


def dies(scene: Scene) -> None:
    """The watch's process ends without a word, and its leases run out."""
    scene.watches.pop()
    ExitShard.objects.update(lease_until=None)
    ExitWatcher.objects.all().delete()


def shard_now() -> ExitShard:
    """The shard of BTC."""
    return ExitShard.objects.get(number=shard_of(code="BTC", shards=settings.EXIT_SHARDS))


def test_what_happened_while_nobody_watched_is_found_on_the_tape(scene: Scene) -> None:
    """A dip through the stop and back again, all of it between two watches."""
    position = scene.hold()
    scene.look()
    dies(scene)
    scene.tell("99000", "91234.5", "99000")
    scene.watch_new()
    scene.look()
    assert scene.triggers(position) == [("stop_loss", D("91234.5"), "working")]


def test_peaks_and_raised_stops_survive(scene: Scene) -> None:
    """115,000 was the best; 109,250 is its trailing stop, whoever watches."""
    position = scene.hold()
    scene.look()
    scene.tell("112000", "115000", "113000")
    scene.look()
    dies(scene)
    scene.watch_new()
    scene.look()
    assert scene.guard(position).trail_price == D("109250")
    scene.tell("109250.1")
    scene.look()
    assert scene.triggers() == []
    scene.tell("109249.9")
    scene.look()
    assert scene.triggers() == [("trailing", D("109249.9"), "working")]


def test_a_raised_stop_does_not_meet_a_price_from_before_it_was_raised(scene: Scene) -> None:
    """The levels are stored, the place is not: 106,000 came before 115,000 and is not held against it."""
    position = scene.hold()
    scene.look()
    place = shard_now().place
    scene.tell("112000", "106500", "115000", "112000")
    scene.look()
    assert scene.guard(position).trail_price == D("109250")
    ExitShard.objects.update(place=place)  # as if it had died between the two
    dies(scene)
    scene.watch_new()
    scene.look()
    assert scene.triggers() == []
    assert scene.guard(position).trail_price == D("109250")


@pytest.mark.parametrize("after", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("name", ["triggers_place", "fence", "levels_write", "places_write"])
def test_it_dies_at_any_statement_and_nothing_is_missed_or_doubled(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, name: str, after: bool
) -> None:
    """The same triggers at the same prices as without any death, each once."""
    held = [scene.hold(), scene.hold("-1", "4000", code="ETH")]
    scene.look()
    path = ("112000", "115000", "110000", "109000", "90000")
    scene.tell(*path)
    scene.tell("3600", "3500", "3650", "3700", code="ETH")
    for nth in (1, 2, 3):
        with monkeypatch.context() as patch:
            _die_at(patch, name, nth=nth, after=after)
            try:
                scene.look(turns=6)
            except Killed:
                connection.close()
                dies(scene)
                scene.watch_new()
    scene.look(turns=6)
    assert scene.triggers(held[0]) == [("trailing", D("109000"), "working")]
    assert scene.triggers(held[1]) == [("trailing", D("3700"), "working")]
    assert len(scene.exit_orders()) == 2


def _die_at(patch: pytest.MonkeyPatch, name: str, *, nth: int, after: bool) -> None:
    """Let the process end at the ``nth`` call of a step."""
    owner = triggers if name == "triggers_place" else leases if name == "fence" else watch
    real: Callable[..., object] = getattr(owner, name)
    calls = iter(range(1, 1000))

    def step(*args: object, **kwargs: object) -> object:
        if next(calls) < nth:
            return real(*args, **kwargs)
        if after:
            real(*args, **kwargs)
        raise Killed

    patch.setattr(owner, name, step)


def test_who_lost_the_lease_stores_nothing(scene: Scene) -> None:
    """Another has taken over: the old holder's trigger is refused in its own transaction."""
    scene.hold()
    scene.look()
    old = scene.watch
    scene.tell("91000")
    ExitShard.objects.update(lease_until=None)
    taken = {shard_take(name="other") for _ in range(8)}
    assert None not in taken
    old._renewed_s = scene.clock.monotonic_s()  # it has been asleep and does not know
    with pytest.raises(LeaseLost):
        old.turn(block_ms=1)
    assert scene.triggers() == []
    assert scene.exit_orders() == []


def test_two_watches_share_and_one_takes_over(scene: Scene) -> None:
    """Four shards each; when one dies the other has all of them."""
    first = scene.watch
    scene.look()
    assert len(first.shards) == 8
    second = scene.watch_new()
    for _ in range(4):
        scene.later(0.4)
        second.turn(block_ms=1)
        first.turn(block_ms=1)
    assert (len(first.shards), len(second.shards)) == (4, 4)
    assert set(first.shards) | set(second.shards) == shards_alive()
    position = scene.hold()
    scene.tell("91000")
    for _ in range(3):
        scene.later(0.4)
        second.turn(block_ms=1)
        first.turn(block_ms=1)
    assert scene.triggers(position) == [("stop_loss", D("91000"), "working")]
    second.let_go()
    for _ in range(2):
        scene.later(0.4)
        first.turn(block_ms=1)
    assert len(first.shards) == 8


def test_the_time_without_a_watch_is_kept(scene: Scene) -> None:
    """BEY-6."""
    scene.look()
    dies(scene)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE engine_exitshard SET watched_at = clock_timestamp() - interval '30 seconds'")
    scene.watch_new()
    scene.look()
    gaps = ExitGap.objects.all()
    assert {gap.shard for gap in gaps} == set(range(8))
    assert all(29 < (gap.until_at - gap.from_at).total_seconds() < 60 for gap in gaps)


def test_a_lost_tape_is_made_good_from_the_marks(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """Redis forgot everything: the newest mark decides, and no level loosens."""
    position = scene.hold()
    scene.look()
    scene.tell("112000", "115000")
    scene.look()
    dies(scene)
    scene.tell("109000")
    scene.client.flushdb()
    scene.watch_new()
    scene.look()
    assert "the tape does not reach back" in caplog.text
    assert scene.triggers(position) == [("trailing", D("109000"), "working")]


def test_a_living_watch_notices_that_its_tape_was_lost(scene: Scene) -> None:
    scene.hold()
    scene.look()
    scene.client.flushdb()
    with pytest.raises(LeaseLost, match="was lost and begun anew"):
        scene.look(turns=6)
    scene.watch.let_go()
    scene.look()
    scene.tell("91000")
    scene.look()
    assert scene.triggers() == [("stop_loss", D("91000"), "working")]


def test_a_guard_that_changed_is_looked_at_anew_and_keeps_its_raised_stop(scene: Scene) -> None:
    """Enlarged while it trails: the entry moves, the stop does not loosen, and new prices count."""
    position = scene.hold()
    scene.look()
    scene.tell("112000", "115000")
    scene.watch.turn(block_ms=1)  # in memory only
    scene.hold("0.1", "115000")
    scene.look()
    guard = scene.guard(position)
    assert (guard.entry_price, guard.trail_price) == (D("107500"), D("109250"))
    scene.tell("109200")
    scene.look()
    assert scene.triggers(position) == [("trailing", D("109200"), "working")]
    assert scene.exit_orders()[0].quantity == D("0.2")


def test_a_position_that_closed_is_forgotten(scene: Scene) -> None:
    position = scene.hold()
    scene.look()
    assert scene.watch.positions == 1
    order = scene.desk.order("SELL", "0.1", "100000", reduce_only=True)
    fill_book(order_id=order.pk, fill=scene.desk.fill(order, "0.1", "100000"), now=scene.clock.now())
    scene.tell("90000")
    scene.look()
    position.refresh_from_db()
    assert position.status == Position.Status.CLOSED
    assert scene.watch.positions == 0
    assert not ExitTrigger.objects.exists()


def test_a_watch_that_ends_in_order_is_replaced_at_once(scene: Scene) -> None:
    scene.look()
    scene.watch.let_go()
    assert shards_alive() == set()
    assert isinstance(scene.watch_new(), ExitWatch)
    scene.look(turns=1)
    assert len(shards_alive()) == 8
