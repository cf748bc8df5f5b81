"""What entries are judged by: their markets, their traders' record and entries (EXE-2, EXE-4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from allocation.domain.books import TraderBook
from allocation.domain.chase import price_added
from allocation.models import Follow, FollowLeg
from engine.domain.copy_types import Market
from engine.domain.scoring import MarketPulse, PastResults
from markets.models import MarketContext, World
from markets.returns import returns_recent
from positions.selectors import past_results


def pulses_read(
    *,
    world: World,
    markets: Mapping[str, Market],
    underlyings: Iterable[str],
    contexts: Mapping[str, MarketContext],
    now: datetime,
) -> dict[str, MarketPulse]:
    """Return what is known of the markets of these underlyings beside their marks.

    :param contexts: how much trades, by instrument
    """
    codes = {u: markets[u].instrument.code for u in underlyings if u in markets}
    returns = returns_recent(world=world, codes=sorted(codes.values()), now=now)
    return {
        underlying: MarketPulse(
            returns=returns[code],
            day_volume=contexts[code].day_volume if code in contexts else None,
            impact_spread=contexts[code].impact_spread if code in contexts else None,
        )
        for underlying, code in codes.items()
    }


def added_prices(
    *, book: TraderBook | None, before: TraderBook | None, legs: Mapping[str, FollowLeg]
) -> dict[str, Decimal]:
    """Return what a trader paid for the part it last added, by underlying it has open.

    :param before: the book last decided on; None where nothing changed since
    :param legs: what is stored of the follow, by underlying
    """
    known = {underlying: leg.added_price for underlying, leg in legs.items()}
    if book is None or before is None:
        return {u: price for u, price in known.items() if price is not None}
    found = {
        underlying: price_added(before=before.legs.get(underlying), after=leg, known=known.get(underlying))
        for underlying, leg in book.legs.items()
    }
    return {underlying: price for underlying, price in found.items() if price is not None}


def past_read(*, portfolio_id: int, follows: Iterable[Follow]) -> dict[tuple[int, str], PastResults]:
    """Return what closed slices brought, by follow and underlying; also those of earlier follows."""
    by_trader = {follow.trader_id: follow.pk for follow in follows}
    return {
        (by_trader[trader_id], underlying): PastResults(result.closed, result.won, result.mean_return)
        for (trader_id, underlying), result in past_results(portfolio_id=portfolio_id).items()
        if trader_id in by_trader
    }
