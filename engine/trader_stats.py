"""Traders' own results for the view, computed once per snapshot and shared by everyone who looks.

A trader's results change only when a new snapshot is stored, so they are kept under its id.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from django.core.cache import cache
from redis.exceptions import RedisError

from traders.models import Trader
from traders.selectors import TraderStats, traders_stats

logger = logging.getLogger(__name__)
KEPT_S: Final = 600
UNREAD: Final = TraderStats()


def stats_read(*, traders: Iterable[Trader], now: datetime) -> dict[int, TraderStats]:
    """Return each trader's results by id; of one that was never read nothing is known.

    ``error_rate`` in them may be as old as the snapshot; ``traders.selectors.trader_statuses`` has today's.
    """
    keys = {_key(trader): trader.pk for trader in traders if trader.latest_snapshot_id is not None}
    known = _known(keys)
    result = {trader.pk: UNREAD for trader in traders} | {keys[key]: stats for key, stats in known.items()}
    missing = {pk: key for key, pk in keys.items() if key not in known}
    if missing:
        fresh = traders_stats(trader_ids=list(missing), now=now)
        _keep({missing[pk]: stats for pk, stats in fresh.items()})
        result |= fresh
    return result


def _known(keys: Mapping[str, int]) -> dict[str, TraderStats]:
    """Return what is kept; nothing while Redis is away, so that pages only cost more then."""
    try:
        return cache.get_many(keys)
    except RedisError as error:
        logger.warning("traders' results are not kept, Redis is away (%s)", error)
        return {}


def _keep(stats: dict[str, TraderStats]) -> None:
    try:
        cache.set_many(stats, KEPT_S)
    except RedisError as error:
        logger.warning("traders' results are not kept, Redis is away (%s)", error)


def _key(trader: Trader) -> str:
    return f"trader-stats:{trader.pk}:{trader.latest_snapshot_id}"
