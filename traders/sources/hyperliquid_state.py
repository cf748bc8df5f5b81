"""What Hyperliquid answers of an account's state, and what it comes to: equity and positions.

The rule of equity stands at the top of ``traders.sources.hyperliquid``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

import msgspec

from core.decimals import ZERO, to_money, to_price
from traders.domain.reads import TraderPosition


class _Position(msgspec.Struct, frozen=True, rename="camel"):
    coin: str
    szi: Decimal
    position_value: Decimal
    unrealized_pnl: Decimal
    entry_px: Decimal | None = None


class _AssetPosition(msgspec.Struct, frozen=True):
    position: _Position


class _MarginSummary(msgspec.Struct, frozen=True, rename="camel"):
    account_value: Decimal


class PerpState(msgspec.Struct, frozen=True, rename="camel"):
    """A ``clearinghouseState`` answer, as far as it is used."""

    margin_summary: _MarginSummary
    asset_positions: tuple[_AssetPosition, ...]


class SpotBalance(msgspec.Struct, frozen=True):
    """One balance of a ``spotClearinghouseState`` answer; ``total`` includes what orders and margin hold."""

    coin: str
    total: Decimal
    token: int = -1


class SpotState(msgspec.Struct, frozen=True):
    """A ``spotClearinghouseState`` answer, as far as it is used."""

    balances: tuple[SpotBalance, ...]


def equity_of(*, perps: Sequence[PerpState], spot_value: Decimal, unified: bool) -> Decimal:
    """Return an account's equity in USD; the rule stands at the top of this file.

    :param spot_value: all spot balances, USDC included, at their mids
    """
    if unified:
        unrealized = (row.position.unrealized_pnl for state in perps for row in state.asset_positions)
        return to_money_or_nan(sum(unrealized, spot_value))
    return to_money_or_nan(sum((state.margin_summary.account_value for state in perps), spot_value))


def to_money_or_nan(value: Decimal) -> Decimal:
    """Round to the ledger's 8 places; what is no number stays so, for the quarantine to see."""
    return to_money(value) if value.is_finite() else value


def positions_of(perps: Iterable[PerpState]) -> tuple[TraderPosition, ...]:
    """Return the open positions of several dexes by code; a missing entry price is 0, which is no price."""
    rows = [row.position for state in perps for row in state.asset_positions if row.position.szi != 0]
    return tuple(
        TraderPosition(
            code=row.coin,
            quantity=row.szi,
            entry_price=row.entry_px or ZERO,
            mark_price=_mark(row),
        )
        for row in sorted(rows, key=lambda row: row.coin)
    )


def positions_netted(accounts: Iterable[Sequence[TraderPosition]]) -> tuple[TraderPosition, ...]:
    """Return what several accounts hold together, by code; the entry is the average of the larger side."""
    held: dict[str, list[TraderPosition]] = defaultdict(list)
    for account in accounts:
        for position in account:
            held[position.code].append(position)
    return tuple(net for code in sorted(held) for net in _netted(held[code]))


def _netted(parts: Sequence[TraderPosition]) -> Sequence[TraderPosition]:
    """Return the net of one coin: one position, or none; what has no quantity stays for the quarantine."""
    quantity = sum((part.quantity for part in parts), ZERO)
    if len(parts) == 1 or not quantity.is_finite():
        return parts
    if quantity == 0:
        return ()
    side = [part for part in parts if (part.quantity > 0) == (quantity > 0)]
    paid = sum((part.quantity * part.entry_price for part in side), ZERO)
    entry = paid / sum((part.quantity for part in side), ZERO)
    return (replace(side[0], quantity=quantity, entry_price=_to_price_or_nan(entry)),)


def _mark(row: _Position) -> Decimal:
    return _to_price_or_nan(abs(row.position_value / row.szi))


def _to_price_or_nan(value: Decimal) -> Decimal:
    return to_price(value) if value.is_finite() else value
