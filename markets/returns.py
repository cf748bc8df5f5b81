"""Recent returns of instruments, for correlations and scores.

One row of 168 hourly returns per instrument, aligned: the same place is the same hour of world time for
all, newest last, nan where it is not known. A replay's come from its recording, and from nothing that was
recorded after the newest hour: a mark lies on the line to the next recorded trade, a return never does. The
live world's come from the prices the feed keeps at each full hour.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from markets.domain.returns import SAMPLE_WINDOW, hour_of, hourly_returns, hours_until
from markets.models import LIVE, PriceSample, World
from markets.recordings import recording_get

_Hour = tuple[int, datetime]  # run and newest hour
_kept: dict[str, tuple[_Hour, dict[str, tuple[float, ...]]]] = {}  # by world: the newest hour's alone


def returns_recent(*, world: World, codes: Collection[str], now: datetime) -> Mapping[str, tuple[float, ...]]:
    """Return the last 168 hourly returns of each instrument, up to the last full hour of world time.

    Read once per process, world and hour. All nan where nothing is known of a code.

    :param now: wall time
    """
    hour = (world.run, returns_hour(world=world, now=now))
    known_hour, known = _kept.get(world.name, (None, {}))
    if known_hour != hour:
        known = {}
        _kept[world.name] = (hour, known)
    missing = [code for code in codes if code not in known]
    if missing:
        known.update(_read(world, missing, hour[1]))
    return {code: known[code] for code in codes}


def returns_hour(*, world: World, now: datetime) -> datetime:
    """Return the newest hour that ``returns_recent`` knows at wall time ``now``.

    In the live world an hour counts once its prices can no longer come in.
    """
    world_at = world.clock().at(now)
    return hour_of(world_at - SAMPLE_WINDOW if world.name == LIVE else world_at)


def returns_forget() -> None:
    """Forget what was read, for whoever changes prices of the past."""
    _kept.clear()


def _read(world: World, codes: Iterable[str], newest: datetime) -> dict[str, tuple[float, ...]]:
    prices = _sampled(world, codes, newest) if world.name == LIVE else _recorded(world, codes, newest)
    return {code: hourly_returns(prices=prices.get(code, {}), newest=newest) for code in codes}


def _recorded(world: World, codes: Iterable[str], newest: datetime) -> dict[str, dict[datetime, Decimal]]:
    series = recording_get(name=world.name).prices
    hours = hours_until(newest)
    return {
        code: {
            hour: price for hour in hours if (price := series[code].price_known(hour, by=newest)) is not None
        }
        for code in codes
        if code in series
    }


def _sampled(world: World, codes: Iterable[str], newest: datetime) -> dict[str, dict[datetime, Decimal]]:
    prices: dict[str, dict[datetime, Decimal]] = defaultdict(dict)
    rows = PriceSample.objects.filter(
        world=world, instrument__in=codes, at__gte=hours_until(newest)[0], at__lte=newest
    )
    for code, at, price in rows.values_list("instrument_id", "at", "price"):
        prices[code][at] = price
    return prices
