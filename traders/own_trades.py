"""What is known of the trades that traders made themselves: recorded ones, and those of strategies.

Wallets and accounts elsewhere show positions, not trades; of them nothing is known here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from datetime import datetime
from typing import Final

from core.instruments import underlying_of
from core.types import TraderKind
from traders.domain.trades import OwnTrade
from traders.models import StrategySignal, Trader
from traders.recordings import recorded_trades

SIGNALS_READ: Final = 100  # the newest; a strategy's positions are made of few


def own_trades(*, trader: Trader, underlying: str, run: int, until_at: datetime) -> list[OwnTrade]:
    """Return a trader's trades in one underlying up to a world time, by rising time.

    Quantities and prices are per unit of the underlying. Empty where its source tells of none.
    """
    reader = _READERS.get(TraderKind(trader.kind))
    return reader(trader, underlying, run, until_at) if reader else []


def _recorded(trader: Trader, underlying: str, run: int, until_at: datetime) -> list[OwnTrade]:
    found: list[OwnTrade] = []
    for code, trades in recorded_trades(key=trader.key).items():
        if underlying_of(code)[0] == underlying:
            known = trades[: bisect_right(trades, until_at, key=lambda trade: trade.at)]
            found += [_per_underlying(trade, code) for trade in known]
    return sorted(found, key=lambda trade: trade.at)


def _signalled(trader: Trader, underlying: str, run: int, until_at: datetime) -> list[OwnTrade]:
    rows = StrategySignal.objects.filter(trader=trader, run=run, at__lte=until_at, price__isnull=False)
    newest = rows.exclude(quantity=0).order_by("-at", "code")[:SIGNALS_READ]
    return [
        _per_underlying(OwnTrade(row.at, row.quantity, row.price), row.code)
        for row in reversed(newest)
        if row.price is not None and underlying_of(row.code)[0] == underlying
    ]


def _per_underlying(trade: OwnTrade, code: str) -> OwnTrade:
    units = underlying_of(code)[1]
    return OwnTrade(trade.at, trade.quantity * units, trade.price / units)


_READERS: Final[dict[TraderKind, Callable[[Trader, str, int, datetime], list[OwnTrade]]]] = {
    TraderKind.REPLAY: _recorded,
    TraderKind.STRATEGY: _signalled,
}
