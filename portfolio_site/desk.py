"""The health of the platform at a glance, for those who run it. Counts and names of sources; nobody's money.

Read anew with each look: some twelve queries, and one round to Redis.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import redis
from django.conf import settings
from django.db.models import Count, Max, Min

from alerts.models import AlertDelivery, TaskFailure
from allocation.models import BreakerTrip
from engine.exits.leases import shards_unwatched
from execution.models import Order
from markets.budget_figures import budget_counts_read, budgets_read
from portfolio_site.probe import redis_probe
from portfolio_site.watching import SILENT_AFTER, workers_seen
from traders.models import Trader

LISTED_MOST: Final = 10
LATE_AFTER: Final = timedelta(seconds=60)
QUEUE_LONG: Final = 100
RECENT: Final = timedelta(hours=24)
_TROUBLED: Final = (Trader.Status.DEGRADED.value, Trader.Status.STALE.value)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that is looked at.

    :param good: nothing has to be done about it
    :param table: the list in the admin that shows more, as "app_model"; ``query`` filters it
    """

    name: str
    value: str
    good: bool
    table: str = ""
    query: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Some lines under one heading."""

    title: str
    lines: tuple[Line, ...]


def health_read(*, now: datetime) -> tuple[Section, ...]:
    """Return everything an operator looks at first; what does not answer is a line that says so."""
    try:
        from_redis = _redis_sections(now)
    except redis.RedisError as error:
        from_redis = (Section("Redis", (Line("Redis", f"no answer ({type(error).__name__})", good=False),)),)
    return (*from_redis, _sources(now), _trading(now), _telling(now))


def _redis_sections(now: datetime) -> tuple[Section, ...]:
    with redis_probe() as client:
        seen = workers_seen(client=client)
        queues = {name: int(client.llen(name)) for name in _queues()}
        budgets, counts = budgets_read(client=client), budget_counts_read(client=client)
    workers = [
        Line(name, f"{_age(at, now)} ago", good=at > now - SILENT_AFTER) for name, at in seen.items()
    ] or [Line("Workers", "none is alive", good=False)]
    waiting = [Line(name, f"{length} waiting", good=length < QUEUE_LONG) for name, length in queues.items()]
    spent = [
        Line(
            f"{one.venue} from {one.egress}",
            f"{one.used_ratio:.0%} used"
            + (f", paused for {one.paused_s:.0f} s" if one.paused_s else "")
            + f"; {counts.pauses.get(one.venue, 0)} pauses so far",
            good=one.used_ratio <= 1 and not one.paused_s,
        )
        for one in budgets
    ] or [Line("Budgets", "nothing was asked of any venue yet", good=True)]
    return (
        Section("Workers", tuple(workers)),
        Section("Queues", tuple(waiting)),
        Section("Request budgets", tuple(spent)),
    )


def _queues() -> Iterable[str]:
    return (route["queue"] for route in settings.CELERY_TASK_ROUTES.values())


def _sources(now: datetime) -> Section:
    live = Trader.objects.exclude(status=Trader.Status.PAUSED)
    newest = live.aggregate(newest=Max("synced_at"))["newest"]
    late = live.filter(next_sync_at__lt=now - LATE_AFTER, status=Trader.Status.ACTIVE).count()
    paused = Trader.objects.filter(status=Trader.Status.PAUSED).count()
    troubled = Trader.objects.filter(status__in=_TROUBLED)
    lines = [
        Line("Last read", f"{_age(newest, now)} ago" if newest else "none yet", good=True),
        Line(
            "Late by a minute", str(late), good=not late, table="traders_trader", query="status__exact=active"
        ),
        Line("Paused", str(paused), good=True, table="traders_trader", query="status__exact=paused"),
        Line("Cannot be read", str(troubled.count()), good=not troubled.exists(), table="traders_trader"),
    ]
    lines += [
        Line(
            trader.name,
            f"{trader.get_status_display().lower()}"
            + (f" for {_age(trader.failing_since, now)}" if trader.failing_since else "")
            + f": {trader.last_error}",
            good=False,
            table="traders_trader",
            query=f"q={trader.pk}",
        )
        for trader in troubled.order_by("failing_since", "pk")[:LISTED_MOST]
    ]
    return Section("Traders", tuple(lines))


def _trading(now: datetime) -> Section:
    trips = BreakerTrip.objects.filter(reset_at__isnull=True).values("kind").annotate(n=Count("id"))
    standing = {BreakerTrip.Kind(row["kind"]).label: row["n"] for row in trips.order_by("kind")}
    kinds = [
        Line(f"Breaker: {label}", str(count), good=False, table="allocation_breakertrip")
        for label, count in standing.items()
    ] or [Line("Breakers standing", "0", good=True, table="allocation_breakertrip")]
    without_answer = Order.objects.filter(status=Order.Status.UNKNOWN)
    unknown = without_answer.aggregate(n=Count("id"), oldest=Min("created_at"))
    told = f"{unknown['n']}" + (f", the oldest of {_age(unknown['oldest'], now)} ago" if unknown["n"] else "")
    unwatched = shards_unwatched()
    return Section(
        "Trading",
        (
            *kinds,
            Line(
                "Orders without an answer", told, good=not unknown["n"], table="execution_order",
                query="status__exact=unknown",
            ),
            Line("Exits nobody watches", str(len(unwatched)), good=not unwatched, table="engine_exitshard"),
        ),
    )  # fmt: skip


def _telling(now: datetime) -> Section:
    waiting = AlertDelivery.Status.WAITING
    late = AlertDelivery.objects.filter(status=waiting, due_at__lt=now - LATE_AFTER).count()
    lost = AlertDelivery.objects.filter(status=AlertDelivery.Status.FAILED, due_at__gt=now - RECENT).count()
    failed = TaskFailure.objects.filter(at__gt=now - RECENT).values("task").annotate(n=Count("id"))
    failures = [
        Line(
            f"Failed: {row['task']}",
            f"{row['n']} in a day",
            good=False,
            table="alerts_taskfailure",
            query=f"q={row['task']}",
        )
        for row in failed.order_by("-n", "task")[:LISTED_MOST]
    ] or [Line("Failed tasks", "0 in a day", good=True, table="alerts_taskfailure")]
    return Section(
        "Alerts and tasks",
        (
            Line("Alerts not delivered for a minute", str(late), good=not late, table="alerts_alertdelivery"),
            Line("Alerts given up", f"{lost} in a day", good=not lost, table="alerts_alertdelivery"),
            *failures,
        ),
    )


def _age(at: datetime, now: datetime) -> str:
    seconds = max(0, int((now - at).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
