"""A scene for tests of the exit watch: desks with real positions, a real tape, and a watch in our hands."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import redis
from django.conf import settings

from engine.exits.watch import ExitWatch
from engine.models import ExitTrigger
from execution.models import Order
from markets.domain.moments import us_of
from markets.models import Mark
from markets.tape import Tick, writer_make
from positions.booking import fill_book
from positions.models import ExitGuard, Position
from tests.integration.money.desk import WORLD, Desk, desk_open

D = Decimal


class HandClock:
    """Wall time in our hands; the monotonic clock runs along with it."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._passed_s = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic_s(self) -> float:
        return self._passed_s

    def later(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._passed_s += seconds


@dataclass
class Scene:
    """Desks, their prices, and one watch."""

    client: redis.Redis
    desks: list[Desk]
    clock: HandClock
    watches: list[ExitWatch] = field(default_factory=list)

    @property
    def desk(self) -> Desk:
        return self.desks[0]

    @property
    def watch(self) -> ExitWatch:
        return self.watches[-1]

    def watch_new(self, name: str = "") -> ExitWatch:
        """Start another watch, as a new process would."""
        watch = ExitWatch(
            name=name or f"watch-{len(self.watches)}",
            client=self.client,
            clock=self.clock,
            shards=settings.EXIT_SHARDS,
        )
        self.watches.append(watch)
        return watch

    def later(self, seconds: float) -> None:
        self.clock.later(seconds)
        for desk in self.desks:
            desk.now = self.clock.now()

    def hold(
        self, quantity: str = "0.1", price: str = "100000", *, code: str = "BTC", desk: int = 0
    ) -> Position:
        """Open a position by a real fill; a negative quantity is a short."""
        at = self.desks[desk]
        size = quantity.removeprefix("-")
        side = "SELL" if quantity.startswith("-") else "BUY"
        order = at.order(side, size, price, code=code, margin_rate="0.1", slices={at.follows[0].pk: quantity})
        booked = fill_book(order_id=order.pk, fill=at.fill(order, size, price), now=self.clock.now())
        assert booked is not None
        return Position.objects.get(pk=booked.position_id)

    def guard(self, position: Position) -> ExitGuard:
        return ExitGuard.objects.get(pk=position.pk)

    def tell(self, *prices: str, code: str = "BTC", each_s: float = 0.01) -> None:
        """Write prices to the tape one after the other, and the last one as the mark."""
        writer = writer_make(client=self.client)
        for price in prices:
            self.later(each_s)
            now = self.clock.now()
            tick = Tick(WORLD, 1, code, D(price), us_of(now), us_of(now))
            writer.append([tick], now=now)
        Mark.objects.update_or_create(
            world_id=WORLD,
            instrument_id=code,
            defaults={"price": D(prices[-1]), "quoted_at": now, "received_at": now},
        )

    def look(self, turns: int = 4) -> None:
        """Let the newest watch read, decide and store what is there."""
        for _ in range(turns):
            self.later(0.3)
            self.watch.turn(block_ms=1)

    def triggers(self, position: Position | None = None) -> list[tuple[str, Decimal, str]]:
        """Kind, price and status of each trigger, oldest first."""
        rows = ExitTrigger.objects.order_by("pk")
        if position is not None:
            rows = rows.filter(position=position)
        return [(row.kind, row.price, row.status) for row in rows]

    def exit_orders(self) -> list[Order]:
        return list(Order.objects.filter(origin=Order.Origin.EXIT).order_by("pk"))


def scene_open(*, client: redis.Redis, desks: int = 1, cash: str = "1000000") -> Scene:
    """Open desks with plenty of cash and a price of 100,000 for BTC and 4,000 for ETH."""
    made = [desk_open(cash=cash, name=f"Desk {number}") for number in range(desks)]
    scene = Scene(client=client, desks=made, clock=HandClock(made[0].now))
    scene.tell("100000")
    scene.tell("4000", code="ETH")
    scene.watch_new()
    return scene
