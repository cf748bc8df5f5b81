"""What came of positions, as plain values.

Signs: fees are positive when paid, funding when received; net P&L is realized - fees + funding.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db import connection
from django.db.models import Count, F, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Abs

from core.decimals import ZERO, to_money
from markets.models import Mark
from positions.models import Position, PositionSlice, SliceEntry

PAST_SLICES: Final = 500
_TRADED: Final = (SliceEntry.Kind.FILL, SliceEntry.Kind.TRANSFER)


@dataclass(frozen=True, slots=True)
class FollowResult:
    """What a follow brought over all its slices ever, closed ones included, and in how many it is open."""

    realized: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    open_positions: int = 0

    @property
    def realized_net(self) -> Decimal:
        """Realized P&L after fees and funding."""
        return self.realized - self.fees + self.funding


@dataclass(frozen=True, slots=True)
class WinCount:
    """How many positions were closed, and how many of them with a gain after fees and funding."""

    won: int = 0
    closed: int = 0


@dataclass(frozen=True, slots=True)
class PastResult:
    """How the closed slices of one trader in one underlying ended.

    :param mean_return: net P&L ÷ the mean of what went in and came out, a fraction, averaged over ``closed``
    """

    closed: int
    won: int
    mean_return: float


def past_results(*, portfolio_id: int) -> dict[tuple[int, str], PastResult]:
    """Return results by trader and underlying, of a portfolio's newest 500 slices that are closed.

    Slices that were handed over are left out: they did not end by a decision of their trader's.
    """
    closed = (
        PositionSlice.objects.filter(position__portfolio_id=portfolio_id, follow__isnull=False, quantity=0)
        .annotate(
            turnover=Sum(Abs("entries__notional"), filter=Q(entries__kind__in=_TRADED)),
            handed=Count("entries", filter=Q(entries__kind=SliceEntry.Kind.HANDOVER)),
        )
        .filter(turnover__gt=0, handed=0)
        .order_by("-pk")
        .values_list(
            "follow__trader_id",
            "position__underlying",
            F("realized_pnl") - F("fees") + F("funding"),
            "turnover",
        )
    )
    returns: dict[tuple[int, str], list[float]] = {}
    for trader_id, underlying, net, turnover in closed[:PAST_SLICES]:
        returns.setdefault((trader_id, underlying), []).append(float(2 * net / turnover))
    return {
        key: PastResult(len(found), sum(value > 0 for value in found), sum(found) / len(found))
        for key, found in returns.items()
    }


def portfolios_with_past(*, portfolio_ids: Collection[int]) -> frozenset[int]:
    """Return those of these portfolios that have closed a slice of a trader's, so that there is a past."""
    closed = PositionSlice.objects.filter(
        position__portfolio__in=portfolio_ids, follow__isnull=False, quantity=0
    )
    return frozenset(closed.order_by().values_list("position__portfolio_id", flat=True).distinct())


def win_count(*, portfolio_id: int) -> WinCount:
    """Count a portfolio's closed positions, and those whose net P&L is above zero."""
    closed = Position.objects.filter(portfolio_id=portfolio_id, status=Position.Status.CLOSED)
    counts = closed.aggregate(
        closed=Count("pk"), won=Count("pk", filter=Q(realized_pnl__gt=F("fees") - F("funding")))
    )
    return WinCount(won=counts["won"], closed=counts["closed"])


def follow_results(*, portfolio_id: int) -> dict[int | None, FollowResult]:
    """Return each follow's result over all its slices, by follow id; None is the owner's own part."""
    sums = (
        PositionSlice.objects.filter(position__portfolio_id=portfolio_id)
        .values("follow_id")
        .annotate(
            realized=Sum("realized_pnl"),
            paid=Sum("fees"),
            received=Sum("funding"),
            open_positions=Count("pk", filter=~Q(quantity=0)),
        )
    )
    return {
        row["follow_id"]: FollowResult(
            realized=row["realized"],
            fees=row["paid"],
            funding=row["received"],
            open_positions=row["open_positions"],
        )
        for row in sums.order_by("follow_id")
    }


_NEWEST_CLOSED_SQL: Final = """
SELECT wanted.portfolio_id, newest.net
FROM unnest(%(ids)s::bigint[], %(runs)s::int[], %(since)s::timestamptz[]) AS wanted (portfolio_id, run, since)
CROSS JOIN LATERAL (
    SELECT closed.realized_pnl - closed.fees + closed.funding AS net, closed.closed_at, closed.id
    FROM positions_position AS closed
    WHERE closed.portfolio_id = wanted.portfolio_id AND closed.status = 'closed'
      AND closed.run = wanted.run AND (wanted.since IS NULL OR closed.closed_at > wanted.since)
    ORDER BY closed.closed_at DESC, closed.id DESC
    LIMIT %(most)s
) AS newest
ORDER BY wanted.portfolio_id, newest.closed_at DESC, newest.id DESC
"""


@dataclass(frozen=True, slots=True)
class ClosedSince:
    """Which closed positions count: of this run of the world, closed after this wall time (None: all)."""

    run: int
    since: datetime | None


def newest_results(*, wanted: Mapping[int, ClosedSince], most: int) -> dict[int, list[Decimal]]:
    """Return per portfolio the net P&L of its newest closed positions, the newest first, at most ``most``."""
    results: dict[int, list[Decimal]] = {portfolio_id: [] for portfolio_id in wanted}
    if not wanted:
        return results
    ids = sorted(wanted)
    arguments: Mapping[str, Any] = {
        "ids": ids,
        "runs": [wanted[portfolio_id].run for portfolio_id in ids],
        "since": [wanted[portfolio_id].since for portfolio_id in ids],
        "most": most,
    }
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST_CLOSED_SQL, arguments)
        for portfolio_id, net in cursor.fetchall():
            results[portfolio_id].append(net)
    return results


def follows_realized(*, portfolio_ids: list[int]) -> dict[int, dict[int, Decimal]]:
    """Return per portfolio and follow what all its slices ever realized, after fees and funding."""
    sums = (
        PositionSlice.objects.filter(position__portfolio_id__in=portfolio_ids, follow__isnull=False)
        .values_list("position__portfolio_id", "follow_id")
        .annotate(net=Sum(F("realized_pnl") - F("fees") + F("funding")))
        .order_by("follow_id")
    )
    results: dict[int, dict[int, Decimal]] = {portfolio_id: {} for portfolio_id in portfolio_ids}
    for portfolio_id, follow_id, net in sums:
        results[portfolio_id][follow_id] = net
    return results


def follows_unrealized(*, portfolio_ids: list[int]) -> dict[int, Decimal]:
    """Return per follow the unrealized P&L of its open slices at the last marks; without a mark: left out."""
    mark = Mark.objects.filter(
        world_id=OuterRef("position__portfolio__world"), instrument_id=OuterRef("position__instrument_id")
    )
    rows = (
        PositionSlice.objects.filter(position__portfolio_id__in=portfolio_ids, follow__isnull=False)
        .exclude(position__status=Position.Status.CLOSED)
        .exclude(quantity=0)
        .values_list("follow_id", "quantity", "cost", Subquery(mark.values("price")[:1]))
    )
    results: defaultdict[int, Decimal] = defaultdict(lambda: ZERO)
    for follow_id, quantity, cost, price in rows:
        if price is not None:
            results[follow_id] += to_money(quantity * price - cost)
    return dict(results)
