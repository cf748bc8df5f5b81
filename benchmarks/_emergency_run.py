"""The measuring process of `benchmarks.emergency`: `python -m benchmarks._emergency_run DIR` prints JSON."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Final

from benchmarks._own_site import site

WORLD: Final = "bench"  # Django is set up from here on

from django.db import connection  # noqa: E402

from accounts.models import Portfolio, User  # noqa: E402
from allocation.reservations import capital_reserve  # noqa: E402
from core.clock import SYSTEM_CLOCK, utc_now  # noqa: E402
from core.decimals import BPS  # noqa: E402
from core.types import OrderSide, Policy  # noqa: E402
from engine.emergency import emergency_drill, emergency_stop, portfolio_resume  # noqa: E402
from engine.portfolios import portfolio_open  # noqa: E402
from execution.domain.orders import OrderDraft, SliceDraft, capital_needed  # noqa: E402
from execution.models import Order  # noqa: E402
from execution.orders import order_create  # noqa: E402
from execution.venues.paper import paper_assumptions  # noqa: E402
from markets.models import Instrument, World  # noqa: E402
from markets.services import marks_write  # noqa: E402
from positions.audit import books_audit  # noqa: E402
from positions.models import Position  # noqa: E402
from tests.running import wait_until  # noqa: E402

POSITIONS: Final = 50
PRESSES: Final = 12
PRICE: Final = Decimal(100)
LIMIT: Final = Decimal(101)
QUANTITY: Final = Decimal(1)
MARKS_EVERY_S: Final = 0.5
LOOK_EVERY_S: Final = 0.02
FLAT_WITHIN_S: Final = 60
CODES: Final = [f"BENCH{number}" for number in range(POSITIONS)]
PROGRAMS: Final = ("worker-orders", "worker-commands", "beat")


@contextmanager
def prices() -> Iterator[None]:
    """Every instrument's price, written anew twice a second, a hair up and a hair down."""
    over = threading.Event()

    def write() -> None:
        world, turn = World.objects.get(pk=WORLD), 0
        while not over.wait(MARKS_EVERY_S):
            turn += 1
            price = PRICE + Decimal("0.01") * (turn % 3)
            now = utc_now()
            marks_write(world=world, prices=dict.fromkeys(CODES, price), quoted_at=now, received_at=now)
        connection.close()

    writing = threading.Thread(target=write, daemon=True)
    writing.start()
    try:
        yield
    finally:
        over.set()
        writing.join()


def portfolio_make() -> Portfolio:
    """Open a portfolio with cash for everything, in a world of 50 instruments."""
    now = utc_now()
    World.objects.create(name=WORLD, label="Bench", anchored_at=now, world_anchor_at=now, world_start_at=now)
    for code in CODES:
        Instrument.objects.create(
            code=code, underlying=code, quantity_step="0.01", price_places=2, max_leverage=10
        )
    owner = User.objects.create_user("bench@example.com")
    portfolio = portfolio_open(
        owner=owner, initial_cash=Decimal(1_000_000), now=now, name="Bench", policy="perp"
    )
    Portfolio.objects.filter(pk=portfolio.pk).update(world=WORLD)
    portfolio.refresh_from_db()
    return portfolio


def positions_open(portfolio: Portfolio) -> None:
    """Buy one of each, and wait until all of it is held."""
    fee_rate = paper_assumptions().fee_bps(Policy.PERP) * BPS
    needed = capital_needed(quantity=QUANTITY, price=LIMIT, margin_rate=Decimal(1), fee_rate=fee_rate)
    for code in CODES:
        now = utc_now()
        reservation = capital_reserve(
            portfolio_id=portfolio.pk, amount=needed, source="bench", instrument_code=code, now=now,
            timeout_s=30,
        )  # fmt: skip
        draft = OrderDraft(
            instrument_code=code,
            underlying=code,
            policy=Policy.PERP,
            side=OrderSide.BUY,
            quantity=QUANTITY,
            limit_price=LIMIT,
            reduce_only=False,
            purpose="entry",
            slices=[SliceDraft(None, QUANTITY)],
            decision_mark=PRICE,
            origin="person",
        )
        order_create(portfolio_id=portfolio.pk, draft=draft, reservation_id=reservation.pk, run=1, now=now)
    wait_until(lambda: open_now(portfolio) == (POSITIONS, 0), timeout_s=FLAT_WITHIN_S, what="50 positions")


def open_now(portfolio: Portfolio) -> tuple[int, int]:
    """Return how many positions are held and how many orders work."""
    held = Position.objects.filter(portfolio=portfolio).exclude(status=Position.Status.CLOSED)
    working = Order.objects.filter(portfolio=portfolio, status__in=Order.OPEN_STATUSES)
    return held.count(), working.count()


def press(portfolio: Portfolio) -> tuple[float, float]:
    """Drill, then stop; return the seconds of each, and let the portfolio go on."""
    positions_open(portfolio)
    drill = emergency_drill(portfolio_id=portfolio.pk, now=utc_now())
    if len(drill.closes) != POSITIONS:
        raise RuntimeError(f"the drill would close {len(drill.closes)} of {POSITIONS}")
    begun = time.monotonic()
    emergency_stop(
        portfolio_id=portfolio.pk, by="bench", reason="measured", now=utc_now(), clock=SYSTEM_CLOCK
    )
    while open_now(portfolio) != (0, 0):
        if time.monotonic() - begun > FLAT_WITHIN_S:
            raise RuntimeError(f"still open after {FLAT_WITHIN_S} s: {open_now(portfolio)}")
        time.sleep(LOOK_EVERY_S)
    took = time.monotonic() - begun
    portfolio_resume(portfolio_id=portfolio.pk, by="bench", reason="measured", now=utc_now())
    return took, drill.seconds


def measure() -> dict[str, Any]:
    """Press again and again."""
    portfolio = portfolio_make()
    with prices():
        taken = [press(portfolio) for _ in range(PRESSES)]
    found = books_audit(portfolio_id=portfolio.pk)
    if found:
        raise RuntimeError(f"the books differ: {found}")
    return {
        "presses": PRESSES,
        "p95": quantile(sorted(took for took, _ in taken), 0.95),
        "median": quantile(sorted(took for took, _ in taken), 0.5),
        "drill_p95": quantile(sorted(drill for _, drill in taken), 0.95),
    }


def quantile(ordered: list[float], share: float) -> float:
    """Return the value below which this share of an ordered list lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def main() -> None:
    """Measure and print."""
    with site(*PROGRAMS):
        print(json.dumps(measure()))


if __name__ == "__main__":
    main()
