"""Moments as whole microseconds since 1970, which ticks and recorded prices carry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)


def us_of(at: datetime) -> int:
    """Turn an aware time into microseconds since 1970."""
    return (at - _EPOCH) // MICROSECOND


def at_of(us: int) -> datetime:
    """Turn microseconds since 1970 into an aware UTC time."""
    return _EPOCH + timedelta(microseconds=us)
