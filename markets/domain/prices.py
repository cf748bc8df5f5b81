"""A price over time from recorded trades: exact at each, on a straight line between two, flat outside.

Interpolated prices are fit to show and to test; they are no quotes and must be labelled where shown.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_TIDY: Final = Context(prec=9)  # an interpolated price is no more exact than its ends


def _us(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


@dataclass(frozen=True, slots=True)
class PriceSeries:
    """Recorded prices of one instrument, by rising time.

    :param times_us: microseconds since 1970, strictly rising
    :param prices: quote currency per unit, one for each time, above zero
    """

    times_us: tuple[int, ...]
    prices: tuple[Decimal, ...]

    @classmethod
    def from_points(cls, points: Iterable[tuple[datetime, Decimal]]) -> PriceSeries:
        """Build a series; of several points at one moment the last given stands.

        :raises ValueError: no point at all, or a price that is not above zero
        """
        by_time: dict[int, Decimal] = {}
        for at, price in points:
            if not price.is_finite() or price <= 0:
                msg = f"a recorded price must be above zero, got {price} at {at.isoformat()}"
                raise ValueError(msg)
            by_time[_us(at)] = price
        if not by_time:
            msg = "a price series needs at least one point"
            raise ValueError(msg)
        times = tuple(sorted(by_time))
        return cls(times_us=times, prices=tuple(by_time[time] for time in times))

    @property
    def start_at(self) -> datetime:
        """Return the moment of the first recorded price."""
        return _EPOCH + timedelta(microseconds=self.times_us[0])

    @property
    def end_at(self) -> datetime:
        """Return the moment of the last recorded price."""
        return _EPOCH + timedelta(microseconds=self.times_us[-1])

    def price_at(self, at: datetime) -> Decimal:
        """Return the price at ``at``: recorded, or interpolated to 9 significant digits.

        >>> day = datetime(2025, 10, 18, tzinfo=UTC)
        >>> series = PriceSeries.from_points([(day, Decimal(100)), (day + timedelta(hours=4), Decimal(110))])
        >>> series.price_at(day + timedelta(hours=1))
        Decimal('102.5')
        """
        time = _us(at)
        after = bisect_right(self.times_us, time)
        if after == 0:
            return self.prices[0]
        if after == len(self.times_us) or self.times_us[after - 1] == time:
            return self.prices[after - 1]
        left, right = self.prices[after - 1], self.prices[after]
        gone, whole = time - self.times_us[after - 1], self.times_us[after] - self.times_us[after - 1]
        return _TIDY.plus(left + (right - left) * gone / whole)

    def price_known(self, at: datetime, *, by: datetime) -> Decimal | None:
        """Return the price at ``at`` from nothing but what was recorded up to ``by``.

        None before the first recorded price, and after the last one recorded by then.
        """
        known = bisect_right(self.times_us, _us(by))
        if known == 0 or not self.times_us[0] <= _us(at) <= self.times_us[known - 1]:
            return None
        return self.price_at(at)
