"""Hourly returns: price now ÷ price an hour before - 1, on a grid of full hours of world time.

Returns are statistics, so they are floats. Where one of the two prices is not known the return is nan:
a gap is never bridged, so that every number is a return over one hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from math import nan
from typing import Final

HOUR: Final = timedelta(hours=1)
RETURN_HOURS: Final = 168  # a week
SAMPLE_WINDOW: Final = timedelta(minutes=5)  # a live price this soon after an hour counts as that hour's


def hour_of(at: datetime) -> datetime:
    """Return the last full hour at or before ``at``."""
    return at.replace(minute=0, second=0, microsecond=0)


def hours_until(newest: datetime) -> tuple[datetime, ...]:
    """Return the full hours whose prices make up the returns: 169 of them, ``newest`` last."""
    return tuple(newest - HOUR * back for back in range(RETURN_HOURS, -1, -1))


def hourly_returns(*, prices: Mapping[datetime, Decimal], newest: datetime) -> tuple[float, ...]:
    """Return the last 168 hourly returns, newest last; nan where a price is missing.

    :param prices: price by full hour, above zero
    """
    known = [prices.get(hour) for hour in hours_until(newest)]
    return tuple(
        nan if before is None or after is None else float(after / before) - 1.0
        for before, after in pairwise(known)
    )
