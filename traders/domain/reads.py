"""What one look at a trader says, as every source returns it. Pure data.

A failure is a value like a good read, so that one trader's failure never stops a batch (SYN-4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class TraderPosition:
    """One open position of a trader.

    :param quantity: signed, in units of the instrument; negative is short
    :param entry_price: average entry, quote currency per unit
    :param mark_price: the source's own current price, None where it names none
    :param opened_at: when it was opened, None where the source does not say
    """

    code: str
    quantity: Decimal
    entry_price: Decimal
    mark_price: Decimal | None = None
    opened_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TraderRead:
    """A trader at one moment.

    :param equity: quote currency, unrealized P&L and spot collateral included, counted once
    :param positions: open positions by code, one per code
    :param world_at: world time of the read
    :param run: the run of its world
    :param notes: what a person should know of this read, such as what is not counted; one sentence each
    :param origin: what the source needs to know of this read at its next one, as JSON
    :param doubt: why this read should be seen twice before it counts; empty where the source has no doubt
    """

    equity: Decimal
    positions: tuple[TraderPosition, ...]
    world_at: datetime
    run: int = 1
    notes: tuple[str, ...] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    doubt: str = ""

    def quantities(self) -> dict[str, Decimal]:
        """Return the signed quantity of each open position by code."""
        return {position.code: position.quantity for position in self.positions}


class FailureKind(StrEnum):
    """Why there is no read, by what to do next."""

    RATE_LIMITED = "rate_limited"  # the venue asked for a pause
    DEFERRED = "deferred"  # our own budget has no room before the deadline: nothing was asked
    FAILED = "failed"  # no usable answer


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """There was no usable answer, and why; ``retry_after_s`` is the pause asked for, where one was named."""

    kind: FailureKind
    reason: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class ReadResult:
    """The outcome for one key: exactly one of ``read`` and ``failure`` is set.

    :param asked_at: wall time at which the source was asked; the 10 s cache counts from here
    :param from_cache: no network call was made
    """

    key: str
    asked_at: datetime
    read: TraderRead | None = None
    failure: ReadFailure | None = None
    from_cache: bool = False
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class RecentPnl:
    """Profit and loss of a recent span, quote currency."""

    label: str
    amount: Decimal
