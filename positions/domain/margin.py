"""Maintenance margin, liquidation and funding of paper perpetuals.

The account is margined as one (cross margin). Sources: Hyperliquid documentation, "Margining" and
"Liquidations": maintenance margin is half of the initial margin at the instrument's highest leverage, and
positions are closed when account value falls below it; "Funding": paid each hour on the notional at the
oracle price, by longs to shorts when the rate is positive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from core.decimals import ZERO, to_money

HOUR: Final = timedelta(hours=1)
HALF: Final = Decimal("0.5")


@dataclass(frozen=True, slots=True)
class PerpHolding:
    """An open perpetual position at its mark; quantity is signed."""

    underlying: str
    code: str
    quantity: Decimal
    mark: Decimal
    max_leverage: int


@dataclass(frozen=True, slots=True)
class LiquidationPlan:
    """Which perpetuals must be closed because equity fell below the maintenance margin.

    ``closes`` is empty while equity suffices.
    """

    equity: Decimal
    maintenance: Decimal
    closes: tuple[PerpHolding, ...]

    @property
    def needed(self) -> bool:
        """Whether anything must be closed."""
        return bool(self.closes)


def maintenance_rate(*, max_leverage: int) -> Decimal:
    """Return maintenance margin as a fraction of notional: half the inverse of the highest leverage."""
    return HALF / max_leverage


def maintenance_margin(*, holdings: Sequence[PerpHolding]) -> Decimal:
    """Return the sum of maintenance margins in quote currency, to 8 places."""
    rates = (
        abs(held.quantity) * held.mark * maintenance_rate(max_leverage=held.max_leverage) for held in holdings
    )
    return to_money(sum(rates, ZERO))


def liquidation_plan(*, equity: Decimal, holdings: Sequence[PerpHolding]) -> LiquidationPlan:
    """Close every open perpetual when equity is below their maintenance margin, largest first."""
    maintenance = maintenance_margin(holdings=holdings)
    held = [holding for holding in holdings if holding.quantity]
    if equity >= maintenance:
        held = []
    held.sort(key=lambda holding: (-abs(holding.quantity) * holding.mark, holding.underlying))
    return LiquidationPlan(equity=equity, maintenance=maintenance, closes=tuple(held))


def liquidation_price(
    *,
    quantity: Decimal,
    mark: Decimal | None,
    equity: Decimal,
    max_leverage: int,
    maintenance_other: Decimal = ZERO,
) -> Decimal | None:
    """Return the price of this instrument at which equity meets the maintenance margin, all else unchanged.

    Solves equity + quantity × (price − mark) = rate × |quantity| × price + maintenance of the others.

    :returns: None without a position or mark, or where no price above zero liquidates
    """
    if quantity == 0 or mark is None:
        return None
    slope = quantity - maintenance_rate(max_leverage=max_leverage) * abs(quantity)
    if slope == 0:
        return None
    price = (quantity * mark + maintenance_other - equity) / slope
    return price if price > 0 else None


def hour_floor(at: datetime) -> datetime:
    """Return the full hour at or before ``at``."""
    return at.replace(minute=0, second=0, microsecond=0)


def funding_hours(*, funded_until: datetime, world_at: datetime) -> int:
    """Return how many full hours struck after ``funded_until`` (a full hour) up to ``world_at``."""
    return max(0, (world_at - funded_until) // HOUR)


def funding_payments(
    *, slices: Sequence[Decimal], mark: Decimal, rate_hourly: Decimal, hours: int
) -> list[Decimal]:
    """Return what each slice receives (positive) or pays (negative) for some hours, to 8 places.

    Each slice gets −quantity × mark × rate × hours. They sum to what the net position pays, rounded
    once: the difference goes to the largest slice (the first of equals).

    :param slices: signed quantities
    """
    if not slices:
        return []
    factor = mark * rate_hourly * hours
    payments = [to_money(-quantity * factor) for quantity in slices]
    whole = to_money(-sum(slices, ZERO) * factor)
    largest = max(range(len(slices)), key=lambda i: (abs(slices[i]), -i))
    payments[largest] += whole - sum(payments, ZERO)
    return payments
