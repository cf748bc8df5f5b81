"""How many independent traders a portfolio follows: by their books now and a week of equity (BEY-5)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from math import isfinite, nan
from typing import Any, Final

from django.core.cache import cache
from django.db import connection
from redis.exceptions import RedisError

from accounts.models import Portfolio
from allocation.domain.independence import Independence, TraderBets, independence_measure
from allocation.follows import follows_current
from allocation.models import Follow
from core.instruments import underlying_of
from markets.domain.returns import HOUR, RETURN_HOURS, hour_of, hours_until
from markets.models import World
from traders.models import TraderSnapshot
from traders.payloads import positions_load

logger = logging.getLogger(__name__)
FLOW_FROM: Final = 0.5  # half the equity in one hour is taken for a deposit or a withdrawal, not for a return
KEPT_S: Final = 3600
_HOURLY: Final = """
    SELECT DISTINCT ON (trader_id, date_trunc('hour', world_at, 'UTC'))
           trader_id, date_trunc('hour', world_at, 'UTC'), equity
    FROM traders_tradersnapshot
    WHERE trader_id = ANY(%(ids)s) AND run = %(run)s AND world_at >= %(since)s AND world_at < %(until)s
    ORDER BY trader_id, date_trunc('hour', world_at, 'UTC'), world_at DESC, id DESC
"""


def portfolio_independence(*, portfolio: Portfolio, now: datetime) -> Independence:
    """Measure the active traders of a portfolio at wall time ``now``, by follow id, in their order."""
    world = World.objects.filter(pk=portfolio.world).first() if portfolio.world else None
    follows = [
        follow
        for follow in follows_current(portfolio_id=portfolio.pk)
        if follow.status == Follow.Status.ACTIVE and follow.weight > 0
    ]
    if world is None or not follows:
        return independence_measure(traders=())
    returns = _returns([follow.trader_id for follow in follows], world, now)
    traders = Follow.objects.filter(pk__in=[follow.pk for follow in follows]).values(
        "trader__latest_snapshot"
    )
    newest = TraderSnapshot.objects.filter(pk__in=traders, run=world.run)
    snapshots = {snapshot.trader_id: snapshot for snapshot in newest}
    return independence_measure(
        traders=[
            TraderBets(
                key=follow.pk,
                weight=float(follow.weight),
                exposures=_exposures(snapshots.get(follow.trader_id)),
                returns=returns[follow.trader_id],
            )
            for follow in follows
        ]
    )


def _exposures(snapshot: TraderSnapshot | None) -> dict[str, float]:
    """Return signed notional ÷ equity by underlying; nothing where exposure cannot be scaled."""
    if snapshot is None or snapshot.equity <= 0:
        return {}
    found: dict[str, float] = {}
    for position in positions_load(snapshot.positions):
        underlying = underlying_of(position.code)[0]
        price = position.mark_price if position.mark_price is not None else position.entry_price
        found[underlying] = found.get(underlying, 0.0) + float(position.quantity * price / snapshot.equity)
    return found


def _returns(trader_ids: Sequence[int], world: World, now: datetime) -> Mapping[int, Sequence[float]]:
    """Return a week of hourly returns by trader, kept for an hour of world time."""
    newest = hour_of(world.clock().at(now))
    keys = {f"trader-returns:{pk}:{world.run}:{newest:%Y%m%d%H}": pk for pk in trader_ids}
    known = {keys[key]: row for key, row in _kept(keys).items()}
    missing = [pk for pk in trader_ids if pk not in known]
    if missing:
        fresh = _returns_read(missing, world.run, newest)
        _keep({key: fresh[pk] for key, pk in keys.items() if pk in fresh})
        known |= fresh
    return known


def _returns_read(trader_ids: Iterable[int], run: int, newest: datetime) -> dict[int, list[float]]:
    hours = hours_until(newest - HOUR)  # the hour that is under way has no last value yet
    values: dict[str, Any] = {
        "ids": list(trader_ids), "run": run, "since": hours[0], "until": hours[0] + HOUR * (RETURN_HOURS + 1),
    }  # fmt: skip
    equities: dict[int, dict[datetime, float]] = {pk: {} for pk in trader_ids}
    with connection.cursor() as cursor:
        cursor.execute(_HOURLY, values)
        for trader_id, hour, equity in cursor.fetchall():
            equities[trader_id][hour] = float(equity)
    return {pk: [_return(row, hour) for hour in hours[1:]] for pk, row in equities.items()}


def _return(equities: Mapping[datetime, float], hour: datetime) -> float:
    before, after = equities.get(hour - timedelta(hours=1)), equities.get(hour)
    if not before or after is None or before < 0:
        return nan
    change = after / before - 1
    return change if isfinite(change) and abs(change) < FLOW_FROM else nan


def _kept(keys: Iterable[str]) -> dict[str, list[float]]:
    """Return what is kept; nothing while Redis is away, so that pages only cost more then."""
    try:
        kept: dict[str, list[float]] = cache.get_many(list(keys))
    except RedisError as error:
        logger.warning("traders' returns are not kept, Redis is away (%s)", error)
        return {}
    return kept


def _keep(rows: dict[str, list[float]]) -> None:
    try:
        cache.set_many(rows, KEPT_S)
    except RedisError as error:
        logger.warning("traders' returns are not kept, Redis is away (%s)", error)
