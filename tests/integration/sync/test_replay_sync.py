"""Recorded traders through the real sync: SYN-1, SYN-6, "Worlds and time"."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from markets.selectors import marks_for, world_get
from markets.services import world_run_start
from tests.integration.sync.conftest import StillClock
from traders.models import SyncAttempt, Trader, TraderSnapshot
from traders.selectors import trader_read_latest
from traders.services import trader_find_or_create, trader_wake_recorded
from traders.sync import sync_due

pytestmark = pytest.mark.django_db(transaction=True)

START_AT = datetime(2025, 10, 17, 22, 0, tzinfo=UTC)
GROK_BTC_ENTRY_AT = datetime(2025, 10, 17, 22, 6, 21, 917000, tzinfo=UTC)


def wall_of(world_at: datetime, now: datetime) -> datetime:
    """Return the wall time at which a replay started at ``now`` with speed 600 reaches ``world_at``."""
    return now + (world_at - START_AT) / 600


def test_a_recorded_trader_is_read_and_its_change_seen_once(now: datetime, still: StillClock) -> None:
    """SYN-6: flat at the start, long 0.28 BTC after the recorded entry; a repeat changes nothing."""
    trader = trader_find_or_create(kind="replay", key="grok-4", now=now)

    first = sync_due(now=now, clock=still)
    assert first.changed_trader_ids == [trader.pk]
    trader.refresh_from_db()
    read = trader_read_latest(trader=trader)
    assert read is not None
    assert (read.equity, read.positions, read.world_at) == (Decimal(10000), (), START_AT)

    entered_at = wall_of(GROK_BTC_ENTRY_AT + timedelta(seconds=1), now)
    assert trader_wake_recorded(world="replay:alpha_arena", keys=["grok-4"], now=entered_at) == 1
    second = sync_due(now=entered_at, clock=still)
    assert second.changed_trader_ids == [trader.pk]
    trader.refresh_from_db()
    assert trader.basis_snapshot_id == trader.latest_snapshot_id
    read = trader_read_latest(trader=trader)
    assert read is not None
    assert {p.code: (p.quantity, p.entry_price, p.opened_at) for p in read.positions} == {
        "BTC": (Decimal("0.28"), Decimal(107315), GROK_BTC_ENTRY_AT)
    }

    assert sync_due(now=entered_at, clock=still).synced_ids == []  # not due
    Trader.objects.update(next_sync_at=entered_at)
    again = sync_due(now=entered_at + timedelta(milliseconds=1), clock=still)
    assert again.changed_trader_ids == []
    assert again.synced_ids == [trader.pk]
    trader.refresh_from_db()
    assert trader.basis_snapshot_id != trader.latest_snapshot_id
    assert SyncAttempt.objects.filter(outcome="good").count() == 3


def test_a_new_run_starts_from_the_beginning(now: datetime, still: StillClock) -> None:
    """Worlds and time: each loop is a new run; the next read belongs to it, with fresh marks."""
    trader = trader_find_or_create(kind="replay", key="qwen3-max", now=now)
    late = now + timedelta(minutes=10)
    sync_due(now=late, clock=still)
    world = world_run_start(world=world_get(name="replay:alpha_arena"), now=late)
    assert world.run == 2
    assert world_run_start(world=world, now=late).run == 3
    stale_copy = world_get(name="replay:alpha_arena")
    stale_copy.run = 2
    assert world_run_start(world=stale_copy, now=late).run == 3  # came second: changed nothing

    Trader.objects.update(next_sync_at=late)
    assert sync_due(now=late, clock=still).changed_trader_ids == [trader.pk]
    newest = TraderSnapshot.objects.latest("id")
    assert (newest.run, newest.world_at, newest.equity) == (3, START_AT, Decimal(10000))
    marks = marks_for(world="replay:alpha_arena", now=late)
    assert {mark.run for mark in marks.values()} == {3}
    assert sorted(marks) == ["BNB", "BTC", "DOGE", "ETH", "SOL", "XRP"]
    assert not any(mark.stale for mark in marks.values())
    assert all(
        mark.stale
        for mark in marks_for(world="replay:alpha_arena", now=late + timedelta(seconds=16)).values()
    )
