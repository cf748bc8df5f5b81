"""How many positions at once: several, one, or one once half a breaker is used (RSK-4); fewer at first, live.

The mode bounds what is opened. It sells nothing that is held.
"""

from __future__ import annotations

from dataclasses import replace

from accounts.models import LiveAccount, Portfolio
from allocation.domain.breakers import Reading, one_place_only
from allocation.domain.limits import Limits
from engine.breakers import standings_read

Mode = Portfolio.TradingMode


def mode_limits(*, portfolio: Portfolio, limits: Limits) -> Limits:
    """Return the limits with at most one position where the trading mode says so, and the live ramp's."""
    if portfolio.mode == Portfolio.Mode.LIVE:
        ramp = LiveAccount.objects.filter(pk=portfolio.pk).values_list("max_positions", flat=True).first()
        limits = replace(limits, max_live=ramp)
    return replace(limits, max_positions=1) if mode_bound(portfolio=portfolio) else limits


def mode_bound(*, portfolio: Portfolio) -> str:
    """Say why at most one position may be open now; empty where several may."""
    readings: tuple[Reading, ...] = ()
    if portfolio.trading_mode == Mode.HYBRID:
        standing = standings_read(portfolio_ids=[portfolio.pk]).get(portfolio.pk)
        readings = standing.readings if standing else ()
    return one_place_only(trading_mode=portfolio.trading_mode, readings=readings)
