"""What entries are ranked by: how their markets moved, and what their traders brought before (EXE-2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from allocation.models import Follow
from engine.domain.copy_types import Market
from engine.domain.scoring import MarketPulse, PastResults
from markets.models import World
from markets.returns import returns_recent
from positions.selectors import past_results


def pulses_read(
    *, world: World, markets: Mapping[str, Market], underlyings: Iterable[str], now: datetime
) -> dict[str, MarketPulse]:
    """Return what is known of the markets of these underlyings beside their marks."""
    codes = {u: markets[u].instrument.code for u in underlyings if u in markets}
    returns = returns_recent(world=world, codes=sorted(codes.values()), now=now)
    return {underlying: MarketPulse(returns=returns[code]) for underlying, code in codes.items()}


def past_read(*, portfolio_id: int, follows: Iterable[Follow]) -> dict[tuple[int, str], PastResults]:
    """Return what closed slices brought, by follow and underlying; also those of earlier follows."""
    by_trader = {follow.trader_id: follow.pk for follow in follows}
    return {
        (by_trader[trader_id], underlying): PastResults(result.closed, result.won, result.mean_return)
        for (trader_id, underlying), result in past_results(portfolio_id=portfolio_id).items()
        if trader_id in by_trader
    }
