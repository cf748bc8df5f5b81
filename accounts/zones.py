"""Time zones people choose: which there are, and when their offsets change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from core.clock import utc_now

_FIRST_YEAR: Final = 2019  # nothing recorded here is older
_YEARS_AHEAD: Final = 2


@cache
def zone_names() -> tuple[str, ...]:
    """Return the zones to choose from: areas and cities, and UTC first."""
    cities = sorted(
        name
        for name in available_timezones()
        if "/" in name and not name.startswith(("Etc/", "posix/", "right/", "SystemV/", "US/", "Canada/"))
    )
    return ("UTC", *cities)


def zone_of(*, name: str) -> ZoneInfo | None:
    """Return a zone by its IANA name; None for UTC, for no name and for one that is not known here."""
    return ZoneInfo(name) if name and name != "UTC" and name in zone_names() else None


def zone_offsets(*, zone: ZoneInfo) -> tuple[tuple[int, int], ...]:
    """Return when a zone's offset changes: (seconds since 1970, minutes ahead of UTC from then on), oldest
    first.

    Covers 2019 to the end of the year after next, which is more than any page shows.
    """
    return _offsets(zone.key, utc_now().year + _YEARS_AHEAD)


@cache
def _offsets(name: str, last_year: int) -> tuple[tuple[int, int], ...]:
    zone = ZoneInfo(name)
    at, end = datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC), datetime(last_year + 1, 1, 1, tzinfo=UTC)
    changes = [(int(at.timestamp()), _minutes(zone, at))]
    while at < end:
        following = at + timedelta(days=1)
        if _minutes(zone, following) != _minutes(zone, at):
            changed = _change_between(zone, at, following)
            changes.append((int(changed.timestamp()), _minutes(zone, changed)))
        at = following
    return tuple(changes)


def _change_between(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """Return the minute at which the offset differs from that of ``low``."""
    before = _minutes(zone, low)
    while high - low > timedelta(minutes=1):
        middle = low + timedelta(minutes=(high - low) // timedelta(minutes=1) // 2)
        low, high = (middle, high) if _minutes(zone, middle) == before else (low, middle)
    return high


def _minutes(zone: ZoneInfo, at: datetime) -> int:
    offset = at.astimezone(zone).utcoffset() or timedelta(0)
    return offset // timedelta(minutes=1)
