"""Five-minute candles: what a price did between two moments of the world, five minutes apart.

Everything that decides on candles gets closed ones only: a candle is closed when the world has reached its
``closed_at``, and from then on it never changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

CANDLE_SPAN: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Candle:
    """One five-minute candle.

    :param opened_at: world time, UTC, a multiple of five minutes; covers from here to before ``closed_at``
    :param open: first price, quote currency per unit; ``high``, ``low`` and ``close`` likewise, above zero
    :param volume: units traded, None where nobody recorded it (marks and quotes carry none)
    """

    opened_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None

    @property
    def closed_at(self) -> datetime:
        """Return the world time at which the candle is closed."""
        return self.opened_at + CANDLE_SPAN
