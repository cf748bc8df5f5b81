"""Reading traders, and waking the portfolios that follow those who changed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Final

from core.clock import SYSTEM_CLOCK, Clock
from engine.publishing import portfolios_changed
from engine.sending import sync_later
from engine.wake import cycles_wake, portfolios_following, portfolios_joining
from traders.services import trader_wake
from traders.strategy_books import strategies_advance
from traders.sync import SyncOutcome, sync_due

SYNC_DEADLINE_S: Final = 20.0


def shard_sync(*, shard: int, shards: int, now: datetime, clock: Clock = SYSTEM_CLOCK) -> SyncOutcome:
    """Read the due traders of one shard side by side.

    The followers of a trader whose quantities changed are woken as soon as that is stored; the pages of
    everyone who follows a trader that was read or failed look again afterwards.
    """
    wake = partial(followers_wake, now=now, why="a trader changed")
    outcome = sync_due(
        now=now, shard=shard, shards=shards, deadline_s=SYNC_DEADLINE_S, on_changed=wake, clock=clock
    )
    joining = portfolios_joining(trader_ids=[*outcome.synced_ids, *outcome.cached_ids])
    cycles_wake(portfolio_ids=joining, now=now, why="a follow can join")
    seen = {*outcome.synced_ids, *outcome.failed_ids, *outcome.quarantined_ids}
    portfolios_changed(portfolio_ids=portfolios_following(trader_ids=seen))
    return outcome


def strategies_run(*, now: datetime) -> list[int]:
    """Let every followed strategy decide on the candles closed since; return the ids of those that traded.

    They are read at once; their followers are woken by that read, like those of any trader.
    """
    traded = strategies_advance(now=now)
    if trader_wake(trader_ids=traded, now=now):
        sync_later()
    return traded


def followers_wake(trader_ids: Iterable[int], *, now: datetime, why: str) -> None:
    """Wake the copy cycles of every portfolio that follows one of these traders."""
    cycles_wake(portfolio_ids=portfolios_following(trader_ids=trader_ids), now=now, why=why)
