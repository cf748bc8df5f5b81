"""A stand for one watch in the test's own process: an instrument, positions and prices of our own making."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import redis
from django.conf import settings

from accounts.models import Portfolio
from allocation.models import CapitalAccount
from core.clock import SYSTEM_CLOCK, utc_now
from engine.exits.leases import LeaseLost, shards_ensure
from engine.exits.watch import ExitWatch
from engine.models import ExitTrigger
from markets.domain.moments import us_of
from markets.models import Instrument, Mark, World
from markets.tape import TapeWriter, Tick
from positions.models import ExitGuard, Position, PositionSlice
from tests.exits.brute import Rules, percent_of

D = Decimal
WORLD = "replay:stand"
WORLD_START = datetime(2025, 10, 18, tzinfo=UTC)


@dataclass
class Stand:
    """BTC in a world of its own; a price is written to the tape the moment it is called."""

    client: redis.Redis
    owner: Any
    world: World = field(init=False)
    places: list[str] = field(default_factory=list)
    _told: int = 0

    def __post_init__(self) -> None:
        self.world = World.objects.create(
            name=WORLD, label="Stand", anchored_at=utc_now(), world_anchor_at=WORLD_START,
            world_start_at=WORLD_START,
        )  # fmt: skip
        Instrument.objects.get_or_create(
            code="BTC", defaults={"underlying": "BTC", "quantity_step": D("0.00001"), "price_places": 2}
        )
        self.writer = TapeWriter(client=self.client, shards=settings.EXIT_SHARDS, kept_s=3600)

    def watch(self, name: str = "one") -> ExitWatch:
        """Return a watch that nobody has run yet."""
        shards_ensure()
        return ExitWatch(name=name, client=self.client, clock=SYSTEM_CLOCK, shards=settings.EXIT_SHARDS)

    def ticks(self, *prices: str, run: int = 1, received_at: datetime | None = None) -> None:
        """Let prices reach us, one entry each."""
        for price in prices:
            self._told += 1
            now = received_at or utc_now()
            quoted_us = us_of(WORLD_START + timedelta(minutes=self._told))
            self.writer.append([Tick(WORLD, run, "BTC", D(price), quoted_us, us_of(now))], now=now)

    def mark(self, price: str) -> None:
        """Write the last price where everybody but the watch looks for it."""
        Mark.objects.update_or_create(
            world=self.world,
            instrument_id="BTC",
            defaults={"price": D(price), "quoted_at": utc_now(), "received_at": utc_now(), "run": 1},
        )

    def opened(
        self, *, rules: Rules, sign: int = 1, entry: str = "100", since: datetime | None = None
    ) -> Position:
        """Open a position of one unit in a portfolio of its own, guarded from now on."""
        count = Portfolio.objects.count()
        portfolio = Portfolio.objects.create(owner=self.owner, name=f"{count}", policy="perp", world=WORLD)
        CapitalAccount.objects.create(portfolio=portfolio, free=1000, committed=100)
        at, price = since or utc_now(), D(entry)
        position = Position.objects.create(
            portfolio=portfolio, instrument_id="BTC", underlying="BTC", policy="perp", status="active",
            quantity=sign, cost=sign * price, margin=100, margin_rate=1, opened_world_at=WORLD_START,
        )  # fmt: skip
        PositionSlice.objects.create(position=position, quantity=sign, cost=sign * price)
        stop = percent_of(price, D(100) - sign * rules.stop_pct) if rules.stop_pct else None
        ExitGuard.objects.create(
            position=position, world=self.world, run=1, instrument_id="BTC", sign=sign, entry_price=price,
            opened_world_at=WORLD_START, peak_price=price, first_stop_price=stop, stop_price=stop, since=at,
            levels_from=at, changed_at=at, stop_loss_pct=rules.stop_pct,
            trail_from_pct=rules.trail_from_pct, trail_by_pct=rules.trail_by_pct,
            time_stop_days=rules.hours / 24,
            take_profit=[{"gain_pct": str(gain), "fraction_pct": str(part)} for gain, part in rules.steps],
        )  # fmt: skip
        return position

    def guard(self, position: Position) -> ExitGuard:
        return ExitGuard.objects.get(pk=position.pk)

    def told(self, position: Position) -> list[tuple[str, D, D | None]]:
        """Return kind, price and level of a position's triggers, oldest first."""
        rows: Sequence[ExitTrigger] = ExitTrigger.objects.filter(position=position).order_by("pk")
        return [(row.kind, row.price, row.level) for row in rows]


def turn(watch: ExitWatch, times: int = 3) -> None:
    """Let a watch do everything that is due, without waiting for prices; the levels are written down.

    On a machine so busy that its leases ran out meanwhile it begins anew, as it does when it runs.
    """
    done = 0
    while done < times:
        try:
            watch.turn(block_ms=1)
            watch._save_all()
            done += 1
        except LeaseLost:
            watch.let_go()
