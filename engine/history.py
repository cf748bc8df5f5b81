"""The equity curves of a portfolio and its traders over the current run, thinned for a chart."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from accounts.models import Portfolio
from allocation.follows import follows_current
from core.clock import utc_now
from core.decimals import plain
from markets.models import World
from positions.models import EquityPoint
from traders.selectors import equity_series

CHART_POINTS: Final = 1000
HISTORY_DAYS: Final = 400


def equity_history(*, portfolio: Portfolio) -> dict[str, Any]:
    """Return run, note, points ``[epoch_s, equity, unit_value]`` and per follow ``[epoch_s, equity]``.

    Times are world time. At most 1,000 points per line: of more, every n-th and the newest are kept.
    """
    world = World.objects.filter(pk=portfolio.world).first() if portfolio.world else None
    run = world.run if world else 1
    start_at = (
        world.world_start_at if world and world.world_end_at else utc_now() - timedelta(days=HISTORY_DAYS)
    )
    follows = follows_current(portfolio_id=portfolio.pk)
    lines = equity_series(
        trader_runs={follow.trader_id: run for follow in follows}, since_at=start_at, points=CHART_POINTS
    )
    return {
        "run": run,
        "note": world.price_note if world else "",
        "points": _points(portfolio=portfolio, run=run),
        "traders": {
            str(follow.pk): [
                [at.timestamp(), plain(equity)] for at, equity in lines.get(follow.trader_id, ())
            ]
            for follow in follows
        },
    }


def _points(*, portfolio: Portfolio, run: int) -> list[list[Any]]:
    rows = EquityPoint.objects.filter(portfolio=portfolio, run=run).order_by("world_at")
    points = list(rows.values_list("world_at", "equity", "unit_value"))
    step = max(1, len(points) // CHART_POINTS)
    kept = points[::-step][::-1]
    return [[at.timestamp(), plain(equity), _short(unit_value)] for at, equity, unit_value in kept]


def _short(value: Decimal) -> str:
    return plain(value.quantize(Decimal("0.000001")))
