"""What operators count: the capital of portfolios, and what became of requests for capital (CAP-4).

Counted are rows: the reservations that are kept and the tally of those that were pruned. So the numbers
are the same whichever process is asked, survive every restart, and never fall.

requests = every request · allocations = those that were granted · timeouts = grants that ran out unused ·
releases = grants whose holder let go, by giving them back or by handing them to an order. Hence always
allocations = releases + timeouts + grants that stand now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from django.db.models import Count, F, Min, Sum

from accounts.reading import consistent_read
from allocation.models import CapitalAccount, Reservation, ReservationTally
from core.decimals import ZERO

PORTFOLIOS_MAX: Final = 1000
STRATEGIES_MAX: Final = 100
OTHER: Final = "other"  # stands for what is beyond those numbers

_Status = Reservation.Status
_GRANTED: Final = frozenset({_Status.GRANTED, _Status.USED, _Status.RELEASED, _Status.EXPIRED})
_LET_GO: Final = frozenset({_Status.USED, _Status.RELEASED})


@dataclass(frozen=True, slots=True)
class CapitalSum:
    """Capital in quote currency: total = cash + spot holdings at cost, allocated = total − free."""

    total: Decimal
    free: Decimal

    @property
    def allocated(self) -> Decimal:
        """Capital that is reserved, committed or deployed."""
        return self.total - self.free


@dataclass(slots=True)
class StrategyCounts:
    """What became of one strategy's requests; requests by priority (critical, high, medium, low)."""

    requests: dict[str, int]
    allocations: int = 0
    releases: int = 0
    timeouts: int = 0


@dataclass(frozen=True, slots=True)
class CapitalMetrics:
    """Capital by portfolio id, counts by strategy; at most so many of each, the rest as "other"."""

    portfolios: Mapping[str, CapitalSum]
    strategies: Mapping[str, StrategyCounts]


def capital_metrics() -> CapitalMetrics:
    """Read everything as it stood at one moment."""
    with consistent_read():
        return CapitalMetrics(portfolios=_portfolios(), strategies=counts_fold(_rows()))


def _portfolios() -> dict[str, CapitalSum]:
    accounts = CapitalAccount.objects.annotate(total=F("cash") + F("deployed")).order_by("pk")
    shown = list(accounts.values_list("pk", "total", "free")[:PORTFOLIOS_MAX])
    sums = {str(pk): CapitalSum(total, free) for pk, total, free in shown}
    if len(shown) == PORTFOLIOS_MAX:
        rest = accounts.filter(pk__gt=shown[-1][0]).aggregate(all=Sum("total"), idle=Sum("free"))
        sums[OTHER] = CapitalSum(rest["all"] or ZERO, rest["idle"] or ZERO)
    return sums


Row = tuple[str, str, int, int]  # strategy, status, priority, count


def _rows() -> list[Row]:
    """Return the counts, strategies in the order in which they first asked: pruned ones before the others."""
    pruned = ReservationTally.objects.order_by("pk").values_list("strategy", "status", "priority", "count")
    kept = (
        Reservation.objects.order_by()
        .values_list("source", "status", "priority")
        .annotate(count=Count("pk"), since=Min("requested_at"))
        .order_by("since", "source")
    )
    return [*pruned, *((source, status, priority, count) for source, status, priority, count, _ in kept)]


def counts_fold(rows: Iterable[Row]) -> dict[str, StrategyCounts]:
    """Sum counts by strategy; those that come after the first hundred strategies are counted as "other"."""
    folded: dict[str, StrategyCounts] = {}
    labels = {priority: label.lower() for priority, label in Reservation.Priority.choices}
    for strategy, status, priority, count in rows:
        name = strategy if strategy in folded or len(folded) < STRATEGIES_MAX else OTHER
        counts = folded.setdefault(name, StrategyCounts(requests=dict.fromkeys(labels.values(), 0)))
        counts.requests[labels[priority]] += count
        counts.allocations += count * (status in _GRANTED)
        counts.releases += count * (status in _LET_GO)
        counts.timeouts += count * (status == _Status.EXPIRED)
    return folded
