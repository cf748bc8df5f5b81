"""The measuring process of `benchmarks.reservations`: given a directory of its own, it prints JSON."""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from benchmarks._own_site import services

PROCESSES: Final = 16  # Django is set up from here on

import psycopg  # noqa: E402
from django.db import connection, connections  # noqa: E402
from django.db.models import Count, Sum  # noqa: E402

from accounts.models import Portfolio, User  # noqa: E402
from allocation.capital import capital_open  # noqa: E402
from allocation.models import CapitalAccount, Reservation  # noqa: E402
from allocation.reservations import capital_reserve  # noqa: E402
from core.clock import utc_now  # noqa: E402
from positions.audit import books_audit  # noqa: E402

REQUESTS: Final = 1000
TURNS: Final = 5
AMOUNT: Final = Decimal("12.3456789")
ENOUGH_FOR: Final = 15_000  # of the 16,000: the last thousand must be denied
PATIENCE_S: Final = 300
PLAIN: Final = """
UPDATE allocation_capitalaccount SET free = free - %(amount)s, reserved = reserved + %(amount)s
WHERE portfolio_id = %(portfolio_id)s AND free >= %(amount)s
"""

Ask = Callable[[], bool]


def ours(portfolio_id: int) -> Ask:
    """Return a function that asks our service once."""
    connection.ensure_connection()

    def ask() -> bool:
        return (
            capital_reserve(
                portfolio_id=portfolio_id,
                amount=AMOUNT,
                source="benchmark",
                instrument_code="BTC",
                now=utc_now(),
                timeout_s=3600,
            ).status
            == Reservation.Status.GRANTED
        )

    return ask


def plain(portfolio_id: int) -> Ask:
    """Return a function that runs the bare conditional UPDATE once, and stores nothing."""
    wanted = connection.get_connection_params()
    wire = psycopg.connect(host=wanted["host"], user=wanted["user"], dbname=wanted["dbname"], autocommit=True)
    values = {"amount": AMOUNT, "portfolio_id": portfolio_id}
    return lambda: wire.execute(PLAIN, values).rowcount == 1


def _work(plain_id: int, own_id: int, start: Any, told: Any) -> None:
    """Take turns between the two ways with all other processes, so that both meet the same machine."""
    ways = (plain(plain_id), ours(own_id))
    for turn in range(TURNS):
        for way, ask in enumerate(ways):
            start.wait(PATIENCE_S)
            begun_s = time.monotonic()
            granted = sum(ask() for _ in range(REQUESTS // TURNS))
            told.put((turn, way, begun_s, time.monotonic(), granted))


def rates(*, plain_id: int, own_id: int) -> list[float]:
    """Let all processes ask at once; return requests per second, plain and ours.

    :raises RuntimeError: more was granted than there is, or less
    """
    connections.close_all()  # a connection must not be shared by forked processes
    context = multiprocessing.get_context("fork")
    start, told = context.Barrier(PROCESSES), context.Queue()
    arguments = (plain_id, own_id, start, told)
    asking = [context.Process(target=_work, args=arguments, daemon=True) for _ in range(PROCESSES)]
    for process in asking:
        process.start()
    answers = [told.get(timeout=PATIENCE_S) for _ in range(PROCESSES * TURNS * 2)]
    for process in asking:
        process.join(PATIENCE_S)
    found = []
    for way in (0, 1):
        granted = sum(answer[4] for answer in answers if answer[1] == way)
        if granted != ENOUGH_FOR:
            raise RuntimeError(f"{granted} of {PROCESSES * REQUESTS} were granted where {ENOUGH_FOR} fit")
        found.append(PROCESSES * REQUESTS / sum(_lasted(answers, turn, way) for turn in range(TURNS)))
    return found


def _lasted(answers: list[tuple[int, int, float, float, int]], turn: int, way: int) -> float:
    """Return the seconds from the first request of a turn to its last answer."""
    mine = [answer for answer in answers if answer[:2] == (turn, way)]
    return max(answer[3] for answer in mine) - min(answer[2] for answer in mine)


def portfolio_make(name: str) -> int:
    """Open a portfolio with capital for 15,000 requests and half a one."""
    owner, _ = User.objects.get_or_create(email="bench@example.com")
    portfolio = Portfolio.objects.create(owner=owner, name=name)
    now = utc_now()
    capital_open(portfolio=portfolio, amount=AMOUNT * ENOUGH_FOR + AMOUNT / 2, now=now, world_at=now)
    return portfolio.pk


def nothing_lost(portfolio_id: int) -> None:
    """Check the books after our run.

    :raises RuntimeError: capital was lost or given out twice, or a request left no row
    """
    account = CapitalAccount.objects.get(pk=portfolio_id)
    rows = Reservation.objects.filter(portfolio_id=portfolio_id).order_by("status").values_list("status")
    counts = dict(rows.annotate(count=Count("pk")))
    held = Reservation.objects.filter(portfolio_id=portfolio_id, status="granted").aggregate(
        sum=Sum("amount")
    )
    found = books_audit(portfolio_id=portfolio_id)
    if (
        counts != {"granted": ENOUGH_FOR, "denied": PROCESSES * REQUESTS - ENOUGH_FOR}
        or account.reserved != held["sum"]
        or account.free + account.reserved != account.deposits_net
        or found
    ):
        raise RuntimeError(f"the books differ: {counts}, {account.free} + {account.reserved}, {found}")


def main() -> None:
    """Measure on services of this process alone, set up as `make run` does."""
    with services():
        plain_id, own_id = portfolio_make("plain"), portfolio_make("ours")
        baseline, value = rates(plain_id=plain_id, own_id=own_id)
        nothing_lost(own_id)
        sys.stdout.write(json.dumps({"value": value, "baseline": baseline}) + "\n")


if __name__ == "__main__":
    main()
