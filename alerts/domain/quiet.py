"""Quiet hours in a person's own time zone. Pure: the moment is passed in.

Hours are those of the clock on the wall there, so on the two nights a year on which it jumps they are an
hour shorter or longer. From 22:00 to 07:00 goes over midnight; from and until at the same time is the
whole day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From a time of day until another, in a zone."""

    begins: time
    ends: time
    zone: ZoneInfo


def quiet_until(*, hours: QuietHours | None, now: datetime) -> datetime | None:
    """Return when the quiet hours end that ``now`` lies in, in UTC; None outside of them.

    The beginning is quiet, the end is not.
    """
    if hours is None:
        return None
    local = now.astimezone(hours.zone)
    clock = local.time().replace(tzinfo=None)
    over_midnight = hours.ends <= hours.begins
    if over_midnight:
        if hours.ends <= clock < hours.begins:
            return None
        day = local.date() + timedelta(days=1) if clock >= hours.begins else local.date()
    else:
        if not hours.begins <= clock < hours.ends:
            return None
        day = local.date()
    ended = datetime.combine(day, hours.ends, tzinfo=hours.zone).astimezone(UTC)
    # In the night in which an hour is repeated, its first pass may map behind ``now``.
    return max(ended, now.astimezone(UTC) + timedelta(seconds=1))
