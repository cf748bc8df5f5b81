"""The measuring processes of `benchmarks.exits`: `python -m benchmarks._exits_run DIR [ticks|watch …]`.

Without a word it measures and prints JSON; `ticks` writes prices, `watch` is an exit watch to be killed.
"""

from __future__ import annotations

from benchmarks import _own_site as own  # sets Django up; before everything of ours

# isort: split

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import redis
from django.conf import settings
from django.db import connection

from accounts.models import Portfolio, User
from allocation.models import CapitalAccount
from core.clock import SYSTEM_CLOCK, utc_now
from engine.exits.leases import shards_alive, shards_ensure
from engine.exits.stats import WatchStats
from engine.exits.watch import ExitWatch
from engine.exits.watched import Hit
from engine.models import ExitGap, ExitShard, ExitTrigger
from execution.models import Order
from markets.domain.moments import at_of, us_of
from markets.models import Instrument, Mark, World
from markets.tape import Tick, writer_make
from portfolio_site.exit_watch import exit_watch_make
from positions.domain.exits import exit_step
from positions.exits import state_of
from positions.models import ExitGuard, Position, PositionSlice
from tests.running import wait_until

WORLD: Final = "bench"
INSTRUMENTS: Final = 50
CODES: Final = [f"BENCH{number}" for number in range(INSTRUMENTS)]
FLUSHES_PER_S: Final = 20  # of 50 prices: 1,000 a second, one of them through one stop
SIZES: Final = (1_000, 10_000, 100_000)
MEASURED_S: Final = float(os.environ.get("EXITS_MEASURED_S", "20"))
STEP: Final = Decimal("0.001")
FIRST_STOP: Final = Decimal(90)
BASELINE_TICKS: Final = 20
RECOVERIES: Final = 5


class Stats(WatchStats):
    """Keeps how long each hit took instead of counting them in Redis."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(client=client, clock=SYSTEM_CLOCK)
        self.took_s: list[float] = []

    def stored(self, *, hits: Sequence[Hit], now: datetime) -> None:
        """Take down the seconds from each price's arrival to now, which is after the commit."""
        self.took_s += [(now - hit.tick.received_at).total_seconds() for hit in hits]


def client_make() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL)


# ---------------------------------------------------------------- what is held
def world_make() -> None:
    now = utc_now()
    World.objects.create(name=WORLD, label="Bench", anchored_at=now, world_anchor_at=now, world_start_at=now)
    for code in CODES:
        Instrument.objects.create(
            code=code, underlying=code, quantity_step="0.01", price_places=4, max_leverage=10
        )
        Mark.objects.create(world_id=WORLD, instrument_id=code, price=100, quoted_at=now)
    User.objects.create_user("bench@example.com")


def positions_make(count: int) -> None:
    """Hold so many positions, a portfolio holding one of each instrument, each with a stop of its own.

    The stop of the nth portfolio stands at 90 − n ÷ 1000.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE positions_position, execution_order, engine_exittrigger, engine_decision CASCADE"
        )
        cursor.execute("TRUNCATE allocation_capitalaccount CASCADE")
    owner, now = User.objects.get(), utc_now()
    portfolios = Portfolio.objects.bulk_create(
        Portfolio(owner=owner, name=f"{count}-{n}", policy="perp", world=WORLD)
        for n in range(count // INSTRUMENTS)
    )
    CapitalAccount.objects.bulk_create(CapitalAccount(portfolio=portfolio) for portfolio in portfolios)
    for begin in range(0, len(portfolios), 100):
        held = [(n, code) for n in range(begin, min(begin + 100, len(portfolios))) for code in CODES]
        rows = Position.objects.bulk_create(
            Position(
                portfolio=portfolios[n], instrument_id=code, underlying=code, policy="perp", status="active",
                quantity=1, cost=100, opened_world_at=now,
            )
            for n, code in held
        )  # fmt: skip
        PositionSlice.objects.bulk_create(PositionSlice(position=row, quantity=1, cost=100) for row in rows)
        ExitGuard.objects.bulk_create(
            ExitGuard(
                position=row, world_id=WORLD, instrument_id=code, sign=1, entry_price=100, peak_price=100,
                opened_world_at=now, stop_price=FIRST_STOP - STEP * n, first_stop_price=FIRST_STOP - STEP * n,
                since=now, levels_from=now, changed_at=now - timedelta(hours=1), stop_loss_pct=10,
                trail_from_pct=12, trail_by_pct=5, time_stop_days=14,
            )
            for row, (n, code) in zip(rows, held, strict=True)
        )  # fmt: skip


# ---------------------------------------------------------------- prices
def ticks_write(*, seconds: float, hits: bool) -> None:
    """Tell 1,000 prices a second; with ``hits``, one in fifty goes through exactly one stop."""
    writer = writer_make(client=client_make())
    begun_s = time.monotonic()
    for flush in range(int(seconds * FLUSHES_PER_S)):
        time.sleep(max(0.0, begun_s + flush / FLUSHES_PER_S - time.monotonic()))
        now = utc_now()
        at = us_of(now)
        ticks = [
            Tick(WORLD, 1, code, Decimal(100) - STEP * ((flush + n) % 97), at, at)
            for n, code in enumerate(CODES)
        ]
        if hits:
            number, depth = flush % INSTRUMENTS, flush // INSTRUMENTS
            ticks[number] = Tick(WORLD, 1, CODES[number], FIRST_STOP - STEP * depth, at, at)
        writer.append(ticks, now=now)


@contextmanager
def prices(*, seconds: float, hits: bool) -> Iterator[subprocess.Popen[bytes]]:
    """Prices from a process of their own."""
    argv = [
        sys.executable,
        "-m",
        "benchmarks._exits_run",
        str(own.DIRECTORY),
        "ticks",
        str(seconds),
        str(int(hits)),
    ]
    process = subprocess.Popen(argv)
    try:
        yield process
    finally:
        process.wait(timeout=120)


# ---------------------------------------------------------------- measuring
def watch_make() -> tuple[ExitWatch, Stats]:
    client = client_make()
    watch = ExitWatch(name="bench", client=client, clock=SYSTEM_CLOCK, shards=settings.EXIT_SHARDS)
    stats = Stats(client)
    watch.stats = stats
    return watch, stats


def size_measure(count: int) -> dict[str, float]:
    """Measure one number of positions."""
    positions_make(count)
    client_make().flushdb()
    ExitShard.objects.update(place="0-0", lease_until=None, holder="")
    watch, stats = watch_make()
    before_kb = rss_kb()
    begun_s = time.monotonic()
    while watch.positions < count:
        watch.turn(block_ms=1)
    loaded_s = time.monotonic() - begun_s
    told: dict[str, float] = {"loaded_s": loaded_s, "kb_per_1000": (rss_kb() - before_kb) * 1000 / count}
    turns(watch, seconds=2)
    while watch.writing:  # what was heard at the start is written down first
        watch.turn(block_ms=1)
    told["quiet_cpu"] = run(watch, hits=False, seconds=MEASURED_S / 2)
    stats.took_s.clear()
    run(watch, hits=True, seconds=MEASURED_S)
    took = sorted(stats.took_s)
    if len(took) != int(MEASURED_S * FLUSHES_PER_S) or Order.objects.count() != len(took):
        raise RuntimeError(
            f"{len(took)} triggers and {Order.objects.count()} orders of {MEASURED_S * FLUSHES_PER_S}"
        )
    told |= {"p50": own.quantile(took, 0.5), "p99": own.quantile(took, 0.99), "max": took[-1]}
    stats.took_s.clear()
    left = (
        ExitGuard.objects.filter(instrument_id=CODES[0]).count()
        - ExitTrigger.objects.filter(position__instrument_id=CODES[0]).count()
    )
    at = us_of(utc_now())
    tick = Tick(WORLD, 1, CODES[0], Decimal(50), at, at)
    writer_make(client=client_make()).append([tick], now=at_of(at))
    while len(stats.took_s) < left:
        watch.turn()
    told |= {"burst": left, "burst_s": max(stats.took_s)}
    watch.let_go()
    return told


def turns(watch: ExitWatch, *, seconds: float) -> None:
    """Watch for a while."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        watch.turn()


def run(watch: ExitWatch, *, hits: bool, seconds: float) -> float:
    """Watch prices for so long; return the share of one core that took."""
    with prices(seconds=seconds, hits=hits) as process:
        begun, cpu = time.monotonic(), time.thread_time()
        while process.poll() is None:
            watch.turn()
        share = (time.thread_time() - cpu) / (time.monotonic() - begun)
        turns(watch, seconds=0.5)
    return share


def rss_kb() -> float:
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def baseline_us(count: int) -> float:
    """Return the microseconds of one price where each position of its instrument is looked at in turn."""
    guards = ExitGuard.objects.filter(instrument_id=CODES[1], ended_at__isnull=True)[: count // INSTRUMENTS]
    states = [state_of(guard) for guard in guards]
    now = utc_now()
    begun_s = time.perf_counter()
    for turn in range(BASELINE_TICKS):
        for state in states:
            exit_step(state=state, price=Decimal(99) + STEP * turn, world_at=now)
    return (time.perf_counter() - begun_s) / BASELINE_TICKS * 1e6


def recovery_s() -> list[float]:
    """Kill one of two watches again and again; return the seconds until everything is watched again."""
    took: list[float] = []
    watches = [watch_start(), watch_start()]
    for _ in range(RECOVERIES):
        wait_until(both_hold, timeout_s=60, what="two watches that share")
        ExitGap.objects.all().delete()
        lost = ExitShard.objects.exclude(holder__startswith=f"bench-{watches[1].pid}:").count()
        at = utc_now()
        watches[0].kill()
        watches[0].wait()
        wait_until(lambda lost=lost: ExitGap.objects.count() >= lost, timeout_s=60, what="the take-over")  # type: ignore[misc]
        took.append((max(ExitGap.objects.values_list("until_at", flat=True)) - at).total_seconds())
        watches = [watches[1], watch_start()]
    for watch in watches:
        watch.terminate()
        watch.wait()
    return sorted(took)


def both_hold() -> bool:
    holders = ExitShard.objects.filter(number__in=shards_alive()).values_list("holder", flat=True)
    return len(holders) == settings.EXIT_SHARDS and len(set(holders)) == 2


def watch_start() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "benchmarks._exits_run", str(own.DIRECTORY), "watch"])


def main() -> None:
    """Do what the command line asks for."""
    words = sys.argv[2:]
    if words[:1] == ["ticks"]:
        ticks_write(seconds=float(words[1]), hits=words[2] == "1")
    elif words[:1] == ["watch"]:
        exit_watch_make(worker_name=f"bench-{os.getpid()}").run(threading.Event())
    else:
        with own.services():
            shards_ensure()
            world_make()
            sizes = os.environ.get("EXITS_SIZES", ",".join(map(str, SIZES)))
            told: dict[str, Any] = {}
            for count in map(int, sizes.split(",")):
                told[str(count)] = size_measure(count) | {"baseline_us": baseline_us(count)}
                told[str(count)]["recovery_s"] = recovery_s()[-1]
            print(json.dumps(told))


if __name__ == "__main__":
    main()
