"""Reading traders, and waking the portfolios that follow those who changed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from engine.publishing import portfolios_changed
from engine.wake import cycles_wake, portfolios_following
from traders.sync import SyncOutcome, sync_due

SYNC_DEADLINE_S: Final = 45.0


def shard_sync(*, shard: int, shards: int, now: datetime) -> SyncOutcome:
    """Read the due traders of one shard; wake the followers of those whose quantities changed or whose state did."""
    outcome = sync_due(now=now, shard=shard, shards=shards, deadline_s=SYNC_DEADLINE_S)
    followers_wake(trader_ids=outcome.changed_trader_ids, now=now, why="a trader changed")
    portfolios_changed(portfolio_ids=portfolios_following(trader_ids=outcome.touched_trader_ids))
    return outcome


def followers_wake(*, trader_ids: Iterable[int], now: datetime, why: str) -> None:
    """Wake the copy cycles of every portfolio that follows one of these traders."""
    cycles_wake(portfolio_ids=portfolios_following(trader_ids=trader_ids), now=now, why=why)
