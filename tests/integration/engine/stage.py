"""A stage for stories of the copy cycle: traders of our own making, one portfolio, and time in our hands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from accounts.models import Portfolio
from allocation.models import Follow, FollowLeg
from engine.act import Acted
from engine.copy_cycle import cycle_run
from engine.follows import follow_start
from engine.models import Decision
from engine.order_life import orders_work
from engine.portfolios import portfolio_open, portfolio_settings_save
from engine.syncing import shard_sync
from execution.models import Order
from positions.models import Position, PositionSlice
from tests.replaying import StillClock
from tests.stateful.worlds import MadeUpWorld
from traders.domain.reads import TraderPosition

D = Decimal
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Stage:
    """One portfolio that follows the first traders of a made-up world, 10,000 in each hand."""

    play: MadeUpWorld
    portfolio: Portfolio

    @property
    def follows(self) -> list[Follow]:
        rows = Follow.objects.filter(portfolio=self.portfolio).select_related("trader", "portfolio")
        return list(rows.order_by("place"))

    def price(self, code: str, price: str) -> None:
        """Move one price, and let it reach us."""
        self.play.prices[code] = D(price)
        self.play.marks_write()

    def hold(self, number: int, code: str, quantity: str, *, entry: str = "") -> None:
        """Let trader ``number`` (from 1) hold this much, at an average entry, and be read 11 s later."""
        self.play.pass_time(seconds=11)
        trader = self.play.traders[self.play.keys[number - 1]]
        before = trader.positions.pop(code, None)
        if D(quantity):
            mark = self.play.prices[code]
            price = D(entry) if entry else before.entry_price if before else mark
            opened_at = before.opened_at if before else self.play.now
            trader.positions[code] = TraderPosition(code, D(quantity), price, mark, opened_at)
        self.play.due(self.play.keys[number - 1])
        self.sync()

    def sync(self) -> None:
        shard_sync(shard=0, shards=1, now=self.play.now, clock=StillClock(self.play.now))

    def cycle(self) -> Acted | None:
        """Run one cycle, sending nothing."""
        return cycle_run(portfolio_id=self.portfolio.pk, now=self.play.now)

    def settle(self, steps: int = 3) -> None:
        """Decide, send, fill, again."""
        for _ in range(steps):
            self.cycle()
            orders_work(now=self.play.now)
            self.play.pass_time(seconds=1)
            orders_work(now=self.play.now)
            self.play.pass_time(seconds=1)
            orders_work(now=self.play.now)
        self.cycle()

    def settings(self, **fields: Any) -> None:
        portfolio_settings_save(portfolio=self.portfolio, now=self.play.now, **fields)
        self.portfolio.refresh_from_db()

    def held(self, underlying: str) -> Decimal:
        """The position's quantity."""
        rows = Position.objects.filter(portfolio=self.portfolio, underlying=underlying)
        position = rows.exclude(status=Position.Status.CLOSED).first()
        return position.quantity if position else D(0)

    def slices(self, underlying: str) -> dict[int, Decimal]:
        """What is held for each trader, by its number."""
        numbers = {follow.pk: follow.place for follow in self.follows}
        rows = PositionSlice.objects.filter(
            position__portfolio=self.portfolio, position__underlying=underlying, follow__isnull=False
        ).exclude(quantity=0)
        return {numbers[row.follow_id or 0]: row.quantity for row in rows}

    def leg(self, number: int, underlying: str) -> FollowLeg:
        return FollowLeg.objects.get(follow=self.follows[number - 1], underlying=underlying)

    @property
    def orders(self) -> int:
        return Order.objects.filter(portfolio=self.portfolio).count()

    def decisions(self, *kinds: str) -> list[str]:
        """The texts of the decisions of these kinds, oldest first."""
        rows = Decision.objects.filter(portfolio=self.portfolio, kind__in=kinds).order_by("pk")
        return list(rows.values_list("text", flat=True))


def stage_open(*, play: MadeUpWorld, owner: Any, traders: int, **settings: Any) -> Stage:
    """Open a perpetual portfolio of 10,000 that follows traders who hold nothing yet."""
    wanted = {"name": "Stage", "policy": "perp", "risk_profile": "aggressive"} | settings
    portfolio = portfolio_open(owner=owner, initial_cash=D(10000), now=play.now, **wanted)
    for key in play.keys[:traders]:
        follow_start(portfolio=portfolio, kind=play.kind, key=key, now=play.now)
    portfolio.refresh_from_db()
    stage = Stage(play, portfolio)
    stage.sync()
    stage.cycle()
    return stage
