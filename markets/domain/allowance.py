"""What a venue allows, as a bucket: so much at once, so much a second. Pure.

A bucket of ``burst`` weights fills up at ``rate`` weights a second. With burst + window x rate = what the
venue allows in a window, no window sees more than that, wherever it begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

MINUTE_S: Final = 60.0
MINUTE_PARTS: Final = 12  # a twelfth of a minute's allowance may go out at once
SHORT_PARTS: Final = 2  # of a window of seconds, half


class BudgetPriority(IntEnum):
    """Who goes first where requests wait: what closes a position, and last what somebody only looks at."""

    EXIT = 0
    ORDER = 1
    SYNC = 2
    PREVIEW = 3


# The part of the bucket that a priority leaves for those above it.
RESERVED: Final = {
    BudgetPriority.EXIT: 0.0,
    BudgetPriority.ORDER: 0.1,
    BudgetPriority.SYNC: 0.2,
    BudgetPriority.PREVIEW: 0.4,
}


@dataclass(frozen=True, slots=True)
class Allowance:
    """A bucket.

    :param burst: weights that may go out at once, when nothing was asked for a while
    :param rate: weights a second it fills up by
    :param window_s: the span that the venue counts over
    """

    burst: float
    rate: float
    window_s: float = MINUTE_S

    @classmethod
    def window(cls, *, weight: float, window_s: float = MINUTE_S, parts: float | None = None) -> Allowance:
        """Return the bucket of a venue that counts ``weight`` in any window of so many seconds."""
        burst = weight / (parts or (MINUTE_PARTS if window_s >= MINUTE_S else SHORT_PARTS))
        return cls(burst=burst, rate=(weight - burst) / window_s, window_s=window_s)

    @classmethod
    def counter(cls, *, most: float, falls_by_s: float) -> Allowance:
        """Return the bucket of a venue whose counter may reach ``most`` and falls by so much a second."""
        return cls(burst=most, rate=falls_by_s, window_s=most / falls_by_s)
