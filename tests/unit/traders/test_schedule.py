"""When traders are read: SYN-1 staggering, SYN-3 backoff and slowing, SYN-4 missed schedules."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from traders.domain.schedule import (
    backoff_s,
    is_stale,
    next_sync_at,
    rate_limits_after,
    slot_after,
    sync_interval_s,
)

NOW = datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)
MINUTE = timedelta(seconds=60)


@given(st.integers(1, 10**9), st.integers(10, 600), st.integers(0, 10**9))
def test_the_next_sync_lies_within_one_interval(trader_id: int, interval_s: int, second: int) -> None:
    """SYN-1: strictly later than now, at most one interval, and the one after it exactly one interval on."""
    now = NOW + timedelta(seconds=second)
    at = next_sync_at(trader_id=trader_id, interval_s=interval_s, now=now)
    assert now < at <= now + timedelta(seconds=interval_s)
    assert next_sync_at(trader_id=trader_id, interval_s=interval_s, now=at) - at == timedelta(
        seconds=interval_s
    )


def test_traders_spread_over_the_interval() -> None:
    """SYN-1: a hundred traders made one after the other leave no hole of more than 2 % and no heap."""
    seconds = sorted(
        (next_sync_at(trader_id=pk, interval_s=60, now=NOW) - NOW).total_seconds() for pk in range(501, 601)
    )
    gaps = [after - before for before, after in pairwise(seconds)]
    assert max(gaps) < 1.2
    assert max(sum(1 for s in seconds if n <= s < n + 6) for n in range(0, 60, 6)) <= 12


def test_backoff_grows_with_full_jitter_and_heeds_the_venue() -> None:
    """SYN-3: even between 0.5 s and 4, 8, 16, 32, 60 s; a named pause is never undercut."""
    assert [backoff_s(failures=n, chance=0.0) for n in (1, 2, 3, 9)] == [0.5, 0.5, 0.5, 0.5]
    assert [backoff_s(failures=n, chance=1.0) for n in (1, 2, 3, 4, 5, 99)] == [4, 8, 16, 32, 60, 60]
    assert backoff_s(failures=1, chance=0.5) == 2.25
    assert backoff_s(failures=1, chance=0.0, retry_after_s=30.0) == 30.0


def test_the_interval_doubles_after_repeated_limits_and_recovers() -> None:
    """SYN-3: 60, 60, then 120 s; every good read forgets one, never more than four are remembered."""
    limits, intervals = 0, []
    for limited in (True, True, True, True, True, True, False, False, False, False, False):
        limits = rate_limits_after(rate_limits=limits, limited=limited)
        intervals.append(sync_interval_s(interval_s=60, rate_limits=limits))
    assert intervals == [60, 120, 120, 120, 120, 120, 120, 120, 60, 60, 60]


def test_a_retry_serves_its_schedule_until_the_next_is_due() -> None:
    """SYN-4: at 59 s still the first schedule, from 60 s on the second, at 185 s the fourth."""
    due = [slot_after(due_at=NOW, interval_s=60, now=NOW + timedelta(seconds=s)) for s in (0, 59, 60, 185)]
    assert due == [NOW, NOW, NOW + MINUTE, NOW + 3 * MINUTE]
    assert slot_after(due_at=NOW, interval_s=60, now=NOW - MINUTE) == NOW


def test_stale_after_three_intervals() -> None:
    """SYN-4: more than three intervals without a good read; a new trader has the same time for its first."""
    long_ago = NOW - timedelta(days=1)
    for synced_at, created_at in ((NOW, long_ago), (None, NOW)):
        for seconds, stale in ((179, False), (180, False), (181, True)):
            now = NOW + timedelta(seconds=seconds)
            assert is_stale(synced_at=synced_at, created_at=created_at, interval_s=60, now=now) is stale
