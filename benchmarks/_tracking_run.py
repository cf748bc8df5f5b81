"""The measuring process of `benchmarks.tracking`: `python -m benchmarks._tracking_run` prints JSON."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from typing import Any, Final

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django

django.setup()

from django.db import connection  # noqa: E402

from accounts.models import Portfolio  # noqa: E402
from engine.gather import cycle_gather  # noqa: E402
from engine.models import CycleState  # noqa: E402
from execution.orders import order_submit  # noqa: E402
from execution.venues.paper_matching import paper_match  # noqa: E402
from markets.models import LIVE  # noqa: E402
from markets.services import world_ensure  # noqa: E402
from positions.models import Position, PositionSlice  # noqa: E402
from positions.services import order_sync  # noqa: E402
from positions.valuation import books_at_marks  # noqa: E402
from tests.integration.money.desk import Desk, desk_open, instrument_make  # noqa: E402
from tests.services import services_ensure  # noqa: E402
from tests.settings import TEST_RUN_PID, TEST_VAR  # noqa: E402

POSITIONS: Final = 10


def positions_open(desk: Desk) -> None:
    """Buy a little of ten instruments, half for each trader."""
    for number in range(POSITIONS):
        code = f"COIN{number}"
        instrument_make(code)
        desk.mark("100", code=code)
        parts: dict[int | None, str] = {follow.pk: "1" for follow in desk.follows}
        order = desk.order("BUY", "2", "101", slices=parts, code=code)
        order_submit(order_id=order.pk, now=desk.now)
        desk.later(2)
        desk.mark("100", code=code)
        paper_match(world=LIVE, now=desk.now, clock=desk.world.clock())
        order_sync(order_id=order.pk, now=desk.now)


def kept_kib(read: Callable[[], Any]) -> float:
    """Return what a reading still holds once it is done, after one that filled all caches."""
    read()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    kept = read()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return (after - before) / 1024


def measure() -> dict[str, float]:
    """Open, read, count."""
    desk = desk_open()
    desk.world = world_ensure(name=LIVE, now=desk.now)
    Portfolio.objects.filter(pk=desk.pk).update(world=LIVE)
    desk.portfolio.refresh_from_db()
    positions_open(desk)
    held = Position.objects.filter(portfolio=desk.portfolio).exclude(status="closed")
    if held.count() != POSITIONS:
        raise RuntimeError(f"{held.count()} of {POSITIONS} positions were opened")
    cycle, _ = CycleState.objects.get_or_create(portfolio=desk.portfolio)

    def tracked() -> Any:
        books = books_at_marks(portfolio_ids=[desk.pk])
        return books, cycle_gather(cycle=cycle, world=desk.world, now=desk.now)

    def rows() -> Any:
        return list(held.values()), list(PositionSlice.objects.filter(position__in=held).values())

    return {"kib": kept_kib(tracked), "baseline_kib": kept_kib(rows), "positions": POSITIONS}


def main() -> None:
    """Measure on a database that is thrown away."""
    services_ensure(var_dir=TEST_VAR, run_pid=TEST_RUN_PID)
    connection.creation.create_test_db(verbosity=0)
    print(json.dumps(measure()))
    connection.close()


if __name__ == "__main__":
    main()
