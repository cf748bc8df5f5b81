"""When a trader is read next: staggered, backing off, slowed down by a venue that asks for it. Pure.

Randomness is passed in as a number in [0, 1).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

STALE_AFTER_INTERVALS: Final = 3
RATE_LIMITS_TO_SLOW: Final = 2  # that many rate limits without as many good reads since double the interval
RATE_LIMITS_REMEMBERED: Final = 4
BACKOFF_BASE_S: Final = 2.0
BACKOFF_CAP_S: Final = 60.0
_GOLDEN: Final = 0.6180339887498949  # multiples of it, modulo 1, lie evenly however many there are
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def sync_interval_s(*, interval_s: int, rate_limits: int) -> int:
    """Return the seconds between two syncs: the set interval, doubled after repeated rate limits (SYN-3)."""
    return interval_s * 2 if rate_limits >= RATE_LIMITS_TO_SLOW else interval_s


def rate_limits_after(*, rate_limits: int, limited: bool) -> int:
    """Return the remembered rate limits after one more sync: one more if limited, else one fewer."""
    return min(RATE_LIMITS_REMEMBERED, rate_limits + 1) if limited else max(0, rate_limits - 1)


def next_sync_at(*, trader_id: int, interval_s: int, now: datetime) -> datetime:
    """Return the next moment after ``now`` on this trader's own grid; the grids spread over the interval."""
    interval = timedelta(seconds=interval_s)
    grid_at = _EPOCH + (trader_id * _GOLDEN % 1.0) * interval
    return grid_at + ((now - grid_at) // interval + 1) * interval


def backoff_s(*, failures: int, chance: float, retry_after_s: float | None = None) -> float:
    """Return the seconds to wait after the ``failures``-th failure in a row (from 1).

    Exponential with full jitter: even over [0, min(60, 2 · 2^failures)], at least 0.5 s, and never less
    than the pause the venue asked for. Source: Marc Brooker, "Exponential Backoff And Jitter", AWS
    Architecture Blog, 2015.

    :param chance: a random number in [0, 1)
    """
    ceiling = min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0 ** min(failures, 10))
    return max(0.5 + chance * (ceiling - 0.5), retry_after_s or 0.0)


def slot_after(*, due_at: datetime, interval_s: int, now: datetime) -> datetime:
    """Return the scheduled moment that an attempt at ``now`` serves.

    A retry serves the schedule it failed; once a whole interval has passed that one was missed, and the
    newest scheduled moment not after ``now`` takes its place.
    """
    interval = timedelta(seconds=interval_s)
    return due_at + max(0, (now - due_at) // interval) * interval


def is_stale(*, synced_at: datetime | None, created_at: datetime, interval_s: int, now: datetime) -> bool:
    """Tell whether three scheduled syncs in a row have brought nothing (SYN-4)."""
    return now - (synced_at or created_at) > timedelta(seconds=STALE_AFTER_INTERVALS * interval_s)
