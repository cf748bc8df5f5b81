"""A price over time from what was recorded: exact at each point, and flat outside the recording.

Between two points it lies on a straight line, or stays at the last one where the series is *stepped*. A
line looks ahead to the next trade: such prices are fit to show and to test; they are no quotes and must be
labelled where shown.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal
from typing import Final

from markets.domain.moments import at_of, us_of

_TIDY: Final = Context(prec=9)  # an interpolated price is no more exact than its ends


@dataclass(frozen=True, slots=True)
class PriceSeries:
    """Recorded prices of one instrument, by rising time.

    :param times_us: microseconds since 1970, strictly rising
    :param prices: quote currency per unit, one for each time, above zero
    :param stepped: between two points the price is the earlier one's: nothing is known before its time
    """

    times_us: tuple[int, ...]
    prices: tuple[Decimal, ...]
    stepped: bool = False

    @classmethod
    def from_points(cls, points: Iterable[tuple[datetime, Decimal]], *, stepped: bool = False) -> PriceSeries:
        """Build a series; of several points at one moment the last given stands.

        :raises ValueError: no point at all, or a price that is not above zero
        """
        by_time: dict[int, Decimal] = {}
        for at, price in points:
            if not price.is_finite() or price <= 0:
                msg = f"a recorded price must be above zero, got {price} at {at.isoformat()}"
                raise ValueError(msg)
            by_time[us_of(at)] = price
        if not by_time:
            msg = "a price series needs at least one point"
            raise ValueError(msg)
        times = tuple(sorted(by_time))
        return cls(times_us=times, prices=tuple(by_time[time] for time in times), stepped=stepped)

    @property
    def start_at(self) -> datetime:
        """Return the moment of the first recorded price."""
        return at_of(self.times_us[0])

    @property
    def end_at(self) -> datetime:
        """Return the moment of the last recorded price."""
        return at_of(self.times_us[-1])

    def price_at(self, at: datetime) -> Decimal:
        """Return the price at ``at``: the last recorded where stepped, else recorded or interpolated to 9
        significant digits.

        >>> from datetime import UTC, timedelta
        >>> day = datetime(2025, 10, 18, tzinfo=UTC)
        >>> series = PriceSeries.from_points([(day, Decimal(100)), (day + timedelta(hours=4), Decimal(110))])
        >>> series.price_at(day + timedelta(hours=1))
        Decimal('102.5')
        """
        time = us_of(at)
        after = bisect_right(self.times_us, time)
        if after == 0:
            return self.prices[0]
        if self.stepped or after == len(self.times_us) or self.times_us[after - 1] == time:
            return self.prices[after - 1]
        left, right = self.prices[after - 1], self.prices[after]
        gone, whole = time - self.times_us[after - 1], self.times_us[after] - self.times_us[after - 1]
        return _TIDY.plus(left + (right - left) * gone / whole)

    def points_between(self, after: datetime, until: datetime) -> Sequence[tuple[int, Decimal]]:
        """Return what was recorded later than ``after`` and up to ``until``: (microseconds, price)."""
        first, last = bisect_right(self.times_us, us_of(after)), bisect_right(self.times_us, us_of(until))
        return tuple(zip(self.times_us[first:last], self.prices[first:last], strict=True))

    def price_known(self, at: datetime, *, by: datetime) -> Decimal | None:
        """Return the price at ``at`` from nothing but what was recorded up to ``by``.

        None before the first recorded price, and after the last one recorded by then.
        """
        known = bisect_right(self.times_us, us_of(by))
        if known == 0 or not self.times_us[0] <= us_of(at) <= self.times_us[known - 1]:
            return None
        return self.price_at(at)
