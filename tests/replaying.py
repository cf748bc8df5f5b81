"""Drive a replay step by step, in one process and without waiting: what feed, workers and beat do, in order.

Wall time is made up and only moves when the driver moves it, so a whole recording runs in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from accounts.models import Portfolio
from engine import upkeep
from engine.copy_cycle import cycle_run, cycles_due
from engine.follows import follow_start
from engine.order_life import orders_work
from engine.portfolios import portfolio_open
from engine.syncing import shard_sync
from engine.wake import ASK_AGAIN
from markets.models import World
from markets.recordings import recording_get
from markets.services import marks_write, world_ensure
from positions.audit import Finding, books_audit
from traders.services import trader_wake_recorded

WALL_START = datetime(2026, 1, 1, tzinfo=UTC)


class StillClock:
    """A clock that stands still: nothing in a step takes time."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def monotonic_s(self) -> float:
        return 0.0


@dataclass
class ReplayDriver:
    """One replay world under the test's control.

    :param speed: world seconds per wall second
    """

    world_name: str
    speed: Decimal = Decimal(600)
    wall_at: datetime = WALL_START
    findings: list[Finding] = field(default_factory=list)

    def start(self) -> ReplayDriver:
        """Start the world."""
        world_ensure(name=self.world_name, now=self.wall_at, speed=self.speed)
        return self

    @property
    def world(self) -> World:
        return World.objects.get(pk=self.world_name)

    @property
    def world_at(self) -> datetime:
        return self.world.clock().at(self.wall_at)

    def portfolio(
        self, owner: Any, *, name: str, keys: Iterable[str], cash: str = "10000", **settings: Any
    ) -> Portfolio:
        """Open a portfolio that follows recorded traders, open positions included."""
        portfolio = portfolio_open(
            owner=owner, initial_cash=Decimal(cash), now=self.wall_at, name=name, **settings
        )
        for key in keys:
            follow_start(
                portfolio=portfolio, kind="replay", key=key, join_mode="include_open", now=self.wall_at
            )
        portfolio.refresh_from_db()
        return portfolio

    def forward(self, seconds: float = 0) -> None:
        """Let wall time pass and write the marks of that moment."""
        self.wall_at += timedelta(seconds=seconds)
        world = self.world
        at = world.clock().at(self.wall_at)
        prices = recording_get(name=self.world_name).prices_at(at)
        marks_write(world=world, prices=prices, quoted_at=at, received_at=self.wall_at)

    def observe(self, keys: Sequence[str] = ()) -> None:
        """Read the traders that are due, and these in any case."""
        if keys:
            trader_wake_recorded(world=self.world_name, keys=keys, now=self.wall_at)
        shard_sync(shard=0, shards=1, now=self.wall_at, clock=StillClock(self.wall_at))

    def act(self) -> None:
        """Run the cycles that are wanted or due, then work the orders."""
        for portfolio_id in cycles_due(now=self.wall_at + ASK_AGAIN):
            cycle_run(portfolio_id=portfolio_id, now=self.wall_at)
        orders_work(now=self.wall_at)

    def settle(self, *, steps: int = 6) -> None:
        """Give orders the seconds they need: cycle, send, fill, cycle."""
        for _ in range(steps):
            self.act()
            self.forward(0.5)
            orders_work(now=self.wall_at)

    def keep(self) -> None:
        """Value, fund, sweep."""
        upkeep.portfolios_value(now=self.wall_at)
        upkeep.positions_fund(now=self.wall_at)
        upkeep.reservations_sweep(now=self.wall_at)

    def audit(self) -> list[Finding]:
        """Prove the books now."""
        return books_audit()
