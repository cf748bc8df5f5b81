"""The sync against a venue that is slow, refuses, cuts and lies: SYN-1 to SYN-6."""

import time
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from core.clock import SYSTEM_CLOCK
from markets.recordings import recording_get
from markets.services import instruments_ensure
from tests.integration.sync.conftest import StillClock
from tests.loopback.running import HyperliquidProcess, perp_state
from traders.claims import ClaimedTrader, traders_claim
from traders.domain.reads import ReadResult, TraderRead
from traders.models import QuarantinedRead, SyncAttempt, Trader, TraderSnapshot
from traders.selectors import sync_error_rates, trader_statuses
from traders.services import trader_find_or_create, trader_preview, trader_wake
from traders.sources.hyperliquid import HyperliquidSource
from traders.storing import Look, Stored, looks_store
from traders.sync import sync_due, sync_prune

pytestmark = pytest.mark.django_db(transaction=True)


def wallet(number: int) -> str:
    """Return a made-up address."""
    return f"0x{number:040x}"


def follow_wallets(count: int, now: datetime) -> list[Trader]:
    """Make several wallets known and due."""
    return [trader_find_or_create(kind="hyperliquid", key=wallet(n), now=now) for n in range(1, count + 1)]


def held(trader: Trader) -> dict[str, Decimal]:
    """Return the quantities of a trader's newest snapshot."""
    trader.refresh_from_db()
    assert trader.latest_snapshot is not None
    return {row["code"]: Decimal(row["quantity"]) for row in trader.latest_snapshot.positions}


def due_again(at: datetime) -> None:
    """Make every trader due at a moment."""
    Trader.objects.update(next_sync_at=at)


def look(claimed: ClaimedTrader, *, at: datetime) -> Look:
    """Return a look that brought nothing."""
    result = ReadResult(key=claimed.trader.key, asked_at=at)
    return Look(claimed=claimed, result=result, now=at, authoritative=True, known_codes=None, chance=0.5)


@pytest.fixture
def instruments() -> None:
    """The instruments of the recorded wallets and models."""
    for name in ("replay:alpha_arena", "replay:hyperliquid_wallets"):
        instruments_ensure(instruments=recording_get(name=name).instruments)


def test_ten_traders_are_read_side_by_side(hyperliquid: HyperliquidProcess, now: datetime) -> None:
    """SYN-1: with answers that take 0.2 s each, ten traders take about one of them, and under 2 s."""
    traders = follow_wallets(10, now)
    sync_due(now=now)
    due_again(now + timedelta(seconds=60))
    hyperliquid.script(delay_s=0.2)
    started = time.perf_counter()
    outcome = sync_due(now=now + timedelta(seconds=61))
    took_s = time.perf_counter() - started
    assert sorted(outcome.synced_ids) == [trader.pk for trader in traders]
    assert took_s < 1.0
    assert hyperliquid.stats()["open_most"] >= 15  # two requests each, all under way together


def test_a_failing_trader_never_blocks_another(hyperliquid: HyperliquidProcess, now: datetime) -> None:
    """SYN-4: good traders are stored while one hangs; that one is degraded, with error and next try."""
    traders = follow_wallets(10, now)
    sync_due(now=now)
    hyperliquid.script(delays={wallet(3): 8.0}, answers={f"clearinghouseState|{wallet(4)}|": "nonsense"})
    later = now + timedelta(seconds=61)
    due_again(later)
    stored_s: dict[int, float] = {}
    started = time.perf_counter()
    outcome = sync_due(
        now=later,
        deadline_s=1.5,
        on_changed=lambda ids: stored_s.update(dict.fromkeys(ids, time.perf_counter() - started)),
    )
    assert len(outcome.synced_ids) == 8
    assert sorted(outcome.failed_ids) == [traders[2].pk, traders[3].pk]
    slow, broken = Trader.objects.get(pk=traders[2].pk), Trader.objects.get(pk=traders[3].pk)
    assert slow.last_error == "no answer within 1.5 s"
    assert "cannot be read" in broken.last_error
    for trader in (slow, broken):
        assert trader.status == Trader.Status.DEGRADED
        assert trader.failing_since is not None
        assert later < trader.next_sync_at <= later + timedelta(seconds=10)
        assert trader.claimed_until is None
    good = Trader.objects.exclude(pk__in=[slow.pk, broken.pk])
    assert set(good.values_list("status", flat=True)) == {"active"}
    # seen by others at once, not after the deadline
    finished = SyncAttempt.objects.filter(trader=traders[0]).latest("id").finished_at
    assert finished < later + timedelta(seconds=1)

    hyperliquid.script(reset=True)
    due_again(later + timedelta(seconds=30))
    sync_due(now=later + timedelta(seconds=31))
    broken.refresh_from_db()
    assert (broken.status, broken.failing_since, broken.last_error) == ("active", None, "")


def test_repeated_429_doubles_the_interval_and_it_recovers(
    hyperliquid: HyperliquidProcess, now: datetime, still: StillClock
) -> None:
    """SYN-3: after the second 429 the pause is 120 s; good reads bring the 60 s back."""
    (trader,) = follow_wallets(1, now)
    sync_due(now=now, clock=still)
    hyperliquid.script(rules=[{"type": "clearinghouseState", "do": "429"}])
    at = now + timedelta(seconds=60)
    pauses = []
    for _ in range(3):
        due_again(at)
        sync_due(now=at, clock=still, chance=lambda: 0.5)
        trader.refresh_from_db()
        pauses.append((trader.next_sync_at - at).total_seconds())
        at = trader.next_sync_at
    assert trader.rate_limits_in_row == 3
    assert pauses == [2.25, 120.0, 120.0]

    hyperliquid.script(rules=[])
    gaps = []
    for _ in range(4):
        due_again(at)
        sync_due(now=at, clock=still)
        trader.refresh_from_db()
        assert trader.status == Trader.Status.ACTIVE
        interval = 120 if trader.rate_limits_in_row >= 2 else 60
        gaps.append(interval)
        assert 0 < (trader.next_sync_at - at).total_seconds() <= interval
        at = trader.next_sync_at
    assert gaps == [120, 60, 60, 60]


def test_an_emptied_account_waits_for_a_second_read(
    hyperliquid: HyperliquidProcess, now: datetime, still: StillClock
) -> None:
    """SYN-5: empty after twelve positions is quarantined; a second read 5 s later confirms it."""
    (trader,) = follow_wallets(1, now)
    sync_due(now=now, clock=still)
    assert QuarantinedRead.objects.count() == 0
    assert len(held(trader)) == 12

    hyperliquid.script(answers={f"clearinghouseState|{wallet(1)}|": perp_state(account_value="1182.3")})
    at = now + timedelta(seconds=60)
    due_again(at)
    outcome = sync_due(now=at, clock=still)
    assert (outcome.quarantined_ids, outcome.changed_trader_ids) == ([trader.pk], [])
    quarantined = QuarantinedRead.objects.get()
    assert quarantined.reason == "all 12 positions are gone at once"
    assert quarantined.payload["positions"] == []
    assert len(held(trader)) == 12
    assert trader.next_sync_at == at + timedelta(seconds=5)
    assert trader.status == Trader.Status.DEGRADED

    outcome = sync_due(now=at + timedelta(seconds=5), clock=still)
    assert outcome.changed_trader_ids == [trader.pk]
    assert held(trader) == {}
    quarantined.refresh_from_db()
    assert quarantined.confirmed_at == at + timedelta(seconds=5)
    assert quarantined.dismissed_at is None
    assert trader.status == Trader.Status.ACTIVE


def test_a_normal_second_read_dismisses_the_odd_one(
    hyperliquid: HyperliquidProcess, now: datetime, still: StillClock
) -> None:
    """SYN-5: half an answer, then the whole one again: nothing ever looked closed."""
    (trader,) = follow_wallets(1, now)
    sync_due(now=now, clock=still)
    hyperliquid.script(answers={f"clearinghouseState|{wallet(1)}|": perp_state(account_value="1182.3")})
    at = now + timedelta(seconds=60)
    due_again(at)
    sync_due(now=at, clock=still)
    hyperliquid.script(reset=True)
    outcome = sync_due(now=at + timedelta(seconds=5), clock=still)
    assert outcome.synced_ids == [trader.pk]
    assert outcome.changed_trader_ids == []
    quarantined = QuarantinedRead.objects.get()
    assert quarantined.dismissed_at == at + timedelta(seconds=5)
    assert quarantined.confirmed_at is None
    assert len(held(trader)) == 12


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (perp_state(("BTC", "1.0", "NaN", "60000.0")), "entry price of BTC is NaN"),
        (perp_state(("BTC", "NaN", "60000.0", "60000.0")), "quantity of BTC is NaN"),
        (perp_state(("BTC", "1.0", "0.0", "60000.0")), "entry price of BTC is 0"),
        (perp_state(("not a coin!", "1.0", "1.0", "1.0")), "'not a coin!' is no instrument code"),
        (perp_state(account_value="NaN"), "equity is NaN"),
    ],
)
def test_what_cannot_be_is_never_confirmed(
    hyperliquid: HyperliquidProcess, now: datetime, still: StillClock, state: str, reason: str
) -> None:
    """SYN-5: NaN, a price of zero and names that are none stay out however often they come."""
    (trader,) = follow_wallets(1, now)
    hyperliquid.script(answers={f"clearinghouseState|{wallet(1)}|": state})
    at = now
    for _ in range(3):
        due_again(at)
        outcome = sync_due(now=at, clock=still)
        assert outcome.quarantined_ids == [trader.pk]
        at += timedelta(seconds=6)
    assert TraderSnapshot.objects.count() == 0
    assert {read.reason for read in QuarantinedRead.objects.all()} == {reason}
    assert QuarantinedRead.objects.filter(confirmed_at__isnull=False).count() == 0


@pytest.mark.usefixtures("instruments")
def test_an_unknown_instrument_counts_once_seen_twice(
    hyperliquid: HyperliquidProcess, now: datetime, still: StillClock
) -> None:
    """SYN-5: a coin nobody here knows is doubted once, believed the second time, and not doubted again."""
    (trader,) = follow_wallets(1, now)
    state = perp_state(("NEWCOIN", "5.0", "2.0", "10.0"))
    hyperliquid.script(answers={f"clearinghouseState|{wallet(1)}|": state})
    assert sync_due(now=now, clock=still).quarantined_ids == [trader.pk]
    assert sync_due(now=now + timedelta(seconds=5), clock=still).changed_trader_ids == [trader.pk]
    due_again(now + timedelta(seconds=60))
    assert sync_due(now=now + timedelta(seconds=60), clock=still).synced_ids == [trader.pk]
    assert QuarantinedRead.objects.count() == 1


def test_a_read_within_ten_seconds_costs_no_call(
    hyperliquid: HyperliquidProcess, now: datetime, still: StillClock
) -> None:
    """SYN-2: preview and sync share one read for 10 s; at 10 s the venue is asked again."""
    preview = trader_preview(kind="hyperliquid", key=wallet(1).upper().replace("0X", "0x"), now=now)
    assert len(preview.positions) == 12
    (trader,) = follow_wallets(1, now)
    asked = hyperliquid.stats()["total"]
    outcome = sync_due(now=now + timedelta(seconds=9), clock=still)
    assert outcome.changed_trader_ids == [trader.pk]
    assert hyperliquid.stats()["total"] == asked
    assert SyncAttempt.objects.get().outcome == "cached"
    trader.refresh_from_db()
    assert trader.synced_at == now
    assert trader_preview(kind="hyperliquid", key=wallet(1), now=now + timedelta(seconds=9)).asked_at == now
    assert hyperliquid.stats()["total"] == asked

    due_again(now + timedelta(seconds=10))
    sync_due(now=now + timedelta(seconds=10), clock=still)
    assert hyperliquid.stats()["total"] == asked + 2


def test_two_workers_never_sync_the_same_trader(now: datetime) -> None:
    """SYN-1: what one claimed the other does not get; shards divide by id; a lapsed claim is due again."""
    traders = follow_wallets(6, now)
    first = traders_claim(now=now, shard=0, shards=1, limit=4, claim_s=30)
    second = traders_claim(now=now, shard=0, shards=1, limit=10, claim_s=30)
    taken = [claimed.trader.pk for claimed in (*first, *second)]
    assert sorted(taken) == [trader.pk for trader in traders]
    assert traders_claim(now=now + timedelta(seconds=29), shard=0, shards=1, limit=10, claim_s=30) == []
    lapsed = traders_claim(now=now + timedelta(seconds=31), shard=1, shards=2, limit=10, claim_s=30)
    assert [claimed.trader.pk for claimed in lapsed] == [t.pk for t in traders if t.pk % 2 == 1]

    # the worker whose claim lapsed stores nothing any more
    late = [claimed for claimed in first if claimed.trader.pk % 2 == 1]
    assert looks_store(looks=[look(claimed, at=now) for claimed in late]) == [Stored.LOST] * len(late)
    assert SyncAttempt.objects.count() == 0


def test_a_wake_during_a_sync_is_not_lost(now: datetime, still: StillClock) -> None:
    """Worlds and time: a change that wakes a trader while it is being read makes it due again."""
    trader = trader_find_or_create(kind="replay", key="grok-4", now=now)
    woken_at = now + timedelta(milliseconds=20)
    sync_due(now=now, clock=still, on_changed=lambda ids: None)
    due_again(now + timedelta(seconds=5))
    (claimed,) = traders_claim(now=now + timedelta(seconds=5), shard=0, shards=1, limit=1, claim_s=30)
    assert trader_wake(trader_ids=[trader.pk], now=woken_at) == 1
    assert looks_store(looks=[look(claimed, at=now + timedelta(seconds=6))]) == [Stored.FAILED]
    trader.refresh_from_db()
    assert trader.next_sync_at == woken_at


def test_error_rate_counts_schedules_not_attempts(
    hyperliquid: HyperliquidProcess, now: datetime, still: StillClock
) -> None:
    """SYN-4: a retry that succeeds within the interval saves its schedule; one that does not is an error."""
    (trader,) = follow_wallets(1, now)
    at = now
    for fails in (0, 2, 0, 40):
        hyperliquid.script(rules=[{"type": "clearinghouseState", "do": "500", "times": fails}])
        due_again(at)
        slot_ends = at + timedelta(seconds=60)
        while at < slot_ends:
            sync_due(now=at, clock=still, chance=lambda: 0.1)
            trader.refresh_from_db()
            if trader.failures_in_row == 0:
                break
            at = trader.next_sync_at
        at = max(at, slot_ends)
    rates = sync_error_rates(trader_ids=[trader.pk], now=at)
    assert rates == {trader.pk: Decimal("0.25")}
    (status,) = trader_statuses(trader_ids=[trader.pk], now=at).values()
    assert status.error_rate == Decimal("0.25")
    assert status.status == "degraded"
    assert trader_statuses(trader_ids=[trader.pk], now=at + timedelta(minutes=4))[trader.pk].status == "stale"


def test_pruning_keeps_what_is_in_use(now: datetime) -> None:
    """SYN-6: snapshots go after 90 days in batches, attempts after 2; newest and basis stay."""
    traders = [trader_find_or_create(kind="replay", key=key, now=now) for key in ("grok-4", "qwen3-max")]
    old, fresh = now - timedelta(days=91), now - timedelta(days=89)
    for trader in traders:
        rows = [
            TraderSnapshot(trader=trader, world_at=now, received_at=at, equity=Decimal(1))
            for at in (*[old] * 12, fresh)
        ]
        TraderSnapshot.objects.bulk_create(rows)
    only_old = traders[1].snapshots.filter(received_at=old)
    traders[1].snapshots.filter(received_at=fresh).delete()
    newest, basis = only_old.latest("id"), only_old.earliest("id")
    Trader.objects.filter(pk=traders[1].pk).update(latest_snapshot=newest, basis_snapshot=basis)
    SyncAttempt.objects.bulk_create(
        SyncAttempt(trader=traders[0], due_at=now, finished_at=now - timedelta(hours=hours), outcome="good")
        for hours in (1, 47, 49, 60)
    )
    deleted = sync_prune(now=now, batch=5)
    assert deleted == {"snapshots": 12 + 10, "attempts": 2, "signals": 0, "quarantined_reads": 0}
    assert list(traders[1].snapshots.order_by("id")) == [basis, newest]
    assert traders[0].snapshots.get().received_at == fresh
    assert set(sync_prune(now=now, batch=5).values()) == {0}


def test_redis_gone_fails_traders_clearly_and_does_not_hang(
    hyperliquid: HyperliquidProcess, now: datetime, settings: Any
) -> None:
    """SYN-3, SYN-4: without the shared budget wallets are degraded with the reason; recorded ones go on."""
    follow_wallets(2, now)
    recorded = trader_find_or_create(kind="replay", key="grok-4", now=now)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    started = SYSTEM_CLOCK.monotonic_s()
    outcome = sync_due(now=now)
    assert SYSTEM_CLOCK.monotonic_s() - started < 5
    assert outcome.synced_ids == [recorded.pk]
    assert len(outcome.failed_ids) == 2
    errors = Trader.objects.filter(kind="hyperliquid").values_list("last_error", flat=True)
    assert all("Redis cannot be reached" in error for error in errors)
    assert hyperliquid.stats()["total"] == 0


def test_a_fault_in_a_source_is_one_traders_failure(
    hyperliquid: HyperliquidProcess, now: datetime, monkeypatch: pytest.MonkeyPatch, still: StillClock
) -> None:
    """SYN-4: even an error nobody foresaw degrades the trader it belongs to and stops no other."""
    broken, good = follow_wallets(2, now)
    real = HyperliquidSource._state

    async def sometimes_faulty(self: HyperliquidSource, key: str, **context: Any) -> TraderRead:
        if key == broken.key:
            raise ZeroDivisionError("nobody thought of this")
        return await real(self, key, **context)

    monkeypatch.setattr(HyperliquidSource, "_state", sometimes_faulty)
    outcome = sync_due(now=now, clock=still)
    assert (outcome.synced_ids, outcome.failed_ids) == ([good.pk], [broken.pk])
    broken.refresh_from_db()
    assert broken.last_error == "fault in the source: ZeroDivisionError: nobody thought of this"
    assert broken.status == Trader.Status.DEGRADED


@pytest.mark.slow
def test_an_hour_with_a_tenth_of_all_requests_failing(
    hyperliquid: HyperliquidProcess, now: datetime, still: StillClock
) -> None:
    """SYN-4: with 10 % injected faults of every sort the error rate of the hour stays below 5 %."""
    traders = follow_wallets(10, now)
    sync_due(now=now, clock=still)
    kinds = ("500", "429", "cut", "half", "cut_json", "nonsense", "html", "null", "empty_list", "502")
    hyperliquid.script(seed=7, rules=[{"share": 0.01, "do": kind} for kind in kinds])
    chance = Random(7).random
    end_at, at = now + timedelta(hours=1), now
    while True:
        at = max(at, Trader.objects.earliest("next_sync_at").next_sync_at)
        if at >= end_at:
            break
        sync_due(now=at, clock=still, chance=chance)
    stats = hyperliquid.stats()
    assert sum(stats["faults"].values()) > 0.08 * stats["total"]
    assert set(stats["faults"]) == set(kinds)
    rates = sync_error_rates(trader_ids=[trader.pk for trader in traders], now=end_at)
    assert len(rates) == 10
    assert sum(rates.values()) / 10 < Decimal("0.05")
    assert QuarantinedRead.objects.count() == 0
    assert TraderSnapshot.objects.filter(quantities_changed=True).count() == 10  # nothing ever looked closed
