"""Reading positions and what came of them, as plain values.

Signs: quantities and costs are positive for long; fees are positive when paid, funding when received;
net P&L is realized - fees + funding.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Count, F, Q, QuerySet, Sum

from core.decimals import ZERO
from markets.models import Mark
from positions.domain.booking import unrealized_pnl
from positions.models import Position, PositionSlice


@dataclass(frozen=True, slots=True)
class SliceView:
    """One trader's part of a position; ``follow_id`` None is the owner's own."""

    follow_id: int | None
    quantity: Decimal
    cost: Decimal
    realized_pnl: Decimal
    fees: Decimal
    funding: Decimal


@dataclass(frozen=True, slots=True)
class PositionView:
    """A position with its slices, the empty ones left out."""

    position_id: int
    portfolio_id: int
    underlying: str
    code: str
    policy: str
    status: str
    quantity: Decimal
    cost: Decimal
    margin: Decimal
    realized_pnl: Decimal
    fees: Decimal
    funding: Decimal
    opened_world_at: datetime
    closed_world_at: datetime | None
    slices: tuple[SliceView, ...]

    @property
    def net_pnl(self) -> Decimal:
        """Realized P&L after fees and funding."""
        return self.realized_pnl - self.fees + self.funding


@dataclass(frozen=True, slots=True)
class FollowResult:
    """What a follow brought over all its slices ever: realized before fees, unrealized at the last marks."""

    realized: Decimal = ZERO
    unrealized: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """Realized and unrealized P&L after fees and funding."""
        return self.realized + self.unrealized - self.fees + self.funding


@dataclass(frozen=True, slots=True)
class WinCount:
    """How many positions were closed, and how many of them with a gain after fees and funding."""

    won: int
    closed: int


def positions_open(*, portfolio_id: int) -> list[PositionView]:
    """Return the open positions of a portfolio, oldest first; those that net to zero included."""
    rows = Position.objects.filter(portfolio_id=portfolio_id).exclude(status=Position.Status.CLOSED)
    return _views(rows.order_by("pk"))


def positions_closed(*, portfolio_id: int, limit: int = 100) -> list[PositionView]:
    """Return the positions of a portfolio that were closed last, newest first."""
    rows = Position.objects.filter(portfolio_id=portfolio_id, status=Position.Status.CLOSED)
    return _views(rows.order_by("-closed_at", "-pk")[:limit])


def _views(rows: QuerySet[Position]) -> list[PositionView]:
    return [
        PositionView(
            position_id=row.pk,
            portfolio_id=row.portfolio_id,
            underlying=row.underlying,
            code=row.instrument_id,
            policy=row.policy,
            status=row.status,
            quantity=row.quantity,
            cost=row.cost,
            margin=row.margin,
            realized_pnl=row.realized_pnl,
            fees=row.fees,
            funding=row.funding,
            opened_world_at=row.opened_world_at,
            closed_world_at=row.closed_world_at,
            slices=tuple(_slice(part) for part in row.slices.all() if part.quantity or part.realized_pnl),
        )
        for row in rows.prefetch_related("slices")
    ]


def _slice(part: PositionSlice) -> SliceView:
    return SliceView(
        follow_id=part.follow_id,
        quantity=part.quantity,
        cost=part.cost,
        realized_pnl=part.realized_pnl,
        fees=part.fees,
        funding=part.funding,
    )


def win_count(*, portfolio_id: int) -> WinCount:
    """Count a portfolio's closed positions, and those whose net P&L is above zero."""
    closed = Position.objects.filter(portfolio_id=portfolio_id, status=Position.Status.CLOSED)
    counts = closed.aggregate(
        closed=Count("pk"), won=Count("pk", filter=Q(realized_pnl__gt=F("fees") - F("funding")))
    )
    return WinCount(won=counts["won"], closed=counts["closed"])


def follow_results(*, portfolio_id: int, world: str) -> dict[int | None, FollowResult]:
    """Return each follow's result over all its slices, by follow id; None is the owner's own part.

    A slice whose instrument has no mark in ``world`` counts with no unrealized P&L.
    """
    slices = PositionSlice.objects.filter(position__portfolio_id=portfolio_id)
    sums = slices.values("follow_id").annotate(
        realized=Sum("realized_pnl"), paid=Sum("fees"), received=Sum("funding")
    )
    unrealized = _unrealized_by_follow(slices.exclude(quantity=0).select_related("position"), world=world)
    return {
        row["follow_id"]: FollowResult(
            realized=row["realized"],
            unrealized=unrealized.get(row["follow_id"], ZERO),
            fees=row["paid"],
            funding=row["received"],
        )
        for row in sums.order_by("follow_id")
    }


def _unrealized_by_follow(slices: QuerySet[PositionSlice], *, world: str) -> dict[int | None, Decimal]:
    parts = list(slices)
    codes = {part.position.instrument_id for part in parts}
    marks = dict(
        Mark.objects.filter(world_id=world, instrument_id__in=codes).values_list("instrument_id", "price")
    )
    result: dict[int | None, Decimal] = {}
    for part in parts:
        mark = marks.get(part.position.instrument_id)
        if mark is not None:
            gain = unrealized_pnl(quantity=part.quantity, cost=part.cost, mark=mark)
            result[part.follow_id] = result.get(part.follow_id, ZERO) + gain
    return result
