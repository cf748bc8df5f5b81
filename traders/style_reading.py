"""A trader's reads as the statistics of its style want them: floats, by underlying."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from core.instruments import underlying_of
from traders.domain.reads import TraderPosition
from traders.domain.style import Held, Reading


def reading_of(*, at: datetime, equity: Decimal, positions: Iterable[TraderPosition]) -> Reading | None:
    """Return one read; None where there is no equity to measure against.

    Positions without a mark are valued at their entry. Several instruments of one underlying are one.
    """
    if equity <= 0:
        return None
    held: dict[str, Held] = {}
    for position in positions:
        underlying, units = underlying_of(position.code)
        price = position.mark_price or position.entry_price
        part = Held(float(position.quantity * units), float(position.quantity * price), position.opened_at)
        known = held.get(underlying)
        held[underlying] = _together(known, part) if known else part
    return Reading(at=at, equity=float(equity), held={u: part for u, part in held.items() if part.quantity})


def _together(one: Held, other: Held) -> Held:
    opened = [at for at in (one.opened_at, other.opened_at) if at is not None]
    return Held(one.quantity + other.quantity, one.notional + other.notional, min(opened, default=None))
