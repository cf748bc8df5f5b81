"""Somebody wants the watch to lose a stop or to sell too early: what each attempt comes to (EXT-3, EXT-4)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from core.clock import utc_now
from engine.exits import guards
from engine.exits.leases import TTL_S, LeaseLost
from engine.exits.watched import Watched
from engine.models import ExitShard, ExitTrigger, ExitWatcher
from markets.tape import PREFIX, shard_of, tape_end
from positions.exits import guard_follow
from positions.models import ExitGuard, Position
from tests.exits.brute import Rules
from tests.exits.stand import WORLD, Stand, turn

pytestmark = pytest.mark.django_db(transaction=True)
TRAILS = Rules(stop_pct=D(8), trail_from_pct=D(2), trail_by_pct=D(1))
STOPS = Rules(stop_pct=D(8))


@pytest.fixture
def stand(redis_client: redis.Redis, alice: Any) -> Stand:
    return Stand(client=redis_client, owner=alice)


def stream(code: str = "BTC") -> str:
    return f"{PREFIX}{shard_of(code=code, shards=settings.EXIT_SHARDS)}"


def newest(stand: Stand) -> str:
    return tape_end(client=stand.client, shard=shard_of(code="BTC", shards=settings.EXIT_SHARDS))


# ---------------------------------------------------------------- the tape
def test_a_redis_that_lost_its_last_second_hits_no_raised_stop_with_old_prices(stand: Stand) -> None:
    """EXT-1: prices from before the stop was raised are no reason to sell, however the tape is read again."""
    held = stand.opened(rules=TRAILS)
    stand.ticks("100.2", "99", "103", "102.5")
    first = stand.watch()
    turn(first)
    assert stand.guard(held).trail_price == D("101.97")
    stand.client.xdel(stream(), newest(stand))
    first.let_go()
    second = stand.watch("two")
    turn(second)
    assert stand.told(held) == []
    assert stand.guard(held).trail_price == D("101.97")
    stand.ticks("101.97")
    turn(second)
    assert stand.told(held) == [("trailing", D("101.97"), D("101.97"))]


def test_a_flushed_redis_keeps_what_was_raised(stand: Stand) -> None:
    """EXT-2: the tape is gone; stop and best price stand as stored, and the next price counts."""
    held = stand.opened(rules=TRAILS)
    stand.ticks("103")
    first = stand.watch()
    turn(first)
    stand.client.delete(stream())
    first.let_go()
    second = stand.watch("two")
    stand.mark("102.5")
    turn(second)
    assert (stand.told(held), stand.guard(held).trail_price) == ([], D("101.97"))
    stand.ticks("101")
    turn(second)
    assert stand.told(held) == [("trailing", D(101), D("101.97"))]


def test_a_mark_beyond_the_stop_is_found_when_the_tape_is_lost(stand: Stand) -> None:
    """EXT-3: what crossed while the tape was lost is sold at the newest price there is."""
    held = stand.opened(rules=STOPS)
    stand.ticks("100")
    first = stand.watch()
    turn(first)
    first.let_go()
    stand.client.delete(stream())
    stand.mark("91")
    turn(stand.watch("two"))
    assert stand.told(held) == [("stop_loss", D(91), D(92))]


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("price", ["0", "-1", "NaN", "Infinity"])
def test_what_is_no_price_closes_nothing_and_stops_nothing(stand: Stand, price: str, *, late: bool) -> None:
    """EXT-3: skipped, whether the position was there before it or is heard of later; the next one counts."""
    watch = stand.watch()
    turn(watch)
    since = utc_now() - timedelta(seconds=1)
    if late:
        stand.ticks(price)
        turn(watch)
    held = stand.opened(rules=TRAILS, since=since)
    if not late:
        turn(watch, times=1)
        watch._heard_s = float("-inf")
        turn(watch)
        stand.ticks(price)
    watch._heard_s = float("-inf")
    turn(watch)
    assert stand.told(held) == []
    assert stand.guard(held).peak_price == D(100)
    stand.ticks("91")
    turn(watch)
    assert stand.told(held) == [("stop_loss", D(91), D(92))]


def test_a_long_backlog_in_one_entry_and_in_many(stand: Stand) -> None:
    """EXT-3: twenty thousand prices that wait are read to the last, and the one that counts is found."""
    held = stand.opened(rules=STOPS)
    for begin in range(0, 20_000, 100):
        stand.ticks(*(["100.01", "99.99"] * 50 if begin != 15_000 else ["91.5", "100"] * 50)[:2])
    watch = stand.watch()
    for _ in range(20):
        turn(watch, times=1)
    assert stand.told(held) == [("stop_loss", D("91.5"), D(92))]
    assert ExitTrigger.objects.count() == 1


# ---------------------------------------------------------------- guards that change
def enlarge(held: Position) -> None:
    """Add one unit at 90 to one that was bought at 100."""
    with transaction.atomic():
        held.quantity, held.cost = D(2), D(190)
        held.save()
        guard_follow(
            position=held, before=D(1), price=D(90), world=WORLD, now=utc_now(), world_at=held.opened_world_at
        )


def test_a_high_from_before_the_position_was_enlarged_starts_no_trailing(stand: Stand) -> None:
    """EXT-1: the best price of a smaller position is not this one's gain, also after a restart."""
    held = stand.opened(rules=TRAILS)
    stand.ticks("101.5")
    first = stand.watch()
    turn(first)
    enlarge(held)
    assert stand.guard(held).entry_price == D(95)
    first.let_go()
    second = stand.watch("two")
    turn(second)
    stand.ticks("94")
    turn(second)
    assert stand.told(held) == []
    assert stand.guard(held).trail_price is None


def test_the_same_high_while_the_watch_goes_on(stand: Stand) -> None:
    """EXT-1: as above, heard of by the watch that saw the high."""
    held = stand.opened(rules=TRAILS)
    stand.ticks("101.5")
    watch = stand.watch()
    turn(watch)
    enlarge(held)
    watch._heard_s = float("-inf")
    turn(watch)
    stand.ticks("94")
    turn(watch)
    assert (stand.told(held), stand.guard(held).trail_price) == ([], None)


def test_trailing_switched_off_keeps_the_stop_that_only_memory_has(stand: Stand) -> None:
    """EXT-2: what was raised a moment ago, and is not written down yet, does not loosen by an edit."""
    held = stand.opened(rules=TRAILS)
    stand.ticks("103")
    watch = stand.watch()
    turn(watch)
    stand.ticks("105")
    watch._saved_s = float("inf")
    watch.turn(block_ms=1)
    ExitGuard.objects.filter(pk=held.pk).update(
        trail_from_pct=0, trail_by_pct=0, version=2, changed_at=utc_now()
    )
    watch._heard_s = float("-inf")
    watch.turn(block_ms=1)
    stand.ticks("103.9")
    watch.turn(block_ms=1)
    assert stand.told(held) == [("trailing", D("103.9"), D("103.95"))]


def test_changed_long_before_it_was_committed(stand: Stand) -> None:
    """EXT-3: whoever booked its fill had begun half a minute ago: it is watched at once all the same."""
    watch = stand.watch()
    turn(watch)
    held = stand.opened(rules=STOPS, since=utc_now() - timedelta(seconds=30))
    watch._heard_s = float("-inf")
    turn(watch)
    stand.ticks("91")
    turn(watch)
    assert stand.told(held) == [("stop_loss", D(91), D(92))]


def test_edited_between_the_hit_and_its_storing(stand: Stand) -> None:
    """EXT-4: hit under one version, edited before it is stored: looked at anew, closed once."""
    held = stand.opened(rules=STOPS)
    watch = stand.watch()
    turn(watch)
    ExitGuard.objects.filter(pk=held.pk).update(stop_price=95, version=2, changed_at=utc_now())
    stand.ticks("91")
    watch._heard_s = float("inf")
    turn(watch)
    assert stand.told(held) == [("stop_loss", D(91), D(95))]


# ---------------------------------------------------------------- leases
def test_who_lost_its_lease_stores_nothing(stand: Stand) -> None:
    """EXT-4: taken over while it looked away: the former holder stores nothing, the new one sells once."""
    held = stand.opened(rules=STOPS)
    first, second = stand.watch(), stand.watch("two")
    turn(first)
    long_ago = utc_now() - timedelta(seconds=5)
    ExitShard.objects.update(lease_until=long_ago)
    ExitWatcher.objects.update(seen_at=long_ago)
    first._renewed_s = float("inf")
    turn(second)
    stand.ticks("91")
    with pytest.raises(LeaseLost):
        first.turn(block_ms=1)
    assert stand.told(held) == []
    first.let_go()
    second._renewed_s = float("-inf")
    turn(second)
    assert stand.told(held) == [("stop_loss", D(91), D(92))]


def test_more_guards_than_can_be_read_within_a_lease(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """EXT-3: reading takes ten times as long as a lease lasts: it is renewed meanwhile, all are watched."""
    held = [stand.opened(rules=STOPS) for _ in range(20)]
    watch = stand.watch()
    plain = guards.guards_of

    def slowly(*, codes: Collection[str]) -> Iterator[Watched]:
        for row in plain(codes=codes):
            ExitShard.objects.filter(holder="one").update(lease_until=Now() + timedelta(seconds=TTL_S / 2))
            watch._renewed_s = float("-inf")
            yield row
            alive = ExitShard.objects.filter(lease_until__gt=Now() + timedelta(seconds=TTL_S * 0.75))
            assert alive.exists(), "no lease was renewed after a guard"

    monkeypatch.setattr("engine.exits.shard.guards_of", slowly)
    turn(watch)
    assert watch.positions == 20
    stand.ticks("91")
    turn(watch)
    assert {tuple(stand.told(one)) for one in held} == {(("stop_loss", D(91), D(92)),)}


def test_a_lease_that_ran_out_and_that_nobody_took_is_gone_on_with(stand: Stand) -> None:
    """EXT-3: slow on a busy machine, and still the only one: it goes on where it is and sells once."""
    held = stand.opened(rules=STOPS)
    watch = stand.watch()
    turn(watch)
    epochs = dict(ExitShard.objects.values_list("number", "epoch"))
    ExitShard.objects.update(lease_until=utc_now() - timedelta(seconds=5))
    stand.ticks("91")
    watch._renewed_s = float("inf")
    watch.turn(block_ms=1)
    watch._renewed_s = float("-inf")
    watch.turn(block_ms=1)
    assert stand.told(held) == [("stop_loss", D(91), D(92))]
    assert dict(ExitShard.objects.values_list("number", "epoch")) == epochs
    assert not ExitShard.objects.filter(lease_until__lt=Now()).exists()


def test_another_run_of_the_world_hits_nothing(stand: Stand) -> None:
    """EXT-3: the recording began anew: its prices are not those of a position of the run before."""
    held = stand.opened(rules=STOPS)
    watch = stand.watch()
    turn(watch)
    stand.ticks("50", run=2)
    turn(watch)
    assert stand.told(held) == []


def test_two_prices_in_one_flush_that_cross_and_come_back(stand: Stand) -> None:
    """EXT-3: a price that stood for a moment within one read counts as well, at its own price."""
    held = stand.opened(rules=STOPS)
    watch = stand.watch()
    turn(watch)
    stand.ticks("100", "91.7", "100", "90")
    turn(watch)
    assert stand.told(held) == [("stop_loss", D("91.7"), D(92))]
