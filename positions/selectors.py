"""What came of positions, as plain values.

Signs: fees are positive when paid, funding when received; net P&L is realized - fees + funding.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Abs

from core.decimals import ZERO
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
